//! What a venue has listed: assets, and markets with their risk rules, exactly as `list_asset` and `list_market` say.
//!
//! In: the two commands. Out: [`Rules`], shared and read-only. It never holds a balance or a price.

mod market;
mod tiers;

pub use market::{
    AdlPolicy, AdlPrice, AdlRules, Drawdown, EmbeddedVenue, Kind, LiquidationRules, MarkRule, Market, OracleRules,
    PoolRules, Reduce, Residual, Surplus, Venue, WhenDegraded,
};
pub use tiers::{Tier, TierTable};

use crate::command::{ListAsset, ListMarket};
use crate::id::{AssetIx, MarketIx};
use crate::reject::{Code, Reject};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What happens to withdrawals while claims on the fund are unpaid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenUnbacked {
    /// None of the asset leaves until the claims are paid.
    #[default]
    Halt,
    /// Each withdrawal bears its share of the liability.
    Haircut,
}

/// A settlement asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// Its number.
    pub index: AssetIx,
    /// Its name.
    pub name: SmolStr,
    /// Its number of decimals: every posting is a multiple of 10^−scale.
    pub scale: u32,
    /// The policy while the fund owes.
    pub when_unbacked: WhenUnbacked,
}

/// Everything listed. Cheap to clone: the entries are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    assets: Vec<Arc<Asset>>,
    markets: Vec<Arc<Market>>,
    asset_names: BTreeMap<SmolStr, AssetIx>,
    market_names: BTreeMap<SmolStr, MarketIx>,
}

impl Rules {
    /// The asset of a number. Numbers are only made here, so they are always found.
    pub fn asset(&self, index: AssetIx) -> Result<&Arc<Asset>, Reject> {
        self.assets.get(usize::from(index.0)).ok_or(Reject::new(Code::UnknownAsset, "asset"))
    }

    /// The market of a number.
    pub fn market(&self, index: MarketIx) -> Result<&Arc<Market>, Reject> {
        self.markets.get(usize::from(index.0)).ok_or(Reject::new(Code::UnknownMarket, "market"))
    }

    /// The asset of a name.
    pub fn asset_named(&self, name: &str) -> Result<&Arc<Asset>, Reject> {
        let index = self.asset_names.get(name).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        self.asset(*index)
    }

    /// The market of a name.
    pub fn market_named(&self, name: &str) -> Result<&Arc<Market>, Reject> {
        let index = self.market_names.get(name).ok_or(Reject::new(Code::UnknownMarket, "market"))?;
        self.market(*index)
    }

    /// All assets in the order of listing.
    pub fn assets(&self) -> &[Arc<Asset>] {
        &self.assets
    }

    /// All markets in the order of listing.
    pub fn markets(&self) -> &[Arc<Market>] {
        &self.markets
    }

    /// Checks `list_asset` and says what would be listed.
    ///
    /// # Errors
    /// [`Code::Immutable`] when the asset exists with another scale.
    pub fn check_asset(&self, command: &ListAsset) -> Result<Arc<Asset>, Reject> {
        let index = match self.asset_named(&command.asset) {
            Ok(known) if known.scale != command.scale => {
                return Err(Reject::limit(Code::Immutable, "scale", command.scale.into(), known.scale.into()));
            }
            Ok(known) => known.index,
            Err(_) => AssetIx(next(self.assets.len(), "asset")?),
        };
        Ok(Arc::new(Asset {
            index,
            name: command.asset.clone(),
            scale: command.scale,
            when_unbacked: command.when_unbacked,
        }))
    }

    /// Checks `list_market` and says what would be listed.
    ///
    /// # Errors
    /// [`Code::UnknownAsset`], [`Code::InvalidTiers`], [`Code::TooPrecise`], or [`Code::Immutable`] when the market
    /// exists with another kind, asset, contract size, tick or lot size.
    pub fn check_market(&self, command: &ListMarket) -> Result<Arc<Market>, Reject> {
        let asset = self.asset_named(&command.asset)?;
        let known = self.market_named(&command.market).ok();
        let (index, version) = match known {
            Some(market) => (market.index, market.version.saturating_add(1)),
            None => (MarketIx(next(self.markets.len(), "market")?), 1),
        };
        let market = Market::new(command, asset, index, version)?;
        if let Some(before) = known {
            before.check_successor(&market)?;
        }
        Ok(Arc::new(market))
    }

    /// Lists or replaces an asset.
    pub fn put_asset(&mut self, asset: Arc<Asset>) {
        self.asset_names.insert(asset.name.clone(), asset.index);
        put(&mut self.assets, usize::from(asset.index.0), asset);
    }

    /// Lists or replaces a market.
    pub fn put_market(&mut self, market: Arc<Market>) {
        self.market_names.insert(market.name.clone(), market.index);
        put(&mut self.markets, usize::from(market.index.0), market);
    }
}

/// The next number. The highest is never given: it stands for none.
fn next(count: usize, field: &'static str) -> Result<u16, Reject> {
    u16::try_from(count).ok().filter(|next| *next < u16::MAX).ok_or(Reject::new(Code::OutOfRange, field))
}

fn put<T>(list: &mut Vec<T>, index: usize, item: T) {
    match list.get_mut(index) {
        Some(place) => *place = item,
        None => list.push(item),
    }
}
