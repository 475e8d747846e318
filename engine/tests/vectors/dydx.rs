//! dYdX v4: whole numbers in base units (`size × 10^atomic_resolution`, `price × 10^price_exponent`, quote in 10^−6),
//! converted to decimals here and back.

use crate::case::{Case, figure, shown, whole};
use crate::world::{Bracket, World, listing, market, signed, try_market};
use backstop_engine::command::Envelope;
use backstop_engine::id::{Leg, Side};
use backstop_engine::margin::{Position, value};
use backstop_engine::money::{Money, Price, Quantity};
use backstop_engine::number::{self, Rounding};
use rust_decimal::Decimal;
use serde_json::{Value, json};

const QUOTE: i64 = -6;

/// `units × 10^exponent`.
fn scaled(units: Decimal, exponent: i64) -> Decimal {
    let power = |digits: i64| Decimal::try_from_i128_with_scale(1, u32::try_from(digits).unwrap()).unwrap();
    match exponent {
        0.. => number::div(units, power(exponent), 0, Rounding::ToZero).unwrap(),
        _ => number::mul_exact(units, power(-exponent)).unwrap(),
    }
}

fn units(quote: Decimal) -> Value {
    shown(number::div(quote, scaled(Decimal::ONE, QUOTE), 0, Rounding::ToZero).unwrap())
}

/// One tier: the maintenance rate is the initial rate × the maintenance fraction.
fn tier(market: &Value) -> Bracket {
    let ppm = |name: &str| scaled(figure(&market[name]), -6);
    let initial = ppm("initial_margin_ppm");
    (None, initial, number::mul_exact(initial, ppm("maintenance_fraction_ppm")).unwrap().normalize())
}

fn price_of(market: &Value) -> Decimal {
    let exponent = market.get("price_exponent").map(whole).unwrap();
    scaled(figure(&market["price"]), exponent)
}

fn size_of(market: &Value, base: &Value) -> Decimal {
    scaled(figure(base), whole(&market["atomic_resolution"]))
}

/// Ticks and lots as fine as the exponents.
fn rules(market: &Value) -> Value {
    let fine = |name: &str| scaled(Decimal::ONE, whole(&market[name]).min(0)).to_string();
    json!({"tick_size": fine("price_exponent"), "lot_size": fine("atomic_resolution"), "venue": "external"})
}

/// The account in the engine, its positions entered away from the mark so that a deposit makes the quote balance; then
/// the bankruptcy price it shows, as the value of the change at it. The fund has enough, so nothing is closed by force.
pub(crate) fn bankruptcy(case: &Case) -> Value {
    let mut world = World::new(6);
    let markets = case.inputs["markets"].as_object().unwrap();
    let account = &case.inputs["account"];
    for (name, market) in markets {
        world.send(&listing(name, &[tier(market)], on_cents(market)));
        world.price(name, price_of(market));
    }
    world.endow(Decimal::from(1_000_000));
    let positions = account["positions"].as_array().unwrap();
    let quote = scaled(figure(&account["quote_balance"]), QUOTE);
    let at = |long: &str, short: &str| entries(markets, positions, quote, long, short);
    let (deposit, trades) = at("1.1", "0.9").or_else(|| at("1.1", "0.0002")).expect("an entry with a deposit");
    world.deposit("trader", deposit);
    for (name, side, size, entry) in &trades {
        world.trade("trader", name, *side, *size, *entry);
    }
    world.tick();
    let close = case.inputs["close_market"].as_str().unwrap();
    let Some(price) = world.position("trader", close).bankruptcy_price else {
        return json!({"bankruptcy_quote_quantums": null});
    };
    let change = size_of(&markets[close], &case.inputs["delta_base_quantums"]);
    let listed = market(&listing(close, &[tier(&markets[close])], on_cents(&markets[close])), 6);
    let worth = listed.trade_value(Quantity::new(-change), price).unwrap();
    // Up at the asset's scale, as the engine rounds what the closing side is charged.
    json!({"bankruptcy_quote_quantums": units(worth.quantise(6, Rounding::Ceil).unwrap().get())})
}

/// On a tick of a cent: one as fine as the oracle's would have more digits than a market may have.
fn on_cents(market: &Value) -> Value {
    let mut rules = rules(market);
    rules["tick_size"] = json!("0.01");
    rules
}

type Trade = (String, Side, Decimal, Decimal);

/// Entry prices at a share of the mark, and the deposit that they need; none when it would not be above zero.
fn entries(
    markets: &serde_json::Map<String, Value>,
    positions: &[Value],
    quote: Decimal,
    long: &str,
    short: &str,
) -> Option<(Decimal, Vec<Trade>)> {
    let (mut deposit, mut trades) = (quote, Vec::new());
    for position in positions {
        let name = position["market"].as_str().unwrap();
        let size = size_of(&markets[name], &position["size"]);
        let side = if size.is_sign_positive() { Side::Buy } else { Side::Sell };
        let share = number::parse(if side == Side::Buy { long } else { short }).unwrap();
        let entry = number::mul_exact(price_of(&markets[name]), share).unwrap();
        deposit = number::add(deposit, number::mul_exact(size, entry).unwrap()).unwrap();
        trades.push((name.to_owned(), side, size.abs(), entry));
    }
    (deposit.is_sign_positive() && !deposit.is_zero()).then_some((deposit.normalize(), trades))
}

/// Initial and maintenance margin of one position at the oracle's price.
pub(crate) fn requirement(case: &Case) -> Value {
    let inputs = &case.inputs;
    let (price, size) = (price_of(inputs), size_of(inputs, &inputs["size"]));
    // What comes in is checked as the API checks it.
    let fill = json!({
        "type": "fill", "market": "M", "price": price.to_string(), "quantity": size.abs().to_string(),
        "buyer": "a", "seller": "b", "trade": "t",
    });
    if let Err(malformed) = Envelope::read(&fill.to_string()) {
        return json!({"refused": malformed.code.as_str()});
    }
    let market = match try_market(&listing("M", &[tier(inputs)], rules(inputs)), 6) {
        Ok(market) => market,
        Err(code) => return json!({"refused": code}),
    };
    let side = if size.is_sign_positive() { Side::Buy } else { Side::Sell };
    let position = Position {
        market: market.index,
        leg: Leg::Net,
        quantity: signed(side, size.abs()),
        cost: Money::ZERO,
        isolated: None,
        locked: Quantity::ZERO,
    };
    let valued = value(&market, &position, Some(Price::new(price)), None).unwrap();
    json!({"imr": units(valued.initial.get()), "mmr": units(valued.maintenance.get())})
}
