//! The reference: all state machines in one thread, without actors. The model that the daemon must equal, event for
//! event; scenario files, property tests and replays run on it.

use crate::adl::{Absorption, Ranking, Standings, warning};
use crate::admission::Admission;
use crate::command::Command;
use crate::conservation::conservation;
use crate::event::Fact;
use crate::flow::{BatchOutcome, Cap, EntryOutcome, Flow, ShardReply, Stations, Stop, external};
use crate::fund::{Fund, FundReply, FundRequest, FundStop};
use crate::hash::StateHash;
use crate::id::{AccountId, AssetIx, Leg, MarketIx, Millis, Seq, Side};
use crate::instruction::Entry;
use crate::liquidation::{FundDesk, Outcome as QueueOutcome, Queue};
use crate::margin::{Due, FundNotice, Haircut, Inventory, Marks, Posting, Report, RunReply, Shard, Totals};
use crate::money::{Money, Price};
use crate::oracle::{Observation, Oracle};
use crate::reject::{Code, Reject};
use crate::snapshot::{Core, Unreadable, read_accounts};
use crate::view::{AccountView, Conservation, FundView, MarkView, WarningView};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The whole engine in one value.
pub struct Reference {
    admission: Admission,
    flow: Flow,
    parts: Parts,
}

struct Parts {
    oracle: Oracle,
    shards: Vec<Shard>,
    queue: Queue,
    fund: Fund,
}

/// How a reference is built.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many margin shards.
    pub shards: usize,
    /// Show accounts and positions as events after each change?
    pub shows_accounts: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { shards: 1, shows_accounts: true }
    }
}

/// Polls a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing in the reference waits"),
    }
}

impl Reference {
    /// An empty engine.
    pub fn new(options: Options) -> Self {
        let count = options.shards.max(1);
        let shards = (0..count).map(|index| Shard::new(index, count, options.shows_accounts)).collect();
        Self {
            admission: Admission::default(),
            flow: Flow::default(),
            parts: Parts { oracle: Oracle::default(), shards, queue: Queue::default(), fund: Fund::default() },
        }
    }

