//! Row groups of spans are slices of time: a trace lies in one or two of them, and a question about a
//! stretch of time reads few.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowSelection,
};

use super::merge::{self, INPUT_ROWS, adapt};
use super::output::Origin;
use super::writer::SegmentWriter;
use super::{census, sort};
use crate::dense::{self, Layout, Tally};
use crate::disk;
use crate::error::StorageError;
use crate::files::io;
use crate::snapshot::SegmentMeta;

/// The column that is cut into slices.
const TIME: &str = "start_time";

/// Rows of each slice but the last, which may have less: as few slices of at most `most` rows as will
/// do, about equally large.
pub(super) fn rows_of_slice(rows: usize, most: usize) -> usize {
    let slices = rows.div_ceil(most.max(1));
    rows.div_ceil(slices.max(1)).max(1)
}

/// The number of the slice each row falls into by its time; rows of equal times by their place.
pub(super) fn slices(times: &[i64], most: usize) -> Vec<u32> {
    let mut numbers = vec![0; times.len()];
    let rows = rows_of_slice(times.len(), most);
    if rows >= times.len() {
        return numbers;
    }
    let mut order: Vec<(i64, usize)> = times.iter().copied().zip(0..).collect();
    order.sort_unstable();
    for (slice, number) in order.chunks(rows).zip(0..) {
        for (_, row) in slice {
            if let Some(slot) = numbers.get_mut(*row) {
                *slot = number;
            }
        }
    }
    numbers
}

/// Merges segments of spans into one of `level`, whose row groups are slices of at most `most` rows;
/// durable when this returns. Only the times of all rows are held in memory, the rows of one slice at
/// a time.
///
/// # Errors
/// When an input cannot be read or the output cannot be written.
pub(super) fn merge(
    dir: &Path,
    level: u32,
    inputs: &[PathBuf],
    origin: Origin,
    most: usize,
) -> Result<SegmentMeta, StorageError> {
    let stored = schema::stored(DataSet::Spans);
    let inputs =
        inputs.iter().map(|path| Input::open(path, &stored)).collect::<Result<Vec<_>, _>>()?;
    let (mut tally, mut times, mut ends) = (Tally::new(), Vec::new(), Vec::new());
    for input in &inputs {
        tally.add(&Tally::read(input.metadata.metadata().file_metadata().key_value_metadata()));
        input.times(&mut times)?;
        ends.push(times.len());
    }
    let numbers = slices(&times, most);
    let count = times.len().div_ceil(rows_of_slice(times.len(), most));
    let dense = tally.dense(times.len() as u64);
    drop(times);
    let mut writer = SegmentWriter::create(dir, DataSet::Spans, level, dense, origin)?;
    for slice in (0..).take(count) {
        let mut batches = Vec::new();
        let mut from = 0;
        for (input, end) in inputs.iter().zip(&ends) {
            let numbers = numbers.get(from..*end).unwrap_or_default();
            input.read(&runs(numbers, slice), &stored, &mut batches)?;
            from = *end;
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let picks = sort::order(DataSet::Spans, &batches, usize::MAX)?;
        writer.push(&batches, census(DataSet::Spans, &batches)?.as_ref(), &picks)?;
    }
    writer.finish()
}

/// Where rows of a slice follow each other.
fn runs(numbers: &[u32], slice: u32) -> Vec<Range<usize>> {
    let mut at = 0;
    let runs = numbers.chunk_by(|a, b| a == b).map(|run| {
        at += run.len();
        (run.first() == Some(&slice)).then_some(at - run.len()..at)
    });
    runs.flatten().collect()
}

struct Input {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    /// Where the attributes are; `None` if they are whole.
    layout: Option<Layout>,
}

impl Input {
    fn open(path: &Path, stored: &SchemaRef) -> Result<Self, StorageError> {
        let file = disk::open(path).map_err(io("open", path))?;
        let metadata = merge::metadata(&file, stored)?;
        let layout = Layout::of(metadata.schema(), dense::promoted(DataSet::Spans));
        Ok(Self { path: path.to_owned(), file, metadata, layout })
    }

    fn reader(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, StorageError> {
        let file = self.file.try_clone().map_err(io("open again", &self.path))?;
        let metadata = self.metadata.clone();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        Ok(builder.with_batch_size(INPUT_ROWS))
    }

    /// Appends the times of all rows.
    fn times(&self, times: &mut Vec<i64>) -> Result<(), StorageError> {
        let builder = self.reader()?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), [TIME]);
        for batch in builder.with_projection(mask).build()? {
            let missing = || ArrowError::SchemaError(format!("column {TIME} is missing"));
            let batch = batch?;
            let column = batch.column_by_name(TIME).ok_or_else(missing)?;
            let column = column.as_primitive_opt::<TimestampNanosecondType>();
            times.extend_from_slice(column.ok_or_else(missing)?.values());
        }
        Ok(())
    }

    /// Appends some rows, in the stored schema.
    fn read(
        &self,
        rows: &[Range<usize>],
        stored: &SchemaRef,
        batches: &mut Vec<RecordBatch>,
    ) -> Result<(), StorageError> {
        let (mut groups, mut ranges, mut total) = (Vec::new(), Vec::new(), 0);
        let mut base = 0;
        for (number, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = base + usize::try_from(group.num_rows()).unwrap_or_default();
            let before = ranges.len();
            for run in rows {
                let (start, stop) = (run.start.max(base), run.end.min(end));
                if start < stop {
                    ranges.push(start - base + total..stop - base + total);
                }
            }
            if ranges.len() > before {
                groups.push(number);
                total += end - base;
            }
            base = end;
        }
        if groups.is_empty() {
            return Ok(());
        }
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), total);
        let builder = self.reader()?.with_row_groups(groups).with_row_selection(selection);
        for batch in builder.build()? {
            batches.push(adapt(&batch?, stored, self.layout.as_ref())?);
        }
        Ok(())
    }
}
