//! The bare disk: the bytes of the journal's batches, written and synced by the shortest programs there can be; and the
//! journal alone beside it, in files and in SQLite.

use super::contest::Contest;
use super::{BATCHES, at};
use crate::Failed;
use crate::scratch::{self, Scratch};
use crate::sqlite::SqliteJournal;
use crate::venue::{self, Kept};
use crate::world::World;
use backstop_actors::journal::{Position, Written};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A file that grows.
pub(super) const APPEND: &str = "plain append + fdatasync";
/// A file whose blocks are reserved.
const RESERVED: &str = "plain file, fallocate'd + fdatasync";
/// A file that is full of zeros already.
const ZEROED: &str = "plain file, written with zeros before + fdatasync";
/// All of them.
pub(super) const ALL: [&str; 3] = [APPEND, RESERVED, ZEROED];
/// The journal, and nothing behind it.
pub(super) const JOURNAL: &str = "journal alone";
/// The same records in SQLite.
pub(super) const SQLITE: &str = "the same records in SQLite, a row a batch (WAL, synchronous=FULL)";

/// A measurement ends after so long, or so many batches.
const TIME_MAX: Duration = Duration::from_millis(1_500);

fn batches(commands: usize) -> usize {
    match commands {
        0..50 => 2_000,
        50..500 => 1_000,
        _ => 200,
    }
}

/// Repeats until there were enough or it took long enough; how many a second.
fn rate(commands: usize, mut each: impl FnMut(usize) -> Result<(), Failed>) -> Result<f64, Failed> {
    let started = Instant::now();
    for batch in 0..batches(commands) {
        each(batch)?;
        if started.elapsed() > TIME_MAX {
            return Ok(((batch + 1) * commands) as f64 / started.elapsed().as_secs_f64());
        }
    }
    Ok((batches(commands) * commands) as f64 / started.elapsed().as_secs_f64())
}

/// Enters the three plain files for one size of batch.
pub(super) fn enter(contest: &mut Contest, dir: &Path, commands: usize, bytes: usize) {
    let content: Rc<Vec<u8>> = Rc::new((0..bytes).map(|place| u8::try_from(place % 251).unwrap_or(0)).collect());
    for what in ALL {
        let (path, content) = (dir.join("plain"), Rc::clone(&content));
        contest.enter(what, at(commands), move || {
            let mut file = prepared(what, &path, (bytes * batches(commands)) as u64)?;
            let figure = rate(commands, |_| {
                file.write_all(&content)?;
                Ok(file.sync_data()?)
            })?;
            std::fs::remove_file(&path)?;
            Ok(figure)
        });
    }
}

/// A file as each of them wants it.
fn prepared(what: &str, path: &Path, size: u64) -> Result<File, Failed> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    match what {
        RESERVED => {
            let done = Command::new("fallocate").args(["-l", &size.to_string()]).arg(path).status()?;
            if !done.success() {
                return Err("fallocate failed".into());
            }
        }
        ZEROED => {
            let zeros = vec![0; 1 << 20];
            let mut left = size;
            while left > 0 {
                let part = zeros.get(..usize::try_from(left.min(zeros.len() as u64))?).unwrap_or(&zeros);
                file.write_all(part)?;
                left -= part.len() as u64;
            }
            file.seek(SeekFrom::Start(0))?;
        }
        _ => {}
    }
    file.sync_all()?;
    Ok(file)
}

/// A batch of so many fills, as the journal takes it.
fn batch(world: &World, commands: usize, place: usize) -> Vec<Written> {
    let start = place * commands % (world.fills.len() - commands);
    let fills = world.fills.get(start..start + commands).unwrap_or_default();
    venue::written(1_760_000_000_000 + place as u64, fills)
}

/// Begins a store in a folder.
type Begin = fn(&Path) -> Result<Append, Failed>;
/// Keeps a batch.
type Append = Box<dyn FnMut(&[Written]) -> Result<Position, Failed>>;

fn journal(dir: &Path) -> Result<Append, Failed> {
    let mut kept = Kept::new(dir)?;
    Ok(Box::new(move |batch| kept.append(batch)))
}

fn sqlite(dir: &Path) -> Result<Append, Failed> {
    let mut journal = SqliteJournal::begin(&dir.join("journal.db"))?;
    Ok(Box::new(move |batch| journal.append(batch)))
}

/// Enters the journal alone for one size of batch, in files and in SQLite.
pub(super) fn enter_journals(contest: &mut Contest, dir: &Path, commands: usize, world: &Rc<World>) {
    let stores: [(_, Begin); 2] = [(JOURNAL, journal), (SQLITE, sqlite)];
    for (what, begin) in stores {
        let (dir, world) = (dir.to_path_buf(), Rc::clone(world));
        contest.enter(what, at(commands), move || {
            let scratch = Scratch::new(Some(&dir), "journal")?;
            let mut append = begin(scratch.path())?;
            let some: Vec<Vec<Written>> = (0..8).map(|place| batch(&world, commands, place)).collect();
            rate(commands, |place| some.get(place % 8).map_or(Ok(()), |batch| append(batch).map(drop)))
        });
    }
}

/// How many bytes the journal writes for a batch of each size.
pub(super) fn bytes_of_batches(dir: &Path, world: &World) -> Result<Vec<usize>, Failed> {
    let mut sizes = Vec::new();
    for commands in BATCHES {
        let scratch = Scratch::new(Some(dir), "bytes")?;
        let (mut kept, mut grown) = (Kept::new(scratch.path())?, Vec::new());
        for place in 0..20 {
            kept.append(&batch(world, commands, place))?;
            grown.push(scratch::bytes(scratch.path())?);
        }
        let (first, last) = (grown.first().copied().unwrap_or(0), grown.last().copied().unwrap_or(0));
        let each = usize::try_from((last - first) / (grown.len() as u64 - 1))?;
        sizes.push(each);
    }
    Ok(sizes)
}
