//! One market's oracle: index, basis, mark, breaker and state.

use super::LAST;
use super::index::{Observation, mean, weighted_index};
use crate::event::{DegradedReason, Fact, MarketState, SourceView};
use crate::id::Millis;
use crate::money::{Money, Price, Rate};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::Reject;
use crate::rules::{MarkRule, Market};
use crate::view::MarkView;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeMap, VecDeque};

/// The moving average of the basis looks back this far.
///
/// Source: Binance mark price, "Price 2 = index + moving average (2.5-minute basis)".
const BASIS_WINDOW_MS: Millis = 150_000;
/// And takes no more than one sample in this time.
const BASIS_SPACING_MS: Millis = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FundingEstimate {
    rate: Rate,
    next_time: Millis,
    interval_ms: Millis,
}

/// A level the index has jumped to, not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Jump {
    level: Price,
    since: Millis,
}

/// The oracle of one market.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketOracle {
    observations: BTreeMap<SmolStr, Observation>,
    last: Option<Observation>,
    funding: Option<FundingEstimate>,
    basis: VecDeque<(Millis, Money)>,
    index: Option<Price>,
    mark: Option<Price>,
    time: Option<Millis>,
    sources: Vec<SourceView>,
    degraded: Option<DegradedReason>,
    jump: Option<Jump>,
}

impl MarketOracle {
    pub(super) fn set_funding(&mut self, rate: Rate, next_time: Millis, interval_ms: Millis) {
        self.funding = Some(FundingEstimate { rate, next_time, interval_ms });
    }

    pub(super) fn record(&mut self, source: SmolStr, observation: Observation) {
        if source == LAST {
            self.last = Some(observation);
        } else {
            self.observations.insert(source, observation);
        }
    }

    /// The mark in force.
    pub fn mark(&self) -> Option<Price> {
        self.mark
    }

    /// Is the price not to be trusted?
    pub fn is_degraded(&self) -> bool {
        self.degraded.is_some()
    }

    pub(super) fn freshest(&self) -> Option<Millis> {
        self.observations.values().map(|seen| seen.time).max()
    }

    pub(super) fn tick(&mut self, rules: &Market, now: Millis, facts: &mut Vec<Fact>) -> Result<(), Reject> {
        let (found, sources) = weighted_index(&rules.oracle, &self.observations, now)?;
        let candidate = match found {
            Some(price) => Ok(to_mark(price, rules.mark_scale)?),
            None if self.observations.is_empty() && self.mark.is_none() => Err(DegradedReason::NoPrice),
            None => Err(DegradedReason::TooFewSources),
        };
        let believed = match candidate {
            Ok(index) if self.is_jump(rules, index, now)? => Err(DegradedReason::Breaker),
            other => other,
        };
        let before = (self.mark, self.index, std::mem::replace(&mut self.sources, sources));
        let reason = match believed {
            Ok(index) => {
                self.index = Some(index);
                self.jump = None;
                self.mark = Some(self.compute_mark(rules, index, now)?);
                self.time = Some(now);
                None
            }
            Err(reason) => {
                if reason != DegradedReason::Breaker {
                    self.jump = None;
                }
                Some(reason)
            }
        };
        self.tell(rules, reason, before, facts);
        Ok(())
    }

    fn tell(
        &mut self,
        rules: &Market,
        reason: Option<DegradedReason>,
        before: (Option<Price>, Option<Price>, Vec<SourceView>),
        facts: &mut Vec<Fact>,
    ) {
        // A market that has never had a price is not announced: nothing can depend on it yet.
        let silent = self.degraded.is_none() && reason == Some(DegradedReason::NoPrice)
            || self.degraded == Some(DegradedReason::NoPrice) && reason.is_none();
        if self.degraded != reason && !silent {
            let state = if reason.is_some() { MarketState::Degraded } else { MarketState::Ok };
            facts.push(Fact::MarketState { market: rules.name.clone(), state, reason });
        }
        self.degraded = reason;
        if let (Some(mark), Some(index)) = (self.mark, self.index)
            && ((before.0, before.1) != (Some(mark), Some(index)) || before.2 != self.sources)
        {
            let sources = self.sources.clone();
            facts.push(Fact::MarkUpdated { market: rules.name.clone(), mark, index, sources });
        }
    }

