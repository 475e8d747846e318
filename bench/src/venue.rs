//! The whole of Backstop in this process, as the daemon starts it on a data directory.

use crate::Failed;
use actix::System;
use backstop_actors::data_dir::{DataDir, Recovered, Start};
use backstop_actors::gateway::{Answer, GatewayConfig, Read};
use backstop_actors::halt::HaltSender;
use backstop_actors::history::History;
use backstop_actors::journal::{JournalStore, MemoryJournal, Position, Written};
use backstop_actors::topology::{self, Placement, Plan, Topology};
use backstop_engine::command::Envelope;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Commands of one submission while a venue is set up.
const SETUP: usize = 5_000;

/// What is kept, and how.
pub(crate) struct Kept {
    /// In use as long as this lives; none when nothing is kept.
    data: Option<DataDir>,
    start: Start,
    journal: Box<dyn JournalStore>,
    history: History,
}

impl Kept {
    /// In a new data directory, as the daemon keeps it.
    pub(crate) fn new(root: &Path) -> Result<Self, Failed> {
        let (data, _) = DataDir::open(root)?;
        let Recovered { start, journal, history, .. } = data.recover()?;
        Ok(Self { data: Some(data), start, journal: Box::new(journal), history })
    }

    /// Nowhere.
    pub(crate) fn nothing() -> Result<Self, Failed> {
        let (start, journal) = (Start::default(), Box::new(MemoryJournal::default()));
        Ok(Self { data: None, start, journal, history: History::temporary()? })
    }

    /// Writes a batch to the journal, and nothing else.
    pub(crate) fn append(&mut self, batch: &[Written]) -> Result<Position, Failed> {
        Ok(self.journal.append(batch)?)
    }
}

/// A batch as the journal takes it.
pub(crate) fn written(time: u64, commands: &[Envelope]) -> Vec<Written> {
    let write = |envelope: &Envelope| Written::Command { time, command: envelope.command.clone(), numbered: None };
    commands.iter().map(write).collect()
}

/// A submission.
pub(crate) fn reads(commands: &[Envelope]) -> Vec<Read> {
    commands.iter().cloned().map(Ok).collect()
}

/// Commands as HTTP takes them, one a line.
pub(crate) fn lines(commands: &[Envelope]) -> impl Iterator<Item = String> {
    commands.iter().map(|envelope| format!("{}\n", envelope.to_json()))
}

/// Milliseconds of the clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Starts it over what is kept, brings in `setup`, and does `work`.
pub(crate) fn with<T>(
    kept: Kept,
    shards: usize,
    placement: Placement,
    setup: &[Envelope],
    work: impl AsyncFnOnce(&Topology) -> Result<T, Failed>,
) -> Result<T, Failed> {
    let (halt, mut halted) = HaltSender::channel();
    let Kept { data, start, journal, history } = kept;
    let done = System::new().block_on(async {
        let clock = Arc::new(now);
        let gateway = GatewayConfig {
            accepts_time: false,
            mark_interval: None,
            policy: Default::default(),
            clock,
            room: None,
            snapshots: None,
        };
        let plan = Plan { shards, placement, shows_accounts: false, gateway, start, journal, history };
        let topology = topology::start(plan, &halt)?;
        topology.gateway.serve();
        for batch in setup.chunks(SETUP) {
            all_taken(&topology.gateway.submit(reads(batch)).await?)?;
        }
        let done = work(&topology).await;
        topology.stop().await;
        // From here on actors may end, as those on this thread do with it.
        halt.shut_down();
        done
    });
    System::current().stop();
    drop(data);
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
