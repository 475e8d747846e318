//! The journal: what has been written down, batch by batch, before it is applied.
//!
//! The port is [`JournalStore`]. A batch is handed on to the conductor only after its store says that it is kept.

use crate::conductor::ConductorHandle;
use crate::halt::{Halt, HaltSender};
use crate::station::Depth;
use backstop_engine::command::Command;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::instruction::Entry;
use crossbeam::channel::{Receiver, Sender};
use std::collections::VecDeque;

/// A command as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Its place.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// What it says.
    pub command: Command,
}

/// A batch: one record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Record {
    /// Its commands, in order.
    pub commands: Vec<Written>,
}

/// Where records are kept.
pub trait JournalStore: Send {
    /// Keeps a record; it is safe when this returns.
    ///
    /// # Errors
    /// What the disk says. It is never tried again: the daemon stops.
    fn append(&mut self, record: Record) -> std::io::Result<()>;
}

/// Keeps the latest records in memory: a restart begins empty.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: VecDeque<Record>,
    commands: usize,
}

/// Commands that the memory journal keeps before it forgets the oldest records: a long-lived daemon must not grow.
const KEPT: usize = 100_000;

impl JournalStore for MemoryJournal {
    fn append(&mut self, record: Record) -> std::io::Result<()> {
        self.commands = self.commands.saturating_add(record.commands.len());
        self.records.push_back(record);
        while self.commands > KEPT {
            let Some(oldest) = self.records.pop_front() else { break };
            self.commands = self.commands.saturating_sub(oldest.commands.len());
        }
        Ok(())
    }
}

/// A batch to be kept, then applied.
pub struct AppendBatch {
    /// To be written.
    pub record: Record,
    /// To be applied.
    pub entries: Vec<Entry>,
}

/// Batches on their way: no more than the gateway has in flight.
const QUEUE: usize = 16;

/// The way to the journal's thread. Writing blocks, so it has a thread of its own and no actor waits behind it.
#[derive(Clone)]
pub struct JournalHandle {
    batches: Sender<AppendBatch>,
    depth: Depth,
}

impl JournalHandle {
    /// Starts the thread around a store. It ends when the last handle is gone.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(store: Box<dyn JournalStore>, conductor: ConductorHandle, halt: HaltSender) -> std::io::Result<Self> {
        let (batches, waiting) = crossbeam::channel::bounded(QUEUE);
        let depth = Depth::default();
        let counted = depth.clone();
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || keep(store, &waiting, &conductor, &counted, &halt))?;
        Ok(Self { batches, depth })
    }

    /// How many batches wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Has a batch kept and applied.
    ///
    /// # Errors
    /// [`Halt::MailboxFull`], which the gateway's bound on batches in flight excludes.
    pub fn append(&self, batch: AppendBatch) -> Result<(), Halt> {
        self.depth.enter();
        self.batches.try_send(batch).map_err(|_| Halt::MailboxFull("journal"))
    }
}

/// The thread: one batch after another, until nobody sends any more or one cannot be kept.
fn keep(
    mut store: Box<dyn JournalStore>,
    waiting: &Receiver<AppendBatch>,
    conductor: &ConductorHandle,
    depth: &Depth,
    halt: &HaltSender,
) {
    let _watch = halt.watch("journal");
    for batch in waiting {
        depth.leave();
        let applied = store.append(batch.record).map_err(Halt::JournalIo);
        if let Err(reason) = applied.and_then(|()| conductor.apply(batch.entries)) {
            halt.halt(reason);
            return;
        }
    }
}
