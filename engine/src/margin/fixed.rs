//! Equity less maintenance margin in whole numbers, with a bound on what rounding can add or take.
//!
//! In: a position and the worth of its market's contracts. Out: a [`Health`], or none where 128 bits are too narrow. It is
//! the same sum as in `assess`, an order of magnitude faster, because nothing is rounded on the way: what the decimals
//! round is at most [`Health::slack`] in all. Where the sign is plain beyond the slack the decision is that of the
//! decimals, by proof; where it is not, the decimals decide.

use super::Marks;
use super::account::{Account, Position};
use crate::id::{AssetIx, MarketIx};
use crate::money::{Money, Price};
use crate::number::{POWERS, SCALE_MAX, lifted, product};
use crate::rules::{Kind, Market};
use rust_decimal::Decimal;
use std::sync::Arc;

/// Decimals of a rate here. What a rate has beyond them counts as slack.
const RATE_DECIMALS: u32 = 8;
/// One, as a rate.
pub(super) const WHOLE: i128 = 100_000_000;
/// Decimals of a health: those of a value and those of a rate.
const DECIMALS: u32 = SCALE_MAX + RATE_DECIMALS;

/// A risk tier in whole numbers.
#[derive(Debug)]
struct Bracket {
    /// Where it ends, at the decimals of a value.
    end: i128,
    /// Maintenance rate, rounded down.
    rate: i128,
    /// At the decimals of a health.
    deduction: i128,
}

/// A market's contract in whole numbers.
#[derive(Debug)]
pub(super) struct Contract {
    rules: Arc<Market>,
    lot_scale: u32,
    /// One unit of the asset, at the decimals of a health.
    unit: i128,
    brackets: Vec<Bracket>,
    /// Has a rate more decimals than are kept?
    coarse: bool,
}

/// What the smallest step of quantity is worth, unsigned, at the decimals of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worth {
    quantum: i128,
    /// Rounded down?
    rounded: bool,
}

/// Bounds of what a position is worth, unsigned, at the decimals of a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub(super) low: i128,
    pub(super) high: i128,
}

/// Equity less maintenance margin of a scope, at [`DECIMALS`]: what the decimals find lies within `slack` of `gap`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) gap: i128,
    pub(super) slack: i128,
}

impl Health {
    /// Of money that stands behind it.
    pub(super) fn of(money: Decimal) -> Option<Self> {
        Some(Self { gap: lifted(money, DECIMALS)?, slack: 0 })
    }

    /// Adds money, or takes it away.
    pub(super) fn add(&mut self, money: Decimal) -> Option<()> {
        self.gap = self.gap.checked_add(lifted(money, DECIMALS)?)?;
        Some(())
    }

    /// Is equity above maintenance? None when that depends on roundings.
    pub(super) fn is_above(&self) -> Option<bool> {
        if self.gap > self.slack {
            Some(true)
        } else if self.gap < self.slack.checked_neg()? {
            Some(false)
        } else {
            None
        }
    }

    /// No less than this, whatever the roundings.
    pub(super) fn at_least(&self) -> Option<i128> {
        self.gap.checked_sub(self.slack)
    }
}

impl Contract {
    /// None when a figure of the rules does not fit.
    pub(super) fn new(rules: &Arc<Market>) -> Option<Self> {
        let mut coarse = false;
        let mut brackets = Vec::with_capacity(rules.tiers.all().len());
        for tier in rules.tiers.all() {
            let end = tier.notional_limit.map_or(Some(i128::MAX), |end| lifted(end.get(), SCALE_MAX))?;
            let rate = tier.maintenance_rate.get().normalize();
            coarse |= rate.scale() > RATE_DECIMALS;
            let finer = rate.scale().saturating_sub(RATE_DECIMALS);
            let power = *POWERS.get(usize::try_from(finer).ok()?)?;
            let rate = match finer {
                0 => lifted(rate, RATE_DECIMALS)?,
                _ => rate.mantissa().checked_div(power)?,
            };
            brackets.push(Bracket { end, rate, deduction: lifted(tier.deduction.get().normalize(), DECIMALS)? });
        }
        let unit = *POWERS.get(usize::try_from(DECIMALS.checked_sub(rules.asset_scale)?).ok()?)?;
        let lot_scale = rules.lot_size.get().normalize().scale();
        Some(Self { rules: rules.clone(), lot_scale, unit, brackets, coarse })
    }

