//! How near a market is to auto-deleveraging: the moves that would take all that the fund may give it.

use super::Absorption;
use crate::money::{Money, Price, Rate};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::Market;
use crate::view::{WarningLevel, WarningView};
use rust_decimal::Decimal;

/// A nearer move than this is a high warning: 5 %.
const HIGH: Decimal = Decimal::from_parts(5, 0, 0, false, 2);
/// A nearer move than this is a medium one: 15 %.
const MEDIUM: Decimal = Decimal::from_parts(15, 0, 0, false, 2);

/// What a market is to be warned of. `headroom` is what the fund could grant it now ([`crate::fund::Fund::headroom`]);
/// `triggered`: its drawdown trigger is on; `longs` and `shorts` are who would go bankrupt below and above the mark.
///
/// The level is high when ADL is triggered, when there is no headroom, or when the nearer of the two moves is less than
/// 5 %; medium when it is less than 15 %; else low.
///
/// Rounds: a move as a fraction of the mark, down at 6 decimals.
///
/// # Errors
/// Overflow only.
pub fn warning(
    market: &Market,
    mark: Price,
    headroom: Money,
    triggered: bool,
    (longs, shorts): (&Absorption, &Absorption),
) -> Result<WarningView, Reject> {
    let price_down = longs.price_exhausting(market, headroom)?;
    let price_up = shorts.price_exhausting(market, headroom)?;
    let distance = |price: Option<Price>| -> Result<Option<Rate>, Reject> {
        let Some(price) = price else { return Ok(None) };
        let moved = price.minus(mark)?.abs();
        Ok(Some(Rate::new(number::div(moved.get(), mark.get(), 6, Rounding::Floor)?)))
    };
    let (move_down, move_up) = (distance(price_down)?, distance(price_up)?);
    let nearest = move_down.into_iter().chain(move_up).min();
    let within = |bound: Decimal| nearest.is_some_and(|nearest| nearest.get() < bound);
    let level = if triggered || !headroom.is_positive() || within(HIGH) {
        WarningLevel::High
    } else if within(MEDIUM) {
        WarningLevel::Medium
    } else {
        WarningLevel::Low
    };
    let (name, pool) = (market.name.clone(), market.pool.name.clone());
    Ok(WarningView { market: name, pool, headroom, price_down, move_down, price_up, move_up, level, triggered })
}
