//! Rival (c): Backstop itself. A margin shard over the whole book, asked by the very call that every tick makes.

use super::Failed;
use super::book::{Book, index};
use super::scene::Scene;
use backstop_engine::flow::ShardReply;
use backstop_engine::id::{AccountId, AssetIx, Leg, MarketIx};
use backstop_engine::margin::{FundNotice, Marks, Posting, Report, Shard};
use backstop_engine::money::{Money, Quantity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A shard, and what it is told of the fund.
pub(crate) struct Guarded {
    pub(crate) shard: Shard,
    notices: BTreeMap<AssetIx, FundNotice>,
}

impl Guarded {
    /// Over a book.
    pub(crate) fn new(scene: &Scene, book: &Book) -> Result<Self, Failed> {
        let shards = scene.core.shards(book.accounts(scene)?, 1, false)?;
        let shard = shards.into_iter().next().ok_or("no shard")?;
        Ok(Self { shard, notices: BTreeMap::new() })
    }

    /// The search of a tick.
    pub(crate) fn tick(&mut self, marks: &Arc<Marks>) -> Result<ShardReply, Failed> {
        Ok(self.shard.tick(marks, &self.notices)?)
    }

    /// The accounts that the full exact scan finds.
    pub(crate) fn full(&self) -> Result<Vec<u32>, Failed> {
        Ok(numbers(&self.shard.evaluate()?))
    }

    /// Closes everything of the accounts reported, at the mark and against the house.
    pub(crate) fn close(&mut self, reports: &[Report], marks: &Marks) -> Result<(), Failed> {
        let (mut postings, mut house) = (Vec::new(), BTreeMap::<MarketIx, (Quantity, Money)>::new());
        for report in reports {
            for position in &report.positions {
                let mark = marks.price(position.market).ok_or("no mark")?;
                let value = self.shard.rules().market(position.market)?.trade_value(-position.quantity, mark)?;
                let (account, leg) = (report.account.clone(), position.leg);
                postings.push(posting(account, (position.market, leg), -position.quantity, value));
                let sums = house.entry(position.market).or_default();
                *sums = (sums.0.plus(position.quantity)?, sums.1.minus(value)?);
            }
        }
        let venue = |(market, (quantity, value))| posting(AccountId::venue(), (market, Leg::Net), quantity, value);
        postings.extend(house.into_iter().filter(|(_, (quantity, _))| !quantity.is_zero()).map(venue));
        let left = self.shard.carry(&postings)?.reports;
        if left.is_empty() { Ok(()) } else { Err("a closed account is still reported".into()) }
    }
}

fn posting(account: AccountId, (market, leg): (MarketIx, Leg), quantity: Quantity, value: Money) -> Posting {
    Posting::Trade { account, market, leg, quantity, value, credit: Money::ZERO, liquidates: true }
}

/// Numbers of the accounts reported, sorted.
pub(crate) fn numbers(reports: &[Report]) -> Vec<u32> {
    let mut found: Vec<u32> = reports.iter().filter_map(|report| index(&report.account)).collect();
    found.sort_unstable();
    found.dedup();
    found
}
