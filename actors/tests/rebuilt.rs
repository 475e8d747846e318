//! A data directory whose history is of another version: it is replayed from the beginning, and the history that comes
//! out of it is the one that was there, table for table.
#![allow(clippy::unwrap_used, clippy::panic)]

mod past;
mod venue;

use backstop_actors::conductor::{Answer, Query};
use backstop_actors::data_dir::{DataDir, Findings, Recovered};
use backstop_actors::gateway::{GatewayConfig, SnapshotPolicy};
use backstop_actors::halt::HaltSender;
use backstop_actors::publisher::Progress;
use backstop_actors::recovery;
use backstop_actors::snapshot::SnapshotHandle;
use backstop_actors::topology::{self, Placement, Plan};
use backstop_engine::command::Envelope;
use past::{commands_of_weeks, tables};
use rusqlite::Connection;
use std::path::Path;

/// Starts over a directory, takes commands, and ends in good order: what was found, how far it is, and the state's hash.
fn run(root: &Path, shards: usize, commands: &[Envelope]) -> (Findings, Progress, String) {
    let (halt, mut halted) = HaltSender::channel();
    let done = actix::System::new().block_on(async {
        let (data, _) = DataDir::open(root).unwrap();
        let Recovered { start, journal, history, findings } = data.recover().unwrap();
        let policy = SnapshotPolicy { batches: 9, interval: None };
        let snapshots = Some((policy, SnapshotHandle::start(data.shelf(3)).unwrap()));
        let gateway = GatewayConfig { snapshots, ..venue::gateway() };
        let (from, journal) = (start.position, Box::new(journal));
        let (placement, shows_accounts) = (Placement::Spread, false);
        let plan = Plan { shards, placement, shows_accounts, gateway, start, journal, history };
        let topology = topology::start(plan, &halt).unwrap();
        recovery::replay(&data, from, &topology.gateway, &halt).await.unwrap();
        topology.gateway.serve();
        for (place, piece) in commands.chunks(23).enumerate() {
            venue::submit(&topology, piece).await;
            if place % 2 == 0 {
                topology.publisher.look_up(|_| Ok(())).await.unwrap().unwrap();
            }
        }
        let Answer::Status { state_hash, .. } = topology.conductor.ask(Query::Status).await.unwrap().answer else {
            panic!("a status")
        };
        topology.stop().await;
        let progress = *topology.publisher.progress().borrow();
        halt.shut_down();
        (findings, progress, state_hash)
    });
    assert!(halted.try_recv().is_err());
    done
}

#[test]
fn a_history_of_another_version_is_rebuilt_from_the_journal_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("history.sqlite");
    let (_, progress, hash) = run(root.path(), 2, &commands_of_weeks(5));
    let live = tables(&file);
    assert!(progress.events > 1_000 && live.iter().all(|(_, rows)| !rows.is_empty()), "every table has rows");

    // As it is, the newest snapshot will do, and how far everything is is known from it.
    let (findings, again, same) = run(root.path(), 3, &[]);
    assert!(findings.snapshot.is_some() && findings.unusable.is_empty());
    assert_eq!((again, &same, tables(&file)), (progress, &hash, live.clone()));

    let history = Connection::open(&file).unwrap();
    history.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(history);
    let (findings, again, same) = run(root.path(), 1, &[]);
    assert!(findings.snapshot.is_none() && !findings.unusable.is_empty(), "a snapshot would leave a gap in it");
    assert_eq!((again, same), (progress, hash));
    let rebuilt = tables(&file);
    for ((name, live), (_, rebuilt)) in live.iter().zip(&rebuilt) {
        assert_eq!(live, rebuilt, "{name}");
    }
}
