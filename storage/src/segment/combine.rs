//! The rows of a merge: neighbours of equal keys become one.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BinaryBuilder, Int64Array, RecordBatch,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::compute::{cast, partition, take};
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use headrope_analysis::sketch::SketchTotal;
use headrope_model::{DataSet, schema};

/// A value of a run of rows of a column.
type Each = dyn Fn(&[i64], &Range<usize>) -> Option<i64>;

/// Sums up neighbours with equal keys of rows in segment order. Those whose sum cannot be written in
/// 64 bits stay apart.
///
/// # Errors
/// If the batch is not in the roll-up's stored schema or a sketch cannot be read.
pub(crate) fn combine(rollup: DataSet, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let runs = runs(rollup, rows)?;
    if runs.len() == rows.num_rows() {
        return Ok(rows.clone());
    }
    let ints = |name| {
        let column = column(rows, name)?.as_primitive_opt::<Int64Type>();
        column.map(|c| c.values().as_ref()).ok_or_else(|| wrong(name))
    };
    let (calls, total) = (ints("calls")?, ints("total_ns")?);
    // Where a sum would not fit, a run is cut.
    let runs: Vec<Range<usize>> =
        runs.into_iter().flat_map(|run| cut(run, [calls, total])).collect();
    let firsts = UInt64Array::from_iter_values(runs.iter().map(|r| r.start as u64));
    let least =
        |of: &[i64], r: &Range<usize>| of.get(r.clone()).and_then(|v| v.iter().min().copied());
    let most =
        |of: &[i64], r: &Range<usize>| of.get(r.clone()).and_then(|v| v.iter().max().copied());
    let sum = |of: &[i64], r: &Range<usize>| of.get(r.clone()).map(|v| v.iter().sum());
    let columns = schema::columns(rollup).into_iter().map(|def| {
        let array = column(rows, def.name)?;
        let int = |each: &Each| -> Result<ArrayRef, ArrowError> {
            let values = ints(def.name)?;
            Ok(Arc::new(runs.iter().map(|r| each(values, r)).collect::<Int64Array>()))
        };
        let time = |each: &Each| -> Result<ArrayRef, ArrowError> {
            let values = array.as_primitive_opt::<TimestampNanosecondType>();
            let values = values.ok_or_else(|| wrong(def.name))?.values();
            let out: TimestampNanosecondArray = runs.iter().map(|r| each(values, r)).collect();
            Ok(Arc::new(out.with_timezone("UTC")))
        };
        match def.name {
            "calls" | "total_ns" => int(&sum),
            "min_ns" => int(&least),
            "max_ns" => int(&most),
            "first_start" => time(&least),
            "last_start" => time(&most),
            "sketch" => sketches(array, &runs),
            _ => take(array, &firsts, None),
        }
    });
    RecordBatch::try_new(schema::stored(rollup), columns.collect::<Result<_, _>>()?)
}

/// Runs of equal keys.
fn runs(rollup: DataSet, rows: &RecordBatch) -> Result<Vec<Range<usize>>, ArrowError> {
    if rows.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let keys = schema::sort_columns(rollup).into_iter().map(|name| {
        let array = column(rows, name)?;
        match array.data_type() {
            DataType::Dictionary(_, value) => cast(array, value),
            _ => Ok(Arc::clone(array)),
        }
    });
    Ok(partition(&keys.collect::<Result<Vec<_>, _>>()?)?.ranges())
}

/// A run in pieces of which every column can be summed up.
fn cut(run: Range<usize>, columns: [&[i64]; 2]) -> Vec<Range<usize>> {
    let mut pieces = Vec::with_capacity(1);
    let (mut start, mut sums) = (run.start, [0i64; 2]);
    for row in run.clone() {
        let [a, b] = columns.map(|of| of.get(row).copied().unwrap_or_default());
        let [x, y] = sums;
        sums = match (x.checked_add(a), y.checked_add(b)) {
            (Some(x), Some(y)) => [x, y],
            _ => {
                pieces.push(start..row);
                start = row;
                [a, b]
            }
        };
    }
    pieces.push(start..run.end);
    pieces
}

fn sketches(array: &ArrayRef, runs: &[Range<usize>]) -> Result<ArrayRef, ArrowError> {
    let bytes = array.as_binary_opt::<i32>().ok_or_else(|| wrong("sketch"))?;
    let mut out = BinaryBuilder::with_capacity(runs.len(), bytes.value_data().len());
    for run in runs {
        if run.len() == 1 {
            out.append_value(bytes.value(run.start));
            continue;
        }
        let mut total = SketchTotal::new();
        for row in run.clone() {
            let damaged = |e| ArrowError::ExternalError(Box::new(e));
            total.merge_bytes(bytes.value(row)).map_err(damaged)?;
        }
        out.append_value(total.finish().to_bytes());
    }
    Ok(Arc::new(out.finish()))
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    rows.column_by_name(name).ok_or_else(|| wrong(name))
}

fn wrong(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column {name} is missing or has another type"))
}
