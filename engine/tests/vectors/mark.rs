//! Mark prices.

use crate::case::{Case, figure, shown_opt, whole};
use crate::world::{World, flat, listing, market};
use backstop_engine::money::Price;
use backstop_engine::oracle::{Observation, weighted_index};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use smol_str::format_smolstr;
use std::collections::BTreeMap;

const HOUR_MS: u64 = 3_600_000;

/// Price 1: the index and the funding basis. Without a last trade it is the only input of the three.
pub(crate) fn price1(case: &Case) -> Value {
    let mut world = World::new(8);
    let rules = json!({"oracle": {"mark": "median_of_three"}});
    world.send(&listing("M", &flat(Decimal::new(1, 2)), rules));
    world.price("M", case.figure("index"));
    let hours = |name: &str| u64::try_from(case.whole(name)).unwrap() * HOUR_MS;
    world.send(&json!({
        "type": "funding_rate", "market": "M", "rate": case.figure("funding_rate").to_string(),
        "next_time": hours("hours_to_funding"), "interval_ms": hours("funding_period_hours"),
    }));
    world.tick();
    json!({"mark": shown_opt(world.mark("M").map(Price::get))})
}

/// Now, and how old an observation may be here. A venue's tolerance is one of a source, ours is one of a market: each
/// observation is made older by what its source is allowed less.
const NOW: i64 = 1_000;
const STALE_AFTER: i64 = 100;

fn index(case: &Case, weights: &Map<String, Value>) -> Value {
    // The widest band: the venue clamps nothing.
    let oracle = json!({"stale_after_ms": STALE_AFTER, "band": "1", "weights": weights});
    let market = market(&listing("M", &flat(Decimal::new(1, 2)), json!({"oracle": oracle})), 8);
    let (updates, tolerances) = (case.list("last_update"), case.list("staleness_tolerance"));
    let mut observations = BTreeMap::new();
    for (place, price) in case.list("prices").iter().enumerate() {
        let age = case.whole("now") - whole(&updates[place]);
        let aged = age - whole(&tolerances[place]) + STALE_AFTER;
        let time = u64::try_from(NOW - aged).unwrap();
        observations.insert(format_smolstr!("s{place}"), Observation { price: Price::new(figure(price)), time });
    }
    let (price, _) = weighted_index(&market.oracle, &observations, u64::try_from(NOW).unwrap()).unwrap();
    json!({"price": shown_opt(price.map(Price::get))})
}

pub(crate) fn median(case: &Case) -> Value {
    index(case, &Map::new())
}

pub(crate) fn weighted(case: &Case) -> Value {
    let weights = case.list("weights").iter().enumerate();
    index(case, &weights.map(|(place, weight)| (format!("s{place}"), weight.clone())).collect())
}
