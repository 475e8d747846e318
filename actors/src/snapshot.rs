//! Snapshots: the whole state in a file, so that a start need not replay everything.
//!
//! A snapshot is of the state between two batches, which its name and head say. It is written beside the running engine;
//! only the accounts are copied between two batches. It is there as a whole or not at all.

mod format;

pub use format::{Contents, Fault, VERSION, decode, encode};

use crate::disk::{self, Disk};
use crate::gateway::KeptProducer;
use crate::journal::Position;
use crate::telemetry::Durability;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::snapshot::Core;
use crossbeam::channel::{Receiver, Sender};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The state between two batches.
pub struct Image {
    /// Where the journal stood.
    pub position: Position,
    /// Everything but the accounts.
    pub core: Core,
    /// The accounts, as each shard wrote them.
    pub accounts: Vec<Vec<u8>>,
}

/// What a snapshot is made of, and whom to tell.
pub struct SnapshotJob {
    /// The state.
    pub image: Image,
    /// What producers have been answered.
    pub producers: Vec<KeptProducer>,
    /// Called when it is written, or cannot be.
    pub done: Box<dyn FnOnce(Result<Taken, SnapshotError>) + Send>,
}

/// A snapshot that has been taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The last command in it.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// The hash of the state.
    pub state_hash: String,
    /// How many accounts.
    pub accounts: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The file.
    pub path: PathBuf,
    /// How long it took to write, in milliseconds.
    pub took_ms: u64,
}

/// Why a snapshot was not taken. The daemon goes on: the journal holds everything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The disk.
    #[error("the snapshot cannot be written: {0}")]
    Io(String),
    /// The state cannot be written.
    #[error("the state cannot be written")]
    Form,
    /// This daemon keeps nothing.
    #[error("this daemon keeps nothing: it was started without a data directory")]
    NotKept,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Halted,
}

impl From<std::io::Error> for SnapshotError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.to_string())
    }
}

/// The ending of snapshots.
const ENDING: &str = "snapshot";

fn name(seq: Seq) -> String {
    format!("{seq:020}.{ENDING}")
}

fn seq_of(name: &str) -> Option<Seq> {
    name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()
}

/// The snapshots of a folder, the newest first.
///
/// # Errors
/// What the disk says.
pub fn list(disk: &dyn Disk, folder: &Path) -> std::io::Result<Vec<(Seq, PathBuf)>> {
    let mut found: Vec<_> =
        disk.names(folder)?.iter().filter_map(|name| Some((seq_of(name)?, folder.join(name)))).collect();
    found.sort();
    found.reverse();
    Ok(found)
}

/// Where snapshots are kept, and how many.
#[derive(Clone)]
pub struct Shelf {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The folder.
    pub folder: PathBuf,
    /// How many: older ones are removed.
    pub kept: usize,
}

impl Shelf {
    /// Writes a snapshot and removes those that are too old.
    ///
    /// # Errors
    /// [`SnapshotError`]: it is not there, and the older ones are.
    pub fn put(&self, image: &Image, producers: &[KeptProducer]) -> Result<Taken, SnapshotError> {
        let started = Instant::now();
        let head = format::head(image, producers)?;
        let path = self.folder.join(name(image.core.seq));
        let mut bytes = 0_u64;
        disk::write_whole(self.disk.as_ref(), &path, |file| {
            encode(&head, image, |piece| {
                bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                file.write(piece)
            })
        })?;
        for (_, old) in list(self.disk.as_ref(), &self.folder)?.into_iter().skip(self.kept.max(1)) {
            // The new one is there; what is not removed now is removed with the next.
            if let Err(error) = self.disk.remove(&old) {
                tracing::warn!(file = %old.display(), reason = %error, "an old snapshot cannot be removed");
            }
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (seq, time) = (image.core.seq, image.core.time);
        Ok(Taken { seq, time, state_hash: head.state_hash(), accounts: head.accounts(), bytes, path, took_ms })
    }
}

/// The way to the thread that writes snapshots.
#[derive(Clone)]
pub struct SnapshotHandle {
    jobs: Sender<SnapshotJob>,
}

impl SnapshotHandle {
    /// Starts the thread. It ends when the last handle is gone.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(shelf: Shelf) -> std::io::Result<Self> {
        let (jobs, waiting) = crossbeam::channel::bounded(1);
        std::thread::Builder::new().name("snapshots".to_owned()).spawn(move || write(&shelf, &waiting))?;
        Ok(Self { jobs })
    }

    /// Has a snapshot written. There is never more than one under way.
    pub(crate) fn take(&self, job: SnapshotJob) {
        if let Err(refused) = self.jobs.try_send(job) {
            (refused.into_inner().done)(Err(SnapshotError::Halted));
        }
    }
}

fn write(shelf: &Shelf, waiting: &Receiver<SnapshotJob>) {
    let seen = Durability::default();
    for SnapshotJob { image, producers, done } in waiting {
        let taken = shelf.put(&image, &producers);
        match &taken {
            Ok(taken) => {
                seen.snapshot(Duration::from_millis(taken.took_ms), taken.seq);
                tracing::info!(
                    seq = taken.seq,
                    accounts = taken.accounts,
                    bytes = taken.bytes,
                    milliseconds = taken.took_ms,
                    state_hash = taken.state_hash,
                    "snapshot taken"
                );
            }
            Err(error) => {
                seen.snapshot_failed();
                tracing::error!(reason = %error, "snapshot failed; the journal holds everything");
            }
        }
        done(taken);
    }
}
