//! The conductor: takes one batch at a time through the stations, tells the publisher, then the gateway. Reads go
//! through it too, so each sees the state between two batches, at a sequence number it can name.

use crate::floor::Floor;
use crate::gateway::{BatchApplied, Gateway};
use crate::halt::{DeathWatch, Halt, HaltSender};
use crate::journal::Position;
use crate::publisher::{Listed, Publish, Published, PublisherHandle, TickFigures};
use crate::snapshot::Image;
use crate::station::Depth;
use actix::{
    Actor, ActorFutureExt, Addr, ArbiterHandle, AtomicResponse, Context, ContextFutureSpawner, Handler, Message,
    WrapFuture,
};
use backstop_engine::flow::{BatchOutcome, Flow, Stop};
use backstop_engine::hash::StateHash;
use backstop_engine::id::{AccountId, Millis, Seq};
use backstop_engine::instruction::{Entry, Instruction, take_through};
use backstop_engine::rulebook::Rulebook;
use backstop_engine::rules::{Market, Rules};
use backstop_engine::snapshot::Core;
use backstop_engine::view::{AccountView, Conservation, FundView, MarkView, OpenOrderView, WarningView};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads that wait in the mailbox; each of more waits at its connection.
const MAILBOX: usize = 256;

/// What a batch needs for itself alone.
struct Work {
    flow: Flow,
    published: Option<Published>,
}

/// Drives the flow.
pub struct Conductor {
    /// The flow, and what the publisher is being told; none while a batch is applied.
    work: Option<Work>,
    floor: Floor,
    publisher: PublisherHandle,
    gateway: Option<Addr<Gateway>>,
    depth: Depth,
    seq: Seq,
    time: Millis,
    /// The last state hash that was asked for, and where: to compute it takes as long as there are accounts.
    hashed: Option<(Seq, String)>,
    halt: HaltSender,
    _watch: DeathWatch,
}

impl Conductor {
    /// Over a floor of stations, from where the core left off.
    fn new(floor: Floor, core: &Core, publisher: PublisherHandle, depth: Depth, halt: HaltSender) -> Self {
        let watch = halt.watch("conductor");
        let work = Some(Work { flow: core.flow(), published: None });
        let (seq, time) = (core.seq, core.time);
        Self { work, floor, publisher, gateway: None, depth, seq, time, hashed: None, halt, _watch: watch }
    }
}

impl Actor for Conductor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

/// The way to the conductor. Cheap to clone.
#[derive(Clone)]
pub struct ConductorHandle {
    addr: Addr<Conductor>,
    depth: Depth,
}

impl ConductorHandle {
    /// Starts the conductor on an arbiter.
    pub fn start(
        floor: Floor,
        core: Core,
        publisher: PublisherHandle,
        halt: HaltSender,
        place: &ArbiterHandle,
    ) -> Self {
        let depth = Depth::default();
        let counted = depth.clone();
        let addr = Conductor::start_in_arbiter(place, move |_| Conductor::new(floor, &core, publisher, counted, halt));
        Self { addr, depth }
    }

    /// How many messages wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Introduces the gateway, which is built last.
    pub fn meet(&self, gateway: Addr<Gateway>) {
        self.depth.enter();
        self.addr.do_send(Meet(gateway));
    }

    /// Has a batch applied that is safe in the journal, after all that were sent before.
    ///
    /// # Errors
    /// [`Halt::ActorDied`].
    pub fn apply(&self, batch: ApplyBatch) -> Result<(), Halt> {
        self.depth.enter();
        if !self.addr.connected() {
            return Err(Halt::ActorDied("conductor"));
        }
        // The gateway bounds batches; reads, which fill the mailbox, must not keep one out.
        self.addr.do_send(batch);
        Ok(())
    }

    /// Asks about the state between two batches.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn ask(&self, query: Query) -> Result<Answered, Stop> {
        self.depth.enter();
        self.addr.send(Ask(query)).await.map_err(|_| Stop::Gone("conductor"))?
    }
}

/// The gateway, which is built last.
#[derive(Message)]
#[rtype(result = "()")]
struct Meet(Addr<Gateway>);

impl Handler<Meet> for Conductor {
    type Result = ();

    fn handle(&mut self, meet: Meet, _: &mut Self::Context) {
        self.depth.leave();
        self.gateway = Some(meet.0);
    }
}

/// Apply a batch that is safe in the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ApplyBatch {
    /// Its commands.
    pub entries: Vec<Entry>,
    /// Has it been applied before the daemon started?
    pub replayed: bool,
    /// Where the journal stands after it, if the state is to be written down then.
    pub snapshot: Option<Position>,
}

impl Handler<ApplyBatch> for Conductor {
    type Result = ();

