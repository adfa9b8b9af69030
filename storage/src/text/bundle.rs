//! The file of a text index: the parts of one or more tantivy segments and a table of them.
//!
//! ```text
//! "HRTEXT1\n"                                 8 bytes
//! part, part, …                               as tantivy wrote them
//! table                                       JSON, see `Table`
//! length and CRC-32 of the table              u32 little-endian, twice
//! "HRTEXT1\n"                                 8 bytes
//! ```
//!
//! A piece is one tantivy segment and covers the rows from `first_row`; there is one, or several
//! when the rows did not fit the memory budget of the build. tantivy panics on some damaged input,
//! so every CRC-32 is verified before it sees a byte.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::Directory;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    DirectoryLock, FileHandle, FileSlice, Lock, MmapDirectory, OwnedBytes, WatchCallback,
    WatchHandle, WritePtr,
};

use crate::error::StorageError;
use crate::files::{self, Temporary};

const MAGIC: &[u8; 8] = b"HRTEXT1\n";
const TRAILER_BYTES: usize = 16;
/// Newest version of the table this program reads.
const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) version: u32,
    pub(super) rows: u32,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) first_row: u32,
    pub(super) rows: u32,
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    name: String,
    offset: u64,
    bytes: u64,
    crc: u32,
}

impl Piece {
    /// Where its first part begins.
    pub(super) fn offset(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.offset)
    }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StorageError {
    StorageError::Io { action, path: path.to_owned(), source }
}

/// Writes a bundle beside its final name; removes it again unless finished.
#[derive(Debug)]
pub(super) struct BundleWriter {
    path: PathBuf,
    file: BufWriter<Temporary>,
    offset: u64,
    pieces: Vec<Piece>,
}

impl BundleWriter {
    pub(super) fn create(path: &Path) -> Result<Self, StorageError> {
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(Temporary::create(path)?),
            offset: 0,
            pieces: Vec::new(),
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(bytes).map_err(|e| io_error("write", &self.path, e))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Appends the next piece from its parts by name.
    pub(super) fn append(
        &mut self,
        first_row: u32,
        rows: u32,
        parts: Vec<(String, OwnedBytes)>,
    ) -> Result<(), StorageError> {
        let mut table = Vec::with_capacity(parts.len());
        for (name, bytes) in parts {
            let offset = self.offset;
            self.write(&bytes)?;
            let crc = crc32fast::hash(&bytes);
            table.push(Part { name, offset, bytes: bytes.len() as u64, crc });
        }
        self.pieces.push(Piece { first_row, rows, parts: table });
        Ok(())
    }

    /// Makes the file durable under its final name and answers its size in bytes.
    pub(super) fn finish(mut self, rows: u32) -> Result<u64, StorageError> {
        let table = Table { version: VERSION, rows, pieces: std::mem::take(&mut self.pieces) };
        let table =
            serde_json::to_vec(&table).map_err(|e| StorageError::TextIndex(e.to_string()))?;
        let length = u32::try_from(table.len())
            .map_err(|_| StorageError::TextIndex("the table of parts is too long".to_owned()))?;
        self.write(&table)?;
        self.write(&length.to_le_bytes())?;
        self.write(&crc32fast::hash(&table).to_le_bytes())?;
        self.write(MAGIC)?;
        let size = self.offset;
        let file = self.file.into_inner();
        file.map_err(|e| io_error("write", &self.path, e.into_error()))?.publish()?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        files::sync_dir(directory)?;
        Ok(size)
    }
}

/// Maps a bundle into memory and verifies all of it.
pub(super) fn open(path: &Path) -> Result<(Table, Vec<BundleDirectory>, u64), StorageError> {
    let data = map(path)?;
    let table = read_table(path, &data)?;
    let mut directories = Vec::with_capacity(table.pieces.len());
    let mut next_row = 0;
    for piece in &table.pieces {
        if piece.first_row != next_row || piece.rows > table.rows - next_row {
            return Err(corrupt(path, 0, "its pieces do not cover the rows one after the other"));
        }
        next_row += piece.rows;
        directories.push(verify(path, &data, piece)?);
    }
    if next_row != table.rows {
        return Err(corrupt(path, 0, "its pieces do not cover all rows"));
    }
    Ok((table, directories, data.len() as u64))
}

fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> StorageError {
    StorageError::Corrupt { path: path.to_owned(), offset, detail: detail.into() }
}

fn map(path: &Path) -> Result<OwnedBytes, StorageError> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let directory = path.parent().ok_or_else(|| io_error("open", path, missing()))?;
    let name = path.file_name().ok_or_else(|| io_error("open", path, missing()))?;
    let handle = MmapDirectory::open(directory)
        .map_err(|e| io_error("open", path, io::Error::other(e)))?
        .get_file_handle(Path::new(name))
        .map_err(|e| {
            let cause = match e {
                OpenReadError::FileDoesNotExist(_) => missing(),
                other => io::Error::other(other),
            };
            io_error("open", path, cause)
        })?;
    FileSlice::new(handle).read_bytes().map_err(|e| io_error("read", path, e))
}

