//! Durable file operations: nothing here returns before what it wrote is on disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::disk;
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
    disk::sync_dir(dir).map_err(io("sync directory", dir))
}

/// Makes the entry of a file or directory in its parent durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StorageError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Creates a directory and its parents, durably.
pub(crate) fn create_dir(dir: &Path) -> Result<(), StorageError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(io("create directory", dir)(error))
        }
        _ => sync_parent(dir),
    }
}

/// Removes a file; one that is already gone is fine.
pub(crate) fn remove(path: &Path) -> Result<(), StorageError> {
    match disk::remove(path) {
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

/// A file that gets its name when it is complete and synced, and is removed again otherwise: what a
/// failed flush leaves behind would take the room that the next one needs.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: disk::File,
    path: PathBuf,
    named: bool,
}

impl Temporary {
    /// Starts the file that will be called `path`.
    pub(crate) fn create(path: &Path) -> Result<Self, StorageError> {
        let temporary = temporary(path);
        let file = disk::File::create(&temporary).map_err(io("create", &temporary))?;
        Ok(Self { file, path: path.to_owned(), named: false })
    }

    /// Syncs the file and gives it its name; durable after the directory is synced too. Returns its
    /// size.
    pub(crate) fn publish(mut self) -> Result<u64, StorageError> {
        let path = self.file.path();
        self.file.sync_data().map_err(io("sync", path))?;
        let bytes = std::fs::metadata(path).map_err(io("stat", path))?.len();
        if let Err(error) = disk::rename(path, &self.path) {
            // It may have its name in spite of the error.
            discard(&self.path);
            return Err(io("rename to", &self.path)(error));
        }
        self.named = true;
        Ok(bytes)
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            discard(self.file.path());
        }
    }
}

/// Removes a file that nothing refers to. If it stays behind, the next start removes it.
pub(crate) fn discard(path: &Path) {
    if let Err(error) = remove(path) {
        tracing::warn!(%error, "a file that is not used stays until the next start");
    }
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
