//! What a start makes of one flipped bit in what a crash has left: of the journal in files, and of the same batches in
//! SQLite. Every batch was acknowledged, so a start that finds fewer of them must say so.

use crate::Failed;
use crate::figures::grouped;
use crate::scratch::{self, Scratch};
use crate::sqlite::SqliteJournal;
use crate::venue;
use backstop_actors::disk::RealDisk;
use backstop_actors::journal::{FileJournal, JournalStore, Position, SEGMENT, Written};
use backstop_engine::command::Envelope;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is written, and how much of it is damaged.
#[derive(Debug, clap::Args)]
pub(crate) struct Damage {
    /// Batches.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    batches: u64,
    /// Commands to a batch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    commands: u64,
    /// Of SQLite's files, which are larger, one byte in so many is damaged; of the journal every byte.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
    /// Where files are written.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Where a start stands, and whether it said that it cut an end; an error is a refusal.
type Opened = Result<(Position, bool), Failed>;

/// What a crash has left of a store.
struct Left {
    what: &'static str,
    folder: PathBuf,
    /// The file that is damaged, and the others.
    files: Vec<(PathBuf, Vec<u8>)>,
    open: Box<dyn Fn() -> Opened>,
    /// Where it stands undamaged.
    whole: Position,
}

/// What became of the flips.
#[derive(Debug, Default)]
struct Tally {
    flips: u64,
    refused: u64,
    unchanged: u64,
    /// Batches that were lost, a figure for each flip that lost any: with a word, and without.
    said: Vec<u64>,
    silent: Vec<u64>,
}

fn batches(options: &Damage) -> Result<Vec<Vec<Written>>, Failed> {
    let fill = |place: u64| {
        Envelope::read(&format!(
            r#"{{"type":"fill","market":"M{}","price":"1000","quantity":"0.01","buyer":"account-{}","seller":"account-{}","trade":"t{place}"}}"#,
            place % 20,
            place * 7 % 2_000,
            (place * 11 + 1) % 2_000,
        ))
    };
    let batch = |number: u64| -> Result<_, Failed> {
        let places = number * options.commands..(number + 1) * options.commands;
        Ok(venue::written(1_760_000_000_000 + number, &places.map(fill).collect::<Result<Vec<_>, _>>()?))
    };
    (0..options.batches).map(batch).collect()
}

/// The journal in files, without its seal.
fn journal(folder: PathBuf, batches: &[Vec<Written>]) -> Result<Left, Failed> {
    std::fs::create_dir(&folder)?;
    let (mut journal, _) = FileJournal::open(Arc::new(RealDisk), &folder, SEGMENT)?;
    for batch in batches {
        journal.append(batch)?;
    }
    let whole = journal.position();
    let files = scratch::files(&folder)?;
    let files = files.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let place = folder.clone();
    let open = move || {
        let (journal, cut) = FileJournal::open(Arc::new(RealDisk), &place, SEGMENT)?;
        Ok((journal.position(), cut.is_some()))
    };
    Ok(Left { what: "journal in files, its segment", folder, files, open: Box::new(open), whole })
}

/// SQLite: everything is in its log, or in the database file and the log is empty.
fn sqlite(folder: PathBuf, batches: &[Vec<Written>], checkpointed: bool) -> Result<Left, Failed> {
    std::fs::create_dir(&folder)?;
    let (db, wal) = (folder.join("journal.db"), folder.join("journal.db-wal"));
    let mut journal = SqliteJournal::begin(&db)?;
    journal.hold_back()?;
    let mut whole = Position::default();
    for batch in batches {
        whole = journal.append(batch)?;
    }
    if checkpointed {
        journal.checkpoint()?;
    }
    // While it is open: what a kill leaves.
    let (database, log) = (read(db.clone())?, read(wal)?);
    drop(journal);
    let (what, files) = if checkpointed {
        ("SQLite after a checkpoint, its database file", vec![database, log])
    } else {
        ("SQLite before a checkpoint, its write-ahead log", vec![log, database])
    };
    let open = move || Ok((SqliteJournal::examine(&db)?, false));
    Ok(Left { what, folder, files, open: Box::new(open), whole })
}

fn read(path: PathBuf) -> Result<(PathBuf, Vec<u8>), Failed> {
    let bytes = std::fs::read(&path)?;
    Ok((path, bytes))
}

/// Writes a file over: one that is emptied first would be flushed to the disk every time.
fn restore(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

impl Left {
    /// Lays everything out as the crash left it, with one bit of the damaged file flipped, and starts.
    fn start(&self, flip: Option<(usize, u32)>) -> Result<Opened, Failed> {
        for stray in scratch::files(&self.folder)? {
            if !self.files.iter().any(|(path, _)| *path == stray) {
                std::fs::remove_file(stray)?;
            }
        }
        for (place, (path, bytes)) in self.files.iter().enumerate() {
            let mut bytes = bytes.clone();
            if let Some((at, bit)) = flip.filter(|_| place == 0)
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte ^= 1 << bit;
            }
            restore(path, &bytes)?;
        }
        Ok((self.open)())
    }

    fn size(&self) -> usize {
        self.files.first().map_or(0, |(_, bytes)| bytes.len())
    }

    /// Flips one bit of one byte in so many, another bit each time.
    fn damage(&self, every: usize) -> Result<Tally, Failed> {
        match self.start(None)? {
            Ok((found, false)) if found == self.whole => {}
            other => return Err(format!("{}: not whole before any damage: {other:?}", self.what).into()),
        }
        let mut tally = Tally::default();
        for (at, bit) in (0..self.size()).step_by(every).zip((0..8).cycle()) {
            tally.flips += 1;
            match self.start(Some((at, bit)))? {
                Err(_) => tally.refused += 1,
                Ok((found, false)) if found == self.whole => tally.unchanged += 1,
                Ok((found, said)) if found.batch < self.whole.batch => {
                    let lost = if said { &mut tally.said } else { &mut tally.silent };
                    lost.push(self.whole.batch - found.batch);
                }
                Ok(found) => return Err(format!("{}: byte {at} makes it {found:?}", self.what).into()),
            }
        }
        Ok(tally)
    }
}

/// `flips (share); batches on average, at most`.
fn losses(lost: &[u64], flips: u64) -> String {
    let Some(most) = lost.iter().max() else { return "0".to_owned() };
    let mean = lost.iter().sum::<u64>() as f64 / lost.len() as f64;
    format!("{}: {mean:.1} batches on average, {most} at most", share(lost.len() as u64, flips))
}

fn share(some: u64, flips: u64) -> String {
    match some {
        0 => "0".to_owned(),
        some => format!("{} ({:.1} %)", grouped(some as f64), 100.0 * some as f64 / flips as f64),
    }
}

/// Prints the table.
pub(crate) fn run(options: &Damage) -> Result<(), Failed> {
    let scratch = Scratch::new(options.dir.as_deref(), "damage")?;
    let batches = batches(options)?;
    let subjects = [
        (journal(scratch.path().join("files"), &batches)?, 1),
        (sqlite(scratch.path().join("log"), &batches, false)?, usize::from(options.every)),
        (sqlite(scratch.path().join("database"), &batches, true)?, usize::from(options.every)),
    ];
    println!(
        "{} acknowledged batches of {} commands, ended as by a kill; one bit flipped at a time.\n",
        options.batches, options.commands
    );
    println!(
        "| what is damaged | bytes | flips | found and refused | end cut and said | lost without a word | all there |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (left, every) in &subjects {
        let Tally { flips, refused, unchanged, said, silent } = left.damage(*every)?;
        let (bytes, all, refused) = (grouped(left.size() as f64), grouped(flips as f64), share(refused, flips));
        let (said, silent, unchanged) = (losses(&said, flips), losses(&silent, flips), share(unchanged, flips));
        println!("| {} | {bytes} | {all} | {refused} | {said} | {silent} | {unchanged} |", left.what);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_the_journal_shows_and_damage_of_the_log_does_not() {
        let options = Damage { batches: 3, commands: 2, every: 1, dir: None };
        let (scratch, batches) = (Scratch::new(None, "damage").unwrap(), batches(&options).unwrap());
        let files = journal(scratch.path().join("files"), &batches).unwrap().damage(5).unwrap();
        assert!(files.refused > 0 && files.silent.is_empty() && files.unchanged == 0, "{files:?}");
        assert!(files.said.iter().all(|lost| *lost == 1), "{files:?}");
        let log = sqlite(scratch.path().join("log"), &batches, false).unwrap().damage(97).unwrap();
        assert_eq!(log.silent.iter().max(), Some(&3), "{log:?}");
        assert_eq!(log.silent.len() as u64, log.flips, "{log:?}");
    }
}