    fn handle(&mut self, batch: ApplyBatch, ctx: &mut Self::Context) {
        self.depth.leave();
        // Without it the daemon is stopping: a batch before this one could not be applied.
        let Some(work) = self.work.take() else { return };
        let applied = apply(work, self.floor.clone(), self.publisher.clone(), (self.seq, self.time), batch);
        applied
            .into_actor(self)
            .map(|done, conductor, ctx| match done {
                Ok((work, applied)) => {
                    conductor.work = Some(work);
                    (conductor.seq, conductor.time) = applied.last.unwrap_or((conductor.seq, conductor.time));
                    conductor.answer(applied, ctx);
                }
                Err(stop) => conductor.halt.halt(stop.into()),
            })
            // Nothing else is handled until the batch is done.
            .wait(ctx);
    }
}

impl Conductor {
    fn answer(&self, applied: BatchApplied, _: &mut Context<Self>) {
        match self.gateway.as_ref().filter(|gateway| gateway.connected()) {
            // No more than the batches in flight; submissions, which fill the mailbox, must not keep one out.
            Some(gateway) => gateway.do_send(applied),
            None => self.halt.halt(Halt::ActorDied("gateway")),
        }
    }
}

/// Applies a batch, tick by tick so that each tick's time is its own.
async fn apply(
    mut work: Work,
    mut floor: Floor,
    publisher: PublisherHandle,
    (seq, time): (Seq, Millis),
    batch: ApplyBatch,
) -> Result<(Work, BatchApplied), Stop> {
    let ApplyBatch { entries, replayed, snapshot } = batch;
    let mut applied = BatchApplied::default();
    let mut rest = entries.into_iter();
    while !rest.as_slice().is_empty() {
        // A piece ends with a tick. Batches have no meaning of their own, so neither have pieces.
        let piece = take_through(&mut rest, is_tick);
        let ticks = piece.last().is_some_and(|entry| is_tick(&entry.instruction));
        let kinds = tally(&piece);
        let markets: Vec<Arc<Market>> = piece.iter().filter_map(listed).collect();
        let started = Instant::now();
        let outcome = work.flow.batch(piece, &mut floor).await?;
        let took = started.elapsed();
        applied.add(&outcome);
        let tick =
            if ticks && !replayed { Some(figures(&floor, work.flow.rules(), &outcome, took).await?) } else { None };
        // The one before has been told meanwhile, as a rule; if not, this is where everybody slows down.
        if let Some(before) = work.published.take() {
            before.done().await?;
        }
        let rules = work.flow.rules();
        let listed = markets.into_iter().filter_map(|market| {
            let asset = rules.asset(market.asset).ok()?.name.clone();
            Some(Listed { market, asset })
        });
        let listed = listed.collect();
        work.published = Some(publisher.publish(Publish { outcome, kinds, listed, tick, replayed }));
    }
    if let Some(position) = snapshot {
        let (seq, time) = applied.last.unwrap_or((seq, time));
        let (core, accounts) = floor.write(&work.flow, seq, time).await?;
        // What readers look up is never behind a snapshot, or a start could not make up for it.
        publisher.commit().await?;
        applied.image = Some(Box::new(Image { position, core, accounts }));
    }
    Ok((work, applied))
}

fn is_tick(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Tick)
}

/// How many commands of each type.
fn tally(entries: &[Entry]) -> Vec<(&'static str, u64)> {
    let mut kinds: Vec<(&'static str, u64)> = Vec::new();
    for entry in entries {
        match kinds.iter_mut().find(|(kind, _)| *kind == entry.kind) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => kinds.push((entry.kind, 1)),
        }
    }
    kinds
}

/// The market a command lists.
fn listed(entry: &Entry) -> Option<Arc<Market>> {
    match &entry.instruction {
        Instruction::ListMarket(market) => Some(market.clone()),
        _ => None,
    }
}

/// What the metrics show after each tick.
async fn figures(
    floor: &Floor,
    rules: &Arc<Rules>,
    outcome: &BatchOutcome,
    took: Duration,
) -> Result<TickFigures, Stop> {
    let time = outcome.entries.last().map_or(0, |entry| entry.time);
    let (balance, _) = floor.conservation(rules.clone(), false).await?;
    let funds = floor.fund_views(rules).await?;
    let ages = floor.oracle.call(move |oracle| oracle.ages(time)).await?;
    Ok(TickFigures { took, time, balance, funds, ages, open: floor.open().await?, examined: outcome.examined })
}

/// A question about the state between two batches.
pub enum Query {
    /// An account.
    Account(AccountId),
    /// Some accounts.
    Accounts(Vec<AccountId>),
    /// All prices.
    Marks,
    /// A fund.
    Fund(String),
    /// All funds.
    Funds,
    /// The balance, from the running sums, or computed anew.
    Conservation {
        /// Anew?
        audit: bool,
    },
    /// How near a market is to deleveraging.
    Warning(String),
    /// How near all markets are.
    Warnings,
    /// The liquidation orders that are open at the external venue.
    Orders,
    /// The rules in force, and all prices.
    Rules,
    /// The rules in force, their hash, and what is planned.
    Rulebook,
    /// The state hash.
    Status,
}

