//! Who is deleveraged, and when.

use crate::case::{Case, figure, shown, whole};
use crate::world::{World, events, flat, listing, market};
use backstop_engine::adl::Ranking;
use backstop_engine::id::{AccountId, Leg, Side};
use backstop_engine::margin::{Candidate, Scope};
use backstop_engine::money::{Money, Notional, Price, Quantity};
use backstop_engine::number::{self, Rounding};
use backstop_engine::rules::Market;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longs with the ranks of the vector, whose highest number goes first: all in the same profit, and the more leveraged
/// the higher that number.
fn ranking(case: &Case) -> (Arc<Market>, Ranking) {
    let market = market(&listing("M", &flat(Decimal::new(1, 2)), json!({})), 6);
    let accounts = case.list("accounts_qty_rank");
    let candidate = |row: &Value| {
        let (quantity, rank) = (Quantity::new(figure(&row[1])), whole(&row[2]));
        let at = |price: u32| market.mark_value(quantity, Price::new(Decimal::from(price))).unwrap();
        let (cost, worth) = (at(500), at(700));
        let behind = i64::try_from(accounts.len()).unwrap() + 1 - rank;
        Candidate {
            account: AccountId(row[0].as_str().unwrap().into()),
            leg: Leg::Net,
            quantity,
            cost,
            pnl: worth.minus(cost).unwrap(),
            notional: Notional::new(worth.get()),
            net_notional: Notional::new(worth.get()),
            equity: Money::new(number::mul_exact(worth.get(), Decimal::from(behind)).unwrap()),
            maintenance: Money::new(Decimal::ONE),
            scope_pnl: worth.minus(cost).unwrap(),
            scope_cost: cost,
            scope: Scope::Cross,
            hedged: false,
        }
    };
    let candidates = accounts.iter().map(candidate).collect();
    let ranking = Ranking::new(&market, Side::Buy, Price::new(Decimal::from(700)), candidates).unwrap();
    (market, ranking)
}

/// Who closes how much, at which price, and what is left of those who are not closed whole.
pub(crate) fn allocate(case: &Case) -> Value {
    let (market, mut ranking) = ranking(case);
    let (need, price) = (Quantity::new(case.figure("liquidated_qty")), Price::new(case.figure("bankruptcy_price")));
    let cuts = ranking.select(&market, need, price, &BTreeSet::new(), &mut BTreeMap::new()).unwrap();
    let fills = cuts.iter().map(|cut| (cut.account.to_string(), shown(cut.quantity.get())));
    let prices: BTreeSet<Decimal> = cuts
        .iter()
        .map(|cut| number::div(cut.value.get().abs(), cut.quantity.get(), 2, Rounding::Nearest).unwrap())
        .collect();
    assert_eq!(prices.len(), 1, "all at one price");
    let cut_short =
        ranking.entries().filter(|(candidate, entry)| entry.left.is_positive() && entry.left != candidate.quantity);
    let remaining = cut_short.map(|(candidate, entry)| (candidate.account.to_string(), shown(entry.left.get())));
    json!({
        "fills": fills.collect::<Map<_, _>>(),
        "remaining": remaining.collect::<Map<_, _>>(),
        "price": shown(*prices.first().unwrap()),
    })
}

/// The fifth in which each account stands: ours count down from 5, BitMEX shows 20 % for the first.
pub(crate) fn quintile(case: &Case) -> Value {
    let standings = ranking(case).1.standings();
    let mut percentile = Map::new();
    for row in case.list("accounts_qty_rank") {
        let name = row[0].as_str().unwrap();
        let standing: Vec<_> = standings.of(&AccountId(name.into())).collect();
        let [(_, place)] = standing.as_slice() else { panic!("{standing:?}") };
        percentile.insert(name.to_owned(), json!(u32::from(6 - place.quantile) * 20));
    }
    json!({"percentile": percentile})
}

/// Every contract of the market with the drawdown rule loses this much beyond its margin.
const LOSS: i64 = 5_000;
const WINDOW_MS: u64 = 28_800_000;

/// A market with a drawdown rule at 45,000 and one without at 49,999, both on the shared pool; positions that are
/// bankrupt at 50,000.
struct Drawdown {
    world: World,
    probes: u32,
}

impl Drawdown {
    fn new(seed: Decimal, start: Decimal, stop: Decimal) -> Self {
        let mut world = World::new(6);
        let drawdown = json!({"window_ms": WINDOW_MS, "start": start.to_string(), "stop": stop.to_string()});
        world.send(&listing("M", &flat(Decimal::new(1, 2)), json!({"adl": {"drawdown": drawdown}})));
        world.send(&listing("OTHER", &flat(Decimal::new(1, 2)), json!({})));
        world.price("M", Decimal::from(50_000 - LOSS));
        world.price("OTHER", Decimal::from(49_999));
        if !seed.is_zero() {
            world.endow(seed);
        }
        Self { world, probes: 0 }
    }

    /// A long that is about to lose `amount` beyond its margin.
    fn default_by(&mut self, name: &str, amount: Decimal) {
        let quantity = number::div(amount, Decimal::from(LOSS), 3, Rounding::Nearest).unwrap();
        self.world.open(name, "M", Side::Buy, quantity, Decimal::from(50_000));
    }

