//! From an older format of the data directory to this one, step by step, with the old one kept aside.

use super::{DataError, FORMAT, JOURNAL, SNAPSHOTS, VERSION, io_at};
use crate::disk::{self, Disk, RealDisk};
use std::path::{Path, PathBuf};

/// What brings a directory from one format to the next.
pub(super) type Step = fn(&Path) -> Result<(), DataError>;

/// The steps, by the format they begin from. Format 1 is the first, so there is none yet.
pub(super) const STEPS: &[(u32, Step)] = &[];

/// Brings a directory to this format: says from which, and where the old one is.
pub(super) fn migrate(
    root: &Path,
    found: Option<u32>,
    steps: &[(u32, Step)],
) -> Result<Option<(u32, PathBuf)>, DataError> {
    let target = steps.last().map_or(VERSION, |(from, _)| from.saturating_add(1)).max(VERSION);
    match found {
        None => {
            for folder in [JOURNAL, SNAPSHOTS] {
                let folder = root.join(folder);
                std::fs::create_dir_all(&folder).map_err(io_at(&folder))?;
            }
            write_format(root, target)?;
            Ok(None)
        }
        Some(found) if found > target => Err(DataError::Newer { path: root.to_owned(), found }),
        Some(found) if found == target => Ok(None),
        Some(found) => {
            let kept = root.join(format!("backup-format-{found}"));
            back_up(root, &kept)?;
            for (_, step) in steps.iter().filter(|(from, _)| *from >= found) {
                step(root)?;
            }
            write_format(root, target)?;
            Ok(Some((found, kept)))
        }
    }
}

/// Copies what is kept; after a crash within the steps, takes it back as it was.
fn back_up(root: &Path, kept: &Path) -> Result<(), DataError> {
    if kept.exists() {
        for folder in [JOURNAL, SNAPSHOTS] {
            let folder_now = root.join(folder);
            std::fs::remove_dir_all(&folder_now).map_err(io_at(&folder_now))?;
            copy(&kept.join(folder), &folder_now)?;
        }
        return Ok(());
    }
    let draft = kept.with_extension("draft");
    for folder in [JOURNAL, SNAPSHOTS] {
        copy(&root.join(folder), &draft.join(folder))?;
    }
    std::fs::rename(&draft, kept).map_err(io_at(kept))?;
    RealDisk.sync_folder(root).map_err(io_at(root))
}

fn write_format(root: &Path, version: u32) -> Result<(), DataError> {
    let path = root.join("format");
    let text = format!("{FORMAT} {version}\n");
    disk::write_whole(&RealDisk, &path, |file| file.write(text.as_bytes())).map_err(io_at(&path))
}

fn copy(from: &Path, to: &Path) -> Result<(), DataError> {
    std::fs::create_dir_all(to).map_err(io_at(to))?;
    for name in RealDisk.names(from).map_err(io_at(from))? {
        let (source, target) = (from.join(&name), to.join(&name));
        let bytes = RealDisk.read(&source).map_err(io_at(&source))?;
        disk::write_whole(&RealDisk, &target, |file| file.write(&bytes)).map_err(io_at(&target))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_older_directory_is_migrated_with_a_backup_and_a_newer_one_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(migrate(root.path(), None, STEPS).unwrap(), None);
        let segment = root.path().join(JOURNAL).join("1.journal");
        std::fs::write(&segment, b"old").unwrap();
        let step: Step = |root| {
            let path = root.join(JOURNAL).join("1.journal");
            std::fs::write(&path, b"new").map_err(io_at(&path))
        };
        let crash: Step = |root| {
            let path = root.join(JOURNAL).join("1.journal");
            std::fs::write(&path, b"half").map_err(io_at(&path))?;
            Err(DataError::Absent(path))
        };
        assert!(migrate(root.path(), Some(1), &[(1, crash)]).is_err(), "everything stops within the step");
        let (from, kept) = migrate(root.path(), Some(1), &[(1, step)]).unwrap().unwrap();
        assert_eq!(from, 1);
        assert_eq!(std::fs::read(&segment).unwrap(), b"new");
        assert_eq!(std::fs::read(kept.join(JOURNAL).join("1.journal")).unwrap(), b"old");
        assert_eq!(super::super::found_format(root.path()).unwrap(), Some(2));
        let refused = migrate(root.path(), Some(2), STEPS).unwrap_err();
        assert!(refused.to_string().contains("format 2"), "{refused}");
    }
}
