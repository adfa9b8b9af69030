//! Segments on disk: sorted rows in one Parquet file, with a text index beside logs.

mod merge;
mod properties;
mod sort;
mod writer;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, take_record_batch};
use headrope_model::{DataSet, schema};

pub(crate) use merge::merge;
use writer::SegmentWriter;

use crate::error::StorageError;
use crate::snapshot::SegmentMeta;

/// Rows handed to the Parquet writer at a time.
const CHUNK_ROWS: usize = 16 << 10;

/// Where the files of a segment are.
pub(crate) fn paths(dir: &Path, data_set: DataSet, id: &str) -> (PathBuf, PathBuf) {
    let stem = format!("{data_set}-{id}");
    (dir.join(format!("{stem}.parquet")), dir.join(format!("{stem}.idx")))
}

/// Sorts batches in the stored schema and writes them as one segment of level 0; durable when this
/// returns. `None` without rows.
///
/// # Errors
/// When a file cannot be written; temporary files may stay and are removed at the next start.
pub(crate) fn write<'a>(
    dir: &Path,
    data_set: DataSet,
    batches: impl IntoIterator<Item = &'a RecordBatch>,
) -> Result<Option<SegmentMeta>, StorageError> {
    let all = concat_batches(&schema::stored(data_set), batches)?;
    if all.num_rows() == 0 {
        return Ok(None);
    }
    let order = sort::order(data_set, &all)?;
    let mut writer = SegmentWriter::create(dir, data_set, 0, all.schema())?;
    for from in (0..all.num_rows()).step_by(CHUNK_ROWS) {
        let len = CHUNK_ROWS.min(all.num_rows() - from);
        writer.push(&take_record_batch(&all, &order.slice(from, len))?)?;
    }
    writer.finish().map(Some)
}
