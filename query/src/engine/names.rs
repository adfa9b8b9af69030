//! Names of attributes: what segments say of them, and those of live rows counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use headrope_model::attr::ValueType;
use headrope_model::semconv::{self, Promoted};
use headrope_model::{DataSet, TimeRange};
use headrope_storage::Snapshot;
use headrope_storage::dense::names::{Level, TypeCounts};
use headrope_storage::dense::{self, Names};

use super::table::Source;
use crate::segment::Footers;

/// Name of the table.
pub(crate) const TABLE: &str = "attribute_keys";

/// Data sets whose records have attributes.
const SIGNALS: [DataSet; 3] = [DataSet::Spans, DataSet::Logs, DataSet::Metrics];

/// How often a key was found, and about when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyCount {
    /// Values by type.
    pub(crate) types: TypeCounts,
    /// Least and greatest time of the segments and live batches that have it.
    pub(crate) times: (i64, i64),
}

/// The attribute keys of one data set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    pub(crate) counts: BTreeMap<(Level, String), KeyCount>,
    /// Whether keys are missing or counts too low: a segment had too many keys, or an older version
    /// wrote it.
    pub(crate) is_incomplete: bool,
}

impl Keys {
    fn add(&mut self, names: &Names, (min, max): (i64, i64)) {
        self.is_incomplete |= !names.is_complete();
        for (level, key, types) in names.iter() {
            let none = KeyCount { types: TypeCounts::default(), times: (min, max) };
            let known = self.counts.entry((level, key.to_owned())).or_insert(none);
            known.times = (known.times.0.min(min), known.times.1.max(max));
            for (known, more) in known.types.iter_mut().zip(types) {
                *known += more;
            }
        }
    }
}

/// The attribute keys of a data set: of all segments and live batches with rows in a range. Blocks on
/// the disk.
pub(crate) fn keys(
    footers: &Footers,
    snapshot: &Snapshot,
    data_set: DataSet,
    range: TimeRange,
) -> Result<Keys> {
    let mut keys = Keys::default();
    for segment in snapshot.segments(data_set) {
        let times = (segment.meta().min_time, segment.meta().max_time);
        if range.overlaps_closed(times.0, times.1) {
            let footer = footers.of(segment)?;
            keys.add(&Names::read(|key| footer.key_value(key)), times);
        }
    }
    for live in snapshot.live(data_set) {
        if range.overlaps_closed(live.min_time, live.max_time) {
            keys.add(&Names::of_batch(&live.batch)?, (live.min_time, live.max_time));
        }
    }
    Ok(keys)
}

/// The column that holds the values of a key, where it has one.
pub(crate) fn column_of(data_set: DataSet, level: Level, key: &str) -> Option<&'static str> {
    let of: &'static [Promoted] = match level {
        Level::Record => dense::promoted(data_set),
        Level::Resource => semconv::RESOURCE,
        Level::Scope => &[],
    };
    of.iter().find(|p| p.key == key).map(|p| p.column)
}

/// Every key of every signal as a table, a row for each type of values.
pub(crate) async fn table(source: &Source) -> Result<Arc<dyn TableProvider>> {
    let (machine, snapshot) = (Arc::clone(&source.machine), Arc::clone(&source.snapshot));
    let find = move || -> Result<Vec<(DataSet, Keys)>> {
        let of = |signal| Ok((signal, keys(&machine.footers, &snapshot, signal, TimeRange::ALL)?));
        SIGNALS.into_iter().map(of).collect()
    };
    let found = tokio::task::spawn_blocking(find).await;
    let batch = batch(&found.map_err(|e| DataFusionError::External(Box::new(e)))??)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

/// Rows of the table being made.
#[derive(Default)]
struct Rows<'a> {
    signal: Vec<&'static str>,
    level: Vec<&'static str>,
    key: Vec<&'a str>,
    value_type: Vec<&'static str>,
    value_count: Vec<i64>,
    column: Vec<Option<&'static str>>,
    times: (Vec<i64>, Vec<i64>),
}

fn batch(found: &[(DataSet, Keys)]) -> Result<RecordBatch> {
    let mut rows = Rows::default();
    for (signal, keys) in found {
        for ((level, key), count) in &keys.counts {
            for (value_type, values) in ValueType::ALL.into_iter().zip(count.types) {
                if values == 0 {
                    continue;
                }
                rows.signal.push(signal.name());
                rows.level.push(level.name());
                rows.key.push(key);
                rows.value_type.push(value_type.name());
                rows.value_count.push(i64::try_from(values).unwrap_or(i64::MAX));
                rows.column.push(column_of(*signal, *level, key));
                rows.times.0.push(count.times.0);
                rows.times.1.push(count.times.1);
            }
        }
    }
    let text = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringViewArray::from(texts)) };
    let time = |times: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"))
    };
    let columns: [(&str, ArrayRef, bool); 8] = [
        ("signal", text(rows.signal), false),
        ("level", text(rows.level), false),
        ("key", text(rows.key), false),
        ("value_type", text(rows.value_type), false),
        ("value_count", Arc::new(Int64Array::from(rows.value_count)), false),
        ("column_name", Arc::new(StringViewArray::from(rows.column)), true),
        ("first_time", time(rows.times.0), false),
        ("last_time", time(rows.times.1), false),
    ];
    let field = |(name, array, nullable): &(&str, ArrayRef, bool)| {
        Field::new(*name, DataType::clone(array.data_type()), *nullable)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), arrays)?)
}