fn read_table(path: &Path, data: &OwnedBytes) -> Result<Table, StorageError> {
    let size = data.len() as u64;
    if data.get(..MAGIC.len()) != Some(MAGIC) {
        return Err(corrupt(path, 0, "it does not begin like a text index"));
    }
    let trailer_at = data.len().saturating_sub(TRAILER_BYTES);
    let trailer = data.get(trailer_at.max(MAGIC.len())..).unwrap_or_default();
    let numbers = trailer.strip_suffix(MAGIC).and_then(|n| <&[u8; 8]>::try_from(n).ok());
    let Some([l0, l1, l2, l3, c0, c1, c2, c3]) = numbers else {
        return Err(corrupt(path, size, "it does not end like a text index; it was cut short"));
    };
    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
    let crc = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    let table_at = trailer_at.checked_sub(length).filter(|at| *at >= MAGIC.len());
    let table = table_at.and_then(|at| data.get(at..trailer_at));
    let Some((at, table)) = table_at.zip(table) else {
        let detail = format!("the length of its table of parts, {length}, is more than the file");
        return Err(corrupt(path, trailer_at as u64, detail));
    };
    if crc32fast::hash(table) != crc {
        return Err(corrupt(path, at as u64, "the checksum of its table of parts is wrong"));
    }
    let version: Version = serde_json::from_slice(table)
        .map_err(|e| corrupt(path, at as u64, format!("its table of parts is unreadable: {e}")))?;
    if version.version > VERSION {
        return Err(StorageError::TooNew {
            path: path.to_owned(),
            found: version.version,
            supported: VERSION,
        });
    }
    serde_json::from_slice(table)
        .map_err(|e| corrupt(path, at as u64, format!("its table of parts is unreadable: {e}")))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn verify(path: &Path, data: &OwnedBytes, piece: &Piece) -> Result<BundleDirectory, StorageError> {
    let mut parts = HashMap::with_capacity(piece.parts.len());
    for part in &piece.parts {
        let range = usize::try_from(part.offset)
            .ok()
            .zip(usize::try_from(part.bytes).ok())
            .and_then(|(start, bytes)| Some(start..start.checked_add(bytes)?))
            .filter(|range| range.end <= data.len());
        let Some(range) = range else {
            let detail = format!("its part {} lies beyond its end", part.name);
            return Err(corrupt(path, part.offset, detail));
        };
        let bytes = data.slice(range);
        if crc32fast::hash(&bytes) != part.crc {
            let detail = format!("the checksum of its part {} is wrong", part.name);
            return Err(corrupt(path, part.offset, detail));
        }
        parts.insert(PathBuf::from(&part.name), bytes);
    }
    Ok(BundleDirectory { parts: Arc::new(parts) })
}

/// The parts of one piece as a read-only tantivy directory.
#[derive(Debug, Clone)]
pub(super) struct BundleDirectory {
    parts: Arc<HashMap<PathBuf, OwnedBytes>>,
}

impl BundleDirectory {
    fn part(&self, path: &Path) -> Result<OwnedBytes, OpenReadError> {
        let found = self.parts.get(path).cloned();
        found.ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a text index is never changed")
}

impl Directory for BundleDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.part(path)?))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.parts.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.part(path)?.to_vec())
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Err(LockError::wrap_io_error(read_only()))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
