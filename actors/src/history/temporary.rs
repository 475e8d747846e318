//! A folder for a history that ends with the daemon: removed at the end, or by the next one where a daemon was killed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PREFIX: &str = "backstop-history-";
/// Held by the daemon that uses the folder. It takes its name when it is locked already.
const LOCK: &str = "lock";

/// A folder in use.
pub(super) struct Temporary {
    folder: TempDir,
    _lock: File,
}

impl Temporary {
    /// Makes one in a folder, and removes those that nobody uses any more.
    pub(super) fn within(root: &Path) -> io::Result<Self> {
        sweep(root);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(root)?;
        let draft = folder.path().join("lock.draft");
        let lock = File::create(&draft)?;
        lock.lock()?;
        fs::rename(&draft, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("history.sqlite")
    }
}

/// What cannot be looked at or removed is left where it is.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_folder && File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_is_removed_by_the_next_and_what_is_in_use_is_not() {
        let root = tempfile::tempdir().unwrap();
        let used = Temporary::within(root.path()).unwrap();
        let killed = root.path().join(format!("{PREFIX}killed"));
        let (draft, other) = (root.path().join(format!("{PREFIX}draft")), root.path().join("other"));
        for folder in [&killed, &draft, &other] {
            fs::create_dir(folder).unwrap();
        }
        for folder in [&killed, &other] {
            fs::write(folder.join(LOCK), "").unwrap();
        }
        let next = Temporary::within(root.path()).unwrap();
        assert!(used.file().parent().unwrap().exists() && next.file().parent().unwrap().exists());
        assert!(!killed.exists() && draft.exists() && other.exists());
    }
}
