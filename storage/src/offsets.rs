//! Times of log records in a segment: one in full, the others as their distance from it.
//!
//! `time` is the event time if there is one, otherwise the time of observation (OTLP log data model), so
//! one of the two repeats it and the other is close to it. A segment keeps [`EVENT`] and [`OBSERVED`] in
//! their place: nanoseconds after `time`, modulo 2^64, null where there is no such time. Segments of
//! schema versions 1 and 2 keep the times themselves.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Int64Array, TimestampNanosecondArray};
use arrow::compute::binary;
use arrow::datatypes::{DataType, Field, Int64Type, TimestampNanosecondType};
use arrow::error::ArrowError;

/// The column that all others are distances from.
pub(crate) const TIME: &str = "time";
/// The event time as a distance.
pub(crate) const EVENT: &str = "event_offset_ns";
/// The time of observation as a distance.
pub(crate) const OBSERVED: &str = "observed_offset_ns";

/// The columns of rows, and the distances that stand for them in a segment.
const PAIRS: [(&str, &str); 2] = [("event_time", EVENT), ("observed_time", OBSERVED)];

/// The distance that a segment has in the place of a column of logs; `None` for other columns.
pub(crate) fn offset_of(column: &str) -> Option<&'static str> {
    PAIRS.iter().find(|(name, _)| *name == column).map(|(_, offset)| *offset)
}

/// The field of a distance.
pub(crate) fn field(offset: &str) -> Field {
    Field::new(offset, DataType::Int64, true)
}

/// Distances of a column of times from `time`.
///
/// # Errors
/// When a column is none of times.
pub(crate) fn apart(time: &ArrayRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let (time, column) = (times(time)?, times(column)?);
    let offsets: Int64Array = binary(column, time, i64::wrapping_sub)?;
    Ok(Arc::new(offsets))
}

/// A column of times from `time` and distances.
///
/// # Errors
/// When the columns are of other types.
pub(crate) fn join(time: &ArrayRef, offsets: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let zone = |t: &TimestampNanosecondArray| t.timezone().map(Arc::<str>::from);
    let time = times(time)?;
    let joined: TimestampNanosecondArray = binary(time, offsets, i64::wrapping_add)?;
    Ok(Arc::new(joined.with_timezone_opt(zone(time))))
}

fn times(array: &ArrayRef) -> Result<&TimestampNanosecondArray, ArrowError> {
    array.as_primitive_opt::<TimestampNanosecondType>().ok_or_else(wrong)
}

fn wrong() -> ArrowError {
    ArrowError::SchemaError("a time of log records has another type".to_owned())
}

#[cfg(test)]
mod tests {
    use arrow::array::Array as _;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_what_they_were(
            rows in prop::collection::vec((any::<i64>(), prop::option::of(any::<i64>())), 0..50),
        ) {
            let array = |values: Vec<Option<i64>>| -> ArrayRef {
                Arc::new(TimestampNanosecondArray::from(values).with_timezone("UTC"))
            };
            let time = array(rows.iter().map(|(time, _)| Some(*time)).collect());
            let other = array(rows.iter().map(|(_, other)| *other).collect());
            let offsets = apart(&time, &other).unwrap();
            prop_assert_eq!(offsets.null_count(), other.null_count());
            prop_assert_eq!(&join(&time, &offsets).unwrap(), &other);
        }
    }
}
