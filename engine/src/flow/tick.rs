//! A tick: marks, evaluation, then rounds of liquidation until nothing is left to do.

use super::{BatchOutcome, Flow, ShardReply, Stations, Stop, sorted_facts};
use crate::event::{Event, Fact};
use crate::id::AssetIx;
use crate::instruction::Entry;
use crate::margin::{FundNotice, Inventory};
use crate::money::{Money, Rate};
use crate::number::{self, Rounding};
use crate::reject::Reject;
use crate::rules::WhenUnbacked;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Flow {
    pub(super) async fn tick(
        &mut self,
        entry: &Entry,
        stations: &mut impl Stations,
        outcome: &mut BatchOutcome,
        events: &mut Vec<Event>,
    ) -> Result<(), Stop> {
        for market in std::mem::take(&mut self.staged) {
            Arc::make_mut(&mut self.rules).put_market(market.clone());
            let fact = self.rulebook.put_market(&market, &self.rules, None);
            self.tell(entry, [fact], events);
        }
        let (marks, facts) = stations.marks(entry.time).await?;
        self.tell(entry, facts, events);
        self.marks = Arc::new(marks);
        let marks = self.marks.clone();
        let (facts, liabilities) = stations.open_fund(entry.seq, entry.time).await?;
        self.tell(entry, facts, events);
        stations.open_queue(entry.time, &marks).await?;
        let notices = self.notices(&liabilities, stations).await?;
        let mut replies = stations.evaluate(&marks, &Arc::new(notices)).await?;
        let mut inventory = Some(take_inventory(&mut replies));
        loop {
            outcome.examined = replies.iter().fold(outcome.examined, |sum, reply| sum.saturating_add(reply.examined));
            let (reports, shown) = sorted_facts(replies);
            self.tell(entry, shown, events);
            let idle = reports.is_empty() && inventory.as_ref().is_none_or(Vec::is_empty);
            if idle && inventory.is_none() {
                break;
            }
            let decided = stations.round(inventory.take(), reports).await?;
            self.tell(entry, decided.facts, events);
            if !decided.trades.is_empty() {
                stations.trades(decided.trades).await?;
            }
            if decided.postings.is_empty() {
                break;
            }
            outcome.rounds = outcome.rounds.saturating_add(1);
            replies = stations.post(&Arc::new(decided.postings)).await?;
        }
        if events.iter().any(|event| matches!(event.fact, Fact::Unbacked { .. })) {
            // What the tick left owing holds withdrawals back from now on.
            let liabilities = stations.liabilities().await?;
            let notices = self.notices(&liabilities, stations).await?;
            stations.notice(&Arc::new(notices)).await?;
        }
        Ok(())
    }

    /// What the shards may know of the fund until the next tick.
    async fn notices(
        &self,
        liabilities: &BTreeMap<AssetIx, Money>,
        stations: &mut impl Stations,
    ) -> Result<BTreeMap<AssetIx, FundNotice>, Stop> {
        let mut notices = BTreeMap::new();
        for (asset, liability) in liabilities.iter().filter(|(_, liability)| liability.is_positive()) {
            let notice = match self.rules.asset(*asset)?.when_unbacked {
                WhenUnbacked::Halt => FundNotice { halted: true, haircut: Rate::ZERO },
                WhenUnbacked::Haircut => {
                    let totals = stations.totals().await?;
                    let wallets = totals.assets.get(asset).copied().unwrap_or_default().wallets.get()?;
                    FundNotice { halted: false, haircut: haircut(*liability, wallets)? }
                }
            };
            notices.insert(*asset, notice);
        }
        Ok(notices)
    }
}

/// The share of each withdrawal that stays behind: liability ÷ Σ wallets, at most 1.
///
/// Rounds: up at 12 decimals.
fn haircut(liability: Money, wallets: Decimal) -> Result<Rate, Reject> {
    if wallets <= liability.get() {
        return Ok(Rate::new(Decimal::ONE));
    }
    Ok(Rate::new(number::div(liability.get(), wallets, 12, Rounding::Ceil)?))
}

fn take_inventory(replies: &mut [ShardReply]) -> Vec<Inventory> {
    replies.iter_mut().flat_map(|reply| std::mem::take(&mut reply.inventory)).collect()
}
