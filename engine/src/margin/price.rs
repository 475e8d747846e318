//! Liquidation price and bankruptcy price of a position.

use super::account::Position;
use crate::id::Side;
use crate::money::{Money, Notional, Price};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::Reject;
use crate::rules::{Kind, Market, Tier};
use rust_decimal::Decimal;

/// What a scope has beside its positions in one market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Equity without the PnL of those positions, less the maintenance margin of all others.
    pub base: Money,
    /// The mark, to choose between two answers of a hedged market.
    pub mark: Option<Price>,
}

/// The mark at which the scope is breached, all other marks unchanged; none when no price above zero does that.
///
/// Shape:  with `s = q·m`, summed over the legs of the market: linear
///         `p = (Σcost − base − Σdeduction) ÷ (Σs − Σ rate·|s|)`, inverse
///         `p = (Σs + Σ rate·|s|) ÷ (base − Σcost + Σdeduction)`, for the tiers that the answer falls into.
/// Units:  the quote.
/// Rounds: to the nearest at 14 decimals; callers that show it round to their grid.
/// Source: Binance "how to calculate liquidation price", Bybit (vectors: binance-liq-*, bybit-liq-*).
/// Errors: overflow, which callers show as none.
pub fn liquidation_price(
    market: &Market,
    legs: &[&Position],
    of: Side,
    standing: Standing,
) -> Result<Option<Price>, Reject> {
    let mut answers: Vec<Price> = Vec::new();
    let mut chosen: Vec<&Tier> = Vec::with_capacity(legs.len());
    solve(market, legs, standing.base, &mut chosen, &mut answers)?;
    answers.sort();
    let mark = standing.mark;
    // One leg has one answer. Two legs in one market may breach on either side of the mark: each leg has its own.
    let found = match of {
        _ if answers.len() < 2 => answers.first(),
        Side::Buy => answers.iter().rev().find(|price| mark.is_none_or(|mark| **price <= mark)),
        Side::Sell => answers.iter().find(|price| mark.is_none_or(|mark| **price >= mark)),
    };
    Ok(found.copied())
}

/// Tries every combination of tiers, one for each leg (there are at most two).
fn solve<'m>(
    market: &'m Market,
    legs: &[&Position],
    base: Money,
    chosen: &mut Vec<&'m Tier>,
    answers: &mut Vec<Price>,
) -> Result<(), Reject> {
    if chosen.len() < legs.len() {
        for tier in market.tiers.all() {
            chosen.push(tier);
            solve(market, legs, base, chosen, answers)?;
            chosen.pop();
        }
        return Ok(());
    }
    if let Some(price) = at_tiers(market, legs, base, chosen)?
        && legs.iter().zip(chosen.iter()).all(|(leg, tier)| falls_into(market, leg, tier, price))
        && !answers.contains(&price)
    {
        answers.push(price);
    }
    Ok(())
}

fn at_tiers(market: &Market, legs: &[&Position], base: Money, tiers: &[&Tier]) -> Result<Option<Price>, Reject> {
    let (mut slope, mut slack, mut offset) = (Decimal::ZERO, Decimal::ZERO, base.get());
    for (leg, tier) in legs.iter().zip(tiers) {
        let size = number::mul_exact(leg.quantity.get(), market.contract_size.get())?;
        slope = number::add(slope, size)?;
        slack = number::add(slack, number::mul_exact(size.abs(), tier.maintenance_rate.get())?)?;
        offset = number::add(number::sub(offset, leg.cost.get())?, tier.deduction.get())?;
    }
    let (numerator, denominator) = match market.kind {
        Kind::Linear => (-offset, number::sub(slope, slack)?),
        Kind::Inverse => (number::add(slope, slack)?, offset),
    };
    if denominator.is_zero() {
        return Ok(None);
    }
    let Ok(price) = number::div(numerator, denominator, SCALE_MAX, Rounding::Nearest) else { return Ok(None) };
    Ok((price.is_sign_positive() && !price.is_zero()).then(|| Price::new(price)))
}

fn falls_into(market: &Market, leg: &Position, tier: &Tier, price: Price) -> bool {
    let Ok(notional) = market.notional(leg.quantity, price) else { return false };
    let last = market.tiers.all().last() == Some(tier);
    let above = tier.floor == Notional::ZERO || notional > tier.floor;
    above && (last || tier.notional_limit.is_none_or(|end| notional <= end))
}

/// The price at which the equity allotted to a position is zero, on the tick grid; none when no price above zero is.
///
/// Shape:  the price after a gain of −allotted equity
/// Rounds: to the tick towards the account: up for a long, down for a short, so a fill there never leaves less than 0.
/// Source: DESIGN §5; allotment by share of maintenance margin as dYdX v4 (vectors: dydx-bp-*), inverse form as Bybit
///         (vectors: bybit-bankruptcy-*).
/// Errors: overflow only.
pub fn bankruptcy_price(
    market: &Market,
    quantity: crate::money::Quantity,
    mark: Price,
    allotted: Money,
) -> Result<Option<Price>, Reject> {
    let rounding = if quantity.is_negative() { Rounding::Floor } else { Rounding::Ceil };
    let exact = market.price_after_gain(quantity, mark, -allotted, SCALE_MAX, rounding)?;
    match exact {
        None => Ok(None),
        Some(price) => market.to_tick(price, rounding).map(|price| price.is_positive().then_some(price)),
    }
}
