//! Every instant at which everything can stop, for the journal and for snapshots: before, within each 512 bytes of, and
//! after every operation on the disk, with everything that could then be found there; and again inside the recovery.
//! And every byte flipped once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod common;

use backstop_actors::disk::Disk;
use backstop_actors::gateway::KeptProducer;
use backstop_actors::journal::{self, FileJournal, JournalError, JournalStore, Numbered, Position, Written};
use backstop_actors::snapshot::{self, Image, Shelf};
use backstop_engine::command::Envelope;
use backstop_engine::reference::{Options, Reference};
use common::{FATES, FaultyDisk, Stop, crashes};
use std::path::Path;
use std::sync::Arc;

const FOLDER: &str = "/journal";
/// Small enough that the batches below begin three segments.
const SEGMENT: u64 = 2_500;

/// Batches of one to forty commands, some of them refusals that used a number.
fn batches() -> Vec<Vec<Written>> {
    let command = |number: u64| {
        let line = format!(
            r#"{{"type":"fill","market":"BTC-USDT","price":"50000.{}","quantity":"0.{number}","buyer":"a{number}","seller":"b","trade":"t{number}"}}"#,
            number % 10
        );
        let numbered = Some(Numbered { producer: "feed".into(), number });
        Written::Command { time: 1_000 + number, command: Envelope::read(&line).unwrap().command, numbered }
    };
    let refused = |number: u64| Written::Refused {
        numbered: Numbered { producer: "feed".into(), number },
        code: "unknown_market".into(),
        message: "the market is not listed".to_owned(),
        field: "market".to_owned(),
    };
    let sizes = [1_u64, 3, 40, 1, 12, 2, 30, 1];
    let mut next = 1;
    let mut all = Vec::new();
    for size in sizes {
        let mut batch: Vec<Written> = (next..next + size).map(command).collect();
        next += size;
        if size == 2 {
            batch = vec![refused(next)];
            next += 1;
        }
        all.push(batch);
    }
    all
}

fn open(disk: &FaultyDisk) -> Result<FileJournal, JournalError> {
    FileJournal::open(Arc::new(disk.clone()), Path::new(FOLDER), SEGMENT).map(|(journal, _)| journal)
}

/// Appends batches, from a number on, until everything stops: how many were acknowledged.
fn append(disk: &FaultyDisk, batches: &[Vec<Written>], seals: bool) -> usize {
    let Ok(mut journal) = open(disk) else { return 0 };
    for (number, batch) in batches.iter().enumerate() {
        if journal.append(batch).is_err() {
            return number;
        }
    }
    if seals {
        let _ = journal.seal();
    }
    batches.len()
}

fn content(disk: &FaultyDisk) -> Result<(Vec<Vec<Written>>, bool), JournalError> {
    let mut found = Vec::new();
    let (_, cut) = journal::read::<JournalError>(disk, Path::new(FOLDER), &Position::default(), |record| {
        let commands = record.record.commands().unwrap();
        found.extend((!commands.is_empty()).then_some(commands));
        Ok(())
    })?;
    Ok((found, cut.is_some()))
}

/// A start after a crash: everything acknowledged is there, nothing that was not sent, and it goes on.
fn recovers(disk: &FaultyDisk, sent: &[Vec<Written>], acknowledged: usize, what: &str) -> usize {
    let journal = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(journal);
    let (found, cut) = content(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!cut, "{what}: the end was mended");
    assert!(found.len() >= acknowledged, "{what}: {} of {acknowledged} acknowledged", found.len());
    assert_eq!(found, sent[..found.len()], "{what}");
    found.len()
}

#[test]
fn the_journal_recovers_from_a_crash_at_every_point_and_from_one_inside_the_recovery() {
    let sent = batches();
    let whole = FaultyDisk::default();
    assert_eq!(append(&whole, &sent, true), sent.len());
    assert!(whole.names(Path::new(FOLDER)).unwrap().len() > 2, "segments follow each other");
    let (mut points, mut again) = (0, 0);
    for (operation, how) in crashes(&whole.operations()) {
        let disk = FaultyDisk::default();
        disk.stop_at(operation, how);
        let acknowledged = append(&disk, &sent, true);
        for fate in FATES {
            points += 1;
            let what = format!("operation {operation} {how:?}, {fate:?}");
            let found = disk.found(fate);
            // The recovery itself, from the start to its end.
            let trial = found.copy();
            let recovered = recovers(&trial, &sent, acknowledged, &what);
            for (inner, inner_how) in crashes(&trial.operations()) {
                let second = found.copy();
                second.stop_at(inner, inner_how);
                let _ = open(&second);
                for inner_fate in FATES {
                    again += 1;
                    let what = format!("{what}; in recovery {inner} {inner_how:?}, {inner_fate:?}");
                    recovers(&second.found(inner_fate), &sent, acknowledged, &what);
                }
            }
            // What a recovery has shown once is there ever after, and the journal goes on from it.
            let after = trial.found(common::Fate::Lost);
            assert_eq!(recovers(&after, &sent, recovered, &what), recovered, "{what}: shown once");
            assert_eq!(append(&after, &sent[recovered..], true), sent.len() - recovered, "{what}");
            assert_eq!(content(&after.found(common::Fate::Lost)).unwrap().0, sent, "{what}: goes on");
        }
    }
    assert!(points > 200 && again > 1_000, "{points} points, {again} inside the recovery");
}

