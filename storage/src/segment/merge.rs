//! Merging segments other than of spans: a streaming k-way merge over files that are each in segment
//! order, so memory does not grow with their size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimestampNanosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use headrope_model::{DataSet, schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::census;
use super::cluster::STRETCH_ROWS;
use super::combine::combine;
use super::output::Origin;
use super::properties::row_group_rows;
use super::unify::Pick;
use super::writer::SegmentWriter;
use crate::dense::{self, Layout, Tally, WHOLE};
use crate::disk;
use crate::error::StorageError;
use crate::files::io;
use crate::joined::{self, with_dictionaries};
use crate::snapshot::SegmentMeta;

/// Rows read from an input at a time. A merge holds the rows of one output row group, and up to this
/// many of every input.
pub(super) const INPUT_ROWS: usize = 8 << 10;

/// Merges segments of one data set into one of `level`; durable when this returns.
///
/// # Errors
/// When an input cannot be read or the output cannot be written.
pub(super) fn merge(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    inputs: &[PathBuf],
    origin: Origin,
) -> Result<SegmentMeta, StorageError> {
    let stored = schema::stored(data_set);
    let converter = Arc::new(converter(data_set, &stored)?);
    let mut merge = Merge { cursors: Vec::new(), heap: BinaryHeap::new() };
    let (mut tally, mut rows) = (Tally::new(), 0);
    for path in inputs {
        let mut cursor = Cursor::open(path, data_set, &stored, &converter)?;
        if cursor.advance_batch()? {
            merge.heap.push(Reverse((cursor.key(), merge.cursors.len())));
        }
        tally.add(&cursor.tally);
        rows += cursor.rows;
        merge.cursors.push(cursor);
    }
    let mut writer = SegmentWriter::create(dir, data_set, level, tally.dense(rows), origin)?;
    loop {
        let (batches, picks) = merge.next_group(row_group_rows(data_set))?;
        if picks.is_empty() {
            return writer.finish();
        }
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        if data_set.is_rollup() {
            // Rows of equal keys are neighbours; those that a row group's end tears apart stay two.
            let rows = interleave_record_batch(&batches, &picks)?;
            let rows = combine(data_set, &rows)?;
            let picks: Vec<Pick> = (0..rows.num_rows()).map(|row| (0, row)).collect();
            writer.push(&[&rows], None, &picks)?;
        } else {
            let census = census(data_set, &batches)?;
            writer.push(&batches, census.as_ref(), &picks)?;
        }
    }
}

/// Sort columns as plain text: codes of different dictionaries do not compare.
fn converter(data_set: DataSet, stored: &Schema) -> Result<RowConverter, ArrowError> {
    let fields = schema::sort_columns(data_set)
        .iter()
        .map(|name| Ok(SortField::new(plain(stored.field_with_name(name)?.data_type()).clone())))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    RowConverter::new(fields)
}

fn plain(data_type: &DataType) -> &DataType {
    if let DataType::Dictionary(_, value) = data_type { value } else { data_type }
}

/// The file of a segment for a reader that yields labels as the dictionaries they are written with.
pub(super) fn metadata(file: &File, stored: &Schema) -> Result<ArrowReaderMetadata, StorageError> {
    let found = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    Ok(with_dictionaries(found.metadata(), stored)?)
}

/// One input: its current batch, with the sort keys of that batch.
struct Cursor {
    reader: ParquetRecordBatchReader,
    /// Where the attributes are; `None` if they are whole.
    layout: Option<Layout>,
    tally: Tally,
    rows: u64,
    data_set: DataSet,
    stored: SchemaRef,
    converter: Arc<RowConverter>,
    current: Option<(RecordBatch, Rows)>,
    row: usize,
}

impl Cursor {
    fn open(
        path: &Path,
        data_set: DataSet,
        stored: &SchemaRef,
        converter: &Arc<RowConverter>,
    ) -> Result<Self, StorageError> {
        let file = disk::open(path).map_err(io("open", path))?;
        let metadata = metadata(&file, stored)?;
        let layout = Layout::of(metadata.schema(), dense::promoted(data_set));
        let footer = metadata.metadata().file_metadata();
        let tally = Tally::read(footer.key_value_metadata());
        let rows = u64::try_from(footer.num_rows()).unwrap_or_default();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(batch_rows(data_set))
            .build()?;
        let (stored, converter) = (Arc::clone(stored), Arc::clone(converter));
        Ok(Self { reader, layout, tally, rows, data_set, stored, converter, current: None, row: 0 })
    }

