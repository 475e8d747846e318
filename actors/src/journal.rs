//! The journal: what has been written down, batch by batch, before it is applied.
//!
//! The port is [`JournalStore`]. A batch is handed on to the conductor only after its store says that it is kept.

use crate::conductor::{ApplyBatch, Conductor};
use crate::halt::{DeathWatch, Halt, HaltSender};
use crate::station::Depth;
use actix::{Actor, Addr, Context, Handler, Message};
use backstop_engine::command::Command;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::instruction::Entry;
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

/// The actor that owns the store.
pub struct Journal {
    store: Box<dyn JournalStore>,
    conductor: Addr<Conductor>,
    depth: Depth,
    halt: HaltSender,
    _watch: DeathWatch,
}

/// Batches on their way: no more than the gateway has in flight.
const MAILBOX: usize = 16;

impl Journal {
    /// Around a store.
    pub fn new(store: Box<dyn JournalStore>, conductor: Addr<Conductor>, depth: Depth, halt: HaltSender) -> Self {
        let watch = halt.watch("journal");
        Self { store, conductor, depth, halt, _watch: watch }
    }
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

/// Keep this batch, then have it applied.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AppendBatch {
    /// To be written.
    pub record: Record,
    /// To be applied.
    pub entries: Vec<Entry>,
}

impl Handler<AppendBatch> for Journal {
    type Result = ();

    fn handle(&mut self, batch: AppendBatch, _: &mut Self::Context) {
        self.depth.leave();
        if let Err(error) = self.store.append(batch.record) {
            self.halt.halt(Halt::JournalIo(error));
            return;
        }
        // In order: the mailbox keeps the order of sending, and has room for everything in flight.
        if self.conductor.try_send(ApplyBatch { entries: batch.entries }).is_err() {
            self.halt.halt(Halt::MailboxFull("conductor"));
        }
    }
}
