//! Segment order.

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;
use headrope_model::DataSet;

use super::slices::slices;
use super::unify::{Pick, Unified};

/// The rows of all batches in segment order (see [`headrope_model::schema::sort_columns`]); stable.
/// Spans are in that order within slices of at most `most` rows ([`super::slices`]).
pub(super) fn order(
    data_set: DataSet,
    batches: &[&RecordBatch],
    most: usize,
) -> Result<Vec<Pick>, ArrowError> {
    match data_set {
        DataSet::TraceParts => {
            let keys = keys(batches, |batch| {
                let ids = column(batch, "trace_id")?.as_fixed_size_binary();
                let id = |row| ids.value(row).try_into().map_or(0, u128::from_be_bytes);
                Ok((0..ids.len()).map(id).collect::<Vec<_>>())
            })?;
            Ok(sorted(keys))
        }
        DataSet::Spans => {
            let service = labels(batches, "service_name")?;
            let keys = with_time(batches, "start_time", |pick| service.code(pick))?;
            let times: Vec<i64> = keys.iter().map(|((_, time), ..)| *time).collect();
            let slices = slices(&times, most).into_iter();
            let keys =
                slices.zip(keys).map(|(slice, (key, batch, row))| ((slice, key), batch, row));
            Ok(sorted(keys.collect()))
        }
        DataSet::Logs => Ok(sorted(with_time(batches, "time", |_| ())?)),
        DataSet::Metrics => {
            let name = labels(batches, "name")?;
            let series: Vec<_> = batches
                .iter()
                .map(|b| Ok(column(b, "series_id")?.as_primitive::<UInt64Type>().values()))
                .collect::<Result<_, ArrowError>>()?;
            let series = |(batch, row): Pick| series.get(batch).and_then(|s| s.get(row)).copied();
            Ok(sorted(with_time(batches, "time", |pick| (name.code(pick), series(pick)))?))
        }
        // Made in order, in one batch.
        DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => {
            let rows = |(at, batch): (usize, &&RecordBatch)| {
                (0..batch.num_rows()).map(move |row| (at, row))
            };
            Ok(batches.iter().enumerate().flat_map(rows).collect())
        }
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("column {name} is missing"));
    batch.column_by_name(name).ok_or_else(missing)
}

fn labels<'a>(batches: &[&'a RecordBatch], name: &str) -> Result<Unified<'a>, ArrowError> {
    let at = batches.first().map(|b| b.schema().index_of(name)).transpose()?;
    Unified::of(batches, at.unwrap_or_default())
}

/// A key, and the batch and the row it is of.
type Keyed<K> = (K, u32, u32);

/// A key per row of each batch.
fn keys<K>(
    batches: &[&RecordBatch],
    of: impl Fn(&RecordBatch) -> Result<Vec<K>, ArrowError>,
) -> Result<Vec<Keyed<K>>, ArrowError> {
    let mut keys = Vec::with_capacity(batches.iter().map(|b| b.num_rows()).sum());
    for (batch, number) in batches.iter().zip(0..) {
        keys.extend(of(batch)?.into_iter().zip(0..).map(|(key, row)| (key, number, row)));
    }
    Ok(keys)
}

/// Rows with a key that orders before their time.
fn with_time<K>(
    batches: &[&RecordBatch],
    time: &str,
    key: impl Fn(Pick) -> K,
) -> Result<Vec<Keyed<(K, i64)>>, ArrowError> {
    let mut all = Vec::with_capacity(batches.iter().map(|b| b.num_rows()).sum());
    for ((at, batch), number) in batches.iter().enumerate().zip(0..) {
        let times = column(batch, time)?.as_primitive::<TimestampNanosecondType>().values();
        let rows = times.iter().enumerate().zip(0..);
        all.extend(rows.map(|((row, time), short)| ((key((at, row)), *time), number, short)));
    }
    Ok(all)
}

/// Batch and row decide between equal keys, so the order is stable.
fn sorted<K: Ord>(mut keys: Vec<Keyed<K>>) -> Vec<Pick> {
    keys.sort_unstable();
    let wide = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    keys.into_iter().map(|(_, batch, row)| (wide(batch), wide(row))).collect()
}
