//! Numbers computed by somebody else: every vector of this folder goes through the engine's public functions, or stands
//! in the table of README.md with the reason why not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod adl;
mod case;
mod dydx;
mod fund;
mod liquidation;
mod mark;
mod settlement;
mod table;
mod tiers;
mod world;

use case::{Case, compare};
use serde_json::Value;
use table::Kind;

/// Computes what a vector asserts: an object with its keys, or `{"refused": code}`.
type Compute = fn(&Case) -> Value;

/// The rule that a vector belongs to; none where Backstop has no such rule.
fn rule_of(case: &Case) -> Option<Compute> {
    let found: Compute = match case.rule.as_str() {
        "mark.price1_funding_basis" => mark::price1,
        "mark_price_median" => mark::median,
        "mark_price_weight" => mark::weighted,
        "tier.cum_step" => tiers::step,
        "tier.cum_chain" => tiers::chain,
        "tier.lookup" => tiers::lookup,
        "tier.table_consistent" => tiers::consistent,
        "liq.linear_tiered_oneway" => liquidation::tiered,
        "liq.linear_tiered_oneway_from_legs" => liquidation::from_legs,
        "liq.gate_okx_isolated" => liquidation::isolated_with_fee,
        "liq.bybit_usdt_isolated" => liquidation::isolated_posted,
        "liq.bybit_usdt_isolated_rate" => liquidation::isolated_rate,
        "liq.bybit_inverse_cross_long" => liquidation::inverse_cross,
        "bankruptcy.bybit_inverse_cross_long" => liquidation::inverse_cross_bankruptcy,
        "bankruptcy.inverse_isolated" => liquidation::inverse_isolated_bankruptcy,
        // Backstop asks for the bankruptcy price of a position, not of a change that may be malformed.
        "bankruptcy_price" if !case.expected.contains_key("error") => dydx::bankruptcy,
        "margin_requirement" => dydx::requirement,
        "adl.queue_allocate" => adl::allocate,
        "adl.quintile_by_qty" => adl::quintile,
        "adl.drawdown_trigger" => adl::drawdown,
        "adl.hysteresis" => adl::hysteresis,
        "adl.pool_zero_trigger" => adl::pool_zero,
        "adl.okx_threshold" => adl::threshold,
        "fund.delta_linear_long" => fund::delta_long,
        "fund.delta_linear_short" => fund::delta_short,
        "fund.delta_sign_long" => fund::delta_sign_inverse,
        "fund.aggressed_limit_long" => fund::aggressed_limit,
        "settlement_round" => settlement::round,
        _ => return None,
    };
    Some(found)
}

/// What is wrong with one vector, if anything.
fn judge(case: &Case, rows: &[table::Row]) -> Option<String> {
    let rows: Vec<_> = rows.iter().filter(|row| row.covers(&case.id)).collect();
    let row = match rows.as_slice() {
        [] => None,
        [row] => Some(*row),
        _ => return Some("stands in the table twice".to_owned()),
    };
    let Some(compute) = rule_of(case) else {
        return match row {
            Some(row) if row.kind == Kind::NotOurs => None,
            _ => Some(format!("nothing computes {}, and the table does not say why", case.rule)),
        };
    };
    if row.is_some_and(|row| row.kind == Kind::NotOurs) {
        return Some("is computed, yet the table says that it is not ours".to_owned());
    }
    match (compare(case, &compute(case)), row) {
        (None, None) => None,
        (None, Some(_)) => Some("agrees, yet the table says that it differs".to_owned()),
        (Some(found), None) => {
            Some(format!("they say {}, Backstop says {}", found.vector.join(", "), found.engine.join(", ")))
        }
        (Some(found), Some(row)) => {
            let (vector, engine) = (found.vector.join(", "), found.engine.join(", "));
            let stale = (vector.as_str(), engine.as_str()) != (row.vector.as_str(), row.engine.as_str());
            stale.then(|| format!("the row would have to read `| {vector} | {engine} |`"))
        }
    }
}

#[test]
fn every_vector_is_computed_or_listed_with_its_reason() {
    let (cases, rows) = (case::all(), table::read());
    assert_eq!(cases.len(), 162, "the corpus is there");
    let faults: Vec<String> = cases
        .iter()
        .filter_map(|case| judge(case, &rows).map(|fault| format!("{} ({}): {fault}", case.id, case.rule)))
        .collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn every_row_of_the_table_is_about_a_vector() {
    let cases = case::all();
    for row in table::read() {
        assert!(cases.iter().any(|case| row.covers(&case.id)), "no vector is named {}", row.vectors);
    }
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<String> = case::all().into_iter().map(|case| case.id).collect();
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
