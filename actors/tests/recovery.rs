//! A start over a journal that cannot be read to its end: nothing of it is taken for the whole.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use backstop_actors::data_dir::{DataDir, Recovered};
use backstop_actors::gateway::{GatewayConfig, Refusal};
use backstop_actors::halt::{Halt, HaltSender};
use backstop_actors::journal::{FileJournal, JournalStore, Written};
use backstop_actors::recovery::{self, Replayed};
use backstop_actors::topology::{self, Placement, Plan};
use backstop_engine::command::Envelope;
use std::path::Path;
use std::sync::Arc;

/// A directory whose journal has several segments.
fn filled(root: &Path) {
    let (data, _) = DataDir::open(root).unwrap();
    let (mut journal, _) = FileJournal::open(data.disk().clone(), &data.journal(), 400).unwrap();
    for number in 0..8 {
        let line = format!(r#"{{"type":"list_asset","asset":"A{number}","scale":2}}"#);
        let command = Envelope::read(&line).unwrap().command;
        journal.append(&[Written::Command { time: 1, command, numbered: None }]).unwrap();
    }
}

/// Starts over it: what was replayed, and why it stopped.
fn started(root: &Path) -> (Result<Replayed, Refusal>, Option<Halt>) {
    let (halt, mut halted) = HaltSender::channel();
    let found = actix::System::new().block_on(async {
        let (data, _) = DataDir::open(root).unwrap();
        let Recovered { start, journal, history, .. } = data.recover().unwrap();
        let gateway = GatewayConfig {
            policy: Default::default(),
            accepts_time: false,
            mark_interval: None,
            clock: Arc::new(|| 1),
            room: None,
            snapshots: None,
        };
        let (from, journal) = (start.position, Box::new(journal));
        let (placement, shows_accounts) = (Placement::Single, false);
        let plan = Plan { shards: 1, placement, shows_accounts, gateway, start, journal, history };
        let topology = topology::start(plan, &halt).unwrap();
        let replayed = recovery::replay(&data, from, &topology.gateway, &halt).await;
        halt.shut_down();
        replayed
    });
    (found, halted.try_recv().ok())
}

#[test]
fn a_journal_of_several_segments_is_replayed_from_the_first_to_the_last() {
    let root = tempfile::tempdir().unwrap();
    filled(root.path());
    assert!(std::fs::read_dir(root.path().join("journal")).unwrap().count() > 2);
    let (replayed, halt) = started(root.path());
    assert_eq!(replayed, Ok(Replayed { batches: 8, commands: 8 }));
    assert!(halt.is_none(), "{halt:?}");
}

#[test]
fn damage_or_a_gap_in_an_earlier_segment_is_a_halt_and_not_the_end_of_the_journal() {
    let damages: [fn(&Path); 2] = [
        |segment| {
            let mut bytes = std::fs::read(segment).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(segment, bytes).unwrap();
        },
        |segment| std::fs::remove_file(segment).unwrap(),
    ];
    for damage in damages {
        let root = tempfile::tempdir().unwrap();
        filled(root.path());
        let mut segments: Vec<_> =
            std::fs::read_dir(root.path().join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.sort();
        damage(&segments[1]);
        let (replayed, halt) = started(root.path());
        assert_eq!(replayed, Err(Refusal::Halted));
        assert!(matches!(halt, Some(Halt::JournalCorrupt(_))), "{halt:?}");
    }
}
