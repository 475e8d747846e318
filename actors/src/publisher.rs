//! The publisher: turns events into history and metrics. It decides nothing, and the engine never waits for a reader.

use crate::halt::{DeathWatch, Halt, HaltSender};
use crate::history::{History, HistoryError, Item, Look};
use crate::station::Depth;
use crate::telemetry::Telemetry;
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, MessageResult};
use backstop_engine::event::Event;
use backstop_engine::flow::{BatchOutcome, Stop};
use backstop_engine::id::{Millis, Seq};
use backstop_engine::rules::Market;
use backstop_engine::view::{Conservation, FundView};
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Batches and reads that wait: the conductor has one of its own on the way.
const MAILBOX: usize = 512;

/// The way to the publisher. Cheap to clone.
#[derive(Clone)]
pub struct PublisherHandle {
    addr: Addr<Publisher>,
    depth: Depth,
}

impl PublisherHandle {
    /// Starts the publisher on an arbiter.
    pub fn start(history: History, halt: HaltSender, place: &ArbiterHandle) -> Self {
        let depth = Depth::default();
        let counted = depth.clone();
        let addr = Publisher::start_in_arbiter(place, move |_| Publisher::new(history, counted, halt));
        Self { addr, depth }
    }

    /// How many messages wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Has mailboxes watched, by the name of their actor.
    pub fn watch(&self, depths: Vec<(&'static str, Depth)>) {
        self.depth.enter();
        self.addr.do_send(Watch(depths));
    }

    /// Tells what happened. It is told at once, so whoever reads afterwards reads of it; it need not be waited for, but
    /// no more than one at a time may be on its way.
    pub fn publish(&self, publish: Publish) -> Published {
        self.depth.enter();
        let (done, told) = oneshot::channel();
        // Past the bound of the mailbox: readers, who may fill it, must not come before what they are to read.
        self.addr.do_send(Tell(publish, done));
        Published(told)
    }

    /// Makes the history safe up to what was published.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn commit(&self) -> Result<(), Stop> {
        self.depth.enter();
        self.addr.send(Commit).await.map_err(|_| Stop::Gone("publisher"))
    }

    /// Asks for a page: the last command the publisher knows of, the items, and whether there are more.
    ///
    /// # Errors
    /// The outer: [`Stop::Gone`]. The inner: the history cannot be read.
    pub async fn read(&self, read: Read) -> Result<Result<(Seq, Vec<Item>, bool), HistoryError>, Stop> {
        self.depth.enter();
        self.addr.send(read).await.map_err(|_| Stop::Gone("publisher"))
    }

    /// Asks how long ticks took.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn ticks(&self) -> Result<TickTimes, Stop> {
        self.depth.enter();
        self.addr.send(ReadTicks).await.map_err(|_| Stop::Gone("publisher"))
    }

    /// Sends every event from now on. A reader whose channel is full, or gone, is dropped: the engine never waits for
    /// one.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn subscribe(&self, reader: tokio::sync::mpsc::Sender<Event>) -> Result<(), Stop> {
        self.depth.enter();
        self.addr.send(Subscribe(reader)).await.map_err(|_| Stop::Gone("publisher"))
    }
}

/// Something that is being told.
pub struct Published(oneshot::Receiver<()>);