    /// An engine that goes on from a state written down.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn restore(options: Options, core: &Core, accounts: &[u8]) -> Result<Self, Unreadable> {
        let shards = core.shards(read_accounts(accounts)?, options.shards, options.shows_accounts)?;
        let (oracle, queue, fund) = (core.oracle.clone(), core.queue.clone(), core.fund.clone());
        Ok(Self { admission: core.admission(), flow: core.flow(), parts: Parts { oracle, shards, queue, fund } })
    }

    /// Writes the state down: everything but the accounts, and the accounts.
    ///
    /// # Errors
    /// Overflow only.
    pub fn write(&self) -> Result<(Core, Vec<u8>), Reject> {
        let (mut totals, mut accounts) = (Totals::default(), Vec::new());
        for shard in &self.parts.shards {
            totals.merge(shard.totals())?;
            shard.write_accounts(&mut accounts);
        }
        let core = Core {
            seq: self.admission.last_seq(),
            time: self.admission.last_time(),
            events: self.flow.events(),
            flow: self.flow.clone(),
            oracle: self.parts.oracle.clone(),
            queue: self.parts.queue.clone(),
            fund: self.parts.fund.clone(),
            notices: self.parts.shards.first().map(|shard| shard.notices().clone()).unwrap_or_default(),
            sums: totals.flows(),
            rulebook: self.flow.rulebook().book().clone(),
        };
        Ok((core, accounts))
    }

    /// Gives a command its place, without applying it.
    ///
    /// # Errors
    /// See [`Admission::admit`].
    pub fn admit(&mut self, command: &Command, time: Millis) -> Result<Entry, Reject> {
        self.admission.admit(command, time)
    }

    /// Applies a batch of admitted entries.
    ///
    /// # Errors
    /// Overflow where the limits of input exclude it: a bug.
    pub fn apply(&mut self, entries: Vec<Entry>) -> Result<BatchOutcome, Stop> {
        ready(self.flow.batch(entries, &mut self.parts))
    }

    /// Admits and applies one command.
    ///
    /// # Errors
    /// The refusal: of admission, or of the state machines (the command has taken a place in the order then).
    pub fn submit(&mut self, command: &Command, time: Millis) -> Result<EntryOutcome, Reject> {
        let entry = self.admit(command, time)?;
        let outcome = self.apply(vec![entry]).map_err(|stop| match stop {
            Stop::Figure(reject) => reject,
            Stop::Gone(_) => Reject::new(Code::Malformed, ""),
        })?;
        let done = outcome.entries.into_iter().next();
        done.ok_or(Reject::new(Code::Malformed, ""))
    }

    /// The first check.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// An account, as the API shows it, with its place in the ADL rankings.
    pub fn account(&self, id: &AccountId) -> Option<AccountView> {
        let shard = self.parts.shards.iter().find(|shard| shard.owns(id))?;
        let mut view = shard.view(id)?;
        for position in &mut view.positions {
            let Ok(market) = self.admission.rules().market_named(&position.market) else { continue };
            let side = if position.quantity.is_negative() { Side::Sell } else { Side::Buy };
            if let Ok(Some(ranking)) = self.parts.ranking(market.index, side) {
                show_standing(position, &ranking.standings(), id);
            }
            if let Ok(Some(absorption)) = self.parts.absorption(market.index, side.opposite()) {
                show_adl_price(position, &absorption);
            }
        }
        Some(view)
    }

    /// How near a market is to auto-deleveraging; none without a mark.
    ///
    /// # Errors
    /// [`Code::UnknownMarket`]; overflow.
    pub fn warning(&self, market: &str) -> Result<Option<WarningView>, Reject> {
        let market = self.flow.rules().market_named(market)?;
        let longs = self.parts.absorption(market.index, Side::Buy)?;
        let shorts = self.parts.absorption(market.index, Side::Sell)?;
        let Some((longs, shorts)) = longs.zip(shorts) else { return Ok(None) };
        let (headroom, triggered) =
            (self.parts.fund.headroom(market.index)?, self.parts.fund.in_drawdown(market.index));
        warning(market, longs.mark(), headroom, triggered, (&longs, &shorts)).map(Some)
    }

    /// The flow, for what it knows of the rules.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// All markets' prices.
    pub fn marks(&self) -> Vec<MarkView> {
        self.parts.oracle.views()
    }

    /// A fund.
    pub fn fund(&self, asset: &str) -> Option<FundView> {
        self.parts.fund.view(asset)
    }

    /// The shards, for tests that look inside.
    pub fn shards(&self) -> &[Shard] {
        &self.parts.shards
    }

    /// The shards, for tests that move prices behind the flow's back.
    pub fn shards_mut(&mut self) -> &mut [Shard] {
        &mut self.parts.shards
    }

    /// The queue, for tests that look inside.
    pub fn queue(&self) -> &Queue {
        &self.parts.queue
    }

    /// The balance of everything, from the running sums.
    ///
    /// # Errors
    /// Overflow only.
    pub fn conservation(&self) -> Result<Conservation, Reject> {
        let mut totals = Totals::default();
        for shard in &self.parts.shards {
            totals.merge(shard.totals())?;
        }
        conservation(self.admission.rules(), &totals, &self.parts.fund)
    }

    /// The balance of everything, computed anew from every account; and are the fund's books sound, and the running
    /// sums the same?
    ///
    /// # Errors
    /// Overflow only.
    pub fn audit(&self) -> Result<(Conservation, bool), Reject> {
        let mut totals = Totals::default();
        let mut sound = self.parts.fund.audit()?;
        for shard in &self.parts.shards {
            let counted = shard.audit()?;
            sound &= counted == *shard.totals();
            totals.merge(&counted)?;
        }
        Ok((conservation(self.admission.rules(), &totals, &self.parts.fund)?, sound))
    }

    /// The hash of the whole state: the same for any number of shards.
    ///
    /// # Errors
    /// Overflow only.
    pub fn state_hash(&self) -> Result<String, Reject> {
        let mut hash = StateHash::default();
        for shard in &self.parts.shards {
            hash.merge(shard.state_hash());
        }
        let mut totals = Totals::default();
        for shard in &self.parts.shards {
            totals.merge(shard.totals())?;
        }
        hash.part("sums", &totals.flows());
        self.flow.hash_into(&mut hash);
        hash.part("oracle", &self.parts.oracle);
        hash.part("queue", &self.parts.queue);
        hash.part("fund", &self.parts.fund.hashed());
        Ok(hash.text())
    }
}

