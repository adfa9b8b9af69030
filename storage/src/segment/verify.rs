//! Checking segment files against what was written.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Checksums, paths};
use crate::disk;
use crate::error::StorageError;
use crate::files::io;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndex;

/// The checksums of a segment, once its file was opened.
#[derive(Debug, Default)]
pub(crate) struct Checked(Mutex<Option<Arc<Checksums>>>);

impl Checked {
    /// Reads ranges of the Parquet file of a segment, checked. Without checksums they are read as they
    /// are.
    pub(crate) fn read(
        &self,
        path: &Path,
        meta: &SegmentMeta,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let file = disk::open(path).map_err(io("open", path))?;
        let sums = self.sums(&file, path, meta)?;
        let read = |range: &Range<u64>| match &sums {
            Some(sums) => sums.read(&file, path, range.clone()),
            None => super::checksum::read_at(&file, path, range.clone()).map(Bytes::from),
        };
        ranges.iter().map(read).collect()
    }

    /// Whether ranges were checked.
    pub(crate) fn has(&self, ranges: &[Range<u64>]) -> bool {
        let sums = self.0.lock().clone();
        sums.is_some_and(|sums| ranges.iter().all(|range| sums.has(range)))
    }

    /// Checks ranges.
    pub(crate) fn check(
        &self,
        path: &Path,
        meta: &SegmentMeta,
        ranges: &[Range<u64>],
    ) -> Result<(), StorageError> {
        let file = disk::open(path).map_err(io("open", path))?;
        match self.sums(&file, path, meta)? {
            Some(sums) => ranges.iter().try_for_each(|r| sums.check(&file, path, r.clone())),
            None => Ok(()),
        }
    }

    fn sums(
        &self,
        file: &File,
        path: &Path,
        meta: &SegmentMeta,
    ) -> Result<Option<Arc<Checksums>>, StorageError> {
        if let Some(sums) = self.0.lock().clone() {
            return Ok(Some(sums));
        }
        let found = open(file, path, meta)?.map(Arc::new);
        self.0.lock().clone_from(&found);
        Ok(found)
    }
}

/// The checksums of a file, which must be those it was published with.
fn open(file: &File, path: &Path, meta: &SegmentMeta) -> Result<Option<Checksums>, StorageError> {
    let Some(wanted) = meta.checksum else { return Ok(None) };
    let corrupt =
        |offset, detail: String| StorageError::Corrupt { path: path.to_owned(), offset, detail };
    match Checksums::open(file, path, meta.bytes)? {
        Some(sums) if sums.crc() == wanted => Ok(Some(sums)),
        Some(sums) => {
            let detail =
                format!("checksum {:08x}, published with {wanted:08x}: another file", sums.crc());
            Err(corrupt(0, detail))
        }
        None => Err(corrupt(meta.bytes, "its checksums are gone".to_owned())),
    }
}

/// Sizes of a segment's files must be those it was published with.
pub(crate) fn sizes(dir: &Path, meta: &SegmentMeta) -> Result<(), StorageError> {
    let (path, index_path) = paths(dir, meta.data_set, &meta.id);
    let index = meta.index_bytes.map(|bytes| (index_path, bytes));
    for (path, bytes) in std::iter::once((path, meta.bytes)).chain(index) {
        let found = std::fs::metadata(&path).map_err(io("open segment", &path))?.len();
        if found != bytes {
            let detail = format!("{found} bytes long, published with {bytes}");
            return Err(StorageError::Corrupt { path, offset: found.min(bytes), detail });
        }
    }
    Ok(())
}

/// Every byte of a segment's Parquet file must be what was written. A file without checksums passes.
pub(crate) fn segment(dir: &Path, meta: &SegmentMeta) -> Result<(), StorageError> {
    sizes(dir, meta)?;
    let (path, _) = paths(dir, meta.data_set, &meta.id);
    let file = disk::open(&path).map_err(io("open", &path))?;
    match open(&file, &path, meta)? {
        Some(sums) => sums.scrub(&file, &path),
        None => Ok(()),
    }
}

/// As [`segment`], and the text index too.
pub(crate) fn whole(dir: &Path, meta: &SegmentMeta) -> Result<(), StorageError> {
    segment(dir, meta)?;
    let (_, index_path) = paths(dir, meta.data_set, &meta.id);
    let Some(_) = meta.index_bytes else { return Ok(()) };
    let index = TextIndex::open(&index_path)?;
    if u64::from(index.rows()) == meta.rows {
        return Ok(());
    }
    let detail = format!("{} rows, the segment has {}", index.rows(), meta.rows);
    Err(StorageError::Corrupt { path: index_path, offset: 0, detail })
}
