//! From an account to what the index knows of its scopes.

use super::lanes::{Cell, Lanes, Slopes};
use super::market::{Market, range};
use crate::id::{AssetIx, MarketIx};
use crate::margin::account::{Account, Position};
use crate::margin::fixed::{Contract, Figures, Health, Value, WHOLE};
use crate::number::product;
use crate::rules::Kind;

/// Bits of the steepest slope of a scope: what rounding takes off a health is then, for each of its markets, less than two
/// ten-thousandths of what the largest position has moved.
const BITS: u32 = 14;

/// What a step does to the health of a scope, at the decimals of a health: see [`Slopes`].
#[derive(Debug, Clone, Copy)]
struct Exact {
    market: u16,
    below: i128,
    above: i128,
}

/// A scope, measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) lane: u32,
    pub(super) health: i64,
    pub(super) cells: Vec<Cell>,
    exact: Vec<Exact>,
}

/// Measures scopes at the bases of their markets.
pub(super) struct Gauge<'g> {
    pub(super) figures: &'g Figures,
    pub(super) markets: &'g [Option<Market>],
}

impl Gauge<'_> {
    /// Tells `each` of every scope of an account. None when one of them cannot be told in whole numbers.
    pub(super) fn measure(
        &self,
        account: &Account,
        into: &mut Measured,
        mut each: impl FnMut(&Measured) -> Option<()>,
    ) -> Option<()> {
        for (place, position) in account.positions.iter().enumerate() {
            into.exact.clear();
            let exact = &mut into.exact;
            let see = |position: &Position, contract: &Contract, value| self.expose(position, contract, value, exact);
            let health = match position.isolated {
                Some(margin) => self.figures.isolated(position, margin, see)?,
                None => {
                    let asset = self.asset(position.market)?;
                    let mut earlier = account.positions.iter().take(place).filter(|open| open.isolated.is_none());
                    if earlier.any(|open| self.asset(open.market) == Some(asset)) {
                        continue;
                    }
                    self.figures.cross(account, asset, see)?
                }
            };
            into.scale(health)?;
            each(into)?;
        }
        Some(())
    }

    fn asset(&self, market: MarketIx) -> Option<AssetIx> {
        self.figures.get(market).map(|(contract, _)| contract.rules().asset)
    }

    /// Adds what a position does to its scope. A position in a market without a mark does nothing.
    fn expose(&self, position: &Position, contract: &Contract, value: Value, into: &mut Vec<Exact>) -> Option<()> {
        if self.figures.get(position.market)?.1.is_none() {
            return Some(());
        }
        let market = self.markets.get(usize::from(position.market.0))?.as_ref()?;
        let steps = i128::from(market.base);
        let (least, most) = range(market.base);
        // Rates at the ends of the range, for a maintenance margin grows faster the larger a position is.
        let (near, _) = contract.rate(product(value.low, least.into())?.checked_div(steps)?)?;
        let (_, far) = contract.rate(product(value.high, most.into())?.checked_div(steps)?.checked_add(1)?)?;
        let gains = position.quantity.is_negative() == (contract.rules().kind == Kind::Inverse);
        let (below, above) = if gains {
            let below = product(value.high, WHOLE.checked_sub(near)?)?;
            let above = product(value.low, WHOLE.checked_sub(far)?)?;
            (below, above)
        } else {
            let below = product(value.low, WHOLE.checked_add(near)?)?;
            let above = product(value.high, WHOLE.checked_add(far)?)?;
            (below.checked_neg()?, above.checked_neg()?)
        };
        let round = |figure: i128, up: i128| {
            let (whole, rest) = (figure.checked_div_euclid(steps)?, figure.checked_rem_euclid(steps)?);
            whole.checked_add(if rest == 0 { 0 } else { up })
        };
        let (below, above) = (round(below, 1)?, round(above, 0)?);
        match into.last_mut().filter(|last| last.market == position.market.0) {
            // The other leg of a hedge.
            Some(last) => {
                last.below = last.below.checked_add(below)?;
                last.above = last.above.checked_add(above)?;
            }
            None => into.push(Exact { market: position.market.0, below, above }),
        }
        Some(())
    }
}

impl Measured {
    /// Slopes and health in a unit of the scope's own, a power of two, in which the largest slope has [`BITS`] bits.
    fn scale(&mut self, health: Health) -> Option<()> {
        self.lane = Lanes::lane_for(self.exact.len())?;
        let (mut largest, mut step) = (0_u128, 0_i128);
        for exact in &self.exact {
            let slope = exact.below.unsigned_abs().max(exact.above.unsigned_abs());
            largest = largest.max(slope);
            step = step.checked_add(i128::try_from(slope).ok()?)?;
        }
        let shift = 128_u32.saturating_sub(largest.leading_zeros()).saturating_sub(BITS);
        let low = |figure: i128| figure.checked_shr(shift);
        let high = |figure: i128| low(figure.checked_neg()?)?.checked_neg();
        // A price stands between two steps: what it may be beyond the lower one is taken off beforehand.
        let health = low(health.at_least()?.checked_sub(step)?)?;
        self.health = i64::try_from(health).unwrap_or(if health < 0 { i64::MIN } else { i64::MAX });
        self.cells.clear();
        for exact in &self.exact {
            let (below, above) = (i16::try_from(high(exact.below)?).ok()?, i16::try_from(low(exact.above)?).ok()?);
            self.cells.push(Cell { market: exact.market, slopes: Slopes { below, above } });
        }
        Some(())
    }
}
