//! The data directory: everything that is kept, found again after a restart.
//!
//! ```text
//! format            the version of the directory, as text
//! lock              held by the one daemon that uses it
//! journal/          segments of the journal: the truth; everything else follows from it
//! snapshots/        the state at some batches, so that a start need not replay everything
//! history.sqlite    what readers look up
//! ```

mod migrate;

use crate::disk::{self, Disk, RealDisk};
use crate::gateway::KeptProducer;
use crate::history::{History, HistoryError};
use crate::journal::{self, Cut, FileJournal, JournalError, JournalStore, Position};
use crate::snapshot::{self, Fault, Shelf};
use backstop_engine::id::Seq;
use backstop_engine::margin::Account;
use backstop_engine::snapshot::Core;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The version of the directory that is written.
pub const VERSION: u32 = 1;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the disk says.
        error: io::Error,
    },
    /// Another daemon uses it.
    #[error("{}: in use by another daemon; one directory serves one daemon", .0.display())]
    Locked(PathBuf),
    /// It is something else.
    #[error("{}: not a data directory of Backstop, and not empty", .0.display())]
    Foreign(PathBuf),
    /// It is not there.
    #[error("{}: there is no data directory of Backstop", .0.display())]
    Absent(PathBuf),
    /// It was written by a newer version.
    #[error("{}: in format {found} of the data directory; this program reads formats up to {VERSION}", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The history.
    #[error("{}: {error}; `backstop reindex` builds it anew", path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// What the store says.
        error: HistoryError,
    },
    /// A snapshot is of a newer version.
    #[error("{}: {fault}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
    move |error| DataError::Io { path: path.to_owned(), error }
}

/// A data directory in use.
pub struct DataDir {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    /// Holds the lock as long as it lives.
    _lock: Option<File>,
}

/// What was found that an operator should hear of.
#[derive(Debug, Default)]
pub struct Findings {
    /// An end of the journal that was cut.
    pub cut: Option<Cut>,
    /// Snapshots that cannot be used, and why.
    pub unusable: Vec<(PathBuf, String)>,
    /// The snapshot that the state begins from.
    pub snapshot: Option<(PathBuf, Seq)>,
    /// The format the directory was migrated from, and where the old one is kept.
    pub migrated: Option<(u32, PathBuf)>,
}

/// What the state begins from.
#[derive(Default)]
pub struct Start {
    /// Everything but the accounts.
    pub core: Core,
    /// The accounts.
    pub accounts: Vec<Account>,
    /// What producers have been answered.
    pub producers: Vec<KeptProducer>,
    /// Where the journal stood.
    pub position: Position,
}

/// Everything that was kept.
pub struct Recovered {
    /// What the state begins from.
    pub start: Start,
    /// The journal, to go on with.
    pub journal: FileJournal,
    /// The history, as far as it goes.
    pub history: History,
    /// What was found.
    pub findings: Findings,
}

impl DataDir {
    /// Opens a directory for the one daemon that may use it, makes it where there is none, and migrates an older one.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(root: &Path) -> Result<(Self, Option<(u32, PathBuf)>), DataError> {
        std::fs::create_dir_all(root).map_err(io_at(root))?;
        if let Some(parent) = root.canonicalize().map_err(io_at(root))?.parent() {
            RealDisk.sync_folder(parent).map_err(io_at(parent))?;
        }
        if found_format(root)?.is_none() && !is_empty(root)? {
            return Err(DataError::Foreign(root.to_owned()));
        }
        let path = root.join("lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(io_at(&path))?;
        lock.try_lock().map_err(|error| locked(root, error))?;
        let migrated = migrate::migrate(root, found_format(root)?, migrate::STEPS)?;
        // A copy may have been made without what was empty.
        std::fs::create_dir_all(root.join(SNAPSHOTS)).map_err(io_at(root))?;
        Ok((Self { root: root.to_owned(), disk: Arc::new(RealDisk), _lock: Some(lock) }, migrated))
    }