#[test]
fn every_byte_of_a_journal_flipped_once_is_detected() {
    let sent = batches();
    for seals in [true, false] {
        let whole = FaultyDisk::default();
        append(&whole, &sent, seals);
        let names = whole.names(Path::new(FOLDER)).unwrap();
        for name in &names {
            let path = Path::new(FOLDER).join(name);
            let bytes = whole.read(&path).unwrap();
            for place in 0..bytes.len() {
                let disk = whole.copy();
                let mut flipped = bytes.clone();
                flipped[place] ^= 1 << (place % 8);
                disk.put(&path, flipped);
                let what = format!("{name}: byte {place}, sealed {seals}");
                // Looking and starting agree.
                let started = open(&disk.copy()).is_ok();
                match content(&disk) {
                    Err(_) => {}
                    // The last record is not whole: cut, and said. A sealed journal loses no more than the seal.
                    Ok((found, true)) => {
                        let lost = sent.len() - found.len();
                        assert!(started && lost <= usize::from(!seals), "{what}: {lost} lost");
                        assert_eq!(found, sent[..found.len()], "{what}");
                    }
                    Ok((_, false)) => panic!("{what}: nobody noticed"),
                }
            }
        }
    }
}

/// A state with some accounts, before or after more of them.
fn image(accounts: u64) -> Image {
    let mut engine = Reference::new(Options { shards: 3, shows_accounts: false });
    let mut apply = |line: &str| drop(engine.submit(&Envelope::read(line).unwrap().command, 1).unwrap());
    apply(r#"{"type":"list_asset","asset":"USDT","scale":6}"#);
    for account in 0..accounts {
        apply(&format!(r#"{{"type":"deposit","account":"account-{account}","asset":"USDT","amount":"{account}.5"}}"#));
    }
    let (core, accounts) = engine.write().unwrap();
    let (half, rest) = accounts.split_at(0);
    Image {
        position: Position { batch: core.seq, hash: [7; 32], seq: core.seq },
        core,
        accounts: vec![half.to_vec(), rest.to_vec()],
    }
}

fn shelf(disk: &FaultyDisk) -> Shelf {
    Shelf { disk: Arc::new(disk.clone()), folder: "/snapshots".into(), kept: 2 }
}

#[test]
fn a_snapshot_is_there_as_a_whole_or_not_at_all_wherever_everything_stops() {
    let images: Vec<Image> = [3, 9, 20, 40].map(image).into();
    let put = |disk: &FaultyDisk| {
        let mut taken = None;
        for image in &images {
            match shelf(disk).put(image, &Vec::<KeptProducer>::new()) {
                Ok(done) => taken = Some(done.seq),
                Err(_) => break,
            }
        }
        taken
    };
    let whole = FaultyDisk::default();
    assert_eq!(put(&whole), Some(41));
    let mut points = 0;
    for (operation, how) in crashes(&whole.operations()) {
        let disk = FaultyDisk::default();
        disk.stop_at(operation, how);
        let taken = put(&disk);
        for fate in FATES {
            points += 1;
            let what = format!("operation {operation} {how:?}, {fate:?}");
            let found = disk.found(fate);
            let listed = snapshot::list(&found, Path::new("/snapshots")).unwrap();
            assert!(listed.first().map(|(seq, _)| *seq) >= taken, "{what}: {listed:?} after {taken:?}");
            for (seq, path) in &listed {
                let contents =
                    snapshot::decode(&found.read(path).unwrap()).unwrap_or_else(|fault| panic!("{what}: {fault}"));
                assert_eq!(contents.core.seq, *seq, "{what}");
            }
            // The next one is taken, whatever was left.
            assert_eq!(shelf(&found).put(&images[3], &Vec::new()).unwrap().seq, 41, "{what}");
        }
    }
    assert!(points > 100, "{points} points");
}

#[test]
fn every_byte_of_a_snapshot_flipped_once_is_detected() {
    let disk = FaultyDisk::default();
    let taken = shelf(&disk).put(&image(5), &Vec::new()).unwrap();
    let bytes = disk.read(&taken.path).unwrap();
    assert!(snapshot::decode(&bytes).is_ok());
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            assert!(snapshot::decode(&flipped).is_err(), "byte {place}, bit {bit}");
        }
    }
    for length in 0..bytes.len() {
        assert!(snapshot::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn a_stop_before_anything_is_an_empty_journal() {
    let disk = FaultyDisk::default();
    disk.stop_at(0, Stop::Before);
    assert_eq!(append(&disk, &batches(), false), 0);
    assert_eq!(recovers(&disk.found(common::Fate::Kept), &batches(), 0, "nothing was written"), 0);
}
