//! A few rows of a segment of spans, read without a plan.
//!
//! Opening a column costs about as much as decoding a page of it, and most columns are null in the few
//! rows of one service: those are not opened.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::error::Result;
use headrope_model::{DataSet, schema};
use headrope_storage::Segment;
use headrope_storage::dense::{self, Layout, WHOLE};
use parquet::errors::ParquetError;

use crate::function::hex;
use crate::segment::{Footer, Footers, Positioned, each_batch, is_null};

/// Columns of the query schema of some rows of a segment; `rows` are ascending. Blocks on the disk.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(crate) fn read(
    footers: &Footers,
    segment: &Arc<Segment>,
    rows: &[u32],
    columns: &[&str],
) -> Result<Vec<RecordBatch>> {
    let footer = footers.of(segment)?;
    let file = Positioned::of(segment)?;
    let mut out = Vec::new();
    let mut first = 0;
    let mut rest = rows;
    for (group, meta) in footer.metadata().row_groups().iter().enumerate() {
        let end = first + usize::try_from(meta.num_rows()).unwrap_or_default();
        let (own, later) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
        if !own.is_empty() {
            let names = opened(&footer, own, columns);
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ranges = ranges(own, first);
            each_batch(&footer, &file, group, ranges.into_iter(), &names, |batch| {
                let batch = as_asked(batch, columns);
                out.push(batch.map_err(|e| ParquetError::External(Box::new(e)))?);
                Ok(())
            })?;
        }
        (first, rest) = (end, later);
    }
    Ok(out)
}

/// Runs of rows, counted from the first row of their group.
fn ranges(rows: &[u32], first: usize) -> Vec<Range<usize>> {
    rows.chunk_by(|a, b| a + 1 == *b)
        .filter_map(|run| {
            let from = (*run.first()? as usize).saturating_sub(first);
            Some(from..from + run.len())
        })
        .collect()
}

/// The columns of the file that have a value in some of the rows, of those that are asked for.
fn opened(footer: &Footer, rows: &[u32], columns: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let of_file = || {
        let fields = footer.metadata().file_metadata().schema_descr().root_schema().get_fields();
        fields.iter().map(|field| field.name().to_owned())
    };
    for column in columns {
        if *column == WHOLE {
            let promoted = dense::promoted(DataSet::Spans).iter().map(|p| p.column.to_owned());
            names.extend([WHOLE.to_owned(), dense::REST.to_owned()]);
            names.extend(promoted.chain(of_file().filter(|name| dense::key_of(name).is_some())));
        } else {
            names.push((*column).to_owned());
        }
    }
    // Without the rest, a file would seem to keep attributes whole.
    names.retain(|name| name == dense::REST || !is_null(footer, rows, name));
    names.sort_unstable();
    names.dedup();
    names
}

/// The columns asked for, as SQL sees them; those that were not opened are null.
fn as_asked(batch: &RecordBatch, columns: &[&str]) -> Result<RecordBatch> {
    let query = schema::query(DataSet::Spans);
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns {
        let field = query.field_with_name(column)?;
        let found = match *column == WHOLE {
            true => attributes(batch)?,
            false => batch.column_by_name(column).cloned(),
        };
        let array = match found {
            Some(ids) if matches!(ids.data_type(), DataType::FixedSizeBinary(_)) => hex::hex(&ids)?,
            Some(array) if array.data_type() == field.data_type() => array,
            Some(array) => cast(&array, field.data_type())?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        fields.push(Field::new(*column, field.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The attribute maps of a batch.
fn attributes(batch: &RecordBatch) -> Result<Option<ArrayRef>> {
    let Some(layout) = Layout::of(&batch.schema(), dense::promoted(DataSet::Spans)) else {
        return Ok(batch.column_by_name(WHOLE).cloned());
    };
    let columns: Vec<ArrayRef> =
        layout.columns().into_iter().filter_map(|at| batch.columns().get(at).cloned()).collect();
    Ok(Some(Arc::new(layout.assemble(&columns, batch.num_rows())?)))
}