    /// The rules it was made from.
    pub(super) fn rules(&self) -> &Arc<Market> {
        &self.rules
    }

    /// The worth of the smallest step of quantity at a mark; none when it does not fit.
    pub(super) fn worth(&self, mark: Price) -> Option<Worth> {
        let (size, price) = (self.rules.contract_size.get().normalize(), mark.get().normalize());
        match self.rules.kind {
            Kind::Linear => self.scaled(product(size.mantissa(), price.mantissa())?, size.scale(), price.scale(), 1),
            Kind::Inverse => {
                let scale = i64::from(size.scale()).checked_sub(i64::from(price.scale()))?;
                self.scaled_by(size.mantissa(), scale, price.mantissa())
            }
        }
    }

    fn scaled(&self, numerator: i128, a: u32, b: u32, denominator: i128) -> Option<Worth> {
        self.scaled_by(numerator, i64::from(a).checked_add(i64::from(b))?, denominator)
    }

    /// `numerator × 10^−scale ÷ denominator` for one whole contract, as the worth of the smallest step of quantity.
    pub(super) fn scaled_by(&self, numerator: i128, scale: i64, denominator: i128) -> Option<Worth> {
        let shift = i64::from(SCALE_MAX).checked_sub(i64::from(self.lot_scale))?.checked_sub(scale)?;
        let power = *POWERS.get(usize::try_from(shift.unsigned_abs()).ok()?)?;
        let (numerator, denominator) = if shift >= 0 {
            (product(numerator, power)?, denominator)
        } else {
            (numerator, product(denominator, power)?)
        };
        let quantum = numerator.checked_div(denominator)?;
        Some(Worth { quantum, rounded: product(quantum, denominator)? != numerator })
    }

    /// Adds a position to the health of its scope, and says what it is worth. Without a worth of the contract (the market
    /// has no mark) it is valued at its cost.
    ///
    /// The slack of a position is: one unit for the maintenance margin, which the decimals round up; for an inverse
    /// contract two more, for value and notional, each rounded once; what a rounded worth leaves out, twice (once here, once
    /// where the decimals round) in the value and in the notional, of which a rate takes no more than the whole; what a
    /// rate leaves out.
    pub(super) fn add(&self, position: &Position, worth: Option<Worth>, health: &mut Health) -> Option<Value> {
        let cost = lifted(position.cost.get(), SCALE_MAX)?;
        let (mut slack, mut spread) = (self.unit, 0);
        let (value, pnl) = match worth {
            None => (0, 0),
            Some(worth) => {
                let quanta = lifted(position.quantity.get(), self.lot_scale)?;
                let value = product(quanta, worth.quantum)?;
                if worth.rounded {
                    spread = quanta.checked_abs()?;
                    slack = slack.checked_add(product(spread, WHOLE.wrapping_mul(4))?)?;
                }
                if self.rules.kind == Kind::Inverse {
                    slack = slack.checked_add(self.unit.checked_mul(2)?)?;
                    (value, value.checked_neg()?.checked_sub(cost)?)
                } else {
                    (value, value.checked_sub(cost)?)
                }
            }
        };
        let notional = if worth.is_some() { value } else { cost }.checked_abs()?;
        if self.coarse {
            slack = slack.checked_add(notional)?;
        }
        let bracket = self.bracket(notional)?;
        let maintenance = product(notional, bracket.rate)?.checked_sub(bracket.deduction)?;
        health.gap = health.gap.checked_add(product(pnl, WHOLE)?)?.checked_sub(maintenance)?;
        health.slack = health.slack.checked_add(slack)?;
        let low = value.checked_abs()?;
        Some(Value { low, high: low.checked_add(spread)? })
    }

    fn bracket(&self, notional: i128) -> Option<&Bracket> {
        self.brackets.iter().find(|bracket| notional <= bracket.end).or(self.brackets.last())
    }