/// What it is.
pub enum Answer {
    /// To `Account`.
    Account(Option<AccountView>),
    /// To `Accounts`, in the order they were asked for.
    Accounts(Vec<Option<AccountView>>),
    /// To `Marks`.
    Marks(Vec<MarkView>),
    /// To `Fund`.
    Fund(Option<FundView>),
    /// To `Funds`, in the order of listing.
    Funds(Vec<FundView>),
    /// To `Conservation`: and are the sums and the fund's books sound?
    Conservation(Conservation, bool),
    /// To `Warning`; none for a market that is unknown or has no mark yet.
    Warning(Option<WarningView>),
    /// To `Warnings`: of the markets that have a mark, in the order of listing.
    Warnings(Vec<WarningView>),
    /// To `Orders`, in the order of sending.
    Orders(Vec<OpenOrderView>),
    /// To `Rules`.
    Rules(Arc<Rules>, Vec<MarkView>),
    /// To `Rulebook`.
    Rulebook(Arc<Rules>, Rulebook),
    /// To `Status`.
    Status {
        /// The state hash.
        state_hash: String,
        /// How many accounts.
        accounts: usize,
        /// How many shards.
        shards: usize,
    },
}

/// An answer, and the place in the order at which it holds.
pub struct Answered {
    /// The last command applied.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// How many events there have been.
    pub events: u64,
    /// The answer.
    pub answer: Answer,
}

struct Ask(Query);

impl Message for Ask {
    type Result = Result<Answered, Stop>;
}

impl Handler<Ask> for Conductor {
    type Result = AtomicResponse<Self, Result<Answered, Stop>>;

    fn handle(&mut self, ask: Ask, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let floor = self.floor.clone();
        let (seq, time) = (self.seq, self.time);
        // Without a flow the daemon is stopping.
        let flow = self.work.as_ref().map(|work| &work.flow);
        let rules = flow.map(|flow| flow.rules().clone()).unwrap_or_default();
        let events = flow.map_or(0, Flow::events);
        let rulebook = match (&ask.0, &self.work) {
            (Query::Rulebook, Some(work)) => Some(work.flow.rulebook().clone()),
            _ => None,
        };
        let hash = match (&ask.0, &self.work, &self.hashed) {
            (Query::Status, _, Some((at, text))) if *at == seq => Hash::Known(text.clone()),
            (Query::Status, Some(work), _) => {
                let mut hash = StateHash::default();
                work.flow.hash_into(&mut hash);
                Hash::Begun(hash)
            }
            _ => Hash::Begun(StateHash::default()),
        };
        let work = async move {
            match rulebook {
                Some(rulebook) => Ok(Answer::Rulebook(rules, rulebook)),
                None => answer(ask.0, floor, rules, hash).await,
            }
        };
        AtomicResponse::new(Box::pin(work.into_actor(self).map(move |answer, conductor, _| {
            let answer = answer?;
            if let Answer::Status { state_hash, .. } = &answer {
                conductor.hashed = Some((seq, state_hash.clone()));
            }
            Ok(Answered { seq, time, events, answer })
        })))
    }
}

/// What is known of the state hash.
enum Hash {
    /// It was asked for at this place in the order before.
    Known(String),
    /// The part that the flow holds, where it is asked for.
    Begun(StateHash),
}

async fn answer(query: Query, mut floor: Floor, rules: Arc<Rules>, hash: Hash) -> Result<Answer, Stop> {
    Ok(match query {
        Query::Account(id) => Answer::Account(floor.accounts_of(vec![id]).await?.pop().flatten()),
        Query::Accounts(ids) => Answer::Accounts(floor.accounts_of(ids).await?),
        Query::Marks => Answer::Marks(floor.mark_views().await?),
        Query::Fund(asset) => Answer::Fund(floor.fund_view(asset).await?),
        Query::Funds => Answer::Funds(floor.fund_views(&rules).await?),
        Query::Conservation { audit } => {
            let (balance, sound) = floor.conservation(rules, audit).await?;
            Answer::Conservation(balance, sound)
        }
        Query::Warning(market) => Answer::Warning(floor.warning(&rules, &market).await?),
        Query::Warnings => Answer::Warnings(floor.warnings(&rules).await?),
        Query::Orders => Answer::Orders(floor.open_orders().await?),
        Query::Rules => Answer::Rules(rules, floor.mark_views().await?),
        // Answered before; without a flow the daemon is stopping.
        Query::Rulebook => Answer::Rulebook(rules, Rulebook::default()),
        Query::Status => {
            let state_hash = match hash {
                Hash::Known(text) => text,
                Hash::Begun(mut hash) => {
                    hash.merge(floor.state_hash().await?);
                    hash.text()
                }
            };
            Answer::Status { state_hash, accounts: floor.accounts().await?, shards: floor.shards.len() }
        }
    })
}
