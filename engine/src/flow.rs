//! The one way through the house: how a batch of entries passes oracle, shards, queue and fund, and what it must wait for.
//!
//! In: entries in order. Out: an outcome and the events of each, in order. It holds the numbering of events and the
//! funding payments that can still be corrected; everything else is behind [`Stations`], which is a set of plain
//! values in the reference and a set of actors in the daemon. The order of everything that can be seen is decided here,
//! so it is the same wherever the stations are.

mod run;
mod tick;

use crate::event::{Event, Fact};
use crate::funding::Funding;
use crate::hash::StateHash;
use crate::id::{AccountId, AssetIx, Leg, MarketIx, Millis, Seq};
use crate::instruction::{Entry, Instruction, take_through};
use crate::liquidation::{Outcome as QueueOutcome, Queue};
use crate::margin::{Due, FundNotice, Haircut, Inventory, Marks, Posting, Report, RunReply, Scope, Totals};
use crate::money::{Money, Price};
use crate::oracle::Observation;
use crate::reject::Reject;
use crate::rulebook::{Book, Lines, Rulebook, RulesHash};
use crate::rules::Rules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one shard says of a tick or of postings.
#[derive(Debug, Clone, Default)]
pub struct ShardReply {
    /// Scopes at or below maintenance, or under liquidation.
    pub reports: Vec<Report>,
    /// What the fund has taken over, where this shard holds it.
    pub inventory: Vec<Inventory>,
    /// Accounts and positions as they are now, by name.
    pub facts: Vec<(AccountId, Fact)>,
    /// How often an account, or one scope of it, was looked at.
    pub examined: u64,
}

