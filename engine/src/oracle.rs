//! Decides the mark price of every market at a tick, and whether it can be trusted.
//!
//! In: observations and funding estimates between ticks. Out: marks, with the state of every source. It never moves a
//! mark between ticks, and keeps the last one while a market is degraded.

mod index;
mod market;

pub use index::{Observation, weighted_index};
pub use market::{MarketOracle, mark_of};

use crate::event::Fact;
use crate::id::{MarketIx, Millis};
use crate::instruction::Instruction;
use crate::margin::{Mark, Marks};
use crate::money::Price;
use crate::reject::Reject;
use crate::rules::{Market, WhenDegraded};
use crate::view::MarkView;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The source name of the contract's own last trade. It is never part of the index.
pub const LAST: &str = "last";

/// The prices of all markets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oracle {
    rules: Vec<Arc<Market>>,
    staged: Vec<Arc<Market>>,
    markets: BTreeMap<MarketIx, MarketOracle>,
}

impl Oracle {
    /// Takes what concerns it.
    pub fn observe(&mut self, time: Millis, instruction: &Instruction) {
        match instruction {
            Instruction::ListMarket(market) => {
                if usize::from(market.index.0) < self.rules.len() {
                    self.staged.push(market.clone());
                } else {
                    self.rules.push(market.clone());
                    self.markets.insert(market.index, MarketOracle::default());
                }
            }
            Instruction::Observe { market, source, price } => {
                self.record(*market, source.clone(), Observation { price: *price, time });
            }
            Instruction::FundingRate { market, rate, next_time, interval_ms } => {
                if let Some(state) = self.markets.get_mut(market) {
                    state.set_funding(*rate, *next_time, *interval_ms);
                }
            }
            _ => {}
        }
    }

    /// One observation; an older one of the same source is forgotten.
    pub fn record(&mut self, market: MarketIx, source: SmolStr, observation: Observation) {
        if let Some(state) = self.markets.get_mut(&market) {
            state.record(source, observation);
        }
    }

    /// Recomputes every mark.
    ///
    /// # Errors
    /// Overflow only, which the limits of input exclude.
    pub fn tick(&mut self, now: Millis) -> Result<(Marks, Vec<Fact>), Reject> {
        for market in std::mem::take(&mut self.staged) {
            if let Some(place) = self.rules.get_mut(usize::from(market.index.0)) {
                *place = market;
            }
        }
        let (mut marks, mut facts) = (Vec::with_capacity(self.rules.len()), Vec::new());
        for rules in &self.rules {
            let Some(state) = self.markets.get_mut(&rules.index) else { continue };
            state.tick(rules, now, &mut facts)?;
            let waits = state.is_degraded() && rules.oracle.when_degraded == WhenDegraded::Wait;
            marks.push(state.mark().map(|price| Mark { price, waits }));
        }
        Ok((Marks(marks), facts))
    }

    /// The mark of a market.
    pub fn mark(&self, market: MarketIx) -> Option<Price> {
        self.markets.get(&market).and_then(MarketOracle::mark)
    }

    /// What readers see of every market.
    pub fn views(&self) -> Vec<MarkView> {
        let view = |rules: &Arc<Market>| self.markets.get(&rules.index).map(|state| state.view(rules.name.clone()));
        self.rules.iter().filter_map(view).collect()
    }

    /// Age of the freshest observation of every market, for the metrics.
    pub fn ages(&self, now: Millis) -> Vec<(SmolStr, Option<Millis>, bool)> {
        let age = |rules: &Arc<Market>| {
            let state = self.markets.get(&rules.index)?;
            Some((rules.name.clone(), state.freshest().map(|time| now.saturating_sub(time)), state.is_degraded()))
        };
        self.rules.iter().filter_map(age).collect()
    }
}
