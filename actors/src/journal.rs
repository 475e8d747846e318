//! The journal: what has been written down, batch by batch, before it is applied.
//!
//! The port is [`JournalStore`]. A batch is handed on to the conductor only after its store says that it is kept.

mod file;
pub mod record;
mod segment;

pub use file::{Cut, FileJournal, Found, JournalError, SEGMENT, read};
pub use record::{Hash, Numbered, Position, Written};
pub use segment::{Damage, VERSION};

use crate::conductor::{ApplyBatch, ConductorHandle};
use crate::halt::{Halt, HaltSender};
use crate::station::Depth;
use crate::telemetry::Durability;
use backstop_engine::instruction::Entry;
use crossbeam::channel::{Receiver, Sender};
use std::time::Instant;
use tokio::sync::oneshot;

/// Where batches are kept.
pub trait JournalStore: Send {
    /// Keeps a batch; it is safe when this returns, and the journal stands at the position returned.
    ///
    /// # Errors
    /// What the disk says. It is never tried again: the daemon stops.
    fn append(&mut self, commands: &[Written]) -> std::io::Result<Position>;

    /// Notes that the daemon ends in good order.
    ///
    /// # Errors
    /// What the disk says.
    fn seal(&mut self) -> std::io::Result<()>;

    /// Where the journal stands.
    fn position(&self) -> Position;
}

/// Keeps nothing: a restart begins empty. For demos and scenarios.
#[derive(Debug, Default)]
pub struct MemoryJournal(Position);

impl JournalStore for MemoryJournal {
    fn append(&mut self, commands: &[Written]) -> std::io::Result<Position> {
        let count = commands.iter().filter(|written| written.is_command()).count();
        self.0.batch = self.0.batch.saturating_add(1);
        self.0.seq = self.0.seq.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(self.0)
    }

    fn seal(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn position(&self) -> Position {
        self.0
    }
}

/// A batch on its way.
#[derive(Default)]
pub struct Batch {
    /// To be kept; nothing when it is kept already, because it is replayed.
    pub commands: Vec<Written>,
    /// To be applied.
    pub entries: Vec<Entry>,
    /// Has it been applied before the daemon started?
    pub replayed: bool,
    /// Is the state to be written down after it?
    pub snapshot: bool,
}

impl Batch {
    /// Makes room for more commands.
    pub fn reserve(&mut self, more: usize) {
        self.commands.reserve(more);
        self.entries.reserve(more);
    }
}

enum Order {
    Batch(Batch),
    Seal(oneshot::Sender<()>),
}

/// Batches on their way: no more than the gateway has in flight.
const QUEUE: usize = 16;

/// The way to the journal's thread. Writing blocks, so it has a thread of its own and no actor waits behind it.
#[derive(Clone)]
pub struct JournalHandle {
    orders: Sender<Order>,
    depth: Depth,
}

impl JournalHandle {
    /// Starts the thread around a store. It ends when the last handle is gone.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(store: Box<dyn JournalStore>, conductor: ConductorHandle, halt: HaltSender) -> std::io::Result<Self> {
        let (orders, waiting) = crossbeam::channel::bounded(QUEUE);
        let depth = Depth::default();
        let counted = depth.clone();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || keep(store, &waiting, &conductor, &counted, &halt))?;
        Ok(Self { orders, depth })
    }

    /// How many batches wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Has a batch kept and applied.
    ///
    /// # Errors
    /// [`Halt::MailboxFull`], which the gateway's bound on batches in flight excludes.
    pub fn append(&self, batch: Batch) -> Result<(), Halt> {
        self.depth.enter();
        self.orders.try_send(Order::Batch(batch)).map_err(|_| Halt::MailboxFull("journal"))
    }

    /// Notes that the daemon ends in good order; nothing may follow. Resolves when that is safe, or when it cannot be.
    pub async fn seal(&self) {
        let (done, sealed) = oneshot::channel();
        self.depth.enter();
        if self.orders.try_send(Order::Seal(done)).is_ok() {
            // An error means that the thread has ended, which it has reported.
            let _ = sealed.await;
        }
    }
}

/// The thread: one batch after another, until nobody sends any more or one cannot be kept.
fn keep(
    mut store: Box<dyn JournalStore>,
    waiting: &Receiver<Order>,
    conductor: &ConductorHandle,
    depth: &Depth,
    halt: &HaltSender,
) {
    let _watch = halt.watch("journal");
    let seen = Durability::default();
    for order in waiting {
        depth.leave();
        let done = match order {
            Order::Batch(batch) => {
                let kept = if batch.commands.is_empty() {
                    Ok(store.position())
                } else {
                    let started = Instant::now();
                    let kept = store.append(&batch.commands);
                    seen.appended(started.elapsed());
                    kept
                };
                kept.map_err(Halt::JournalIo).and_then(|position| {
                    let Batch { entries, replayed, snapshot, .. } = batch;
                    conductor.apply(ApplyBatch { entries, replayed, snapshot: snapshot.then_some(position) })
                })
            }
            Order::Seal(done) => store.seal().map_err(Halt::JournalIo).map(|()| {
                // Whoever asked may be gone.
                let _ = done.send(());
            }),
        };
        if let Err(reason) = done {
            halt.halt(reason);
            return;
        }
    }
}
