use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use headrope_analysis::Sketch;
use headrope_model::rollup::STEPS_NS;
use headrope_model::schema::{self, Counted};
use headrope_model::{DataSet, RollupSet};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::build;
use crate::encode::encode;
use crate::export::Export;
use crate::segment::{self, combine};

/// Of no entries of a log.
pub(super) fn nowhere() -> segment::Origin {
    segment::Origin { covers: None, data_sets: Vec::new(), rollups: RollupSet::default() }
}

/// A span as far as roll-ups see it.
#[derive(Debug, Clone)]
struct One {
    service: u8,
    instance: Option<u8>,
    name: u32,
    database: Option<u8>,
    /// Of what is called.
    port: Option<u16>,
    kind: i32,
    status: i32,
    root: bool,
    start: u64,
    duration: u64,
}

fn one() -> impl Strategy<Value = One> {
    let start =
        (0u64..3, 0u64..3, 0u64..3, 0u64..60_000_000_000).prop_map(|(day, hour, minute, ns)| {
            1_736_121_600_000_000_000 + ((day * 24 + hour) * 60 + minute) * 60_000_000_000 + ns
        });
    let duration =
        prop_oneof![Just(0), 0u64..100, 0u64..10_000_000_000, any::<u32>().prop_map(u64::from)];
    (
        0u8..3,
        prop::option::of(0u8..2),
        0u32..3,
        prop::option::of(0u8..3),
        prop::option::of(prop::sample::select(vec![0, 80, 5432])),
        0i32..6,
        0i32..3,
        any::<bool>(),
        start,
        duration,
    )
        .prop_map(
            |(service, instance, name, database, port, kind, status, root, start, duration)| One {
                service,
                instance,
                name,
                database,
                port,
                kind,
                status,
                root,
                start,
                duration,
            },
        )
}

fn text(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn int_of(key: &str, value: u16) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(value.into())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn request(spans: &[One]) -> RecordBatch {
    let of = |s: &One| {
        let mut attributes = vec![text("service.name", format!("s{}", s.service))];
        attributes.extend(s.instance.map(|i| text("service.instance.id", format!("i{i}"))));
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: if s.root { Vec::new() } else { vec![3; 8] },
            name: format!("op{}", s.name),
            kind: s.kind,
            attributes: s
                .database
                .into_iter()
                .flat_map(|d| {
                    [
                        text("db.system.name", "db".to_owned()),
                        text("db.query.text", format!("SELECT {d}")),
                    ]
                })
                .chain(s.port.map(|port| int_of("server.port", port)))
                .collect(),
            start_time_unix_nano: s.start,
            end_time_unix_nano: s.start + s.duration,
            status: Some(Status { code: s.status, ..Status::default() }),
            ..Span::default()
        };
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    };
    let resource_spans = spans.iter().map(of).collect();
    encode(&Export::Traces(ExportTraceServiceRequest { resource_spans })).unwrap()
}

/// Step, start of the step, whether without parent, labels.
type Key = (i64, i64, bool, Vec<Option<String>>);
/// Calls, total, least and greatest duration, first and last start, sketch.
type Sums = (i64, i64, i64, i64, i64, i64, Sketch);

fn labels(rollup: DataSet, batch: &RecordBatch, row: usize) -> Vec<Option<String>> {
    let names: Vec<&str> = schema::dimensions(rollup).iter().map(|d| d.name).collect();
    labels_of(&names, batch, row)
}

