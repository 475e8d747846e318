//! What other accounts would have to absorb, and from which price on: what an account can be told before anything happens.
//!
//! In: the bankruptcy prices of the positions on one side of a market. Out: prices. It changes nothing and decides nothing.

use crate::id::Side;
use crate::money::{Money, Price, Quantity};
use crate::number::Rounding;
use crate::reject::Reject;
use crate::rules::Market;

/// The positions that go bankrupt at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    price: Price,
    /// Contracts of these and of all nearer to the mark, unsigned.
    contracts: Quantity,
}

/// The positions on one side of a market, nearest to their bankruptcy first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absorption {
    side: Side,
    mark: Price,
    steps: Vec<Step>,
}

impl Absorption {
    /// Sorts the positions on `side`, each with its bankruptcy price and its unsigned quantity, as
    /// [`crate::margin::Shard::bankruptcies`] gives them, of all shards together.
    ///
    /// # Errors
    /// Overflow only.
    pub fn new(side: Side, mark: Price, mut positions: Vec<(Price, Quantity)>) -> Result<Self, Reject> {
        positions.sort_unstable_by_key(|(price, _)| *price);
        if side == Side::Buy {
            // A long goes bankrupt below the mark, the highest price first.
            positions.reverse();
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut contracts = Quantity::ZERO;
        for (price, quantity) in positions {
            contracts = contracts.plus(quantity)?;
            match steps.last_mut().filter(|last| last.price == price) {
                Some(last) => last.contracts = contracts,
                None => steps.push(Step { price, contracts }),
            }
        }
        Ok(Self { side, mark, steps })
    }

    /// The side that would go bankrupt.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The mark it was made at.
    pub fn mark(&self) -> Price {
        self.mark
    }

    /// The bankruptcy price of the position at which more than `contracts` have had to be absorbed; none when there are no
    /// more than that.
    ///
    /// An account on the other side that has so many contracts ahead of it in the ranking would be deleveraged at this
    /// price, if that many more had to be absorbed.
    pub fn price_at(&self, contracts: Quantity) -> Option<Price> {
        let place = self.steps.partition_point(|step| step.contracts <= contracts);
        self.steps.get(place).map(|step| step.price)
    }

    /// The price to which the mark would have to gap at once so that what the positions lose beyond their bankruptcy is
    /// more than `headroom`; none when no price above zero does that. With no headroom left it is the nearest bankruptcy
    /// price; it is never on the other side of the mark.
    ///
    /// Shape:  p with Σ loss(pᵢ → p) = headroom over the positions whose bankruptcy price pᵢ is passed; linear
    ///         `q·m·|pᵢ − p|`, inverse `q·m·|1/p − 1/pᵢ|`
    /// Units:  headroom in the settlement asset.
    /// Rounds: towards the mark, at the decimals of marks; losses up: it warns early, never late.
    /// Errors: overflow only.
    pub fn price_exhausting(&self, market: &Market, headroom: Money) -> Result<Option<Price>, Reject> {
        let (Some(first), rounding) = (self.steps.first(), self.towards_mark()) else { return Ok(None) };
        if headroom.is_negative() {
            return Ok(Some(self.mark));
        }
        let (mut from, mut left) = (first, headroom);
        for to in self.steps.iter().skip(1) {
            let loss = market.loss_between(self.signed(from.contracts), from.price, to.price)?;
            if loss >= left {
                break;
            }
            (from, left) = (to, left.minus(loss)?);
        }
        let found =
            market.price_after_gain(self.signed(from.contracts), from.price, -left, market.mark_scale, rounding)?;
        Ok(found.map(|price| match self.side {
            Side::Buy => price.min(self.mark),
            Side::Sell => price.max(self.mark),
        }))
    }

    fn signed(&self, contracts: Quantity) -> Quantity {
        if self.side == Side::Buy { contracts } else { -contracts }
    }

    fn towards_mark(&self) -> Rounding {
        if self.side == Side::Buy { Rounding::Ceil } else { Rounding::Floor }
    }
}
