//! The guard index against a full scan, account for account, over everything a venue can hold: both kinds of contract, cross
//! and isolated margin, hedges, tiers, order margin, funding, new rules, liquidations under way, calm and gaps.

use super::cases;
use super::world::{Kind, World, scripts};
use backstop_engine::margin::{Mark, Marks, Report, Shard};
use backstop_engine::money::Price;
use proptest::prelude::*;
use rust_decimal::Decimal;
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
