//! What accounts and markets are told of deleveraging before it happens: who stands where, who would go bankrupt, how near
//! a market is. Asked of the stations at most once between two ticks for each side of a market, and only when somebody
//! wants to know.
//!
//! What it costs: every holder on that side is looked at, on all shards at once, and what they answer is sorted. A
//! bankruptcy price takes the equity of its whole account, so a side of n positions costs n assessments and n log n
//! comparisons, and 32 bytes for each price that differs, kept until the next tick. Nothing is applied meanwhile: a venue
//! with many positions pays for it in the ticks that somebody asks after, never in the others.

use super::Floor;
use backstop_engine::adl::{Absorption, Standings, warning};
use backstop_engine::flow::Stop;
use backstop_engine::fund::NeedRanking;
use backstop_engine::id::{MarketIx, Side};
use backstop_engine::rules::{Market, Rules};
use backstop_engine::view::WarningView;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been asked for since the last tick, by market and side; none where there is no mark.
#[derive(Default)]
pub struct Known {
    standings: BTreeMap<(MarketIx, Side), Option<Arc<Standings>>>,
    absorptions: BTreeMap<(MarketIx, Side), Option<Arc<Absorption>>>,
}

impl Floor {
    /// Forgets what was known: a tick changes all of it.
    pub(super) fn forget(&self) {
        if let Ok(mut known) = self.known.lock() {
            *known = Known::default();
        }
    }

    /// Who stands where on one side of a market: as it was when somebody first asked since the last tick.
    pub(super) async fn standings(&self, need: NeedRanking) -> Result<Option<Arc<Standings>>, Stop> {
        let key = (need.market, need.side);
        if let Some(standings) = self.known.lock().ok().and_then(|known| known.standings.get(&key).cloned()) {
            return Ok(standings);
        }
        let standings = self.ranking(need).await?.map(|ranking| Arc::new(ranking.standings()));
        if let Ok(mut known) = self.known.lock() {
            known.standings.insert(key, standings.clone());
        }
        Ok(standings)
    }

    /// Who would go bankrupt on one side of a market: as it was when somebody first asked since the last tick.
    pub(super) async fn absorption(&self, market: MarketIx, side: Side) -> Result<Option<Arc<Absorption>>, Stop> {
        let key = (market, side);
        if let Some(absorption) = self.known.lock().ok().and_then(|known| known.absorptions.get(&key).cloned()) {
            return Ok(absorption);
        }
        let absorption = self.absorbed(market, side).await?.map(Arc::new);
        if let Ok(mut known) = self.known.lock() {
            known.absorptions.insert(key, absorption.clone());
        }
        Ok(absorption)
    }

    async fn absorbed(&self, market: MarketIx, side: Side) -> Result<Option<Absorption>, Stop> {
        let Some(first) = self.shards.first() else { return Ok(None) };
        let Some(mark) = first.call(move |shard| shard.marks().price(market)).await? else { return Ok(None) };
        let mut positions = Vec::new();
        for part in self.all(move |shard| shard.bankruptcies(market, side)).await? {
            positions.extend(part?);
        }
        Ok(Some(Absorption::new(side, mark, positions)?))
    }

    /// How near a market is to deleveraging: what the fund may give it now, against positions as they were when somebody
    /// first asked since the last tick; none for a market that is unknown or has no mark.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn warning(&self, rules: &Rules, market: &str) -> Result<Option<WarningView>, Stop> {
        match rules.market_named(market) {
            Ok(market) => self.warned(market).await,
            Err(_) => Ok(None),
        }
    }

    /// The warnings of all markets that have a mark, in the order of listing.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn warnings(&self, rules: &Rules) -> Result<Vec<WarningView>, Stop> {
        let mut warnings = Vec::new();
        for market in rules.markets() {
            warnings.extend(self.warned(market).await?);
        }
        Ok(warnings)
    }

    async fn warned(&self, market: &Market) -> Result<Option<WarningView>, Stop> {
        let index = market.index;
        let longs = self.absorption(index, Side::Buy).await?;
        let shorts = self.absorption(index, Side::Sell).await?;
        let Some((longs, shorts)) = longs.zip(shorts) else { return Ok(None) };
        let (headroom, triggered) = self.fund.call(move |fund| (fund.headroom(index), fund.in_drawdown(index))).await?;
        Ok(Some(warning(market, longs.mark(), headroom?, triggered, (&longs, &shorts))?))
    }
}