/// Shows a position its place.
pub fn show_standing(position: &mut crate::view::PositionView, standings: &Standings, account: &AccountId) {
    if let Some((_, standing)) = standings.of(account).find(|(leg, _)| *leg == position.leg) {
        position.adl_quantile = Some(standing.quantile);
        position.adl_rank = Some(standing.rank);
        position.adl_of = Some(standing.of);
        position.adl_contracts_ahead = Some(standing.ahead);
    }
}

/// Shows a position the price it would be deleveraged at; `absorption` is that of the other side.
pub fn show_adl_price(position: &mut crate::view::PositionView, absorption: &Absorption) {
    position.adl_price = position.adl_contracts_ahead.and_then(|ahead| absorption.price_at(ahead));
}

impl Parts {
    /// Who would go bankrupt on one side of a market; none without a mark.
    fn absorption(&self, market: MarketIx, side: Side) -> Result<Option<Absorption>, Reject> {
        let mark = self.shards.first().and_then(|shard| shard.marks().price(market));
        let Some(mark) = mark else { return Ok(None) };
        let mut positions = Vec::new();
        for shard in &self.shards {
            positions.extend(shard.bankruptcies(market, side)?);
        }
        Absorption::new(side, mark, positions).map(Some)
    }

    fn ranking(&self, market: MarketIx, side: Side) -> Result<Option<Ranking>, Reject> {
        rank(&self.shards, market, side)
    }
}

/// The ranking of one side of a market from what the shards hold; none without a mark.
fn rank(shards: &[Shard], market: MarketIx, side: Side) -> Result<Option<Ranking>, Reject> {
    let Some(first) = shards.first() else { return Ok(None) };
    let Some(mark) = first.marks().price(market) else { return Ok(None) };
    let mut candidates = first.candidates(market, side)?;
    for shard in shards.iter().skip(1) {
        candidates.extend(shard.candidates(market, side)?);
    }
    let rules = first.rules().market(market)?;
    Ranking::new(rules, side, mark, candidates).map(Some)
}

/// The fund as the queue reaches it in one thread.
struct Desk<'p> {
    fund: &'p mut Fund,
    shards: &'p [Shard],
}

impl FundDesk for Desk<'_> {
    async fn ask(&mut self, request: FundRequest) -> Result<(FundReply, Vec<Fact>), Stop> {
        loop {
            match self.fund.ask(&request) {
                Ok(answer) => return Ok(answer),
                Err(FundStop::Reject(reject)) => return Err(reject.into()),
                Err(FundStop::Ranking(need)) => {
                    let ranking = rank(self.shards, need.market, need.side)?;
                    self.fund.supply(ranking.ok_or(Reject::new(Code::NoMark, "market"))?);
                }
            }
        }
    }
}

impl Stations for Parts {
    async fn run(
        &mut self,
        entries: &Arc<[Entry]>,
        from: usize,
        decided: &Arc<BTreeMap<usize, Reject>>,
    ) -> Result<Vec<RunReply>, Stop> {
        Ok(self.shards.iter_mut().map(|shard| shard.run(entries, from, decided)).collect())
    }

