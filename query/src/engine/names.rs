//! Names of attributes: what segments say of them, and those of live rows counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use headrope_model::attr::{AttributeLevel, ValueType};
use headrope_model::semconv::{self, Promoted};
use headrope_model::{DataSet, TimeRange};
use headrope_storage::Snapshot;
use headrope_storage::dense::names::TypeCounts;
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
    pub(crate) counts: BTreeMap<(AttributeLevel, String), KeyCount>,
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
pub(crate) fn column_of(
    data_set: DataSet,
    level: AttributeLevel,
    key: &str,
) -> Option<&'static str> {
    let of: &'static [Promoted] = match level {
        AttributeLevel::Record => dense::promoted(data_set),
        AttributeLevel::Resource => semconv::RESOURCE,
        AttributeLevel::Scope => &[],
    };
    of.iter().find(|p| p.key == key).map(|p| p.column)
}

/// Every key of every signal as a table, a row for each type of values; found when it is read.
#[derive(Debug)]
pub(crate) struct KeysTable {
    source: Source,
    schema: SchemaRef,
}

impl KeysTable {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, schema: schema() }
    }

    async fn rows(&self) -> Result<RecordBatch> {
        let Source { machine, snapshot, .. } = &self.source;
        let (machine, snapshot) = (Arc::clone(machine), Arc::clone(snapshot));
        let find = move || -> Result<Vec<(DataSet, Keys)>> {
            let of =
                |signal| Ok((signal, keys(&machine.footers, &snapshot, signal, TimeRange::ALL)?));
            SIGNALS.into_iter().map(of).collect()
        };
        let found = tokio::task::spawn_blocking(find).await;
        batch(&self.schema, &found.map_err(|e| DataFusionError::External(Box::new(e)))??)
    }
}

#[async_trait]
impl TableProvider for KeysTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows().await?;
        let table = MemTable::try_new(self.schema(), vec![vec![rows]])?;
        table.scan(state, projection, filters, limit).await
    }
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let time = |name: &str| {
        Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false)
    };
    Arc::new(Schema::new(vec![
        text("signal"),
        text("level"),
        text("key"),
        text("value_type"),
        Field::new("value_count", DataType::Int64, false),
        text("column_name").with_nullable(true),
        time("first_time"),
        time("last_time"),
    ]))
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

fn batch(schema: &SchemaRef, found: &[(DataSet, Keys)]) -> Result<RecordBatch> {
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
    let columns = vec![
        text(rows.signal),
        text(rows.level),
        text(rows.key),
        text(rows.value_type),
        Arc::new(Int64Array::from(rows.value_count)),
        Arc::new(StringViewArray::from(rows.column)),
        time(rows.times.0),
        time(rows.times.1),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
