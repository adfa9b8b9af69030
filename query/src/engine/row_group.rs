//! Columns of some rows of one row group of log records.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::Schema;
use headrope_model::TraceId;
use headrope_storage::{Segment, joined};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};

use super::fault::fault;
use super::machine::Machine;
use crate::column::Texts;
use crate::error::QueryError;
use crate::segment::{Positioned, each_batch};

/// Below one row in so many, rows are picked while a page is decoded, else afterwards.
const SPARSE: usize = 16;

/// One row group of one segment.
pub(super) struct RowGroup<'a> {
    pub(super) machine: &'a Machine,
    pub(super) segment: &'a Arc<Segment>,
    pub(super) group: usize,
    /// Its first row in the segment.
    pub(super) first: u32,
    /// How many rows it has.
    pub(super) len: usize,
}

impl RowGroup<'_> {
    fn metadata(&self) -> Result<ArrowReaderMetadata, QueryError> {
        let footer = self.machine.footers.of(self.segment).map_err(fault)?;
        footer.codes().map_err(fault)
    }

    fn builder(&self) -> Result<ParquetRecordBatchReaderBuilder<Positioned>, QueryError> {
        let file = Positioned::of(self.segment).map_err(fault)?;
        Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata()?))
    }

    /// Whether a trace is known not to be here.
    pub(super) fn lacks_trace(&self, id: &TraceId) -> Result<bool, QueryError> {
        let builder = self.builder()?;
        let columns = builder.parquet_schema().columns();
        let Some(at) = columns.iter().position(|c| c.path().string() == "trace_id") else {
            return Ok(false);
        };
        let filter = builder.get_row_group_column_bloom_filter(self.group, at).map_err(fault)?;
        Ok(filter.is_some_and(|filter| !filter.check(&id.bytes()[..])))
    }

    /// Bodies of some rows of the segment, ascending.
    pub(super) fn bodies(&self, rows: &[u32]) -> Result<Texts, QueryError> {
        let metadata = self.metadata()?;
        let names = joined::columns_of(metadata.schema(), "body");
        let batch = self.read(&names, Some(rows), true)?;
        let bodies = joined::column(&batch, "body").map_err(fault)?;
        Texts::of(&bodies.ok_or_else(|| fault("a file lacks its bodies"))?).map_err(fault)
    }

    /// Columns of some rows of the segment, ascending; of all without. `wide` columns are not decoded
    /// where no row is wanted.
    pub(super) fn read(
        &self,
        columns: &[&str],
        rows: Option<&[u32]>,
        wide: bool,
    ) -> Result<RecordBatch, QueryError> {
        let footer = self.machine.footers.of(self.segment).map_err(fault)?;
        let file = Positioned::of(self.segment).map_err(fault)?;
        let local = |row: &u32| row.saturating_sub(self.first) as usize;
        let sparse = rows.filter(|rows| wide || rows.len() * SPARSE < self.len);
        let runs = match sparse {
            Some(rows) => {
                let runs = rows.chunk_by(|a, b| a + 1 == *b).filter_map(|run| {
                    let from = run.first().map(local)?;
                    Some(from..from + run.len())
                });
                runs.collect()
            }
            None => std::iter::once(0..self.len).collect::<Vec<_>>(),
        };
        let mut batches = Vec::new();
        each_batch(&footer, &file, self.group, runs.into_iter(), columns, |batch| {
            batches.push(batch.clone());
            Ok(())
        })
        .map_err(fault)?;
        let batch = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([one]) => one,
            Err(several) => {
                let of_file = footer.codes().map_err(fault)?;
                let fields = of_file.schema().fields().iter();
                let asked = fields.filter(|field| columns.contains(&field.name().as_str()));
                let none = || Arc::new(Schema::new(asked.cloned().collect::<Vec<_>>()));
                let schema = several.first().map_or_else(none, RecordBatch::schema);
                concat_batches(&schema, &several).map_err(fault)?
            }
        };
        match rows {
            Some(rows) if sparse.is_none() => {
                let at = rows.iter().map(|row| row.saturating_sub(self.first));
                let at = UInt32Array::from_iter_values(at);
                take_record_batch(&batch, &at).map_err(fault)
            }
            _ => Ok(batch),
        }
    }
}
