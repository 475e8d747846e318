//! What a shard holds in sum, so that the balance of everything can be checked at any moment.

use super::account::{Account, Part};
use crate::id::{AssetIx, MarketIx};
use crate::money::{Money, Quantity};
use crate::number::Sum;
use crate::reject::Reject;
use crate::rules::Rules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a shard holds in sum. Kept up to date by every change, recomputed by [`super::Shard::audit`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// By asset.
    pub assets: BTreeMap<AssetIx, AssetTotals>,
    /// By market.
    pub markets: BTreeMap<MarketIx, MarketTotals>,
}

/// The sums of one asset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetTotals {
    /// Σ wallets.
    pub wallets: Sum,
    /// Σ cost basis.
    pub costs: Sum,
    /// Fees and rounding.
    pub revenue: Sum,
    /// Deposits.
    pub inflow: Sum,
    /// Withdrawals.
    pub outflow: Sum,
}

/// The sums of one market.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketTotals {
    /// Σ quantity.
    pub quantity: Sum,
    /// Σ quantity of the long positions.
    pub long: Sum,
}

impl Totals {
    /// Adds an account.
    pub(super) fn add(&mut self, account: &Account, rules: &Rules) -> Result<(), Reject> {
        for (asset, money) in &account.wallets {
            self.assets.entry(*asset).or_default().wallets.add(money.get())?;
        }
        for position in &account.positions {
            let asset = rules.market(position.market)?.asset;
            self.assets.entry(asset).or_default().costs.add(position.cost.get())?;
            let sums = self.markets.entry(position.market).or_default();
            sums.quantity.add(position.quantity.get())?;
            sums.long.add(position.quantity.or_zero().get())?;
        }
        Ok(())
    }

    /// Takes an account out.
    pub(super) fn take(&mut self, account: &Account, rules: &Rules) -> Result<(), Reject> {
        for (asset, money) in &account.wallets {
            self.assets.entry(*asset).or_default().wallets.take(money.get())?;
        }
        for position in &account.positions {
            let asset = rules.market(position.market)?.asset;
            self.assets.entry(asset).or_default().costs.take(position.cost.get())?;
            let sums = self.markets.entry(position.market).or_default();
            sums.quantity.take(position.quantity.get())?;
            sums.long.take(position.quantity.or_zero().get())?;
        }
        Ok(())
    }

    /// Puts one part of an account in the place of another.
    pub(super) fn replace(&mut self, before: &Part, after: &Part) -> Result<(), Reject> {
        let sums = self.assets.entry(before.asset).or_default();
        let figure = |part: &Part| part.wallet.unwrap_or_default().get();
        sums.wallets.take(figure(before))?;
        sums.wallets.add(figure(after))?;
        let Some((market, _)) = before.leg else { return Ok(()) };
        let figure = |part: &Part| part.position.as_ref().map_or(Money::ZERO, |held| held.cost).get();
        sums.costs.take(figure(before))?;
        sums.costs.add(figure(after))?;
        let sums = self.markets.entry(market).or_default();
        let held = |part: &Part| part.position.as_ref().map_or(Quantity::ZERO, |held| held.quantity);
        sums.quantity.take(held(before).get())?;
        sums.quantity.add(held(after).get())?;
        sums.long.take(held(before).or_zero().get())?;
        Ok(sums.long.add(held(after).or_zero().get())?)
    }

    /// Adds what a change brings beside wallets and positions.
    pub(super) fn add_flow(&mut self, flow: Flow) -> Result<(), Reject> {
        let Some(asset) = flow.asset else { return Ok(()) };
        let sums = self.assets.entry(asset).or_default();
        sums.revenue.add(flow.revenue.get())?;
        sums.inflow.add(flow.inflow.get())?;
        Ok(sums.outflow.add(flow.outflow.get())?)
    }

    /// The part of the sums that no account shows: revenue, inflow and outflow by asset.
    pub fn flows(&self) -> Vec<(AssetIx, [Sum; 3])> {
        let flows = |(asset, sums): (&AssetIx, &AssetTotals)| (*asset, [sums.revenue, sums.inflow, sums.outflow]);
        self.assets.iter().map(flows).filter(|(_, flows)| flows.iter().any(|sum| !sum.is_zero())).collect()
    }

    /// Adds another shard's.
    ///
    /// # Errors
    /// Overflow only.
    pub fn merge(&mut self, other: &Self) -> Result<(), Reject> {
        for (asset, theirs) in &other.assets {
            let mine = self.assets.entry(*asset).or_default();
            mine.wallets.merge(theirs.wallets)?;
            mine.costs.merge(theirs.costs)?;
            mine.revenue.merge(theirs.revenue)?;
            mine.inflow.merge(theirs.inflow)?;
            mine.outflow.merge(theirs.outflow)?;
        }
        for (market, theirs) in &other.markets {
            let mine = self.markets.entry(*market).or_default();
            mine.quantity.merge(theirs.quantity)?;
            mine.long.merge(theirs.long)?;
        }
        Ok(())
    }
}

/// What a change adds to the sums beside wallets and positions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flow {
    pub(super) asset: Option<AssetIx>,
    pub(super) revenue: Money,
    pub(super) inflow: Money,
    pub(super) outflow: Money,
    pub(super) haircut: Money,
}

impl Flow {
    pub(super) fn reversed(self) -> Self {
        let Self { asset, revenue, inflow, outflow, haircut } = self;
        Self { asset, revenue: -revenue, inflow: -inflow, outflow: -outflow, haircut: -haircut }
    }
}
