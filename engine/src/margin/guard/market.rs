//! A market as the index sees it: its price as a whole number of steps, the base that healths are reckoned from, and its
//! two ladders.

use super::super::fixed::{Contract, Worth};
use super::ladder::{Guard, Ladder};
use crate::money::Price;
use crate::number::{POWERS, product};
use crate::rules::{Kind, Market as Rules};

/// How a price becomes a whole number: of steps of a power of ten. An inverse contract is linear in one over the price, so
/// that is what is counted there; then both kinds of contract gain and lose in proportion to the number.
#[derive(Debug, Clone, Copy)]
struct Steps {
    kind: Kind,
    exponent: i64,
}

/// A base has seven digits: a step is between a tenth and a hundredth of a basis point.
const DIGITS: i64 = 6;

fn power(exponent: i64) -> Option<i128> {
    POWERS.get(usize::try_from(exponent).ok()?).copied()
}

impl Steps {
    /// Steps of which a price is a seven-digit number.
    fn around(kind: Kind, price: Price) -> Option<Self> {
        let price = price.get();
        let digits = i64::from(price.mantissa().checked_ilog10()?).checked_sub(i64::from(price.scale()))?;
        let exponent = match kind {
            Kind::Linear => digits.checked_sub(DIGITS)?,
            Kind::Inverse => digits.checked_neg()?.checked_sub(DIGITS)?.checked_sub(1)?,
        };
        Some(Self { kind, exponent })
    }

    /// Whole steps at or below a price (or one over it).
    fn of(self, price: Price) -> Option<u32> {
        let (mantissa, scale) = (price.get().mantissa(), i64::from(price.get().scale()));
        let found = match self.kind {
            Kind::Linear => {
                let shift = self.exponent.checked_add(scale)?.checked_neg()?;
                match power(shift) {
                    Some(power) => product(mantissa, power)?,
                    None => mantissa.checked_div(power(shift.checked_neg()?)?)?,
                }
            }
            Kind::Inverse => power(scale.checked_sub(self.exponent)?)?.checked_div(mantissa)?,
        };
        u32::try_from(found).ok()
    }

    /// What the smallest step of quantity is worth at a number of steps.
    fn worth(self, contract: &Contract, steps: u32) -> Option<Worth> {
        let size = contract.rules().contract_size.get().normalize();
        let scale = i64::from(size.scale()).checked_sub(self.exponent)?;
        contract.scaled_by(product(size.mantissa(), steps.into())?, scale, 1)
    }
}

/// Where a market stands, for those who reckon with many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spot {
    /// Steps below the base, at most zero.
    pub(super) below: i32,
    /// Steps above it, at least zero.
    pub(super) above: i32,
    /// Where it stands.
    pub(super) now: u32,
    /// The base.
    pub(super) base: u32,
    /// Mean size of a move between two ticks in which it moves, in sixteenths of a step.
    pub(super) unrest: u32,
}

/// Steps below and above a base.
pub(super) fn distances(base: u32, now: u32) -> (i32, i32) {
    let steps = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let above = steps(now).saturating_sub(steps(base));
    (above.min(0), above.max(0))
}

/// Falling, then rising: sides of a market, as numbers.
pub(super) const SIDES: [usize; 2] = [0, 1];
/// A height of the falling ladder is this less the steps.
const TOP: u32 = 1 << 26;

/// A market with a base.
#[derive(Debug)]
pub(super) struct Market {
    steps: Steps,
    /// Where healths are reckoned from.
    pub(super) base: u32,
    now: u32,
    price: Price,
    /// Mean size of a move between two ticks in which it moves, in sixteenths of a step.
    unrest: u32,
    ladders: [Ladder; 2],
}

/// The slopes of a scope hold from half its base to twice its base.
pub(super) fn range(base: u32) -> (u32, u32) {
    (base / 2, base.saturating_mul(2))
}

impl Market {
    /// A market whose base is its price, with the worth of its contract there; none when its price does not fit.
    pub(super) fn new(contract: &Contract, price: Price) -> Option<(Self, Worth)> {
        let rules: &Rules = contract.rules();
        let steps = Steps::around(rules.kind, price)?;
        let base = steps.of(price)?;
        let worth = steps.worth(contract, base)?;
        let (least, most) = range(base);
        // Some 4,096 to 8,192 buckets from zero to the base.
        let shift = base.checked_ilog2()?.saturating_sub(12);
        let ladders = [TOP.checked_sub(most)?, least].map(|foot| Ladder::new(foot, shift));
        Some((Self { steps, base, now: base, price, unrest: 16, ladders }, worth))
    }

    /// The price has moved: does it stay where the slopes hold?
    pub(super) fn move_to(&mut self, price: Price) -> bool {
        if price == self.price {
            return true;
        }
        let Some(now) = self.steps.of(price) else { return false };
        let moved = now.abs_diff(self.now).min(1 << 20);
        self.unrest = self.unrest.saturating_sub(self.unrest / 16).saturating_add(moved).max(1);
        (self.now, self.price) = (now, price);
        let (least, most) = range(self.base);
        (least..most).contains(&now)
    }

    /// Where it stands.
    pub(super) fn spot(&self) -> Spot {
        let (below, above) = distances(self.base, self.now);
        Spot { below, above, now: self.now, base: self.base, unrest: self.unrest }
    }

    /// Steps as a height of a side, or a height as steps.
    pub(super) fn turn(side: usize, steps: u32) -> u32 {
        if side == 0 { TOP.saturating_sub(steps) } else { steps }
    }

    /// The guards of a side.
    pub(super) fn ladder(&mut self, side: usize) -> Option<&mut Ladder> {
        self.ladders.get_mut(side)
    }

    /// How many guards have been reached, about.
    pub(super) fn reached(&self) -> usize {
        let sides = SIDES.into_iter().zip(&self.ladders);
        sides.map(|(side, ladder)| ladder.reached(Self::turn(side, self.now))).fold(0, usize::saturating_add)
    }

    /// Takes out the guards of a side that have been reached, at most about `most`.
    pub(super) fn take(&mut self, side: usize, most: usize, out: &mut Vec<Guard>) {
        let height = Self::turn(side, self.now);
        if let Some(ladder) = self.ladders.get_mut(side) {
            ladder.take(height, most, out);
        }
    }

    /// Bytes of its ladders.
    pub(super) fn bytes(&self) -> usize {
        self.ladders.iter().map(Ladder::bytes).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse;

    #[test]
    fn a_price_is_a_seven_digit_number_of_steps() {
        for (price, linear, inverse) in
            [("103542.1", 1_035_421, 9_657_907), ("0.00001234", 1_234_000, 8_103_727), ("1", 1_000_000, 10_000_000)]
        {
            let price = Price::new(parse(price).unwrap());
            let of = |kind| Steps::around(kind, price).unwrap().of(price).unwrap();
            assert_eq!((of(Kind::Linear), of(Kind::Inverse)), (linear, inverse), "{price}");
        }
    }
}
