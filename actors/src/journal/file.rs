//! The journal in files: segments of records, written at the end, synced before they are acknowledged.
//!
//! A damaged end is a write that was under way when everything stopped: nobody was told that it is safe, so it is cut, and
//! said. Damage with sound records after it, or before a seal, is loss of something that was safe: it is never guessed
//! over. After an end in disorder the last segment is written anew and synced before anything follows it, because what
//! can be read back then may not have reached the disk (a sync may have failed, and the system forgotten it).

use super::JournalStore;
use super::record::{self, Kind, Position, Unsound, Written};
use super::segment::{self, Damage, Next, Reader};
use crate::disk::{self, Disk, DiskFile};
use backstop_engine::id::{Millis, Seq};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes after which a new segment begins.
pub const SEGMENT: u64 = 64 * 1024 * 1024;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the disk says.
        error: io::Error,
    },
    /// A record is damaged that was safe once.
    #[error(
        "{}: damaged at offset {offset}, after sequence number {after}: {damage}; `backstop journal verify` tells more",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: usize,
        /// The last sequence number that is sound.
        after: Seq,
        /// What is wrong.
        damage: Damage,
    },
    /// Batches are missing.
    #[error("{}: the journal goes on with batch {found} where batch {expected} must come", path.display())]
    Missing {
        /// The folder or segment.
        path: PathBuf,
        /// The batch that must come.
        expected: u64,
        /// The batch that comes.
        found: u64,
    },
    /// The journal does not hold what something else says was safe.
    #[error(
        "the journal ends at sequence number {end}, but {witness} has seen {seen}: acknowledged commands are missing"
    )]
    Behind {
        /// Where it ends.
        end: Seq,
        /// Who has seen more.
        witness: &'static str,
        /// What.
        seen: Seq,
    },
    /// The snapshot is not of this journal.
    #[error("the snapshot at batch {batch} is not of this journal: the hashes differ")]
    Foreign {
        /// Its batch.
        batch: u64,
    },
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// An end that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub path: PathBuf,
    /// Where.
    pub offset: usize,
    /// How many bytes.
    pub bytes: usize,
    /// What was wrong with them.
    pub damage: Damage,
}

/// The segments of a folder, by the number of their first batch.
fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<(u64, PathBuf)>, JournalError> {
    let names = disk.names(folder).map_err(JournalError::io(folder))?;
    let named = |name: String| segment::first_batch(&name).map(|first| (first, folder.join(name)));
    Ok(names.into_iter().filter_map(named).collect())
}

/// The journal in files.
pub struct FileJournal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file: Box<dyn DiskFile>,
    written: u64,
    limit: u64,
    last: Position,
    time: Millis,
    sealed: bool,
}

impl FileJournal {
    /// Opens the journal of a folder, which exists, or begins one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, limit: u64) -> Result<(Self, Option<Cut>), JournalError> {
        disk::sweep(disk.as_ref(), folder).map_err(JournalError::io(folder))?;
        let Some((first, path)) = segments(disk.as_ref(), folder)?.pop() else {
            let file = begin(disk.as_ref(), folder, &Position::default()).map_err(JournalError::io(folder))?;
            let written = u64::try_from(segment::HEAD).unwrap_or(u64::MAX);
            let (folder, last) = (folder.to_owned(), Position::default());
            return Ok((Self { disk, folder, file, written, limit, last, time: 0, sealed: true }, None));
        };
        let bytes = disk.read(&path).map_err(JournalError::io(&path))?;
        let (mut reader, mut time) = (open_segment(&path, first, 0, &bytes)?, 0);
        let (end, cut) = loop {
            match reader.next() {
                Next::Record(_, record) => time = record.time,
                Next::End => break (bytes.len(), None),
                Next::Torn(offset, damage) => {
                    let cut = bytes.len().saturating_sub(offset);
                    break (offset, Some(Cut { path: path.clone(), offset, bytes: cut, damage }));
                }
                Next::Bad(offset, damage) => {
                    return Err(JournalError::Damaged { path, offset, after: reader.position().seq, damage });
                }
            }
        };
        let last = reader.position();
        if cut.is_some() || !reader.is_sealed() {
            let good = bytes.get(..end).unwrap_or_default();
            disk::write_whole(disk.as_ref(), &path, |file| file.write(good)).map_err(JournalError::io(&path))?;
        }
        let file = disk.append(&path).map_err(JournalError::io(&path))?;
        let written = u64::try_from(end).unwrap_or(u64::MAX);
        let (folder, sealed) = (folder.to_owned(), cut.is_none() && reader.is_sealed());
        Ok((Self { disk, folder, file, written, limit, last, time, sealed }, cut))
    }

    fn write(&mut self, kind: Kind, commands: &[Written]) -> io::Result<Position> {
        let last_time = commands.iter().rev().find_map(|written| match written {
            Written::Command { time, .. } => Some(*time),
            Written::Refused { .. } => None,
        });
        self.time = last_time.unwrap_or(self.time);
        let (bytes, position) = record::encode(kind, &self.last, commands, self.time).map_err(io::Error::other)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.written.saturating_add(length) > self.limit && self.last.batch > 0 {
            self.file = begin(self.disk.as_ref(), &self.folder, &self.last)?;
            self.written = u64::try_from(segment::HEAD).unwrap_or(u64::MAX);
        }
        self.file.write(&bytes)?;
        self.file.sync()?;
        self.written = self.written.saturating_add(length);
        self.last = position;
        self.sealed = kind == Kind::Seal;
        Ok(position)
    }
}

