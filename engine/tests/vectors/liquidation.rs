//! Liquidation prices and bankruptcy prices.

use crate::case::{self, Case, figure, fraction, shown, shown_opt};
use crate::tiers::holding;
use crate::world::{World, flat, listing, market, signed};
use backstop_engine::id::{Leg, Side};
use backstop_engine::margin::{Position, Standing, bankruptcy_price, liquidation_price};
use backstop_engine::money::{Money, Price, Quantity};
use backstop_engine::number::{self, Rounding};
use backstop_engine::rules::Market;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The liquidation price of one position, exact to 14 decimals.
fn solve(market: &Market, side: Side, size: Decimal, entry: Decimal, base: Decimal) -> Option<Decimal> {
    let quantity = signed(side, size);
    let position = Position {
        market: market.index,
        leg: Leg::Net,
        quantity,
        cost: market.trade_value(quantity, Price::new(entry)).unwrap(),
        isolated: None,
        locked: Quantity::ZERO,
    };
    let standing = Standing { base: Money::new(base), mark: None };
    liquidation_price(market, &[&position], side, standing).unwrap().map(Price::get)
}

fn sum(parts: &[Decimal]) -> Decimal {
    parts.iter().fold(Decimal::ZERO, |sum, part| number::add(sum, *part).unwrap())
}

/// Binance's formula: what the wallet and the other positions leave is the base.
pub(crate) fn tiered(case: &Case) -> Value {
    let brackets = holding(case.figure("mmr"), case.figure("cum"));
    let market = market(&listing("M", &brackets, json!({})), 8);
    let base = sum(&[case.figure("wb"), -case.figure("tmm_other"), case.figure("upnl_other")]);
    json!({"liq_price": shown_opt(solve(&market, case.side(), case.figure("size"), case.figure("entry"), base))})
}

/// The same, from the other position itself: an account with both in the engine.
pub(crate) fn from_legs(case: &Case) -> Value {
    let mut world = World::new(8);
    world.deposit("trader", case.figure("wb"));
    let own = [&case.inputs];
    for (place, leg) in own.into_iter().chain(case.list("others")).enumerate() {
        let name = format!("M{place}");
        world.send(&listing(&name, &holding(figure(&leg["mmr"]), figure(&leg["cum"])), json!({})));
        let side = if case::whole(&leg["side"]) > 0 { Side::Buy } else { Side::Sell };
        world.trade("trader", &name, side, figure(&leg["size"]), figure(&leg["entry"]));
        // Its own mark does not move its own liquidation price.
        world.price(&name, figure(leg.get("mark").unwrap_or(&leg["entry"])));
    }
    world.tick();
    json!({"liq_price": shown_opt(world.position("trader", "M0").liquidation_price.map(Price::get))})
}

/// Gate and OKX count the taker fee of the closing trade: a maintenance rate that is higher by the fee says the same.
pub(crate) fn isolated_with_fee(case: &Case) -> Value {
    let rate = number::add(case.figure("mmr"), case.figure("taker")).unwrap();
    let market = market(&listing("M", &flat(rate), json!({})), 8);
    // As many contracts as the fraction has parts, so that the margin is whole.
    let (margin, size) = fraction(&case.inputs["margin_per_unit"]);
    json!({"liq_price": shown_opt(solve(&market, case.side(), size, case.figure("entry"), margin))})
}

/// An isolated position at a leverage, in the engine: what it posts, what it must keep, where it is liquidated.
pub(crate) fn isolated_posted(case: &Case) -> Value {
    assert!(case.figure("mm_deduction").is_zero() && case.figure("extra_margin").is_zero());
    let mut world = World::new(8);
    let leverage = case.figure("leverage");
    world.send(&listing("M", &flat(case.figure("mmr")), json!({})));
    world.deposit("trader", Decimal::from(1_000_000));
    world.send(&json!({"type": "set_margin_mode", "account": "trader", "market": "M", "mode": "isolated"}));
    world.send(&json!({"type": "set_leverage", "account": "trader", "market": "M", "leverage": leverage.to_string()}));
    world.trade("trader", "M", case.side(), case.figure("size"), case.figure("entry"));
    world.price("M", case.figure("entry"));
    world.tick();
    let position = world.position("trader", "M");
    json!({
        "im": shown(position.isolated_margin.unwrap().get()),
        "mm": shown(position.maintenance_margin.get()),
        "liq_price": shown_opt(position.liquidation_price.map(Price::get)),
    })
}

/// The same in rates: as many contracts as the leverage, so that the margin is the entry price.
pub(crate) fn isolated_rate(case: &Case) -> Value {
    let market = market(&listing("M", &flat(case.figure("mmr")), json!({})), 8);
    let (entry, leverage) = (case.figure("entry"), case.figure("leverage"));
    json!({"liq_price": shown_opt(solve(&market, case.side(), leverage, entry, entry))})
}

fn inverse(rate: Decimal, tick: &str) -> std::sync::Arc<Market> {
    market(&listing("M", &flat(rate), json!({"kind": "inverse", "tick_size": tick, "lot_size": "1"})), 8)
}

/// Equity of the one inverse position of a cross account, less its PnL.
fn balance(case: &Case) -> Decimal {
    number::sub(case.figure("account_balance"), case.figure("order_margin")).unwrap()
}

pub(crate) fn inverse_cross(case: &Case) -> Value {
    let market = inverse(number::add(case.figure("mmr"), case.figure("taker")).unwrap(), "0.5");
    let price = solve(&market, Side::Buy, case.figure("qty"), case.figure("entry"), balance(case));
    json!({"liq_price": shown_opt(price)})
}

pub(crate) fn inverse_cross_bankruptcy(case: &Case) -> Value {
    let market = inverse(Decimal::new(5, 3), "0.5");
    // At the entry price the position has no PnL: all of the balance is its equity.
    let (quantity, entry) = (Quantity::new(case.figure("qty")), Price::new(case.figure("entry")));
    let price = bankruptcy_price(&market, quantity, entry, Money::new(balance(case))).unwrap();
    json!({"bankruptcy_price": shown_opt(price.map(Price::get))})
}

/// Margin at a leverage: the value at entry ÷ leverage.
pub(crate) fn inverse_isolated_bankruptcy(case: &Case) -> Value {
    let (entry, leverage) = (case.figure("entry"), case.figure("leverage"));
    let size = Decimal::from(100_000);
    let value = number::div(size, entry, 14, Rounding::Nearest).unwrap();
    let margin = number::div(value, leverage, 14, Rounding::Nearest).unwrap();
    let at = |tick: &str| {
        let market = inverse(Decimal::new(5, 3), tick);
        let quantity = signed(case.side(), size);
        bankruptcy_price(&market, quantity, Price::new(entry), Money::new(margin)).unwrap().map(Price::get)
    };
    // The note of the vector: on the venue's grid it is rounded up for a long.
    assert_eq!(at("0.5"), number::parse("7735.5"));
    json!({"bankruptcy_price": shown_opt(at("0.000001"))})
}

#[test]
fn a_bankruptcy_price_with_the_closing_fee_is_the_liquidation_price_at_a_maintenance_rate_of_that_fee() {
    let cases = case::read("bybit.json");
    let case = cases.iter().find(|case| case.id == "bybit-bankruptcy-inverse-cross-007").unwrap();
    let market = inverse(case.figure("taker"), "0.5");
    let price = solve(&market, Side::Buy, case.figure("qty"), case.figure("entry"), balance(case));
    let got = json!({"bankruptcy_price": shown_opt(price)});
    assert_eq!(case::compare(case, &got), None);
}
