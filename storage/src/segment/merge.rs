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
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::writer::SegmentWriter;
use crate::error::StorageError;
use crate::files::io;
use crate::snapshot::SegmentMeta;

/// Rows read from an input at a time. Memory of a merge is that of some batches of every input.
const INPUT_ROWS: usize = 2 << 10;
/// Rows written to the output at a time.
const BATCH_ROWS: usize = 8 << 10;

/// Merges segments of one data set into one of `level`; durable when this returns.
///
/// # Errors
/// When an input cannot be read or the output cannot be written.
pub(crate) fn merge(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    inputs: &[PathBuf],
) -> Result<SegmentMeta, StorageError> {
    let plain = plain_schema(data_set);
    let mut writer = SegmentWriter::create(dir, data_set, level, Arc::clone(&plain))?;
    let converter = Arc::new(converter(data_set, &plain)?);
    let mut merge = Merge { cursors: Vec::new(), heap: BinaryHeap::new(), done: Vec::new() };
    for path in inputs {
        let mut cursor = Cursor::open(path, data_set, &plain, &converter)?;
        if cursor.advance_batch()? {
            merge.heap.push(Reverse((cursor.key(), merge.cursors.len())));
        }
        merge.cursors.push(cursor);
    }
    while let Some(batch) = merge.next_batch()? {
        writer.push(&batch)?;
    }
    writer.finish()
}

/// The stored schema as Parquet gives it back: labels are plain text.
fn plain_schema(data_set: DataSet) -> SchemaRef {
    let fields = schema::stored(data_set);
    let plain = fields.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, value) => {
            Field::new(field.name(), value.as_ref().clone(), field.is_nullable())
        }
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(plain.collect::<Vec<_>>()))
}

fn converter(data_set: DataSet, plain: &Schema) -> Result<RowConverter, ArrowError> {
    let fields = schema::sort_columns(data_set)
        .iter()
        .map(|name| Ok(SortField::new(plain.field_with_name(name)?.data_type().clone())))
        .collect::<Result<Vec<_>, ArrowError>>()?;
    RowConverter::new(fields)
}

/// One input: its current batch, with the sort keys of that batch.
struct Cursor {
    reader: ParquetRecordBatchReader,
    data_set: DataSet,
    plain: SchemaRef,
    converter: Arc<RowConverter>,
    current: Option<(RecordBatch, Rows)>,
    row: usize,
}

impl Cursor {
    fn open(
        path: &Path,
        data_set: DataSet,
        plain: &SchemaRef,
        converter: &Arc<RowConverter>,
    ) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(io("open", path))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(INPUT_ROWS).build()?;
        let (plain, converter) = (Arc::clone(plain), Arc::clone(converter));
        Ok(Self { reader, data_set, plain, converter, current: None, row: 0 })
    }

    /// Reads the next batch; false at the end.
    fn advance_batch(&mut self) -> Result<bool, StorageError> {
        self.row = 0;
        self.current = None;
        for batch in self.reader.by_ref() {
            let batch = adapt(&batch?, &self.plain)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let keys = schema::sort_columns(self.data_set)
                .iter()
                .map(|name| {
                    let column = batch.column_by_name(name).map(Arc::clone);
                    column.ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
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

    fn at_end(&self) -> bool {
        self.current.as_ref().is_none_or(|(batch, _)| self.row >= batch.num_rows())
    }
}

/// Brings a batch to the plain schema; a column that an older file lacks is null.
fn adapt(batch: &RecordBatch, plain: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = plain
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    RecordBatch::try_new(Arc::clone(plain), columns)
}

struct Merge {
    cursors: Vec<Cursor>,
    /// Least key first; equal keys by input, so the merge is stable.
    heap: BinaryHeap<Reverse<(Option<OwnedRow>, usize)>>,
    /// Batches that rows of the pending output still refer to.
    done: Vec<RecordBatch>,
}

impl Merge {
    /// The next rows in order.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, StorageError> {
        self.done.clear();
        let mut sources: Vec<Option<usize>> = vec![None; self.cursors.len()];
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(BATCH_ROWS);
        while picks.len() < BATCH_ROWS {
            let Some(Reverse((_, input))) = self.heap.pop() else { break };
            let (Some(cursor), Some(source)) =
                (self.cursors.get_mut(input), sources.get_mut(input))
            else {
                break;
            };
            let slot = match (*source, &cursor.current) {
                (Some(slot), _) => slot,
                (None, Some((batch, _))) => {
                    self.done.push(batch.clone());
                    *source.insert(self.done.len() - 1)
                }
                (None, None) => continue,
            };
            picks.push((slot, cursor.row));
            cursor.row += 1;
            if cursor.at_end() {
                *source = None;
                if !cursor.advance_batch()? {
                    continue;
                }
            }
            self.heap.push(Reverse((cursor.key(), input)));
        }
        if picks.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.done.iter().collect();
        Ok(Some(interleave_record_batch(&batches, &picks)?))
    }
}
