//! Risk tiers: the deductions that the engine computes against those that venues publish.

use crate::case::{self, Case, figure, shown};
use crate::world::{Bracket, listing, market, try_market};
use backstop_engine::money::Notional;
use backstop_engine::number::{self, Rounding};
use backstop_engine::rules::TierTable;
use rust_decimal::Decimal;
use serde_json::{Value, json};

fn table(brackets: &[Bracket]) -> TierTable {
    market(&listing("M", brackets, json!({})), 8).tiers.clone()
}

/// Brackets `(limit, maintenance)`, with the initial rate of the same size.
fn brackets(rows: &[(Option<Decimal>, Decimal)]) -> Vec<Bracket> {
    rows.iter().map(|(limit, rate)| (*limit, *rate, *rate)).collect()
}

/// Brackets that end in one of rate `rate` and deduction `deduction`: a first tier of half the rate does that. Its limit,
/// and the rest of the table.
fn with_deduction(rate: Decimal, deduction: Decimal) -> Vec<(Option<Decimal>, Decimal)> {
    if deduction.is_zero() {
        return vec![(None, rate)];
    }
    let half = number::div(rate, Decimal::TWO, 12, Rounding::Nearest).unwrap();
    let limit = number::div(deduction, half, 12, Rounding::Nearest).unwrap();
    vec![(Some(limit), half), (None, rate)]
}

/// Published tables: `[limit, rate, deduction]`.
fn published(case: &Case) -> Vec<[Decimal; 3]> {
    let cells = |row: &Value| [figure(&row[0]), figure(&row[1]), figure(&row[2])];
    case.list("cap_mmr_cum").iter().map(cells).collect()
}

/// A table that holds the tier of this rate and deduction: a whole published one where there is, else the shortest.
pub(crate) fn holding(rate: Decimal, deduction: Decimal) -> Vec<Bracket> {
    let cases = case::read("binance.json");
    let tables = cases.iter().filter(|case| case.expected.get("consistent") == Some(&Value::Bool(true)));
    for table in tables.map(published) {
        if !deduction.is_zero() && table.iter().any(|row| row[1] == rate && row[2] == deduction) {
            return brackets(&table.iter().map(|row| (Some(row[0]), row[1])).collect::<Vec<_>>());
        }
    }
    brackets(&with_deduction(rate, deduction))
}

/// One more tier on a table that ends in a known one.
pub(crate) fn step(case: &Case) -> Value {
    let mut rows = with_deduction(case.figure("mmr_prev"), case.figure("cum_prev"));
    rows.last_mut().unwrap().0 = Some(case.figure("floor"));
    rows.push((None, case.figure("mmr")));
    last_deduction(&rows)
}

/// Several more.
pub(crate) fn chain(case: &Case) -> Value {
    let mut rows = with_deduction(case.figure("start_mmr"), case.figure("start_cum"));
    for step in case.list("steps") {
        rows.last_mut().unwrap().0 = Some(figure(&step[0]));
        rows.push((None, figure(&step[1])));
    }
    last_deduction(&rows)
}

fn last_deduction(rows: &[(Option<Decimal>, Decimal)]) -> Value {
    json!({"cum": shown(table(&brackets(rows)).all().last().unwrap().deduction.get())})
}

/// The tier of a notional.
pub(crate) fn lookup(case: &Case) -> Value {
    let tiers = case.list("tiers");
    let limits = tiers.iter().skip(1).map(|row| Some(figure(&row[0]))).chain([None]);
    let rows: Vec<_> = tiers.iter().zip(limits).map(|(row, limit)| (limit, figure(&row[1]))).collect();
    let table = table(&brackets(&rows));
    let tier = table.of(Notional::new(case.figure("notional"))).unwrap();
    json!({"mmr": shown(tier.maintenance_rate.get()), "cum": shown(tier.deduction.get())})
}

/// Are the published deductions those that the engine computes from limits and rates?
pub(crate) fn consistent(case: &Case) -> Value {
    let rows = published(case);
    let computed = table(&brackets(&rows.iter().map(|row| (Some(row[0]), row[1])).collect::<Vec<_>>()));
    let same = computed.all().iter().zip(&rows).all(|(tier, row)| tier.deduction.get() == row[2]);
    json!({"consistent": same && computed.all().len() == rows.len()})
}

#[test]
fn a_deduction_is_computed_and_never_taken_from_outside() {
    let mut listing = listing("M", &brackets(&[(None, Decimal::new(1, 2))]), json!({}));
    listing["tiers"][0]["deduction"] = json!("0");
    assert_eq!(try_market(&listing, 8).unwrap_err(), "unknown_field");
}