    /// The pool falls without the drawdown rule: by a loss of the other market.
    fn fall_by(&mut self, amount: Decimal) {
        let before = self.world.fund().balance.get();
        self.world.open("faller", "OTHER", Side::Buy, amount, Decimal::from(50_000));
        self.world.tick();
        assert_eq!(number::sub(before, self.world.fund().balance.get()).unwrap(), amount);
    }

    /// Another account defaults by the loss of one contract: why it came to ADL, if it did.
    fn probe(&mut self) -> Option<String> {
        self.probes += 1;
        self.default_by(&format!("probe-{}", self.probes), Decimal::from(LOSS));
        let tick = self.world.tick();
        let triggered = events(&tick, "adl_triggered");
        let shortfall = events(&tick, "fund_entry").iter().any(|entry| entry["reason"] == "shortfall");
        assert_ne!(triggered.is_empty(), !shortfall, "either the fund pays or others are deleveraged: {tick:?}");
        triggered.first().map(|event| event["reason"].as_str().unwrap().to_owned())
    }

    fn by_drawdown(&mut self) -> bool {
        self.probe().as_deref() == Some("drawdown")
    }
}

/// The threshold as we write it: a fall, not a negative ratio.
fn fall(case: &Case, name: &str) -> Decimal {
    -case.figure(name)
}

/// A loss as large as that of the vector, and a small one right behind it.
pub(crate) fn drawdown(case: &Case) -> Value {
    assert_eq!(case.figure("pool_balance"), case.figure("pool_8h_max_balance"));
    let loss = number::sub(case.figure("symbol_pnl_8h_max"), case.figure("symbol_pnl_now")).unwrap();
    let (start, stop) = (fall(case, "insurance_pnl_ratio"), fall(case, "adl_stop_ratio"));
    let mut drawdown = Drawdown::new(case.figure("pool_balance"), start, stop);
    drawdown.default_by("loser", loss);
    let tick = drawdown.world.tick();
    let coverage = events(&tick, "coverage");
    let asked = figure(&coverage[0]["asked"]);
    let left = number::sub(asked, figure(&coverage[0]["granted"])).unwrap();
    let closed = events(&tick, "adl_triggered").iter().fold(Decimal::ZERO, |sum, event| {
        assert_eq!(event["reason"], "drawdown");
        number::add(sum, figure(&event["quantity"])).unwrap()
    });
    let loss_closed = number::mul_exact(closed, Decimal::from(LOSS)).unwrap();
    assert_eq!(loss_closed, left, "what the fund does not cover is deleveraged");
    let peak = drawdown.world.fund().pools[0].peak.get();
    json!({
        "pnl_ratio": shown(number::div(-asked, peak, 6, Rounding::Nearest).unwrap()),
        "adl_notional_to_close": shown(loss_closed),
        "triggered": drawdown.by_drawdown(),
    })
}

/// The pool has fallen by the ratio of the vector; `was_active`: by more before.
pub(crate) fn hysteresis(case: &Case) -> Value {
    let seed = Decimal::from(1_000_000);
    let (start, stop) = (fall(case, "insurance_pnl_ratio"), fall(case, "adl_stop_ratio"));
    let mut drawdown = Drawdown::new(seed, start, stop);
    let wanted = number::sub(seed, number::mul_exact(seed, fall(case, "pnl_ratio")).unwrap()).unwrap();
    if case.inputs.get("was_active") == Some(&Value::Bool(true)) {
        drawdown.default_by("loser", Decimal::from(350_000));
        drawdown.world.tick();
        let missing = number::sub(wanted, drawdown.world.fund().balance.get()).unwrap();
        drawdown.world.endow(missing);
    } else {
        drawdown.fall_by(number::sub(seed, wanted).unwrap());
    }
    assert_eq!(drawdown.world.fund().balance.get(), wanted.normalize());
    let active = drawdown.by_drawdown();
    // Once the fall is less than the stop, the fund pays again.
    let line = number::sub(seed, number::mul_exact(seed, stop).unwrap()).unwrap();
    let above = number::add(number::sub(line, wanted).unwrap(), Decimal::from(2 * LOSS)).unwrap();
    drawdown.world.endow(above);
    assert_eq!(drawdown.probe(), None, "above the stop the fund pays");
    json!({"active": active})
}

pub(crate) fn pool_zero(case: &Case) -> Value {
    let never = Decimal::ONE;
    let mut drawdown = Drawdown::new(case.figure("pool_balance"), never, never);
    let triggered = drawdown.probe().as_deref() == Some("fund_empty");
    drawdown.world.endow(Decimal::from(LOSS));
    let stops = drawdown.probe().is_none();
    json!({"triggered": triggered, "stops_when": if stops { "balance>0" } else { "later" }})
}

/// A pool that has stood at one level through the window: its average is its peak.
pub(crate) fn threshold(case: &Case) -> Value {
    let (reference, start) = (case.figure("reference_8h"), case.figure("pct"));
    let mut drawdown = Drawdown::new(reference, start, start);
    let threshold = drawdown.world.fund().pools[0].trigger;
    drawdown.fall_by(number::sub(reference, case.figure("current")).unwrap());
    json!({"threshold": shown(threshold.get()), "triggered": drawdown.by_drawdown()})
}
