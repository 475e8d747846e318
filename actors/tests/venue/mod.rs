//! The real actors over nothing that is kept, fed with lines of scenario files.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used)]

use actix::System;
use backstop_actors::data_dir::Start;
use backstop_actors::gateway::GatewayConfig;
use backstop_actors::halt::HaltSender;
use backstop_actors::history::History;
use backstop_actors::journal::MemoryJournal;
use backstop_actors::topology::{self, Placement, Plan, Topology};
use backstop_engine::command::Envelope;
use backstop_engine::id::Millis;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every scenario file of the engine.
pub(crate) fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "ndjson"));
    files.sort();
    files
}

/// The commands that can be read, each with its time.
pub(crate) fn read(text: &str) -> Vec<Envelope> {
    let mut time: Millis = 0;
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("{\"type\"") || line.starts_with("{\"time\"")) {
        let Ok(mut envelope) = Envelope::read(line) else { continue };
        let at = envelope.time.unwrap_or(time);
        envelope.time = Some(at);
        time = time.max(at);
        found.push(envelope);
    }
    found
}

/// How the gateway of a scenario works: every line brings its time.
pub(crate) fn gateway() -> GatewayConfig {
    GatewayConfig {
        accepts_time: true,
        mark_interval: None,
        policy: Default::default(),
        clock: Arc::new(|| 0),
        room: None,
        snapshots: None,
    }
}

/// Starts the actors.
pub(crate) fn start(shards: usize, placement: Placement, halt: &HaltSender) -> Topology {
    let (start, journal) = (Start::default(), Box::new(MemoryJournal::default()));
    let history = History::temporary().unwrap();
    let plan = Plan { shards, placement, shows_accounts: true, gateway: gateway(), start, journal, history };
    topology::start(plan, halt).unwrap()
}

/// Has them take commands, and waits for the answers.
pub(crate) async fn submit(topology: &Topology, commands: &[Envelope]) {
    topology.gateway.submit(commands.iter().cloned().map(Ok).collect()).await.unwrap();
}

/// Runs work with the actors, within a system of its own.
pub(crate) fn with<R>(shards: usize, placement: Placement, work: impl AsyncFnOnce(&Topology) -> R) -> R {
    let (halt, mut halted) = HaltSender::channel();
    let done = System::new().block_on(async {
        let topology = start(shards, placement, &halt);
        let done = work(&topology).await;
        topology.stop().await;
        halt.shut_down();
        done
    });
    assert!(halted.try_recv().is_err(), "nothing may stop");
    done
}
