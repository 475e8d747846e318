//! From observations to an index: which are used, and their weighted median.

use crate::event::{SourceState, SourceView};
use crate::id::Millis;
use crate::money::{Price, Rate};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::Reject;
use crate::rules::OracleRules;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// What a source said, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// The price.
    pub price: Price,
    /// The time of the command that brought it.
    pub time: Millis,
}

/// The index of the fresh sources and the state of each; no index with fewer than `min_sources` usable ones.
///
/// Shape:  weighted median of the fresh; sources outside `median × (1 ± band)` are clamped to that edge, outside twice
///         the band excluded; then the weighted median of what is left. A tie between two is their mean.
/// Rounds: the mean to the nearest at 14 decimals.
/// Source: staleness and median as Vega's mark price (vectors: vega-mp-median-*); clamping as Binance's index rules.
/// Errors: overflow only.
pub fn weighted_index(
    rules: &OracleRules,
    observations: &BTreeMap<SmolStr, Observation>,
    now: Millis,
) -> Result<(Option<Price>, Vec<SourceView>), Reject> {
    let mut views: Vec<SourceView> = Vec::with_capacity(observations.len());
    let mut used: Vec<(Price, Rate)> = Vec::with_capacity(observations.len());
    let fresh = |seen: &Observation| now.saturating_sub(seen.time) <= rules.stale_after_ms;
    for (source, seen) in observations {
        let weight = weight_of(rules, source);
        let state = if !weight.is_positive() {
            SourceState::Excluded
        } else if fresh(seen) {
            used.push((seen.price, weight));
            SourceState::Ok
        } else {
            SourceState::Stale
        };
        views.push(SourceView { source: source.clone(), price: seen.price, state });
    }
    let Some(centre) = weighted_median(&mut used)? else { return Ok((None, views)) };
    let edge = |factor: u32, up: bool| -> Result<Decimal, Reject> {
        let band = number::mul(rules.band.get(), Decimal::from(factor), SCALE_MAX, Rounding::Nearest)?;
        let share = if up { number::add(Decimal::ONE, band)? } else { number::sub(Decimal::ONE, band)? };
        Ok(number::mul(centre.get(), share, SCALE_MAX, Rounding::Nearest)?)
    };
    let (low, high, lowest, highest) = (edge(1, false)?, edge(1, true)?, edge(2, false)?, edge(2, true)?);
    used.clear();
    for view in views.iter_mut().filter(|view| view.state == SourceState::Ok) {
        let price = view.price.get();
        if price < lowest || price > highest {
            view.state = SourceState::Excluded;
            continue;
        }
        let clamped = price.max(low).min(high);
        if clamped != price {
            view.state = SourceState::Clamped;
        }
        used.push((Price::new(clamped), weight_of(rules, &view.source)));
    }
    if used.len() < usize::try_from(rules.min_sources).unwrap_or(usize::MAX) {
        return Ok((None, views));
    }
    Ok((weighted_median(&mut used)?, views))
}

/// A named source has its weight; the others weigh 1, or nothing when the rules name any.
fn weight_of(rules: &OracleRules, source: &str) -> Rate {
    let unnamed = if rules.weights.is_empty() { Rate::new(Decimal::ONE) } else { Rate::ZERO };
    rules.weights.get(source).copied().unwrap_or(unnamed)
}

/// The price at which half of the weight is reached; the mean of two when it is reached exactly between them.
fn weighted_median(used: &mut [(Price, Rate)]) -> Result<Option<Price>, Reject> {
    used.sort();
    let mut total = Decimal::ZERO;
    for (_, weight) in used.iter() {
        total = number::add(total, weight.get())?;
    }
    let mut below = Decimal::ZERO;
    let mut prices = used.iter().peekable();
    while let Some((price, weight)) = prices.next() {
        below = number::add(below, weight.get())?;
        let twice = number::add(below, below)?;
        if twice > total {
            return Ok(Some(*price));
        }
        if twice == total
            && let Some((next, _)) = prices.peek()
        {
            return mean(&[*price, *next]).map(Some);
        }
    }
    Ok(None)
}

/// The mean, to the nearest at 14 decimals.
pub(super) fn mean(prices: &[Price]) -> Result<Price, Reject> {
    let mut sum = Decimal::ZERO;
    for price in prices {
        sum = number::add(sum, price.get())?;
    }
    let count = Decimal::from(u64::try_from(prices.len()).unwrap_or(1));
    Ok(Price::new(number::div(sum, count, SCALE_MAX, Rounding::Nearest)?))
}
