//! The embedded venue: a liquidity model that answers at once and always the same.
//!
//! A side of a market is displaced from the mark by what has been sold (or bought) into it, one basis point for every
//! `depth_per_bp` of notional, and comes back linearly within `recovery_ms`.

use crate::id::{Millis, Side};
use crate::money::{Price, Quantity, Rate};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::Reject;
use crate::rules::{EmbeddedVenue, Market};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Farthest a price is displaced: 99 %.
const BP_MAX: Decimal = Decimal::from_parts(9_900, 0, 0, false, 0);
const BP: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// How far each side is displaced, in basis points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VenueState {
    sold: Rate,
    bought: Rate,
    time: Millis,
}

/// What an order would fetch now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// Average price, on the grid of marks, rounded against the order.
    pub price: Price,
    /// Price of the last contract.
    pub last: Price,
    state: VenueState,
}

impl VenueState {
    /// With an execution.
    pub fn after(quote: &Quote) -> Self {
        quote.state
    }

    fn recovered(self, model: &EmbeddedVenue, now: Millis) -> Result<Self, Reject> {
        let elapsed = now.saturating_sub(self.time).min(model.recovery_ms);
        let left = model.recovery_ms.saturating_sub(elapsed);
        let back = |displaced: Rate| -> Result<Rate, Reject> {
            if left == 0 || displaced.is_zero() {
                return Ok(Rate::ZERO);
            }
            let (left, whole) = (Decimal::from(left), Decimal::from(model.recovery_ms));
            Ok(Rate::new(number::mul_div(displaced.get(), left, whole, 12, Rounding::Ceil)?))
        };
        Ok(Self { sold: back(self.sold)?, bought: back(self.bought)?, time: now })
    }
}

/// The price of `quantity` contracts on a side.
///
/// Shape:  mark × (1 ∓ (d + N ÷ 2D) ÷ 10⁴), with d the displacement now, N the notional at the mark, D the depth per bp
/// Rounds: against the order, at the market's mark scale.
/// Errors: overflow only.
pub fn quote(
    market: &Market,
    model: &EmbeddedVenue,
    state: VenueState,
    side: Side,
    quantity: Quantity,
    mark: Price,
    now: Millis,
) -> Result<Quote, Reject> {
    let mut state = state.recovered(model, now)?;
    let Some(depth) = model.depth_per_bp else { return Ok(Quote { price: mark, last: mark, state }) };
    let notional = market.notional(quantity, mark)?;
    let step = number::div(notional.get(), depth.get(), 12, Rounding::Ceil)?;
    let before = if side == Side::Sell { state.sold } else { state.bought };
    let half = number::div(step, Decimal::TWO, 12, Rounding::Ceil)?;
    let after = number::add(before.get(), step)?.min(BP_MAX);
    let price = displaced(market, mark, side, number::add(before.get(), half)?.min(BP_MAX))?;
    let last = displaced(market, mark, side, after)?;
    match side {
        Side::Sell => state.sold = Rate::new(after),
        Side::Buy => state.bought = Rate::new(after),
    }
    Ok(Quote { price, last, state })
}

fn displaced(market: &Market, mark: Price, side: Side, bp: Decimal) -> Result<Price, Reject> {
    let (factor, rounding) = match side {
        Side::Sell => (number::sub(BP, bp)?, Rounding::Floor),
        Side::Buy => (number::add(BP, bp)?, Rounding::Ceil),
    };
    let moved = number::mul_div(mark.get(), factor, BP, SCALE_MAX, rounding)?;
    let price = Price::new(number::quantise(moved, market.mark_scale, rounding)?);
    // A price that rounds to nothing is the smallest there is.
    let smallest = Decimal::try_from_i128_with_scale(1, market.mark_scale).unwrap_or(Decimal::ONE);
    Ok(price.max(Price::new(smallest)))
}
