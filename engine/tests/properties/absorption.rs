//! What accounts are told beforehand: the price that exhausts the fund is never found too late, and moves as it should.

use crate::cases;
use backstop_engine::adl::Absorption;
use backstop_engine::command::{Command, Envelope};
use backstop_engine::id::Side;
use backstop_engine::money::{Money, Price, Quantity};
use backstop_engine::rules::{Market, Rules};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::sync::Arc;

const MARK: i64 = 1_000;

fn market(kind: &str) -> Arc<Market> {
    let mut rules = Rules::default();
    let read = |text: &str| Envelope::read(text).unwrap().command;
    if let Command::ListAsset(list) = read(r#"{"type":"list_asset","asset":"A","scale":8}"#) {
        rules.put_asset(rules.check_asset(&list).unwrap());
    }
    let list = format!(
        r#"{{"type":"list_market","market":"M","kind":"{kind}","asset":"A","tick_size":"1","lot_size":"1","tiers":[{{"initial_rate":"0.1","maintenance_rate":"0.05"}}]}}"#
    );
    if let Command::ListMarket(list) = read(&list) {
        return rules.check_market(&list).unwrap();
    }
    unreachable!()
}

fn price(value: i64) -> Price {
    Price::new(Decimal::from(value))
}

/// Positions with their bankruptcy prices, some of them passed already.
fn positions() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((1..400_i64, 1..500_i64), 0..12)
}

fn absorption(side: Side, positions: &[(i64, i64)]) -> Absorption {
    let place = |away: i64| if side == Side::Buy { MARK + 20 - away } else { MARK - 20 + away };
    let held = positions.iter().map(|(away, lots)| (price(place(*away)), Quantity::new(Decimal::from(*lots))));
    Absorption::new(side, price(MARK), held.collect()).unwrap()
}

/// What all positions lose beyond their bankruptcy with the mark at `at`, rounded up.
fn loss(market: &Market, side: Side, positions: &[(i64, i64)], at: Price) -> Money {
    positions.iter().fold(Money::ZERO, |sum, (away, lots)| {
        let (bankruptcy, lots) = match side {
            Side::Buy => (price(MARK + 20 - away), *lots),
            Side::Sell => (price(MARK - 20 + away), -*lots),
        };
        let one = market.loss_between(Quantity::new(Decimal::from(lots)), bankruptcy, at).unwrap();
        sum.plus(one.or_zero()).unwrap()
    })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_warning_is_early_by_less_than_a_step_and_never_late(
        inverse in any::<bool>(), long in any::<bool>(), positions in positions(), headroom in 0..100_000_i64,
    ) {
        let market = market(if inverse { "inverse" } else { "linear" });
        let side = if long { Side::Buy } else { Side::Sell };
        // An inverse contract of one unit loses thousandths of a coin.
        let headroom = Money::new(Decimal::new(headroom, if inverse { 6 } else { 0 }));
        let found = absorption(side, &positions).price_exhausting(&market, headroom).unwrap();
        let step = Price::new(Decimal::new(1, market.mark_scale));
        let tiny = Money::new(Decimal::new(1, 10));
        match found {
            Some(at) => {
                let worse = if long { at.minus(step) } else { at.plus(step) }.unwrap();
                if worse.is_positive() {
                    prop_assert!(loss(&market, side, &positions, worse).plus(tiny).unwrap() >= headroom, "at {at}");
                }
                // Where it is not the mark itself, no more than the headroom is lost yet.
                if at != price(MARK) {
                    prop_assert!(loss(&market, side, &positions, at).minus(tiny).unwrap() <= headroom, "at {at}");
                }
            }
            None => {
                let far = if long { step } else { price(1_000_000_000_000) };
                prop_assert!(loss(&market, side, &positions, far).minus(tiny).unwrap() <= headroom);
            }
        }
    }

    #[test]
    fn more_headroom_and_more_contracts_are_never_nearer(
        inverse in any::<bool>(), long in any::<bool>(), positions in positions(),
        mut headrooms in prop::array::uniform2(-5..100_000_i64), mut ahead in prop::array::uniform2(0..3_000_i64),
    ) {
        headrooms.sort_unstable();
        ahead.sort_unstable();
        let market = market(if inverse { "inverse" } else { "linear" });
        let absorption = absorption(if long { Side::Buy } else { Side::Sell }, &positions);
        // No price is the farthest of all.
        let away = |price: Option<Price>| {
            let far = Decimal::MAX;
            let ordered = |price: Price| if long { -price.get() } else { price.get() };
            price.map_or(far, ordered)
        };
        let exhausting = |units: i64| {
            let headroom = Money::new(Decimal::new(units, if inverse { 6 } else { 0 }));
            away(absorption.price_exhausting(&market, headroom).unwrap())
        };
        prop_assert!(exhausting(headrooms[0]) <= exhausting(headrooms[1]));
        let at = |lots: i64| away(absorption.price_at(Quantity::new(Decimal::from(lots))));
        prop_assert!(at(ahead[0]) <= at(ahead[1]));
    }
}
