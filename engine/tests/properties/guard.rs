//! The guard index against a full scan, account for account, over everything a venue can hold: both kinds of contract, cross
//! and isolated margin, hedges, tiers, order margin, funding, new rules, liquidations under way, calm and gaps.

use super::cases;
use super::world::{Kind, World, scripts};
use backstop_engine::command::Envelope;
use backstop_engine::margin::{Mark, Marks, Report, Shard};
use backstop_engine::money::Price;
use backstop_engine::reference::{Options, Reference};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A move of every market in one tick, in hundredths of a basis point each.
fn moves() -> impl Strategy<Value = Vec<i64>> {
    let size = prop_oneof![
        8 => -200..200_i64,
        4 => -3_000..3_000_i64,
        2 => -50_000..50_000_i64,
        1 => -700_000..2_500_000_i64,
        1 => Just(0_i64),
    ];
    prop::collection::vec(size, 4)
}

fn moved(shard: &Shard, moves: &[i64]) -> Arc<Marks> {
    let markets = shard.rules().markets().iter().zip(moves.iter().cycle());
    let marks = markets.map(|(market, step)| {
        let mark = shard.marks().get(market.index)?;
        let price = mark.price.get() * (Decimal::ONE + Decimal::new(*step, 6));
        let price = price.round_dp(market.mark_scale);
        Some(if price.is_zero() { mark } else { Mark { price: Price::new(price), ..mark } })
    });
    Arc::new(Marks(marks.collect()))
}

fn sorted(mut reports: Vec<Report>) -> Vec<Report> {
    reports.sort_by(|a, b| (&a.account, a.asset, a.scope).cmp(&(&b.account, b.asset, b.scope)));
    reports
}