    async fn observe(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop> {
        entries.iter().for_each(|entry| self.oracle.observe(entry.time, &entry.instruction));
        Ok(())
    }

    async fn list(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop> {
        entries.iter().for_each(|entry| self.queue.apply(&entry.instruction));
        Ok(())
    }

    async fn credit(
        &mut self,
        entries: &Arc<[Entry]>,
        haircuts: Vec<(usize, Haircut)>,
    ) -> Result<Vec<(usize, Fact)>, Stop> {
        Ok(self.fund.run(entries, haircuts)?)
    }

    async fn marks(&mut self, time: Millis) -> Result<(Marks, Vec<Fact>), Stop> {
        Ok(self.oracle.tick(time)?)
    }

    async fn open_fund(&mut self, seq: Seq, time: Millis) -> Result<(Vec<Fact>, BTreeMap<AssetIx, Money>), Stop> {
        self.fund.at(seq, time);
        let facts = self.fund.begin_tick()?;
        Ok((facts, self.fund.liabilities()))
    }

    async fn liabilities(&mut self) -> Result<BTreeMap<AssetIx, Money>, Stop> {
        Ok(self.fund.liabilities())
    }

    async fn notice(&mut self, notices: &Arc<BTreeMap<AssetIx, FundNotice>>) -> Result<(), Stop> {
        self.shards.iter_mut().for_each(|shard| shard.notice(notices));
        Ok(())
    }

    async fn open_queue(&mut self, time: Millis, marks: &Arc<Marks>) -> Result<(), Stop> {
        Ok(self.queue.begin_tick(time, marks.clone())?)
    }

    async fn evaluate(
        &mut self,
        marks: &Arc<Marks>,
        notices: &Arc<BTreeMap<AssetIx, FundNotice>>,
    ) -> Result<Vec<ShardReply>, Stop> {
        Ok(self.shards.iter_mut().map(|shard| shard.tick(marks, notices)).collect::<Result<_, _>>()?)
    }

    async fn round(&mut self, inventory: Option<Vec<Inventory>>, reports: Vec<Report>) -> Result<QueueOutcome, Stop> {
        let mut desk = Desk { fund: &mut self.fund, shards: &self.shards };
        self.queue.round(inventory.as_deref(), reports, &mut desk).await
    }

    async fn look(&mut self, reports: Vec<Report>) -> Result<QueueOutcome, Stop> {
        Ok(self.queue.look(reports)?)
    }

    async fn external(&mut self, entry: &Entry) -> Result<Result<QueueOutcome, Reject>, Stop> {
        self.fund.at(entry.seq, entry.time);
        let mut desk = Desk { fund: &mut self.fund, shards: &self.shards };
        external(&mut self.queue, entry, &mut desk).await
    }

    async fn post(&mut self, postings: &Arc<Vec<Posting>>) -> Result<Vec<ShardReply>, Stop> {
        Ok(self.shards.iter_mut().map(|shard| shard.carry(postings)).collect::<Result<_, _>>()?)
    }

    async fn trades(&mut self, trades: Vec<(MarketIx, Observation)>) -> Result<(), Stop> {
        for (market, seen) in trades {
            self.oracle.record(market, crate::oracle::LAST.into(), seen);
        }
        Ok(())
    }

    async fn dues(&mut self, market: MarketIx, mark: Price) -> Result<Vec<Due>, Stop> {
        let mut dues = Vec::new();
        for shard in &self.shards {
            dues.extend(shard.dues(market, mark)?);
        }
        Ok(dues)
    }

    async fn caps(&mut self, market: MarketIx, who: Vec<(AccountId, Leg)>) -> Result<Vec<Cap>, Stop> {
        let mut caps = Vec::new();
        for shard in &self.shards {
            caps.extend(shard.caps(market, &who)?);
        }
        Ok(caps)
    }

    async fn totals(&mut self) -> Result<Totals, Stop> {
        let mut totals = Totals::default();
        for shard in &self.shards {
            totals.merge(shard.totals())?;
        }
        Ok(totals)
    }
}
