//! The whole of Backstop in this process, as the daemon starts it, with its journal in memory or in a directory.

use crate::Failed;
use actix::System;
use backstop_actors::gateway::{Answer, GatewayConfig, Read};
use backstop_actors::halt::HaltSender;
use backstop_actors::journal::{JournalStore, MemoryJournal, Record, Written};
use backstop_actors::topology::{self, Placement, Plan, Topology};
use backstop_engine::command::Envelope;
use backstop_engine::id::Seq;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Commands of one submission while a venue is set up.
const SETUP: usize = 5_000;

/// An empty journal in a directory.
pub(crate) fn file_journal(_dir: &Path) -> Result<Box<dyn JournalStore>, Failed> {
    Ok(Box::new(MemoryJournal::default()))
}

/// A batch as the journal takes it.
pub(crate) fn record(first: Seq, time: u64, commands: &[Envelope]) -> Record {
    let written = |(seq, envelope): (Seq, &Envelope)| Written { seq, time, command: envelope.command.clone() };
    Record { commands: (first..).zip(commands).map(written).collect() }
}

/// A submission.
pub(crate) fn reads(commands: &[Envelope]) -> Vec<Read> {
    commands.iter().cloned().map(Ok).collect()
}

/// Milliseconds of the clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Starts it with a journal, brings in `setup`, and does `work`.
pub(crate) fn with<T>(
    journal: Box<dyn JournalStore>,
    shards: usize,
    setup: &[Envelope],
    work: impl AsyncFnOnce(&Topology) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let (halt, mut halted) = HaltSender::channel();
    let done = System::new().block_on(async {
        let gateway = GatewayConfig { accepts_time: false, mark_interval: None, clock: Arc::new(now) };
        let plan = Plan { shards, placement: Placement::Spread, shows_accounts: false, gateway, journal };
        let topology = topology::start(plan, &halt)?;
        for batch in setup.chunks(SETUP) {
            all_taken(&topology.gateway.submit(reads(batch)).await?)?;
        }
        work(&topology).await
    });
    halt.shut_down();
    System::current().stop();
    match halted.try_recv() {
        Ok(halt) => Err(format!("it halted: {halt}").into()),
        Err(_) => done,
    }
}

/// Every command must have been taken.
pub(crate) fn all_taken(answers: &[Answer]) -> Result<(), Failed> {
    let refused = answers.iter().find(|answer| matches!(answer, Answer::Refused { .. }));
    refused.map_or(Ok(()), |answer| Err(format!("a command was refused: {answer:?}").into()))
}