    /// Opens a directory to look at what is in it: a copy, or that of a daemon that has ended. Nothing is changed.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn look(root: &Path) -> Result<Self, DataError> {
        match found_format(root)? {
            None => return Err(DataError::Absent(root.to_owned())),
            Some(found) if found > VERSION => return Err(DataError::Newer { path: root.to_owned(), found }),
            Some(_) => {}
        }
        let lock = match File::open(root.join("lock")) {
            Ok(lock) => {
                lock.try_lock_shared().map_err(|error| locked(root, error))?;
                Some(lock)
            }
            // A copy need not have it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_at(&root.join("lock"))(error)),
        };
        Ok(Self { root: root.to_owned(), disk: Arc::new(RealDisk), _lock: lock })
    }

    /// The disk it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The folder of the journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join(JOURNAL)
    }

    /// Where snapshots are kept.
    pub fn shelf(&self, kept: usize) -> Shelf {
        Shelf { disk: self.disk.clone(), folder: self.root.join(SNAPSHOTS), kept }
    }

    /// Is there room for what is taken, beyond what must stay free?
    pub fn room(&self, min_free: u64) -> crate::gateway::Room {
        let (disk, root) = (self.disk.clone(), self.root.clone());
        // A disk that cannot be asked is left to the next write, which stops the daemon with the reason.
        Arc::new(move || disk.free(&root).map_or(true, |free| free >= min_free))
    }

    fn history_path(&self) -> PathBuf {
        self.root.join("history.sqlite")
    }

    /// Removes the history: the next start builds it anew from the journal, which is read to its end first, for without
    /// a history no snapshot can be used.
    ///
    /// # Errors
    /// [`DataError::Journal`], and nothing is removed; [`DataError::Io`].
    pub fn forget_history(&self) -> Result<(), DataError> {
        journal::read::<JournalError>(self.disk.as_ref(), &self.journal(), &Position::default(), |_| Ok(()))?;
        for ending in ["", "-wal", "-shm"] {
            let path = self.root.join(format!("history.sqlite{ending}"));
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds everything that was kept. What comes after the start is in the journal.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn recover(&self) -> Result<Recovered, DataError> {
        let shelf = self.shelf(0);
        // What a crash left half written makes room first.
        disk::sweep(self.disk.as_ref(), &shelf.folder).map_err(io_at(&shelf.folder))?;
        let (journal, cut) = FileJournal::open(self.disk.clone(), &self.journal(), journal::SEGMENT)?;
        let path = self.history_path();
        let mut history = History::open(&path).map_err(|error| DataError::History { path, error })?;
        let end = journal.position().seq;
        let behind = |witness, seen| JournalError::Behind { end, witness, seen };
        if history.through() > end {
            return Err(behind("the history", history.through()).into());
        }
        let mut findings = Findings { cut, ..Findings::default() };
        let start = newest(&shelf, history.through(), end, &mut findings)?;
        history.know(start.core.admission().rules());
        Ok(Recovered { start, journal, history, findings })
    }
}

/// The newest good snapshot that the history is not behind, or the empty state.
fn newest(shelf: &Shelf, through: Seq, end: Seq, findings: &mut Findings) -> Result<Start, DataError> {
    let Shelf { disk, folder, .. } = shelf;
    let found = snapshot::list(disk.as_ref(), folder).map_err(io_at(folder))?;
    if let Some((seen, _)) = found.first().filter(|(seq, _)| *seq > end) {
        return Err(JournalError::Behind { end, witness: "a snapshot", seen: *seen }.into());
    }
    for (seq, path) in found {
        if seq > through {
            findings.unusable.push((path, format!("the history ends before it, at sequence number {through}")));
            continue;
        }
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                findings.unusable.push((path, error.to_string()));
                continue;
            }
        };
        match snapshot::decode(&bytes) {
            Ok(contents) if (contents.core.seq, contents.position.seq) != (seq, seq) => {
                findings.unusable.push((path, "it is of another command than it says".to_owned()));
            }
            Ok(contents) => {
                let snapshot::Contents { position, core, producers, accounts, .. } = contents;
                findings.snapshot = Some((path, core.seq));
                return Ok(Start { core, accounts, producers, position });
            }
            Err(fault @ Fault::Newer(_)) => return Err(DataError::Snapshot { path, fault }),
            Err(fault) => findings.unusable.push((path, fault.to_string())),
        }
    }
    Ok(Start::default())
}

const JOURNAL: &str = "journal";
const SNAPSHOTS: &str = "snapshots";

fn locked(root: &Path, error: TryLockError) -> DataError {
    match error {
        TryLockError::WouldBlock => DataError::Locked(root.to_owned()),
        TryLockError::Error(error) => io_at(root)(error),
    }
}

/// Is there nothing that is somebody's? A new disk holds a folder of its own, and a first start that was cut short what
/// it had begun with.
fn is_empty(root: &Path) -> Result<bool, DataError> {
    for name in RealDisk.names(root).map_err(io_at(root))? {
        let path = root.join(&name);
        let begun = match name.as_str() {
            "lost+found" | "lock" | "format.draft" => true,
            JOURNAL | SNAPSHOTS => RealDisk.names(&path).map_err(io_at(&path))?.is_empty(),
            _ => false,
        };
        if !begun {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The version that the directory says it has; none where there is no such file.
fn found_format(root: &Path) -> Result<Option<u32>, DataError> {
    let path = root.join("format");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let number = text.trim().strip_prefix(FORMAT).and_then(|rest| rest.trim().parse().ok());
            number.map(Some).ok_or_else(|| DataError::Foreign(root.to_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(&path)(error)),
    }
}

const FORMAT: &str = "backstop data directory, format";
