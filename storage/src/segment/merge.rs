//! Merging segments: a streaming k-way merge over files that are each in segment order, so memory
//! does not grow with their size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use headrope_model::{DataSet, schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};

use super::combine::combine;
use super::properties::row_group_rows;
use super::unify::Pick;
use super::writer::SegmentWriter;
use crate::error::StorageError;
use crate::files::io;
use crate::snapshot::SegmentMeta;

/// Rows read from an input at a time. A merge holds the rows of one output row group, and up to this
/// many of every input.
const INPUT_ROWS: usize = 8 << 10;

/// Merges segments of one data set into one of `level`; durable when this returns.
///
/// # Errors
/// When an input cannot be read or the output cannot be written.
pub(super) fn merge(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    inputs: &[PathBuf],
) -> Result<SegmentMeta, StorageError> {
    let stored = schema::stored(data_set);
    let mut writer = SegmentWriter::create(dir, data_set, level)?;
    let converter = Arc::new(converter(data_set, &stored)?);
    let mut merge = Merge { cursors: Vec::new(), heap: BinaryHeap::new() };
    for path in inputs {
        let mut cursor = Cursor::open(path, data_set, &stored, &converter)?;
        if cursor.advance_batch()? {
            merge.heap.push(Reverse((cursor.key(), merge.cursors.len())));
        }
        merge.cursors.push(cursor);
    }
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
            writer.push(&[&rows], &picks)?;
        } else {
            writer.push(&batches, &picks)?;
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

/// Options that read labels as the dictionaries they are written with.
fn with_dictionaries(file: &File, stored: &Schema) -> Result<ArrowReaderMetadata, StorageError> {
    let options = ArrowReaderOptions::new();
    let found = ArrowReaderMetadata::load(file, options.clone())?;
    let fields = found.schema().fields().iter().map(|field| {
        let wanted = stored.field_with_name(field.name()).ok().map(Field::data_type);
        match wanted {
            Some(wanted @ DataType::Dictionary(..)) if plain(wanted) == field.data_type() => {
                Field::new(field.name(), wanted.clone(), field.is_nullable())
            }
            _ => field.as_ref().clone(),
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options.with_schema(schema))?)
}

/// One input: its current batch, with the sort keys of that batch.
struct Cursor {
    reader: ParquetRecordBatchReader,
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
        let file = File::open(path).map_err(io("open", path))?;
        let metadata = with_dictionaries(&file, stored)?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(INPUT_ROWS)
            .build()?;
        let (stored, converter) = (Arc::clone(stored), Arc::clone(converter));
        Ok(Self { reader, data_set, stored, converter, current: None, row: 0 })
    }

    /// Reads the next batch; false at the end.
    fn advance_batch(&mut self) -> Result<bool, StorageError> {
        self.row = 0;
        self.current = None;
        for batch in self.reader.by_ref() {
            let batch = adapt(&batch?, &self.stored)?;
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

/// Brings a batch to the stored schema; a column that an older file lacks is null.
fn adapt(batch: &RecordBatch, stored: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = stored
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
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