impl Published {
    /// Waits until it is told.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn done(self) -> Result<(), Stop> {
        self.0.await.map_err(|_| Stop::Gone("publisher"))
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Tell(Publish, oneshot::Sender<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Watch(Vec<(&'static str, Depth)>);

impl Handler<Watch> for Publisher {
    type Result = ();

    fn handle(&mut self, watch: Watch, _: &mut Self::Context) {
        self.depth.leave();
        self.depths = watch.0;
    }
}

/// What a tick's figures are.
#[derive(Debug, Clone)]
pub struct TickFigures {
    /// How long the batch took in the engine.
    pub took: Duration,
    /// Its time.
    pub time: Millis,
    /// The balance after it.
    pub balance: Conservation,
    /// The funds after it.
    pub funds: Vec<FundView>,
    /// Markets: age of the freshest observation, degraded?
    pub ages: Vec<(SmolStr, Option<Millis>, bool)>,
    /// Liquidations under way, and when the oldest began.
    pub open: (usize, Option<Millis>),
    /// Accounts looked at.
    pub examined: u64,
}

/// What happened.
pub struct Publish {
    /// The batch.
    pub outcome: BatchOutcome,
    /// How many commands of each type.
    pub kinds: Vec<(&'static str, u64)>,
    /// Markets listed in it.
    pub listed: Vec<Arc<Market>>,
    /// After a tick.
    pub tick: Option<TickFigures>,
    /// Had it happened before the daemon started?
    pub replayed: bool,
}

/// The actor that owns the history.
pub struct Publisher {
    history: History,
    telemetry: Telemetry,
    tick_times: hist::Times,
    seq: Seq,
    readers: Vec<tokio::sync::mpsc::Sender<Event>>,
    depths: Vec<(&'static str, Depth)>,
    depth: Depth,
    halt: HaltSender,
    _watch: DeathWatch,
}

/// How long ticks took, exactly: every one is kept, four bytes each.
mod hist {
    /// Microseconds of every tick.
    #[derive(Default)]
    pub(super) struct Times(Vec<u32>);

    impl Times {
        pub(super) fn push(&mut self, took: std::time::Duration) {
            // A week of ticks a second; then it starts over.
            if self.0.len() >= 604_800 {
                self.0.clear();
            }
            self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }

        /// Count, median, 99th percentile and maximum, in microseconds.
        pub(super) fn summary(&self) -> (usize, u32, u32, u32) {
            let mut sorted = self.0.clone();
            sorted.sort_unstable();
            let at = |percent: usize| {
                let place = sorted.len().saturating_mul(percent).checked_div(100).unwrap_or(0);
                sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
            };
            (sorted.len(), at(50), at(99), at(100))
        }
    }
}

impl Publisher {
    fn new(history: History, depth: Depth, halt: HaltSender) -> Self {
        let watch = halt.watch("publisher");
        Self {
            history,
            telemetry: Telemetry::default(),
            tick_times: hist::Times::default(),
            seq: 0,
            readers: Vec::new(),
            depths: Vec::new(),
            depth,
            halt,
            _watch: watch,
        }
    }
}

/// How often mailbox depths are sampled.
const SAMPLE: Duration = Duration::from_millis(500);

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(SAMPLE, |publisher, _| {
            publisher.telemetry.depths(&publisher.depths);
            let saved = publisher.history.save();
            publisher.check(saved);
        });
    }
}

impl Publisher {
    fn check(&self, done: Result<(), HistoryError>) {
        if let Err(error) = done {
            self.halt.halt(Halt::History(error));
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Commit;

impl Handler<Commit> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Commit, _: &mut Self::Context) {
        self.depth.leave();
        let committed = self.history.commit();
        self.check(committed);
    }
}

impl Handler<Tell> for Publisher {
    type Result = ();

    fn handle(&mut self, Tell(publish, done): Tell, _: &mut Self::Context) {
        self.depth.leave();
        self.take(publish);
        // The conductor may be gone.
        let _ = done.send(());
    }
}

impl Publisher {
    fn take(&mut self, publish: Publish) {
        publish.listed.iter().for_each(|market| self.history.know_market(market));
        for entry in &publish.outcome.entries {
            self.seq = entry.seq;
            let taken = self.history.take(entry.seq, &entry.events);
            self.check(taken);
        }
        if publish.replayed {
            return;
        }
        self.telemetry.batch(&publish.kinds);
        for event in publish.outcome.entries.iter().flat_map(|entry| &entry.events) {
            self.telemetry.event(event, self.history.notional(&event.fact));
        }
        self.readers.retain(|reader| {
            publish
                .outcome
                .entries
                .iter()
                .all(|entry| entry.events.iter().all(|event| reader.try_send(event.clone()).is_ok()))
        });
        if let Some(tick) = &publish.tick {
            self.tick_times.push(tick.took);
            self.telemetry.tick(tick, self.seq);
        }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Subscribe(tokio::sync::mpsc::Sender<Event>);

impl Handler<Subscribe> for Publisher {
    type Result = ();

    fn handle(&mut self, reader: Subscribe, _: &mut Self::Context) {
        self.depth.leave();
        self.readers.push(reader.0);
    }
}

/// Asks for a page.
pub struct Read {
    /// Of what.
    pub look: Look,
    /// Items after this number.
    pub after: u64,
    /// How many.
    pub limit: usize,
}

impl Message for Read {
    type Result = Result<(Seq, Vec<Item>, bool), HistoryError>;
}

impl Handler<Read> for Publisher {
    type Result = MessageResult<Read>;

    fn handle(&mut self, read: Read, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let page = self.history.page(&read.look, read.after, read.limit);
        MessageResult(page.map(|(items, more)| (self.seq, items, more)))
    }
}

/// How long ticks took so far.
pub struct ReadTicks;

/// Count, median, 99th percentile and maximum in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickTimes(pub usize, pub u32, pub u32, pub u32);

impl Message for ReadTicks {
    type Result = TickTimes;
}

impl Handler<ReadTicks> for Publisher {
    type Result = MessageResult<ReadTicks>;

    fn handle(&mut self, _: ReadTicks, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let (count, median, high, max) = self.tick_times.summary();
        MessageResult(TickTimes(count, median, high, max))
    }
}