/// Why the flow cannot go on. No refusal of a command: the daemon stops, and the journal makes stopping safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// A figure does not fit where the limits of input exclude it.
    #[error("a figure does not fit: {0}")]
    Figure(#[from] Reject),
    /// A station does not answer.
    #[error("the {0} does not answer")]
    Gone(&'static str),
}

impl From<crate::number::Overflow> for Stop {
    fn from(overflow: crate::number::Overflow) -> Self {
        Self::Figure(overflow.into())
    }
}

/// What a payer of a funding payment could pay now, and out of which scope.
pub type Cap = (AccountId, Leg, (Scope, Option<Money>));

/// Where the state machines are. Every method asks all that are concerned and returns when all have answered.
#[allow(async_fn_in_trait, reason = "both implementations stay on their own thread")]
pub trait Stations {
    /// Applies a run of entries in every shard, from `from` on; see [`crate::margin::Shard::run`].
    async fn run(
        &mut self,
        entries: &Arc<[Entry]>,
        from: usize,
        decided: &Arc<BTreeMap<usize, Reject>>,
    ) -> Result<Vec<RunReply>, Stop>;
    /// Gives the oracle what concerns it of a run.
    async fn observe(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop>;
    /// Gives the queue what concerns it of a run.
    async fn list(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop>;
    /// Gives the fund what concerns it of a run, haircuts in their place: the facts by entry.
    async fn credit(
        &mut self,
        entries: &Arc<[Entry]>,
        haircuts: Vec<(usize, Haircut)>,
    ) -> Result<Vec<(usize, Fact)>, Stop>;
    /// The oracle's new marks.
    async fn marks(&mut self, time: Millis) -> Result<(Marks, Vec<Fact>), Stop>;
    /// The fund begins a tick: its facts, and what it owes by asset.
    async fn open_fund(&mut self, seq: Seq, time: Millis) -> Result<(Vec<Fact>, BTreeMap<AssetIx, Money>), Stop>;
    /// What the fund owes now, by asset.
    async fn liabilities(&mut self) -> Result<BTreeMap<AssetIx, Money>, Stop>;
    /// Tells every shard what it may know of the fund until the next tick.
    async fn notice(&mut self, notices: &Arc<BTreeMap<AssetIx, FundNotice>>) -> Result<(), Stop>;
    /// The queue begins a tick.
    async fn open_queue(&mut self, time: Millis, marks: &Arc<Marks>) -> Result<(), Stop>;
    /// Every shard says at new marks which accounts are at or below maintenance, or under liquidation.
    async fn evaluate(
        &mut self,
        marks: &Arc<Marks>,
        notices: &Arc<BTreeMap<AssetIx, FundNotice>>,
    ) -> Result<Vec<ShardReply>, Stop>;
    /// The queue serves reports; `inventory` in the first round of a tick.
    async fn round(&mut self, inventory: Option<Vec<Inventory>>, reports: Vec<Report>) -> Result<QueueOutcome, Stop>;
    /// The queue looks at accounts that a fill between ticks has touched.
    async fn look(&mut self, reports: Vec<Report>) -> Result<QueueOutcome, Stop>;
    /// The queue books a fill or the end of an external order, or refuses it.
    async fn external(&mut self, entry: &Entry) -> Result<Result<QueueOutcome, Reject>, Stop>;
    /// Every shard carries out postings and evaluates what they touched.
    async fn post(&mut self, postings: &Arc<Vec<Posting>>) -> Result<Vec<ShardReply>, Stop>;
    /// Last trades of the embedded venue.
    async fn trades(&mut self, trades: Vec<(MarketIx, Observation)>) -> Result<(), Stop>;
    /// What the positions of a market owe.
    async fn dues(&mut self, market: MarketIx, mark: Price) -> Result<Vec<Due>, Stop>;
    /// What accounts could pay now.
    async fn caps(&mut self, market: MarketIx, who: Vec<(AccountId, Leg)>) -> Result<Vec<Cap>, Stop>;
    /// The sums of all shards together.
    async fn totals(&mut self) -> Result<Totals, Stop>;
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryOutcome {
    /// Its place in the order.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// Applied, or why not.
    pub result: Result<(), Reject>,
    /// Its events.
    pub events: Vec<Event>,
}

/// What a batch did.
#[derive(Debug, Clone, Default)]
pub struct BatchOutcome {
    /// By entry.
    pub entries: Vec<EntryOutcome>,
    /// Accounts looked at.
    pub examined: u64,
    /// Rounds of liquidation.
    pub rounds: u64,
}

/// Drives batches through the stations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    rules: Arc<Rules>,
    staged: Vec<Arc<crate::rules::Market>>,
    funding: Funding,
    marks: Arc<Marks>,
    #[serde(skip)]
    events: u64,
    #[serde(skip)]
    rulebook: Rulebook,
}

impl Flow {
    /// The rules in force, the new versions that come into force at the next tick, and the marks in force: what every
    /// shard knows too.
    pub(crate) fn known(&self) -> (&Rules, &[Arc<crate::rules::Market>], &Arc<Marks>) {
        (&self.rules, &self.staged, &self.marks)
    }

    /// The rules in force.
    pub fn rules(&self) -> &Arc<Rules> {
        &self.rules
    }

    /// How many events there have been.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The hash of the rules in force.
    pub fn rules_hash(&self) -> RulesHash {
        self.rulebook.hash()
    }

    /// What is planned, the injection lines, and the hash of the rules in force.
    pub fn rulebook(&self) -> &Rulebook {
        &self.rulebook
    }

    /// Goes on from a state written down, counting events from here.
    pub(crate) fn resume(&mut self, events: u64, book: Book, lines: Lines) {
        self.events = events;
        self.rulebook = Rulebook::resume(book, &self.rules, lines);
    }

    /// Adds its part of the state hash.
    pub fn hash_into(&self, hash: &mut StateHash) {
        hash.part("flow", self);
        self.rulebook.book().hash_into(hash);
    }

    /// Applies a batch: the result equals applying its entries one after another.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn batch(&mut self, entries: Vec<Entry>, stations: &mut impl Stations) -> Result<BatchOutcome, Stop> {
        let mut outcome = BatchOutcome::default();
        outcome.entries.reserve_exact(entries.len());
        let mut rest = entries.into_iter();
        while !rest.as_slice().is_empty() {
            let mut run = take_through(&mut rest, Instruction::is_barrier);
            let barrier = run.pop_if(|last| last.instruction.is_barrier());
            self.run(run, stations, &mut outcome).await?;
            if let Some(barrier) = barrier {
                self.barrier(barrier, stations, &mut outcome).await?;
            }
        }
        Ok(outcome)
    }

    async fn barrier(
        &mut self,
        entry: Entry,
        stations: &mut impl Stations,
        outcome: &mut BatchOutcome,
    ) -> Result<(), Stop> {
        if entry.instruction == Instruction::Tick {
            let mut events = Vec::new();
            self.tick(&entry, stations, outcome, &mut events).await?;
            outcome.entries.push(EntryOutcome { seq: entry.seq, time: entry.time, result: Ok(()), events });
            return Ok(());
        }
        let decided = match &entry.instruction {
            Instruction::Funding { .. } | Instruction::FundingCorrection { .. } => {
                self.funding(&entry, stations).await?
            }
            _ => self.external(&entry, stations).await?,
        };
        let (result, facts) = match decided {
            Ok(facts) => (Ok(()), facts),
            Err(reject) => (Err(reject), Vec::new()),
        };
        let done = self.close(&entry, result, facts);
        outcome.entries.push(done);
        Ok(())
    }

    /// Ends an entry; a refusal is its last event.
    fn close(
        &mut self,
        entry: &Entry,
        result: Result<(), Reject>,
        facts: impl IntoIterator<Item = Fact>,
    ) -> EntryOutcome {
        let mut events = Vec::new();
        self.tell(entry, facts, &mut events);
        if let Err(reject) = result {
            let (code, message, field) = (reject.code.as_str(), reject.to_string(), reject.field);
            self.tell(entry, [Fact::Rejected { code, message, field }], &mut events);
        }
        EntryOutcome { seq: entry.seq, time: entry.time, result, events }
    }

    /// Numbers the facts of an entry.
    fn tell(&mut self, entry: &Entry, facts: impl IntoIterator<Item = Fact>, events: &mut Vec<Event>) {
        events.extend(facts.into_iter().map(|fact| {
            self.events = self.events.saturating_add(1);
            Event { seq: self.events, time: entry.time, cause: entry.seq, rules: self.rulebook.hash(), fact }
        }));
    }

    async fn funding(
        &mut self,
        entry: &Entry,
        stations: &mut impl Stations,
    ) -> Result<Result<Vec<Fact>, Reject>, Stop> {
        let postings = match self.funding_postings(entry, stations).await? {
            Ok(postings) => postings,
            Err(reject) => return Ok(Err(reject)),
        };
        let replies = stations.post(&Arc::new(postings)).await?;
        Ok(Ok(sorted_facts(replies).1))
    }

    async fn funding_postings(
        &mut self,
        entry: &Entry,
        stations: &mut impl Stations,
    ) -> Result<Result<Vec<Posting>, Reject>, Stop> {
        match &entry.instruction {
            Instruction::Funding { market, rate, id } => {
                if let Err(reject) = self.funding.check_new(*market, id) {
                    return Ok(Err(reject));
                }
                let Some(mark) = self.marks.price(*market) else {
                    return Ok(Err(Reject::new(crate::reject::Code::NoMark, "market")));
                };
                let scale = self.rules.market(*market)?.asset_scale;
                let dues = stations.dues(*market, mark).await?;
                Ok(Ok(self.funding.pay((*market, scale), id.clone(), *rate, dues)?))
            }
            Instruction::FundingCorrection { market, of, rate } => {
                let parties = match self.funding.parties(*market, of) {
                    Ok(parties) => parties,
                    Err(reject) => return Ok(Err(reject)),
                };
                let scale = self.rules.market(*market)?.asset_scale;
                let caps = stations.caps(*market, parties).await?;
                let caps = caps.into_iter().map(|(account, leg, cap)| ((account, leg), cap)).collect();
                Ok(Ok(self.funding.correct((*market, scale), of, *rate, &caps)?))
            }
            _ => Ok(Ok(Vec::new())),
        }
    }

    async fn external(
        &mut self,
        entry: &Entry,
        stations: &mut impl Stations,
    ) -> Result<Result<Vec<Fact>, Reject>, Stop> {
        let decided = match stations.external(entry).await? {
            Ok(decided) => decided,
            Err(reject) => return Ok(Err(reject)),
        };
        let mut facts = decided.facts;
        let replies = stations.post(&Arc::new(decided.postings)).await?;
        let (reports, shown) = sorted_facts(replies);
        facts.extend(shown);
        let ended = stations.look(reports).await?;
        facts.extend(ended.facts);
        if !ended.postings.is_empty() {
            let replies = stations.post(&Arc::new(ended.postings)).await?;
            facts.extend(sorted_facts(replies).1);
        }
        Ok(Ok(facts))
    }
}

/// Reports of all shards, and their facts by account name.
fn sorted_facts(replies: Vec<ShardReply>) -> (Vec<Report>, Vec<Fact>) {
    let (mut reports, mut facts) = (Vec::new(), Vec::new());
    for reply in replies {
        reports.extend(reply.reports);
        facts.extend(reply.facts);
    }
    facts.sort_by(|(a, _), (b, _)| a.cmp(b));
    (reports, facts.into_iter().map(|(_, fact)| fact).collect())
}

/// The queue answers what concerns it of a barrier command. Shared by all stations.
///
/// # Errors
/// The outer: the flow cannot go on. The inner: the refusal.
pub async fn external(
    queue: &mut Queue,
    entry: &Entry,
    desk: &mut impl crate::liquidation::FundDesk,
) -> Result<Result<QueueOutcome, Reject>, Stop> {
    match &entry.instruction {
        Instruction::LiquidationFill { order, trade, price, quantity } => {
            queue.fill(*order, trade, *price, *quantity, desk).await
        }
        Instruction::LiquidationDone { order, .. } => queue.done(*order, desk).await,
        _ => Ok(Ok(QueueOutcome::default())),
    }
}
