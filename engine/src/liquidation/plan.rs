//! Which position of a scope is reduced next, by how much, and at which price it would be bankrupt.

use crate::margin::share_of;
use crate::margin::{Marks, PositionReport, Report, bankruptcy_price};
use crate::money::{Money, Notional, Price, Quantity};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::{Market, Reduce, Surplus};

/// The next step of a liquidation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The position.
    pub position: PositionReport,
    /// How much of it, unsigned.
    pub quantity: Quantity,
    /// The equity of the scope that is allotted to all of the position; below zero when the scope is.
    pub allotted: Money,
    /// The price at which that is zero.
    pub bankruptcy: Price,
    /// The mark.
    pub mark: Price,
}

/// The position with the largest maintenance margin in a market whose price can be acted on; the first market among
/// equals.
pub fn choose<'r>(report: &'r Report, marks: &Marks) -> Option<&'r PositionReport> {
    let ready = |position: &&PositionReport| {
        marks.get(position.market).is_some_and(|mark| !mark.waits) && position.locked < position.quantity.abs()
    };
    let mut best: Option<&PositionReport> = None;
    for position in report.positions.iter().filter(ready) {
        if best.is_none_or(|best| position.maintenance > best.maintenance) {
            best = Some(position);
        }
    }
    best
}

/// Plans the reduction of one position. `initial` is what it was when the liquidation first touched it.
///
/// Shape:  `full`: all of it. `fraction`: that share of the initial quantity, rounded up to a lot. `tier_step`: down to
///         the highest lower tier at which equity supports the rest, counting what the surplus policy takes. Equity at
///         or below zero supports nothing: all of it, whatever the policy.
/// Errors: overflow only.
pub fn plan(
    market: &Market,
    report: &Report,
    position: &PositionReport,
    mark: Price,
    initial: Quantity,
) -> Result<Plan, Reject> {
    let allotted = share_of(report.equity, position.maintenance, report.maintenance)?;
    let bankruptcy = match bankruptcy_price(market, position.quantity, mark, allotted)? {
        Some(price) => price,
        // No price above zero makes it bankrupt: the loss is larger than the position. It is closed at the mark, and what
        // the scope lacks then is claimed as a whole (see `Queue::claim_deficit`).
        None if position.quantity.is_negative() => market.to_tick(mark, Rounding::Floor)?.max(market.tick_size),
        None => market.to_tick(mark, Rounding::Ceil)?,
    };
    let held = position.quantity.abs().minus(position.locked)?;
    let wanted = if report.equity.is_positive() {
        match market.liquidation.reduce {
            Reduce::Full => held,
            Reduce::Fraction(share) => {
                let part = number::mul(initial.get(), share.get(), 14, Rounding::Ceil)?;
                market.to_lot(Quantity::new(part), Rounding::Ceil)?
            }
            Reduce::TierStep => tier_step(market, report, position, mark, allotted)?,
        }
    } else {
        held
    };
    Ok(Plan { position: position.clone(), quantity: wanted.min(held), allotted, bankruptcy, mark })
}

fn tier_step(
    market: &Market,
    report: &Report,
    position: &PositionReport,
    mark: Price,
    allotted: Money,
) -> Result<Quantity, Reject> {
    let held = position.quantity.abs();
    let lower = market.tiers.all().iter().rev().filter_map(|tier| tier.notional_limit);
    for limit in lower.filter(|limit| *limit < position.notional) {
        let kept = market.quantity_of(limit, mark)?;
        let closed = held.minus(kept)?;
        let taken = match market.liquidation.surplus {
            Surplus::Account => Money::ZERO,
            Surplus::Fund | Surplus::FundShare(_) => share(allotted, closed, held)?,
        };
        let equity = report.equity.minus(taken)?;
        let rest: Notional = market.notional(kept, mark)?;
        let maintenance = market.tiers.maintenance(rest, market.asset_scale)?;
        let after = report.maintenance.minus(position.maintenance)?.plus(maintenance)?;
        if equity > after && equity >= restored_at(market, after)? {
            return Ok(closed);
        }
    }
    Ok(held)
}

/// The equity at which a liquidation stops: maintenance × restore ratio.
pub(super) fn restored_at(market: &Market, maintenance: Money) -> Result<Money, Reject> {
    let ratio = market.liquidation.restore_ratio;
    Ok(Money::new(number::mul(maintenance.get(), ratio.get(), 14, Rounding::Ceil)?))
}

/// `amount × part ÷ whole`, rounded up at 14 decimals.
pub(super) fn share(amount: Money, part: Quantity, whole: Quantity) -> Result<Money, Reject> {
    Ok(Money::new(number::mul_div(amount.get(), part.get(), whole.get(), 14, Rounding::Ceil)?))
}
