//! Files as the journal and the snapshots use them: few operations, each of which a crash can come before, within or
//! after. Tests stand in for a disk that loses what was not synced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// A disk.
pub trait Disk: Send + Sync {
    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// What the disk says; so everywhere here.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// A whole file.
    ///
    /// # Errors
    /// As above.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// A new, empty file; one of this name is emptied.
    ///
    /// # Errors
    /// As above.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file, to write at its end.
    ///
    /// # Errors
    /// As above.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name, in place of whatever had it. Safe when the folder is synced.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names safe.
    ///
    /// # Errors
    /// As above.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that may still be written.
    ///
    /// # Errors
    /// As above.
    fn free(&self, folder: &Path) -> io::Result<u64>;
}

/// A file that is written.
pub trait DiskFile: Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// As above.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// What was written is safe when this returns.
    ///
    /// # Errors
    /// As above. It is never tried again: the system may have forgotten what it could not write.
    fn sync(&mut self) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl DiskFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes a whole file so that it is there as a whole or not at all: under another name first, then renamed.
///
/// # Errors
/// What the disk says.
pub fn write_whole(
    disk: &dyn Disk,
    path: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> io::Result<()>,
) -> io::Result<()> {
    let draft = path.with_extension(DRAFT);
    let mut file = disk.create(&draft)?;
    let written = write(file.as_mut()).and_then(|()| file.sync()).and_then(|()| disk.rename(&draft, path));
    if let Err(error) = written {
        // Half a file only takes room. Where it cannot be removed, the next start does it.
        let _ = disk.remove(&draft);
        return Err(error);
    }
    path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder))
}

/// The ending of files that are not whole yet.
const DRAFT: &str = "draft";

/// Removes what a crash left half written.
///
/// # Errors
/// What the disk says.
pub fn sweep(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let ends = |name: &String| Path::new(name).extension().is_some_and(|end| end == DRAFT);
    for name in disk.names(folder)?.into_iter().filter(ends) {
        disk.remove(&folder.join(name))?;
    }
    Ok(())
}
