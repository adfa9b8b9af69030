//! Checking segment files against what was written.

use std::path::Path;

use super::paths;
use crate::checksum::Checksums;
use crate::disk;
use crate::error::StorageError;
use crate::files::io;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndex;

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
    let Some(checksum) = meta.checksum else { return Ok(()) };
    Checksums::open_published(&file, &path, meta.bytes, checksum)?.scrub(&file, &path)
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