/// Walks, then goes back to where the flow is.
fn walk(world: &mut World, walk: &[Vec<i64>]) {
    for shard in world.engine.shards_mut() {
        let home = Arc::new(shard.marks().clone());
        let there = walk.iter().map(Some).chain([None]);
        for step in there {
            let marks = step.map_or(home.clone(), |moves| moved(shard, moves));
            let found = shard.tick(&marks, &BTreeMap::new()).unwrap();
            assert_eq!(sorted(found.reports), sorted(shard.evaluate().unwrap()), "at {marks:?}");
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn the_guard_index_finds_whom_a_full_scan_finds(
        script in scripts(40),
        walks in prop::collection::vec(prop::collection::vec(moves(), 1..25), 8),
    ) {
        let mut world = World::new(&script, Kind::Mixed, 2);
        for (steps, moves) in script.steps.chunks(6).zip(walks.iter().cycle()) {
            for step in steps {
                world.step(*step);
            }
            walk(&mut world, moves);
        }
    }
}

/// A venue large enough for storms: so many accounts, each with a position or two, from 2 to 50 times leveraged.
fn crowd(accounts: u32) -> Reference {
    let mut engine = Reference::new(Options { shards: 2, shows_accounts: false });
    let mut submit = |command: serde_json::Value| {
        let command = Envelope::read(&command.to_string()).unwrap().command;
        engine.submit(&command, 0).unwrap().result.unwrap();
    };
    submit(json!({"type": "list_asset", "asset": "USDT", "scale": 6}));
    submit(json!({"type": "list_asset", "asset": "BTC", "scale": 8}));
    for (market, kind, asset, tick) in
        [("L1", "linear", "USDT", "0.1"), ("L2", "linear", "USDT", "0.0001"), ("I", "inverse", "BTC", "0.5")]
    {
        submit(json!({"type": "list_market", "market": market, "kind": kind, "asset": asset, "tick_size": tick,
            "lot_size": "1", "tiers": [{"notional_limit": if kind == "inverse" { "0.05" } else { "4000" },
            "initial_rate": "0.01", "maintenance_rate": "0.005"}, {"initial_rate": "0.05", "maintenance_rate": "0.02"}]}));
    }
    for (market, price) in [("L1", "100"), ("L2", "1.5"), ("I", "50000")] {
        submit(json!({"type": "price", "market": market, "source": "a", "price": price}));
    }
    submit(json!({"type": "tick"}));
    for account in 0..accounts {
        let id = format!("a{account}");
        let leverage = 2 + account * 37 % 49;
        submit(json!({"type": "deposit", "account": id, "asset": "USDT", "amount": (6_000 / leverage).to_string()}));
        let coins = Decimal::new(i64::from(5_000_000 / leverage), 8).to_string();
        submit(json!({"type": "deposit", "account": id, "asset": "BTC", "amount": coins}));
    }
    for pair in 0..accounts / 2 {
        let (one, other) = (format!("a{}", 2 * pair), format!("a{}", 2 * pair + 1));
        let (buyer, seller) = if pair % 3 == 0 { (&one, &other) } else { (&other, &one) };
        let mut fill = |market: &str, price: &str, quantity: u32| {
            submit(json!({"type": "fill", "market": market, "price": price, "quantity": quantity.to_string(),
                "buyer": buyer, "seller": seller, "trade": format!("{market}-{pair}")}));
        };
        fill("L1", "100", 20 + pair % 40);
        if pair % 2 == 0 {
            fill("L2", "1.5", 700 + pair % 900);
        }
        fill("I", "50000", 800 + pair % 1_700);
    }
    engine
}

#[test]
fn a_storm_finds_whom_a_full_scan_finds_and_ends() {
    let mut engine = crowd(3_000);
    // Down by a fifth, back and forth by little, up by more than a half, and calm again. What is breached is left as it is.
    let fall = (0..30).map(|step| [-6_000, -5_000, -5_500].map(|drift| drift + (step * 7_919) % 2_000 - 1_000));
    let calm = (0..40).map(|step| [step * 31 % 7, step * 17 % 5, step * 13 % 9].map(|noise| noise * 20 - 60));
    let rise = (0..20).map(|step| [12_000, 11_000, 13_000].map(|drift| drift - (step * 104_729) % 3_000));
    let path: Vec<[i64; 3]> = fall.chain(calm.clone()).chain(rise).chain(calm).collect();
    for shard in engine.shards_mut() {
        let accounts = u64::try_from(shard.accounts().count()).unwrap();
        let (mut storms, mut calms, mut breached) = (0, 0, 0);
        for moves in &path {
            let marks = moved(shard, moves);
            let found = shard.tick(&marks, &BTreeMap::new()).unwrap();
            // Who is breached is looked at in every tick.
            let others = found.examined - u64::try_from(found.reports.len()).unwrap();
            (storms, calms) = if others > accounts / 2 { (storms + 1, 0) } else { (storms, calms + 1) };
            breached = breached.max(found.reports.len());
            assert_eq!(sorted(found.reports), sorted(shard.evaluate().unwrap()));
        }
        assert!(storms > 1 && calms > 5 && breached > 500, "{storms} storms, {calms} calm ticks, {breached} breached");
    }
}

#[test]
fn positions_that_come_and_go_at_a_price_that_stands_still_leave_nothing_behind() {
    let mut engine = crowd(100);
    let tick = Envelope::read(r#"{"type":"tick"}"#).unwrap().command;
    let turn = |engine: &mut Reference, round: u32| {
        for pair in 0..50 {
            // Opened and closed again; only every other pair has a position in this market besides.
            let (buyer, seller) =
                if round.is_multiple_of(2) { (2 * pair, 2 * pair + 1) } else { (2 * pair + 1, 2 * pair) };
            let fill = json!({"type": "fill", "market": "L2", "price": "1.5", "quantity": "10",
                "buyer": format!("a{buyer}"), "seller": format!("a{seller}"), "trade": format!("turn-{round}-{pair}")});
            engine.submit(&Envelope::read(&fill.to_string()).unwrap().command, 0).unwrap().result.unwrap();
        }
        engine.submit(&tick, 0).unwrap();
        engine.shards().iter().map(Shard::index_bytes).sum::<usize>()
    };
    let before = (0..20).map(|round| turn(&mut engine, round)).max().unwrap();
    let after = (20..400).map(|round| turn(&mut engine, round)).max().unwrap();
    assert!(after < 2 * before, "{before} bytes, then {after}");
}
