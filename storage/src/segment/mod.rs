//! Segments on disk: sorted rows in one Parquet file, with a text index beside logs.

mod blocks;
mod chunk;
mod cluster;
mod combine;
mod copy;
mod delta;
mod hybrid;
mod ids;
#[cfg(test)]
mod label_tests;
mod labels;
#[cfg(test)]
mod log_tests;
mod merge;
#[cfg(test)]
mod name_tests;
mod output;
mod properties;
#[cfg(test)]
mod slice_tests;
mod slices;
mod sort;
mod templates;
#[cfg(test)]
mod tests;
mod texts;
mod unify;
pub(crate) mod verify;
mod writer;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use headrope_model::DataSet;

#[cfg(test)]
pub(crate) use combine::combine;
pub(crate) use output::{KEY as LABEL_KEY, Label, Origin, discard};
use properties::row_group_rows;
pub(crate) use unify::Unified;
use writer::SegmentWriter;

use crate::dense::{self, Census};
use crate::error::StorageError;
use crate::snapshot::SegmentMeta;

/// Row groups smaller than this on average are sorted into larger ones when they are merged: each
/// costs a statistic and an index of every column.
const MIN_GROUP_ROWS: u64 = 32 << 10;

/// Where the files of a segment are.
pub(crate) fn paths(dir: &Path, data_set: DataSet, id: &str) -> (PathBuf, PathBuf) {
    let stem = format!("{data_set}-{id}");
    (dir.join(format!("{stem}.parquet")), dir.join(format!("{stem}.idx")))
}

/// Merges segments of one data set into one of `level`; durable when this returns. Row groups are
/// copied where that will do, otherwise all rows are sorted anew.
///
/// # Errors
/// When an input cannot be read or is damaged, or the output cannot be written.
pub(crate) fn merge(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    metas: &[SegmentMeta],
) -> Result<SegmentMeta, StorageError> {
    // What is damaged must not be summed up anew.
    for meta in metas {
        verify::segment(dir, meta)?;
    }
    if let Some(copied) = copy::copy(dir, data_set, level, metas, MIN_GROUP_ROWS)? {
        return Ok(copied);
    }
    let inputs: Vec<PathBuf> = metas.iter().map(|m| paths(dir, data_set, &m.id).0).collect();
    let origin = Origin::merged(metas);
    match data_set {
        DataSet::Spans => slices::merge(dir, level, &inputs, origin, row_group_rows(data_set)),
        _ => merge::merge(dir, data_set, level, &inputs, origin),
    }
}

/// Sorts batches in the stored schema and writes them as one segment of level 0; durable when this
/// returns. `None` without rows.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(
    dir: &Path,
    data_set: DataSet,
    batches: &[&RecordBatch],
    origin: Origin,
) -> Result<Option<SegmentMeta>, StorageError> {
    write_groups(dir, data_set, batches, origin, row_group_rows(data_set))
}

/// As [`write`], with row groups of at most `most` rows.
fn write_groups(
    dir: &Path,
    data_set: DataSet,
    batches: &[&RecordBatch],
    origin: Origin,
    most: usize,
) -> Result<Option<SegmentMeta>, StorageError> {
    let order = sort::order(data_set, batches, most)?;
    if order.is_empty() {
        return Ok(None);
    }
    let census = census(data_set, batches)?;
    let dense = census.as_ref().map(|census| {
        dense::choose(census.left(batches, dense::promoted(data_set)), order.len() as u64)
    });
    let mut writer = SegmentWriter::create(dir, data_set, 0, dense.unwrap_or_default(), origin)?;
    let rows = match data_set {
        DataSet::Spans => slices::rows_of_slice(order.len(), most),
        _ => most,
    };
    for picks in order.chunks(rows) {
        writer.push(batches, census.as_ref(), picks)?;
    }
    writer.finish().map(Some)
}

/// The attribute keys of batches; `None` if the data set has no attributes.
fn census<'a>(
    data_set: DataSet,
    batches: &[&'a RecordBatch],
) -> Result<Option<Census<'a>>, StorageError> {
    match data_set {
        DataSet::Spans | DataSet::Logs | DataSet::Metrics => Ok(Some(Census::of(batches)?)),
        _ => Ok(None),
    }
}