    /// Bounds of the maintenance rate at a notional.
    pub(super) fn rate(&self, notional: i128) -> Option<(i128, i128)> {
        let rate = self.bracket(notional)?.rate;
        Some((rate, rate.checked_add(i128::from(self.coarse))?))
    }
}

/// The contracts of all markets, with their worth at one price each.
#[derive(Debug, Default)]
pub(super) struct Figures {
    contracts: Vec<Option<(Contract, Option<Worth>)>>,
}

impl Figures {
    /// Contracts that were made from other rules than these are made anew; all get the worth at their mark.
    pub(super) fn set(&mut self, markets: &[Arc<Market>], marks: &Marks) {
        self.contracts.resize_with(markets.len(), || None);
        for (known, rules) in self.contracts.iter_mut().zip(markets) {
            let same = known.take().filter(|(contract, _)| Arc::ptr_eq(&contract.rules, rules));
            let contract = same.map(|(contract, _)| contract).or_else(|| Contract::new(rules));
            *known = contract.and_then(|contract| match marks.price(rules.index) {
                Some(mark) => contract.worth(mark).map(|worth| (contract, Some(worth))),
                None => Some((contract, None)),
            });
        }
    }

    /// Puts a contract in, or none where it cannot be told in whole numbers.
    pub(super) fn put(&mut self, market: MarketIx, contract: Option<(Contract, Option<Worth>)>) {
        let place = usize::from(market.0);
        if self.contracts.len() <= place {
            self.contracts.resize_with(place.saturating_add(1), || None);
        }
        if let Some(known) = self.contracts.get_mut(place) {
            *known = contract;
        }
    }

    /// The contract of a market with its worth; none when it cannot be told in whole numbers.
    pub(super) fn get(&self, market: MarketIx) -> Option<(&Contract, Option<Worth>)> {
        self.contracts.get(usize::from(market.0))?.as_ref().map(|(contract, worth)| (contract, *worth))
    }

    /// The health of an isolated position; `see` hears its value.
    pub(super) fn isolated<'a>(
        &'a self,
        position: &'a Position,
        margin: Money,
        mut see: impl FnMut(&'a Position, &'a Contract, Value) -> Option<()>,
    ) -> Option<Health> {
        let mut health = Health::of(margin.get())?;
        let (contract, worth) = self.get(position.market)?;
        let value = contract.add(position, worth, &mut health)?;
        see(position, contract, value)?;
        Some(health)
    }

    /// The health of the cross scope of an asset; `see` hears the value of each of its positions.
    pub(super) fn cross<'a>(
        &'a self,
        account: &'a Account,
        asset: AssetIx,
        mut see: impl FnMut(&'a Position, &'a Contract, Value) -> Option<()>,
    ) -> Option<Health> {
        let mut health = Health::of(account.wallet(asset).get())?;
        for position in &account.positions {
            let (contract, worth) = self.get(position.market)?;
            if contract.rules.asset != asset {
                continue;
            }
            if let Some(margin) = position.isolated {
                health.add(-margin.get())?;
                continue;
            }
            let value = contract.add(position, worth, &mut health)?;
            see(position, contract, value)?;
        }
        Some(health)
    }

    /// Is every scope of the account above maintenance? None when the decimals must tell.
    pub(super) fn is_safe(&self, account: &Account) -> Option<bool> {
        let mut seen: Option<AssetIx> = None;
        for (place, position) in account.positions.iter().enumerate() {
            let health = match position.isolated {
                Some(margin) => self.isolated(position, margin, |_, _, _| Some(()))?,
                None => {
                    let asset = self.get(position.market)?.0.rules.asset;
                    let earlier = |open: &Position| {
                        let of = self.get(open.market).map(|(contract, _)| contract.rules.asset);
                        open.isolated.is_none() && of == Some(asset)
                    };
                    if seen == Some(asset) || (seen.is_some() && account.positions.iter().take(place).any(earlier)) {
                        continue;
                    }
                    seen = Some(asset);
                    self.cross(account, asset, |_, _, _| Some(()))?
                }
            };
            if !health.is_above()? {
                return Some(false);
            }
        }
        Some(true)
    }
}