/// Begins the segment after a position.
fn begin(disk: &dyn Disk, folder: &Path, last: &Position) -> io::Result<Box<dyn DiskFile>> {
    let path = folder.join(segment::name(last));
    disk::write_whole(disk, &path, |file| file.write(&segment::head(last)))?;
    disk.append(&path)
}

impl JournalStore for FileJournal {
    fn append(&mut self, commands: &[Written]) -> io::Result<Position> {
        self.write(Kind::Batch, commands)
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.sealed { Ok(()) } else { self.write(Kind::Seal, &[]).map(drop) }
    }

    fn position(&self) -> Position {
        self.last
    }
}

fn open_segment<'a>(path: &Path, first: u64, after: Seq, bytes: &'a [u8]) -> Result<Reader<'a>, JournalError> {
    let damaged = |damage| JournalError::Damaged { path: path.to_owned(), offset: 0, after, damage };
    let reader = Reader::new(bytes).map_err(damaged)?;
    let found = reader.position().batch.saturating_add(1);
    if found != first {
        return Err(JournalError::Missing { path: path.to_owned(), expected: first, found });
    }
    Ok(reader)
}

/// A record as it is found by [`read`].
pub struct Found<'a> {
    /// Its segment.
    pub path: &'a Path,
    /// Where in it.
    pub offset: usize,
    /// The record.
    pub record: record::Record<'a>,
}

impl Found<'_> {
    /// Its commands.
    ///
    /// # Errors
    /// [`JournalError::Damaged`].
    pub fn commands(&self) -> Result<Vec<Written>, JournalError> {
        self.record.commands().map_err(|unsound| JournalError::Damaged {
            path: self.path.to_owned(),
            offset: self.offset,
            after: self.record.first.saturating_sub(1),
            damage: unsound.into(),
        })
    }
}

/// Reads the records after a position, to the end, and says where that is. A torn end is passed over.
///
/// # Errors
/// What is wrong with the journal, or the first error of `take`.
pub fn read<E: From<JournalError>>(
    disk: &dyn Disk,
    folder: &Path,
    from: &Position,
    mut take: impl FnMut(Found<'_>) -> Result<(), E>,
) -> Result<(Position, Option<Cut>), E> {
    let all = segments(disk, folder)?;
    let start = all.iter().rposition(|(first, _)| *first <= from.batch.saturating_add(1)).unwrap_or(0);
    let mut last: Option<Position> = None;
    let mut cut = None;
    for (place, (first, path)) in all.iter().enumerate().skip(start) {
        let bytes = disk.read(path).map_err(JournalError::io(path))?;
        let mut reader = open_segment(path, *first, last.map_or(from.seq, |last| last.seq), &bytes)?;
        match last {
            None if reader.position().batch > from.batch => {
                let expected = from.batch.saturating_add(1);
                return Err(JournalError::Missing { path: path.clone(), expected, found: *first }.into());
            }
            Some(before) if before.batch != reader.position().batch => {
                let expected = before.batch.saturating_add(1);
                return Err(JournalError::Missing { path: path.clone(), expected, found: *first }.into());
            }
            Some(before) if before != reader.position() => {
                let (path, after) = (path.clone(), before.seq);
                return Err(JournalError::Damaged { path, offset: 0, after, damage: Damage::Chain }.into());
            }
            _ => check_origin(from, &reader.position())?,
        }
        loop {
            match reader.next() {
                Next::Record(offset, record) => {
                    check_origin(from, &record.position)?;
                    if record.position.batch > from.batch {
                        take(Found { path, offset, record })?;
                    }
                }
                Next::End => break,
                Next::Torn(offset, damage) if place.saturating_add(1) == all.len() => {
                    let left = bytes.len().saturating_sub(offset);
                    cut = Some(Cut { path: path.clone(), offset, bytes: left, damage });
                    break;
                }
                Next::Torn(offset, damage) | Next::Bad(offset, damage) => {
                    let (path, after) = (path.clone(), reader.position().seq);
                    return Err(JournalError::Damaged { path, offset, after, damage }.into());
                }
            }
        }
        last = Some(reader.position());
    }
    let end = last.unwrap_or_default();
    if end.batch < from.batch {
        return Err(JournalError::Behind { end: end.seq, witness: "a snapshot", seen: from.seq }.into());
    }
    Ok((end, cut))
}

/// At the batch of the snapshot the journal must be the one the snapshot was taken of.
fn check_origin(from: &Position, at: &Position) -> Result<(), JournalError> {
    if at.batch == from.batch && at.hash != from.hash {
        Err(JournalError::Foreign { batch: from.batch })
    } else {
        Ok(())
    }
}

impl From<Unsound> for io::Error {
    fn from(unsound: Unsound) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, unsound)
    }
}
