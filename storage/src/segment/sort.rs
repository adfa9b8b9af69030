//! Segment order.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;
use headrope_model::DataSet;

/// The rows in segment order (see [`schema::sort_columns`]); stable.
pub(super) fn order(data_set: DataSet, all: &RecordBatch) -> Result<UInt32Array, ArrowError> {
    let rows = u32::try_from(all.num_rows())
        .map_err(|_| ArrowError::ComputeError("a segment has at most 2^32 rows".to_owned()))?;
    let column = |name: &str| {
        all.column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("column {name} is missing")))
    };
    let times = |name: &str| -> Result<Vec<i64>, ArrowError> {
        Ok(column(name)?.as_primitive::<TimestampNanosecondType>().values().to_vec())
    };
    let mut keys: Vec<(u32, u64, i64, u32)> = match data_set {
        DataSet::TraceParts => {
            let ids = column("trace_id")?.as_fixed_size_binary();
            let mut order: Vec<u32> = (0..rows).collect();
            let id = |row: &u32| usize::try_from(*row).map(|at| ids.value(at)).unwrap_or_default();
            order.sort_by(|a, b| id(a).cmp(id(b)));
            return Ok(order.into());
        }
        DataSet::Spans => {
            let (rank, time) = (ranks(column("service_name")?)?, times("start_time")?);
            zip3(rank, (0..rows).map(|_| 0), time)
        }
        DataSet::Logs => zip3((0..rows).map(|_| 0), (0..rows).map(|_| 0), times("time")?),
        DataSet::Metrics => {
            let series: &UInt64Array = column("series_id")?.as_primitive::<UInt64Type>();
            let series = series.values().to_vec();
            zip3(ranks(column("name")?)?, series, times("time")?)
        }
    };
    keys.sort_unstable();
    Ok(keys.into_iter().map(|(_, _, _, row)| row).collect::<Vec<u32>>().into())
}

fn zip3(
    rank: impl IntoIterator<Item = u32>,
    series: impl IntoIterator<Item = u64>,
    time: Vec<i64>,
) -> Vec<(u32, u64, i64, u32)> {
    let keys = rank.into_iter().zip(series).zip(time).zip(0..);
    keys.map(|(((rank, series), time), row)| (rank, series, time, row)).collect()
}

/// For each row the position of its label in the sorted list of labels.
fn ranks(labels: &ArrayRef) -> Result<Vec<u32>, ArrowError> {
    let wrong = || ArrowError::SchemaError("a sort column is not a dictionary".to_owned());
    let labels = labels.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    let values = labels.values().as_string_opt::<i32>().ok_or_else(wrong)?;
    let sorted: BTreeSet<&str> = values.iter().flatten().collect();
    let rank_of: std::collections::HashMap<&str, u32> = sorted.into_iter().zip(0..).collect();
    let by_key: Vec<u32> = values
        .iter()
        .map(|v| v.and_then(|v| rank_of.get(v).copied()).unwrap_or_default())
        .collect();
    let of = |key: &i32| usize::try_from(*key).ok().and_then(|k| by_key.get(k).copied());
    Ok(labels.keys().values().iter().map(|key| of(key).unwrap_or_default()).collect())
}
