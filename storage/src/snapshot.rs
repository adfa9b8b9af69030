//! A consistent view: the segments of one catalog version and the live rows above its watermark.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use bytes::Bytes;
use headrope_model::{DataSet, RollupSet};

use crate::checked::Checked;
use crate::covers::Covers;
use crate::error::StorageError;
use crate::{failpoint, files};

/// What the catalog knows of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// ULID; also the stem of the file names.
    pub id: String,
    /// Data set.
    pub data_set: DataSet,
    /// 0 after a flush, one more after each merge.
    pub level: u32,
    /// Rows.
    pub rows: u64,
    /// Size of the Parquet file in bytes.
    pub bytes: u64,
    /// Earliest value of the data set's time column, Unix nanoseconds.
    pub min_time: i64,
    /// Latest value of the data set's time column (for trace parts: the latest end).
    pub max_time: i64,
    /// Distinct service names, sorted; `None` when there are too many to list.
    pub services: Option<Vec<String>>,
    /// Size of the text index in bytes, if there is one.
    pub index_bytes: Option<u64>,
    /// What stands for the content of the Parquet file; `None` for one that an older version wrote.
    pub checksum: Option<u32>,
    /// Log entries whose rows it holds; `None` where an older version wrote any of them.
    pub covers: Option<Covers>,
    /// The roll-ups that count its spans; none for other data sets.
    pub rollups: RollupSet,
}

/// A published segment. The files exist as long as a snapshot refers to it.
#[derive(Debug)]
pub struct Segment {
    pub(crate) meta: SegmentMeta,
    pub(crate) path: PathBuf,
    pub(crate) index_path: Option<PathBuf>,
    /// Set once the catalog no longer lists it: the files go with the last reference.
    pub(crate) retired: AtomicBool,
    pub(crate) checked: Checked,
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.retired.load(Ordering::Relaxed) {
            return;
        }
        for path in std::iter::once(&self.path).chain(&self.index_path) {
            // A file that stays behind is removed at the next start: the catalog does not list it.
            if let Err(error) = files::remove(path) {
                tracing::warn!(%error, "a merged segment's file stays until the next start");
            }
        }
        failpoint::hit("compact.after_delete");
    }
}

impl Segment {
    /// What the catalog knows of it.
    #[must_use]
    pub const fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// The Parquet file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads byte ranges of the Parquet file; each byte is checked before it is first given out.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] with the place, or when the file cannot be read.
    pub fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        self.checked.read(&self.path, ranges)
    }

    /// Whether byte ranges of the Parquet file, and its footer, were checked since the start.
    #[must_use]
    pub fn is_checked(&self, ranges: &[Range<u64>]) -> bool {
        self.checked.has(ranges)
    }

    /// Checks byte ranges of the Parquet file that were not checked before, and the footer with what
    /// belongs to it. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn check(&self, ranges: &[Range<u64>]) -> Result<(), StorageError> {
        self.checked.check(&self.path, ranges)
    }

    /// The text index, if there is one.
    #[must_use]
    pub fn index_path(&self) -> Option<&Path> {
        self.index_path.as_deref()
    }
}

/// Live rows: a batch in the stored schema of its data set, with its range in time.
#[derive(Debug, Clone)]
pub struct LiveBatch {
    /// Rows in the stored schema.
    pub batch: RecordBatch,
    /// Earliest value of the time column.
    pub min_time: i64,
    /// Latest value of the time column (for trace parts: the latest end).
    pub max_time: i64,
}

/// A consistent view of everything acknowledged: each row is either in a segment or live, once.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) version: u64,
    pub(crate) segments: [Vec<Arc<Segment>>; DataSet::COUNT],
    pub(crate) live: [Vec<LiveBatch>; DataSet::COUNT],
    pub(crate) horizons: Horizons,
}

/// Up to when, in Unix nanoseconds, rows of each data set may have been dropped by retention;
/// `i64::MIN` if none were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizons([i64; DataSet::COUNT]);

impl Default for Horizons {
    fn default() -> Self {
        Self([i64::MIN; DataSet::COUNT])
    }
}

impl Horizons {
    pub(crate) const fn of(&self, data_set: DataSet) -> i64 {
        self.0[data_set.slot()]
    }

    /// Rows up to a time were dropped.
    pub(crate) fn rise(&mut self, data_set: DataSet, time: i64) {
        let horizon = &mut self.0[data_set.slot()];
        *horizon = time.max(*horizon);
    }
}

impl Snapshot {
    /// Grows with each change of what is visible.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Published segments of a data set, oldest first.
    #[must_use]
    pub fn segments(&self, data_set: DataSet) -> &[Arc<Segment>] {
        self.segments.get(data_set.slot()).map_or(&[], Vec::as_slice)
    }

    /// Live rows of a data set. Live trace parts are derived from the live spans.
    #[must_use]
    pub fn live(&self, data_set: DataSet) -> &[LiveBatch] {
        self.live.get(data_set.slot()).map_or(&[], Vec::as_slice)
    }

    /// The time, in Unix nanoseconds, after which neither the roll-up nor the spans it counts have
    /// been dropped by retention: from there on they say the same. `None` if none ever were.
    #[must_use]
    pub fn horizon(&self, rollup: DataSet) -> Option<i64> {
        let horizon = self.horizons.of(DataSet::Spans).max(self.horizons.of(rollup));
        (horizon > i64::MIN).then_some(horizon)
    }
}
