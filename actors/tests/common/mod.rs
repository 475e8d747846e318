//! A disk that loses what was not synced, at any instant that is asked for.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use backstop_actors::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What a disk writes at once.
pub(crate) const SECTOR: usize = 512;

/// How far the operation gets at which everything stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It does not happen.
    Before,
    /// Of a write, so many bytes.
    Torn(usize),
    /// It happens, and nobody hears of it.
    After,
}

/// What has become of everything that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is gone.
    Lost,
    /// It is there.
    Kept,
    /// Files have their length, filled with zeros.
    Zeros,
    /// Every other sector is there, zeros between.
    Scattered,
    /// It can be read, and is no safer than before: only the process has ended, the machine goes on.
    Unsafe,
}

pub(crate) const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Zeros, Fate::Scattered, Fate::Unsafe];

#[derive(Debug, Default, Clone)]
struct Content {
    seen: Vec<u8>,
    safe: Vec<u8>,
}

#[derive(Debug, Default, Clone)]
struct State {
    files: Vec<Content>,
    seen: BTreeMap<PathBuf, usize>,
    safe: BTreeMap<PathBuf, usize>,
    /// Sizes of all operations so far; those that write nothing have 0.
    operations: Vec<usize>,
    stop: Option<(usize, Stop)>,
    stopped: bool,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Default, Clone)]
pub(crate) struct FaultyDisk(Arc<Mutex<State>>);

fn gone() -> io::Error {
    io::Error::other("everything has stopped")
}

impl State {
    /// Counts an operation: may it happen, or how far?
    fn step(&mut self, size: usize) -> io::Result<Option<Stop>> {
        if self.stopped {
            return Err(gone());
        }
        let number = self.operations.len();
        self.operations.push(size);
        match self.stop {
            Some((at, how)) if at == number => {
                self.stopped = true;
                if how == Stop::Before { Err(gone()) } else { Ok(Some(how)) }
            }
            _ => Ok(None),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.seen.get(path).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

fn told(stop: Option<Stop>) -> io::Result<()> {
    if stop.is_some() { Err(gone()) } else { Ok(()) }
}

impl FaultyDisk {
    /// The sizes of all operations so far.
    pub(crate) fn operations(&self) -> Vec<usize> {
        self.0.lock().unwrap().operations.clone()
    }

    /// Everything stops at an operation.
    pub(crate) fn stop_at(&self, operation: usize, how: Stop) {
        self.0.lock().unwrap().stop = Some((operation, how));
    }

    /// The disk as it is found after everything has stopped.
    pub(crate) fn found(&self, fate: Fate) -> Self {
        if fate == Fate::Unsafe {
            return self.copy();
        }
        let state = self.0.lock().unwrap();
        let names = if fate == Fate::Lost { state.safe.clone() } else { state.seen.clone() };
        let left = |content: &Content| {
            let mut bytes = if fate == Fate::Lost { content.safe.clone() } else { content.seen.clone() };
            let from = content.safe.len().min(bytes.len());
            for (place, byte) in bytes.iter_mut().enumerate().skip(from) {
                let zero = match fate {
                    Fate::Zeros => true,
                    Fate::Scattered => (place / SECTOR).is_multiple_of(2),
                    Fate::Lost | Fate::Kept | Fate::Unsafe => false,
                };
                *byte = if zero { 0 } else { *byte };
            }
            Content { seen: bytes.clone(), safe: bytes }
        };
        let files = state.files.iter().map(left).collect();
        Self(Arc::new(Mutex::new(State { files, seen: names.clone(), safe: names, ..State::default() })))
    }

    /// A copy that goes its own way.
    pub(crate) fn copy(&self) -> Self {
        let state = self.0.lock().unwrap().clone();
        Self(Arc::new(Mutex::new(State { operations: Vec::new(), stop: None, stopped: false, ..state })))
    }

    /// Puts a file there.
    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        let place = state.files.len();
        state.files.push(Content { seen: bytes.clone(), safe: bytes });
        state.seen.insert(path.to_owned(), place);
        state.safe.insert(path.to_owned(), place);
    }
}

/// All the ways a crash can go for operations of these sizes.
pub(crate) fn crashes(operations: &[usize]) -> Vec<(usize, Stop)> {
    let mut all = Vec::new();
    for (operation, size) in operations.iter().copied().enumerate() {
        all.extend([(operation, Stop::Before), (operation, Stop::After)]);
        all.extend((1..size).filter(|at| at.is_multiple_of(SECTOR) || *at == 1).map(|at| (operation, Stop::Torn(at))));
    }
    all
}

impl Disk for FaultyDisk {
    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock().unwrap();
        let inside = state.seen.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        Ok(state.files[state.file(path)?].seen.clone())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock().unwrap();
        let stop = state.step(0)?;
        let place = state.files.len();
        state.files.push(Content::default());
        state.seen.insert(path.to_owned(), place);
        told(stop)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), place }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let place = self.0.lock().unwrap().file(path)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), place }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let stop = state.step(0)?;
        let place = state.seen.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.seen.insert(to.to_owned(), place);
        told(stop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let stop = state.step(0)?;
        state.seen.remove(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        told(stop)
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        let stop = state.step(0)?;
        state.safe = state.seen.clone();
        told(stop)
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    place: usize,
}

impl DiskFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let stop = state.step(bytes.len())?;
        let taken = if let Some(Stop::Torn(at)) = stop { &bytes[..at] } else { bytes };
        state.files[self.place].seen.extend_from_slice(taken);
        told(stop)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let stop = state.step(0)?;
        let content = &mut state.files[self.place];
        content.safe = content.seen.clone();
        told(stop)
    }
}
