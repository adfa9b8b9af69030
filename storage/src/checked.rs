//! Reading a published segment file, each byte checked before it is first given out.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::checksum::{self, Checksums};
use crate::disk;
use crate::error::StorageError;
use crate::files::io;

/// A published file, and its checksums once it was opened.
#[derive(Debug)]
pub(crate) struct Checked {
    bytes: u64,
    /// What stands for its content; `None` for a file without checksums.
    checksum: Option<u32>,
    sums: Mutex<Option<Arc<Checksums>>>,
}

impl Checked {
    pub(crate) fn new(bytes: u64, checksum: Option<u32>) -> Self {
        Self { bytes, checksum, sums: Mutex::new(None) }
    }

    /// Reads ranges, checked. Without checksums they are read as they are.
    pub(crate) fn read(
        &self,
        path: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        let file = disk::open(path).map_err(io("open", path))?;
        let sums = self.sums(&file, path)?;
        let read = |range: &Range<u64>| match &sums {
            Some(sums) => sums.read(&file, path, range.clone()),
            None => checksum::read_at(&file, path, range.clone()).map(Bytes::from),
        };
        ranges.iter().map(read).collect()
    }

    /// Whether ranges were checked.
    pub(crate) fn has(&self, ranges: &[Range<u64>]) -> bool {
        if self.checksum.is_none() {
            return true;
        }
        let sums = self.sums.lock().clone();
        sums.is_some_and(|sums| ranges.iter().all(|range| sums.has(range)))
    }

    /// Checks ranges that were not checked before.
    pub(crate) fn check(&self, path: &Path, ranges: &[Range<u64>]) -> Result<(), StorageError> {
        // Footers are checked by no range at all, when the checksums are read.
        if !ranges.is_empty() && self.has(ranges) {
            return Ok(());
        }
        let file = disk::open(path).map_err(io("open", path))?;
        match self.sums(&file, path)? {
            Some(sums) => ranges.iter().try_for_each(|r| sums.check(&file, path, r.clone())),
            None => Ok(()),
        }
    }

    fn sums(&self, file: &File, path: &Path) -> Result<Option<Arc<Checksums>>, StorageError> {
        let Some(checksum) = self.checksum else { return Ok(None) };
        if let Some(sums) = self.sums.lock().clone() {
            return Ok(Some(sums));
        }
        let found = Arc::new(Checksums::open_published(file, path, self.bytes, checksum)?);
        *self.sums.lock() = Some(Arc::clone(&found));
        Ok(Some(found))
    }
}