fn labels_of(names: &[&str], batch: &RecordBatch, row: usize) -> Vec<Option<String>> {
    let value = |name: &str| {
        let column = cast(batch.column_by_name(name).unwrap(), &DataType::Utf8).unwrap();
        let column = column.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    names.iter().map(|name| value(name)).collect()
}

fn int(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(row)
}

fn time(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    batch.column_by_name(name).unwrap().as_primitive::<TimestampNanosecondType>().value(row)
}

fn add(all: &mut BTreeMap<Key, Sums>, key: Key, more: Sums) {
    all.entry(key)
        .and_modify(|sums| {
            sums.0 += more.0;
            sums.1 += more.1;
            sums.2 = sums.2.min(more.2);
            sums.3 = sums.3.max(more.3);
            sums.4 = sums.4.min(more.4);
            sums.5 = sums.5.max(more.5);
            sums.6.merge(&more.6);
        })
        .or_insert(more);
}

/// What the rows of a roll-up must be, span by span.
fn expected(rollup: DataSet, spans: &[RecordBatch]) -> BTreeMap<Key, Sums> {
    let mut all = BTreeMap::new();
    for batch in spans {
        let root = batch.column_by_name("parent_span_id").unwrap();
        for row in 0..batch.num_rows() {
            let (start, ns) = (time(batch, "start_time", row), int(batch, "duration_ns", row));
            let text = |name| labels_of(&[name], batch, row).remove(0);
            let counts = match schema::counted(rollup) {
                Counted::All => true,
                Counted::With(name) => text(name).is_some(),
                Counted::OneOf(name, list) => text(name).is_some_and(|t| list.contains(&&*t)),
            };
            if !counts {
                continue;
            }
            for step in STEPS_NS {
                let labels = labels(rollup, batch, row);
                let key = (step, start / step * step, root.is_null(row), labels);
                let sketch = std::iter::once(ns).collect();
                add(&mut all, key, (1, ns, ns, ns, start, start, sketch));
            }
        }
    }
    all
}

/// The rows of batches, equal keys summed up; and how many rows there are.
fn found(rollup: DataSet, batches: &[RecordBatch]) -> (BTreeMap<Key, Sums>, usize) {
    let mut all = BTreeMap::new();
    for batch in batches {
        let root = batch.column_by_name("is_root").unwrap().as_boolean();
        let sketches = batch.column_by_name("sketch").unwrap().as_binary::<i32>();
        for row in 0..batch.num_rows() {
            let (step, at) = (int(batch, "step_ns", row), time(batch, "time", row));
            let key = (step, at, root.value(row), labels(rollup, batch, row));
            let n = |name| int(batch, name, row);
            let (first, last) = (time(batch, "first_start", row), time(batch, "last_start", row));
            let sketch = Sketch::from_bytes(sketches.value(row)).unwrap();
            let sums = (n("calls"), n("total_ns"), n("min_ns"), n("max_ns"), first, last, sketch);
            add(&mut all, key, sums);
        }
    }
    (all, batches.iter().map(RecordBatch::num_rows).sum())
}

fn read(dir: &Path, rollup: DataSet, id: &str) -> Vec<RecordBatch> {
    let file = std::fs::File::open(segment::paths(dir, rollup, id).0).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_are_the_sums_of_their_spans(
        flushes in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(one(), 0..30), 0..4),
            1..5,
        ),
    ) {
        for rollup in DataSet::ROLLUPS {
            let dir = tempfile::tempdir().unwrap();
            let (mut all, mut metas) = (Vec::new(), Vec::new());
            for requests in &flushes {
                let spans: Vec<RecordBatch> = requests.iter().map(|r| request(r)).collect();
                let rows = build(rollup, &spans.iter().collect::<Vec<_>>()).unwrap().unwrap();
                let (sums, count) = found(rollup, std::slice::from_ref(&rows));
                prop_assert_eq!(count, sums.len(), "a key occurs twice");
                prop_assert_eq!(&sums, &expected(rollup, &spans));
                metas.extend(segment::write(dir.path(), rollup, &[&rows], nowhere()).unwrap());
                all.extend(spans);
            }
            if metas.is_empty() {
                continue;
            }
            let merged = segment::merge(dir.path(), rollup, 1, &metas).unwrap();
            let (sums, count) = found(rollup, &read(dir.path(), rollup, &merged.id));
            prop_assert_eq!(count, sums.len(), "a key occurs twice");
            prop_assert_eq!(count as u64, merged.rows);
            prop_assert_eq!(sums, expected(rollup, &all));
        }
    }
}

fn simple(name: u32, duration: u64) -> One {
    let start = 1_736_121_600_000_000_000;
    One {
        service: 0,
        instance: None,
        name,
        database: None,
        port: None,
        kind: 2,
        status: 0,
        root: true,
        start,
        duration,
    }
}

#[test]
fn names_without_bound_are_not_rolled_up_by_name() {
    let most = u32::try_from(super::build::MAX_KEYS).unwrap();
    let thrice: Vec<One> = (0..3 * most).map(|n| simple(n / 3, 1)).collect();
    let (thrice, one_more) = (request(&thrice), request(&[simple(most, 1)]));
    let rows = |rollup, batches: &[&RecordBatch]| {
        build(rollup, batches).unwrap().map(|rows| rows.num_rows())
    };
    let rollup = DataSet::OperationRollup;
    assert_eq!(rows(rollup, &[&thrice]), Some(3 * super::build::MAX_KEYS));
    assert_eq!(rows(rollup, &[&thrice, &one_more]), None);
    assert_eq!(rows(DataSet::ServiceRollup, &[&thrice, &one_more]), Some(3));
    // Fewer names, but hardly fewer than spans.
    let few = super::build::FEW_KEYS;
    assert_eq!(rows(rollup, &[&thrice.slice(2, 3 * few + 1)]), None);
    assert_eq!(rows(rollup, &[&thrice.slice(0, 3 * few)]), Some(3 * few));
}

#[test]
fn sums_beyond_64_bits_are_not_written() {
    let long = u64::try_from(i64::MAX).unwrap() - 1_736_121_600_000_000_000;
    let rollup = DataSet::ServiceRollup;
    let (one, two) = (request(&[simple(0, long)]), request(&[simple(0, long), simple(1, long)]));
    assert!(build(rollup, &[&two]).unwrap().is_none());
    // A merge leaves such rows apart.
    let rows = build(rollup, &[&one]).unwrap().unwrap();
    let both = arrow::compute::concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    let order: Vec<(usize, usize)> = [0, 3, 1, 4, 2, 5].map(|row| (0, row)).into();
    let sorted = arrow::compute::interleave_record_batch(&[&both], &order).unwrap();
    assert_eq!(combine(rollup, &sorted).unwrap(), sorted);
}

#[test]
fn no_spans_no_rows() {
    for rollup in DataSet::ROLLUPS {
        assert_eq!(build(rollup, &[]).unwrap().unwrap().num_rows(), 0);
    }
}
