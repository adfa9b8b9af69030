//! A few rows of segments and live batches, read without a plan.
//!
//! Opening a column costs about as much as decoding a page of it, and most columns are null in the few
//! rows of one service: those are not opened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::collect;
use headrope_model::{DataSet, schema};
use headrope_storage::dense::{self, Layout, WHOLE};
use headrope_storage::{Segment, joined};
use parquet::errors::ParquetError;
use tokio::task::JoinSet;

use super::scan::Scan;
use crate::function::hex;
use crate::segment::{Footer, Footers, Positioned, each_batch, is_null};

/// Fewest rows that are worth a task: opening all columns costs as much as reading some rows.
const PART_ROWS: usize = 8;

/// Rows of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) segment: Arc<Segment>,
    /// Ascending.
    pub(crate) rows: Vec<u32>,
}

impl Part {
    /// One part for each segment.
    pub(crate) fn joined(parts: Vec<Self>) -> Vec<Self> {
        let mut by_segment: BTreeMap<String, Self> = BTreeMap::new();
        for Self { segment, rows } in parts {
            let none = Self { segment: Arc::clone(&segment), rows: Vec::new() };
            by_segment.entry(segment.meta().id.clone()).or_insert(none).rows.extend(rows);
        }
        for part in by_segment.values_mut() {
            part.rows.sort_unstable();
            part.rows.dedup();
        }
        by_segment.into_values().collect()
    }

    /// At most so many parts of neighbouring rows, unless there are few.
    pub(crate) fn split(self, parts: usize) -> Vec<Self> {
        let rows = self.rows.len().div_ceil(parts.max(1)).max(PART_ROWS);
        let part = |rows: &[u32]| Self { segment: Arc::clone(&self.segment), rows: rows.to_vec() };
        self.rows.chunks(rows).map(part).collect()
    }
}

/// Columns of the query schema of the rows of each part, in the order of rows; parts are read side by
/// side.
///
/// # Errors
/// When a file cannot be read or is damaged.
pub(crate) async fn read_all(
    footers: &Arc<Footers>,
    parts: Vec<Part>,
    columns: &[&str],
) -> Result<Vec<Vec<RecordBatch>>> {
    let columns: Arc<[String]> = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut found = vec![Vec::new(); parts.len()];
    let mut readers = JoinSet::new();
    for (at, part) in parts.into_iter().enumerate() {
        let (footers, columns) = (Arc::clone(footers), Arc::clone(&columns));
        readers.spawn_blocking(move || (at, read(&footers, &part, &columns)));
    }
    while let Some(read) = readers.join_next().await {
        let (at, batches) = read.map_err(|e| exec_datafusion_err!("{e}"))?;
        if let Some(slot) = found.get_mut(at) {
            *slot = batches?;
        }
    }
    Ok(found)
}

/// Columns of the query schema of live batches in the stored one.
///
/// # Errors
/// When a batch is not in the stored schema.
pub(crate) async fn live(
    footers: &Arc<Footers>,
    data_set: DataSet,
    live: Vec<RecordBatch>,
    columns: &[&str],
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    if live.is_empty() {
        return Ok(Vec::new());
    }
    let query = schema::query(data_set);
    let projection = columns.iter().map(|c| query.index_of(c)).collect::<Result<Vec<_>, _>>()?;
    let scan = Scan {
        footers: Arc::clone(footers),
        data_set,
        projection,
        lookups: Vec::new(),
        ids: Vec::new(),
        late: false,
        limit: None,
        exactly: true,
        files: Vec::new(),
        live,
    };
    let plan = scan.plan(context.session_config().options())?;
    collect(plan, context).await
}

fn read(footers: &Footers, part: &Part, columns: &[String]) -> Result<Vec<RecordBatch>> {
    let Part { segment, rows } = part;
    let footer = footers.of(segment)?;
    let file = Positioned::of(segment)?;
    let mut out = Vec::new();
    let mut first = 0;
    let mut rest = rows.as_slice();
    for (group, meta) in footer.metadata().row_groups().iter().enumerate() {
        let end = first + usize::try_from(meta.num_rows()).unwrap_or_default();
        let (own, later) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
        if !own.is_empty() {
            let names = opened(&footer, own, columns)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let ranges = ranges(own, first);
            each_batch(&footer, &file, group, ranges.into_iter(), &names, |batch| {
                let batch = as_asked(footer.data_set(), batch, columns);
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
fn opened(footer: &Footer, rows: &[u32], columns: &[String]) -> Result<Vec<String>> {
    let codes = footer.codes()?;
    let (mut names, mut kept): (Vec<String>, Vec<&str>) = (Vec::new(), vec![dense::REST]);
    let of_file = || {
        let fields = footer.metadata().file_metadata().schema_descr().root_schema().get_fields();
        fields.iter().map(|field| field.name().to_owned())
    };
    for column in columns {
        if column == WHOLE {
            let promoted = dense::promoted(footer.data_set());
            names.extend([WHOLE.to_owned(), dense::REST.to_owned()]);
            names.extend(promoted.iter().map(|p| p.column.to_owned()));
            names.extend(of_file().filter(|name| dense::key_of(name).is_some()));
            continue;
        }
        let of_column = joined::columns_of(codes.schema(), column);
        names.extend(of_column.iter().map(|name| (*name).to_owned()));
        if of_column.len() > 1 {
            kept.extend(of_column);
        }
    }
    // Without all it has in their place, a file would seem to keep columns as they are.
    names.retain(|name| kept.contains(&name.as_str()) || !is_null(footer, rows, name));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The columns asked for, as SQL sees them; those that were not opened are null.
fn as_asked(data_set: DataSet, batch: &RecordBatch, columns: &[String]) -> Result<RecordBatch> {
    let query = schema::query(data_set);
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns {
        let field = query.field_with_name(column)?;
        let found = match column == WHOLE {
            true => attributes(data_set, batch)?,
            false => joined::column(batch, column)?,
        };
        let array = match found {
            Some(ids) if matches!(ids.data_type(), DataType::FixedSizeBinary(_)) => hex::hex(&ids)?,
            Some(array) if array.data_type() == field.data_type() => array,
            Some(array) => cast(&array, field.data_type())?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        fields.push(Field::new(column, field.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The attribute maps of a batch.
fn attributes(data_set: DataSet, batch: &RecordBatch) -> Result<Option<ArrayRef>> {
    let Some(layout) = Layout::of(&batch.schema(), dense::promoted(data_set)) else {
        return Ok(batch.column_by_name(WHOLE).cloned());
    };
    let columns: Vec<ArrayRef> =
        layout.columns().into_iter().filter_map(|at| batch.columns().get(at).cloned()).collect();
    Ok(Some(Arc::new(layout.assemble(&columns, batch.num_rows())?)))
}