    /// Reads the next batch; false at the end.
    fn advance_batch(&mut self) -> Result<bool, StorageError> {
        self.row = 0;
        self.current = None;
        for batch in self.reader.by_ref() {
            let batch = adapt(&batch?, &self.stored, self.layout.as_ref())?;
            let batch = in_order(self.data_set, batch)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let keys = schema::sort_columns(self.data_set)
                .iter()
                .map(|name| {
                    let missing = || ArrowError::SchemaError(format!("no column {name}"));
                    let column = batch.column_by_name(name).ok_or_else(missing)?;
                    cast(column, plain(column.data_type()))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let rows = self.converter.convert_columns(&keys)?;
            self.current = Some((batch, rows));
            return Ok(true);
        }
        Ok(false)
    }

    fn key(&self) -> Option<OwnedRow> {
        self.current.as_ref().map(|(_, rows)| rows.row(self.row).owned())
    }

    /// The end of the run of rows from the current one on that come before `other`, the next key of
    /// all other inputs; a row that equals it comes before if this input does.
    fn run_end(&self, other: Option<&OwnedRow>, before: bool) -> usize {
        let Some((batch, rows)) = &self.current else { return self.row };
        let (mut low, mut high) = (self.row + 1, batch.num_rows());
        let Some(other) = other else { return high };
        let other = other.row();
        while low < high {
            let middle = low.midpoint(high);
            let row = rows.row(middle);
            if row < other || (before && row == other) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn at_end(&self) -> bool {
        self.current.as_ref().is_none_or(|(batch, _)| self.row >= batch.num_rows())
    }
}

/// Rows of a batch: whole stretches of logs, each of which can be brought into the order of time.
const fn batch_rows(data_set: DataSet) -> usize {
    match data_set {
        DataSet::Logs => STRETCH_ROWS,
        _ => INPUT_ROWS,
    }
}

/// Undoes what [`super::cluster`] did to the order of a batch.
fn in_order(data_set: DataSet, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    if data_set != DataSet::Logs {
        return Ok(batch);
    }
    let missing = || ArrowError::SchemaError("logs have no time".to_owned());
    let time = batch.column_by_name("time").ok_or_else(missing)?;
    let times = time.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(missing)?.values();
    if times.is_sorted() {
        return Ok(batch);
    }
    let mut keyed: Vec<(i64, u32)> = times.iter().copied().zip(0..).collect();
    keyed.sort_unstable();
    let order = UInt32Array::from_iter_values(keyed.into_iter().map(|(_, row)| row));
    take_record_batch(&batch, &order)
}

/// Brings a batch to the stored schema; a column that an older file lacks is null.
pub(super) fn adapt(
    batch: &RecordBatch,
    stored: &SchemaRef,
    layout: Option<&Layout>,
) -> Result<RecordBatch, ArrowError> {
    let whole = layout.map(|layout| {
        let missing = || ArrowError::SchemaError("a batch lacks columns of its file".to_owned());
        let column = |at: usize| batch.columns().get(at).cloned().ok_or_else(missing);
        let columns = layout.columns().into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        layout.assemble(&columns, batch.num_rows()).map(|map| Arc::new(map) as ArrayRef)
    });
    let whole = whole.transpose()?;
    let columns = stored
        .fields()
        .iter()
        .map(|field| {
            let found = match whole.as_ref().filter(|_| field.name() == WHOLE) {
                Some(whole) => Some(Arc::clone(whole)),
                None => joined::column(batch, field.name())?,
            };
            match found {
                Some(column) if column.data_type() == field.data_type() => Ok(column),
                Some(column) => cast(&column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            }
        })
        .collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(Arc::clone(stored), columns)
}

struct Merge {
    cursors: Vec<Cursor>,
    /// Least key first; equal keys by input, so the merge is stable.
    heap: BinaryHeap<Reverse<(Option<OwnedRow>, usize)>>,
}

impl Merge {
    /// The next rows in order, enough for a row group: batches, and which rows of them.
    fn next_group(&mut self, rows: usize) -> Result<(Vec<RecordBatch>, Vec<Pick>), StorageError> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut sources: Vec<Option<usize>> = vec![None; self.cursors.len()];
        let mut picks: Vec<Pick> = Vec::with_capacity(rows);
        while picks.len() < rows {
            let Some(Reverse((_, input))) = self.heap.pop() else { break };
            let (Some(cursor), Some(source)) =
                (self.cursors.get_mut(input), sources.get_mut(input))
            else {
                break;
            };
            let number = match (*source, &cursor.current) {
                (Some(number), _) => number,
                (None, Some((batch, _))) => {
                    batches.push(batch.clone());
                    *source.insert(batches.len() - 1)
                }
                (None, None) => continue,
            };
            let (other, before) = match self.heap.peek() {
                Some(Reverse((key, other))) => (key.as_ref(), input < *other),
                None => (None, true),
            };
            let room = cursor.row + rows - picks.len();
            let end = cursor.run_end(other, before).min(room);
            picks.extend((cursor.row..end).map(|row| (number, row)));
            cursor.row = end;
            if cursor.at_end() {
                *source = None;
                if !cursor.advance_batch()? {
                    continue;
                }
            }
            self.heap.push(Reverse((cursor.key(), input)));
        }
        Ok((batches, picks))
    }
}
