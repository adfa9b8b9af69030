//! The seam between the engine and the disk: every file operation that durability rests on.
//!
//! In production each operation is the system call and one load. Under a directory that a test has
//! given [`Faults`], every operation is shown to them first: they may let it pass, make it fail, make
//! it fail after it took effect, or cut a write short. The catalog is SQLite's and does not come
//! through here.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::RwLock;

/// An operation that is about to be done.
#[derive(Debug, Clone, Copy)]
pub enum Op<'a> {
    /// Creates an empty file, or empties the one that is there.
    Create(&'a Path),
    /// Writes bytes at an offset.
    Write(&'a Path, u64, &'a [u8]),
    /// Cuts a file or extends it with zeros.
    SetLen(&'a Path, u64),
    /// Makes a file's content durable.
    Sync(&'a Path),
    /// Gives a file another name.
    Rename(&'a Path, &'a Path),
    /// Removes a file.
    Remove(&'a Path),
    /// Makes a directory's entries durable.
    SyncDir(&'a Path),
    /// Reads a file or opens it for reading.
    Read(&'a Path),
}

/// What becomes of an operation.
#[derive(Debug)]
pub enum Fate {
    /// It is done.
    Done,
    /// It fails and has no effect.
    Failed(io::Error),
    /// It takes effect, but fails.
    Late(io::Error),
    /// A write: so many bytes are written, then it fails. Otherwise as [`Fate::Failed`].
    Short(usize, io::Error),
}

/// Decides about operations and sees what took effect. Called on the thread that does the operation.
pub trait Faults: std::fmt::Debug + Send + Sync {
    /// What becomes of an operation.
    fn fate(&self, op: &Op<'_>) -> Fate;
    /// An operation took effect; of a write that was cut short, with the bytes written.
    fn took_effect(&self, op: &Op<'_>);
    /// Free bytes of the file system; `None` asks the system.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

type Armed = Vec<(PathBuf, Weak<dyn Faults>)>;

static ANY: AtomicBool = AtomicBool::new(false);
static ARMED: RwLock<Armed> = RwLock::new(Vec::new());

/// Puts faults under a directory, until they are dropped.
pub fn inject(dir: &Path, faults: &Arc<dyn Faults>) {
    let mut armed = ARMED.write();
    armed.retain(|(_, faults)| faults.strong_count() > 0);
    armed.push((dir.to_owned(), Arc::downgrade(faults)));
    ANY.store(true, Ordering::Release);
}

fn faults(path: &Path) -> Option<Arc<dyn Faults>> {
    if !ANY.load(Ordering::Acquire) {
        return None;
    }
    let armed = ARMED.read();
    armed.iter().find(|(dir, _)| path.starts_with(dir)).and_then(|(_, faults)| faults.upgrade())
}

fn run<T>(
    faults: Option<&dyn Faults>,
    op: &Op<'_>,
    act: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some(faults) = faults else { return act() };
    match faults.fate(op) {
        Fate::Done => act().inspect(|_| faults.took_effect(op)),
        Fate::Failed(error) | Fate::Short(_, error) => Err(error),
        Fate::Late(error) => {
            act()?;
            faults.took_effect(op);
            Err(error)
        }
    }
}

/// A file that is written. Writes go to where the last one ended.
#[derive(Debug)]
pub(crate) struct File {
    file: std::fs::File,
    path: PathBuf,
    at: u64,
    faults: Option<Arc<dyn Faults>>,
}

impl File {
    /// Creates a file, or empties the one that is there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let faults = faults(path);
        let file = run(faults.as_deref(), &Op::Create(path), || std::fs::File::create(path))?;
        Ok(Self { file, path: path.to_owned(), at: 0, faults })
    }

    /// Opens an existing file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = std::fs::File::options().write(true).open(path)?;
        Ok(Self { file, path: path.to_owned(), at: 0, faults: faults(path) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes bytes where they belong, whatever was written last.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(faults) = &self.faults else { return self.file.write_all_at(bytes, at) };
        let op = Op::Write(&self.path, at, bytes);
        let (n, error) = match faults.fate(&op) {
            Fate::Done => (bytes.len(), None),
            Fate::Failed(error) => return Err(error),
            Fate::Late(error) => (bytes.len(), Some(error)),
            Fate::Short(n, error) => (n.min(bytes.len()), Some(error)),
        };
        let written = bytes.get(..n).unwrap_or_default();
        self.file.write_all_at(written, at)?;
        faults.took_effect(&Op::Write(&self.path, at, written));
        error.map_or(Ok(()), Err)
    }

    /// Cuts the file.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        run(self.faults.as_deref(), &Op::SetLen(&self.path, len), || self.file.set_len(len))
    }

    /// Makes the content durable, and what is needed to read it.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        run(self.faults.as_deref(), &Op::Sync(&self.path), || self.file.sync_data())
    }
}

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> io::Result<std::fs::File> {
    run(faults(path).as_deref(), &Op::Read(path), || std::fs::File::open(path))
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    run(faults(path).as_deref(), &Op::Read(path), || std::fs::read(path))
}

/// Gives a file another name.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    run(faults(from).as_deref(), &Op::Rename(from, to), || std::fs::rename(from, to))
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    run(faults(path).as_deref(), &Op::Remove(path), || std::fs::remove_file(path))
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    let act = || std::fs::File::open(dir).and_then(|dir| dir.sync_all());
    run(faults(dir).as_deref(), &Op::SyncDir(dir), act)
}

/// Free bytes of the file system that holds `dir`; `None` if that cannot be told.
pub(crate) fn free_bytes(dir: &Path) -> Option<u64> {
    if let Some(free) = faults(dir).and_then(|faults| faults.free_bytes()) {
        return Some(free);
    }
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}
