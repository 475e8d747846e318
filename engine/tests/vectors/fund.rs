//! What a liquidation brings to the fund or costs it, and what it may cost at most.

use crate::case::{Case, figure, shown};
use crate::world::{World, events, flat, listing};
use backstop_engine::id::Side;
use backstop_engine::number::{self, Rounding};
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// A bankruptcy at a price and a fill of all of it at another on an external venue, the mark being where it was filled:
/// what the fund has more or less after it.
fn delta(world: &mut World, bankruptcy: Decimal, fill: Decimal) -> Decimal {
    let before = world.fund().balance;
    world.price("M", fill);
    let tick = world.tick();
    let orders = events(&tick, "liquidation_order");
    assert_eq!(orders.len(), 1, "{tick:?}");
    assert_eq!(figure(&orders[0]["bankruptcy_price"]), bankruptcy, "the position is as the vector wants it");
    let filled = world.send(&json!({
        "type": "liquidation_fill", "order": orders[0]["order"], "trade": "t",
        "price": fill.to_string(), "quantity": orders[0]["quantity"],
    }));
    let settled = events(&filled, "liquidation_settled");
    assert_eq!(settled.len(), 1, "{filled:?}");
    let told = number::sub(figure(&settled[0]["surplus"]), figure(&settled[0]["shortfall"])).unwrap();
    let moved = world.fund().balance.minus(before).unwrap().get();
    assert_eq!(told, moved, "the settlement tells what the fund shows");
    moved
}

fn linear(case: &Case, side: Side) -> Value {
    let mut world = World::new(6);
    world.send(&listing("M", &flat(Decimal::new(5, 2)), json!({"venue": "external"})));
    world.endow(Decimal::from(1_000));
    world.open("trader", "M", side, case.figure("qty"), case.figure("bankruptcy"));
    json!({"delta": shown(delta(&mut world, case.figure("bankruptcy"), case.figure("fill")))})
}

pub(crate) fn delta_long(case: &Case) -> Value {
    linear(case, Side::Buy)
}

pub(crate) fn delta_short(case: &Case) -> Value {
    linear(case, Side::Sell)
}

/// A coin-margined long: the sign only.
pub(crate) fn delta_sign_inverse(case: &Case) -> Value {
    let (size, entry, bankruptcy) = (Decimal::from(10_000), Decimal::from(8_000), case.figure("bankruptcy"));
    let mut world = World::new(8);
    let more = json!({"kind": "inverse", "tick_size": "0.5", "lot_size": "1", "venue": "external"});
    world.send(&listing("M", &flat(Decimal::new(5, 2)), more));
    world.endow(Decimal::ONE);
    // The value between both prices, and two units for what is rounded against the account.
    let at = |price: Decimal, rounding| number::div(size, price, 8, rounding).unwrap();
    let margin = number::sub(at(bankruptcy, Rounding::Ceil), at(entry, Rounding::Floor)).unwrap();
    world.deposit("trader", number::add(margin, Decimal::new(2, 8)).unwrap());
    world.trade("trader", "M", Side::Buy, size, entry);
    let moved = delta(&mut world, bankruptcy, case.figure("fill"));
    json!({"sign": if moved.is_zero() { 0 } else if moved.is_sign_positive() { 1 } else { -1 }})
}

/// The limit of the order when all that the fund has is just the loss at the mark.
pub(crate) fn aggressed_limit(case: &Case) -> Value {
    let (quantity, bankruptcy, cash) = (case.figure("qty"), case.figure("bankruptcy"), case.figure("fund"));
    let mut world = World::new(6);
    world.send(&listing("M", &flat(Decimal::new(5, 2)), json!({"venue": "external"})));
    world.endow(cash);
    world.open("trader", "M", Side::Buy, quantity, bankruptcy);
    let per_unit = number::div(cash, quantity, 6, Rounding::Nearest).unwrap();
    world.price("M", number::sub(bankruptcy, per_unit).unwrap());
    let tick = world.tick();
    let orders = events(&tick, "liquidation_order");
    assert_eq!(orders.len(), 1, "{tick:?}");
    assert_eq!(figure(&orders[0]["quantity"]), quantity, "all of it is covered");
    json!({"limit": orders[0]["limit_price"]})
}
