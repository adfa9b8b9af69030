//! Durable file operations: nothing here returns before what it wrote is on disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// Wraps an I/O error with what was attempted on which path.
pub(crate) fn io(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> StorageError + use<> {
    let path = path.to_owned();
    move |source| StorageError::Io { action, path, source }
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(io("sync directory", dir))
}

/// Creates a directory and its parents.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(dir).map_err(io("create directory", dir))
}

/// Removes a file; one that is already gone is fine.
pub(crate) fn remove(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The files of a directory with an extension, sorted by name.
pub(crate) fn list(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, StorageError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("list", dir))? {
        let path = entry.map_err(io("list", dir))?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The name a file has until it is complete and synced.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

/// Gives a complete, synced temporary file its name; durable after the directory is synced too.
pub(crate) fn publish(path: &Path) -> Result<(), StorageError> {
    std::fs::rename(temporary(path), path).map_err(io("rename to", path))
}

/// Free bytes of the file system that holds `dir`; `None` if that cannot be told.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Takes the directory's lock for this process; held as long as the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, StorageError> {
    let path = dir.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StorageError::Locked { path: dir.to_owned() })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(io("lock", &path)(error)),
    }
}
