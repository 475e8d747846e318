//! The publisher: turns events into streams, history and metrics. It decides nothing, and the engine never waits for a
//! reader: whoever listens too slowly hears how much was missed.

mod times;
mod told;

pub use told::{Progress, Told, ToldEvent};

use crate::halt::{DeathWatch, Halt, HaltSender};
use crate::history::{History, HistoryError, Item, Look, Reader, Readers, body};
use crate::station::Depth;
use crate::telemetry::Telemetry;
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, MessageResult};
use backstop_engine::flow::{BatchOutcome, EntryOutcome, Stop};
use backstop_engine::id::{Millis, Seq};
use backstop_engine::rules::Market;
use backstop_engine::view::{Conservation, FundView};
use smol_str::SmolStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot, watch};

/// Batches and reads that wait: the conductor has one of its own on the way.
const MAILBOX: usize = 512;
/// What is kept for a slow listener; past it the oldest is lost to it. A tick is told at once, and a second has a few.
const KEPT: usize = 512;

/// The way to the publisher. Cheap to clone.
#[derive(Clone)]
pub struct PublisherHandle {
    addr: Addr<Publisher>,
    told: broadcast::Sender<Arc<Told>>,
    progress: watch::Receiver<Progress>,
    readers: Readers,
    depth: Depth,
}

impl PublisherHandle {
    /// Starts the publisher on an arbiter, to go on from where the state begins, and the threads that read.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(history: History, begun: Progress, halt: HaltSender, place: &ArbiterHandle) -> std::io::Result<Self> {
        let readers = Readers::start(history.path())?;
        let depth = Depth::default();
        let (told, _) = broadcast::channel(KEPT);
        let (shown, progress) = watch::channel(begun);
        let (counted, telling) = (depth.clone(), told.clone());
        let addr = Publisher::start_in_arbiter(place, move |_| {
            let watch = halt.watch("publisher");
            Publisher {
                history,
                telemetry: Telemetry::default(),
                tick_times: times::Times::default(),
                progress: begun,
                shown,
                told: telling,
                depths: Vec::new(),
                depth: counted,
                halt,
                _watch: watch,
            }
        });
        Ok(Self { addr, told, progress, readers, depth })
    }

    /// Hears every event from now on, as it happens; nothing of a replay. What a listener is too slow for is lost to it,
    /// and it is told how much.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Told>> {
        self.told.subscribe()
    }

    /// How far the publisher is, now and at every change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
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

    /// Ends the history: it is safe up to what was published, and what is not kept is removed.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn close(&self) -> Result<(), Stop> {
        self.depth.enter();
        self.addr.send(Close).await.map_err(|_| Stop::Gone("publisher"))
    }

    /// Asks for a page: the last command whose events it knows, the items, and whether there are more.
    ///
    /// # Errors
    /// The outer: [`Stop::Gone`]. The inner: the history cannot be read.
    pub async fn read(&self, read: Read) -> Result<Result<(Seq, Vec<Item>, bool), HistoryError>, Stop> {
        let Read { look, after, limit } = read;
        let found = self.look_up(move |reader| reader.page(&look, after, limit)).await?;
        Ok(found.map(|(seq, (items, more))| (seq, items, more)))
    }

    /// Looks something up, on a thread that reads: the last command whose events were there, and what was found, of one
    /// moment. Everything published before is there.
    ///
    /// # Errors
    /// The outer: [`Stop::Gone`]. The inner: the history cannot be read.
    pub async fn look_up<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<R, HistoryError> + Send + 'static,
    ) -> Result<Result<(Seq, R), HistoryError>, Stop> {
        self.depth.enter();
        self.addr.send(Save).await.map_err(|_| Stop::Gone("publisher"))?;
        self.readers.look(work).await
    }

    /// Asks how long ticks took.
    ///
    /// # Errors
    /// [`Stop::Gone`].
    pub async fn ticks(&self) -> Result<TickTimes, Stop> {
        self.depth.enter();
        self.addr.send(ReadTicks).await.map_err(|_| Stop::Gone("publisher"))
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
    pub listed: Vec<Listed>,
    /// After a tick.
    pub tick: Option<TickFigures>,
    /// Had it happened before the daemon started?
    pub replayed: bool,
}

/// A market that was listed.
pub struct Listed {
    /// Its rules.
    pub market: Arc<Market>,
    /// What it settles in.
    pub asset: SmolStr,
}

/// The actor that owns the history.
pub struct Publisher {
    history: History,
    telemetry: Telemetry,
    tick_times: times::Times,
    progress: Progress,
    shown: watch::Sender<Progress>,
    told: broadcast::Sender<Arc<Told>>,
    depths: Vec<(&'static str, Depth)>,
    depth: Depth,
    halt: HaltSender,
    _watch: DeathWatch,
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

#[derive(Message)]
#[rtype(result = "()")]
struct Close;

impl Handler<Close> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Close, _: &mut Self::Context) {
        self.depth.leave();
        let committed = self.history.commit();
        self.check(committed);
        self.history.close();
    }
}

/// Shows readers everything published so far.
#[derive(Message)]
#[rtype(result = "()")]
struct Save;

impl Handler<Save> for Publisher {
    type Result = ();

    fn handle(&mut self, _: Save, _: &mut Self::Context) {
        self.depth.leave();
        let saved = self.history.save();
        self.check(saved);
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
        publish.listed.iter().for_each(|Listed { market, asset }| self.history.know_market(market, asset));
        for entry in &publish.outcome.entries {
            self.progress.after(entry);
            let taken = self.history.take(entry.seq, &entry.events);
            self.check(taken);
        }
        if !publish.replayed {
            self.measure(&publish);
            self.tell(publish.outcome.entries);
        }
        self.shown.send_replace(self.progress);
    }

    fn measure(&mut self, publish: &Publish) {
        self.telemetry.batch(&publish.kinds);
        for event in publish.outcome.entries.iter().flat_map(|entry| &entry.events) {
            self.telemetry.event(event, self.history.notional(event));
        }
        if let Some(tick) = &publish.tick {
            self.tick_times.push(tick.took);
            self.telemetry.tick(tick, self.progress.seq);
        }
    }

    fn tell(&self, entries: Vec<EntryOutcome>) {
        if self.told.receiver_count() == 0 {
            return;
        }
        let events: Vec<ToldEvent> = entries.into_iter().flat_map(|entry| entry.events).map(ToldEvent::from).collect();
        if !events.is_empty() {
            let Progress { seq, time, .. } = self.progress;
            // The last listener may have gone meanwhile.
            let _ = self.told.send(Arc::new(Told { seq, time, events }));
        }
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