    /// Has the index jumped beyond the breaker, and is the new level not confirmed yet? It is confirmed when for
    /// `stale_after_ms` every index has stayed within the breaker of the level it first jumped to.
    fn is_jump(&mut self, rules: &Market, index: Price, now: Millis) -> Result<bool, Reject> {
        let (Some(breaker), Some(last)) = (rules.oracle.breaker, self.index) else { return Ok(false) };
        let beyond = |from: Price| -> Result<bool, Reject> {
            let distance = index.minus(from)?.abs();
            Ok(distance.get() > number::mul(from.get(), breaker.get(), SCALE_MAX, Rounding::Nearest)?)
        };
        if !beyond(last)? {
            return Ok(false);
        }
        match self.jump {
            Some(jump) if !beyond(jump.level)? => Ok(now.saturating_sub(jump.since) < rules.oracle.stale_after_ms),
            _ => {
                self.jump = Some(Jump { level: index, since: now });
                Ok(true)
            }
        }
    }

    fn compute_mark(&mut self, rules: &Market, index: Price, now: Millis) -> Result<Price, Reject> {
        let fresh = |seen: &Observation| now.saturating_sub(seen.time) <= rules.oracle.stale_after_ms;
        let last = self.last.filter(fresh).map(|seen| seen.price);
        self.sample_basis(index, last, now)?;
        if rules.oracle.mark == MarkRule::Index {
            return Ok(index);
        }
        let basis = self.average_basis()?;
        let funding = self.funding.map_or(Ok(Decimal::ZERO), |estimate| {
            let left = Decimal::from(estimate.next_time.saturating_sub(now).min(estimate.interval_ms));
            number::mul_div(
                estimate.rate.get(),
                left,
                Decimal::from(estimate.interval_ms),
                SCALE_MAX,
                Rounding::Nearest,
            )
        })?;
        mark_of(index, funding, basis, last, rules.mark_scale)
    }

    fn sample_basis(&mut self, index: Price, last: Option<Price>, now: Millis) -> Result<(), Reject> {
        let due = self.basis.back().is_none_or(|(time, _)| now.saturating_sub(*time) >= BASIS_SPACING_MS);
        if let (Some(last), true) = (last, due) {
            self.basis.push_back((now, Money::new(number::sub(last.get(), index.get())?)));
        }
        while self.basis.front().is_some_and(|(time, _)| now.saturating_sub(*time) > BASIS_WINDOW_MS) {
            self.basis.pop_front();
        }
        Ok(())
    }

    fn average_basis(&self) -> Result<Option<Decimal>, Reject> {
        if self.basis.is_empty() {
            return Ok(None);
        }
        let mut sum = Decimal::ZERO;
        for (_, basis) in &self.basis {
            sum = number::add(sum, basis.get())?;
        }
        let count = Decimal::from(u64::try_from(self.basis.len()).unwrap_or(1));
        Ok(Some(number::div(sum, count, SCALE_MAX, Rounding::Nearest)?))
    }

    pub(super) fn view(&self, market: SmolStr) -> MarkView {
        let reason = match (self.degraded, self.mark) {
            (None, None) => Some(DegradedReason::NoPrice),
            (reason, _) => reason,
        };
        MarkView {
            market,
            state: if reason.is_some() { MarketState::Degraded } else { MarketState::Ok },
            reason,
            mark: self.mark,
            index: self.index,
            time: self.time,
            sources: self.sources.clone(),
        }
    }
}

/// A price on the grid of marks.
///
/// Rounds: to the nearest, but never to zero: below the grid it is one step of it.
fn to_mark(price: Price, scale: u32) -> Result<Price, Reject> {
    let mark = number::quantise(price.get(), scale, Rounding::Nearest)?;
    Ok(Price::new(if mark.is_zero() { Decimal::new(1, scale) } else { mark }))
}

/// The mark of `median_of_three`.
///
/// Shape:  median of index × (1 + funding basis), index + average basis, last trade. With two of them (no fresh last
///         trade, or no basis yet) their mean; with one, that one. Funding basis = rate × time to payment ÷ interval.
/// Units:  the quote; `funding` a fraction, `basis` in the quote.
/// Rounds: to the nearest at `scale`.
/// Source: Binance "mark price", price 1, price 2 and contract price (vectors: binance-mark-price1-*).
/// Errors: overflow only.
pub fn mark_of(
    index: Price,
    funding: Decimal,
    basis: Option<Decimal>,
    last: Option<Price>,
    scale: u32,
) -> Result<Price, Reject> {
    let share = number::add(Decimal::ONE, funding)?;
    let mut inputs = vec![Price::new(number::mul(index.get(), share, SCALE_MAX, Rounding::Nearest)?)];
    if let Some(basis) = basis {
        inputs.push(Price::new(number::add(index.get(), basis)?));
    }
    inputs.extend(last);
    inputs.retain(|price| price.is_positive());
    inputs.sort();
    let found = match inputs.as_slice() {
        [] => index,
        [_, middle, _] => *middle,
        some => mean(some)?,
    };
    to_mark(found, scale)
}
