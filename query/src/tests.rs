//! A seeded data set in a storage engine of its own, for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrope_model::TimeRange;
use headrope_storage::{Engine, Export, StorageConfig, Submission};
use headrope_testdata::{Incident, Oracle, Planned, Shop, ShopConfig, Slice};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tempfile::TempDir;

use crate::{Queries, QueryConfig, SqlRequest};

/// Start of the data: 2025-01-06T00:10:00Z.
const FROM: i64 = 1_736_122_200_000_000_000;
/// Length of the data in seconds.
const SECONDS: i64 = 20;

/// Where the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// All live.
    Live,
    /// All in segments.
    Flushed,
    /// Some in segments, some live.
    Mixed,
    /// In segments, merged.
    Merged,
}

/// An engine with the shop's data, and what it holds.
pub(crate) struct Seeded {
    pub(crate) engine: Arc<Engine>,
    pub(crate) queries: Queries,
    pub(crate) oracle: Oracle,
    pub(crate) range: TimeRange,
    _dir: TempDir,
}

/// Settings under which nothing happens by itself.
fn quiet(dir: &TempDir) -> StorageConfig {
    let forever = std::time::Duration::from_secs(86_400);
    StorageConfig {
        flush_age: forever,
        maintenance_interval: forever,
        retain_traces: None,
        retain_logs: None,
        retain_metrics: None,
        compact_fan_in: 2,
        durability: headrope_storage::Durability::PageCache,
        min_free_bytes: 0,
        ..StorageConfig::new(from_here(&dir.path().join("data")))
    }
}

/// A path as seen from the working directory: the one of a default configuration begins there, too.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    up.join(path.strip_prefix("/").unwrap())
}

/// An empty engine.
pub(crate) async fn empty(config: QueryConfig) -> (Arc<Engine>, Queries, TempDir) {
    let dir = TempDir::new().unwrap();
    let engine = Engine::open(quiet(&dir)).await.unwrap();
    let queries = Queries::with_config(Arc::clone(&engine), config);
    (engine, queries, dir)
}

pub(crate) async fn seeded(placed: Placed) -> Seeded {
    seeded_with(placed, QueryConfig::default()).await
}

pub(crate) async fn seeded_with(placed: Placed, config: QueryConfig) -> Seeded {
    seeded_shop(placed, config, 12.0).await
}

/// As [`seeded`], with another number of traces.
pub(crate) async fn seeded_busy(placed: Placed, traces_per_second: f64) -> Seeded {
    seeded_shop(placed, QueryConfig::default(), traces_per_second).await
}

async fn seeded_shop(placed: Placed, config: QueryConfig, traces_per_second: f64) -> Seeded {
    let (engine, queries, dir) = empty(config).await;
    // A future holds it meanwhile.
    let shop = Box::new(Shop::with_config(ShopConfig {
        seed: 7,
        traces_per_second,
        orphans_ppm: 50_000,
        ..ShopConfig::default()
    }));
    let range = TimeRange::new(FROM, FROM + SECONDS * 1_000_000_000).unwrap();
    let mut oracle = Oracle::new();
    for (at, slice) in shop.slices(range, 5).enumerate() {
        oracle.fold(&slice);
        send(&engine, slice).await;
        if placed != Placed::Live && (placed != Placed::Mixed || at < 3) {
            engine.flush().await.unwrap();
        }
    }
    if placed == Placed::Merged {
        engine.compact().await.unwrap();
    }
    // Spans of the last requests may start after the range they began in.
    let range = TimeRange::new(FROM - 60_000_000_000, range.to() + 600_000_000_000).unwrap();
    Seeded { engine, queries, oracle, range, _dir: dir }
}

/// The shop under an incident from the middle of its time on, in segments.
pub(crate) struct Incidental {
    pub(crate) queries: Queries,
    /// Without the incident.
    pub(crate) reference: TimeRange,
    /// With it.
    pub(crate) window: TimeRange,
    _dir: TempDir,
}

pub(crate) async fn shop_under(incident: Option<Incident>) -> Incidental {
    shop_without(incident, "").await
}

/// Nothing is received of the spans of one service.
pub(crate) async fn shop_without(incident: Option<Incident>, unsent: &str) -> Incidental {
    const SECOND: i64 = 1_000_000_000;
    const LENGTH: i64 = 240 * SECOND;
    let (engine, queries, dir) = empty(QueryConfig::default()).await;
    let reference = TimeRange::new(FROM, FROM + LENGTH).unwrap();
    let window = TimeRange::new(reference.to(), reference.to() + LENGTH).unwrap();
    let shop = Box::new(Shop::with_config(ShopConfig {
        seed: 11,
        traces_per_second: 12.0,
        start_ns: FROM - 3600 * SECOND,
        incidents: incident.map(|kind| Planned::new(kind, window)).into_iter().collect(),
        ..ShopConfig::default()
    }));
    let all = TimeRange::new(FROM - 60 * SECOND, window.to() + 60 * SECOND).unwrap();
    for mut slice in shop.slices(all, 60) {
        let is_sent = |of_resource: &ResourceSpans| {
            let attributes = of_resource.resource.iter().flat_map(|r| &r.attributes);
            !attributes.clone().any(|own| *own == text("service.name", unsent))
        };
        for request in &mut slice.traces {
            request.resource_spans.retain(is_sent);
        }
        send(&engine, slice).await;
    }
    engine.flush().await.unwrap();
    Incidental { queries, reference, window, _dir: dir }
}

/// A text attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A resource with text attributes.
pub(crate) fn resource(pairs: &[(&str, &str)]) -> Option<Resource> {
    let attributes = pairs.iter().map(|(key, value)| text(key, value)).collect();
    Some(Resource { attributes, ..Resource::default() })
}

/// Appends spans of a resource.
pub(crate) async fn traces(engine: &Engine, resource: Option<Resource>, spans: Vec<Span>) {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let of_resource = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![of_resource] };
    let payload = request.encode_to_vec();
    append(engine, Export::Traces(request), payload).await;
}

/// Appends a slice.
pub(crate) async fn send(engine: &Engine, slice: Slice) {
    for request in slice.traces {
        let payload = request.encode_to_vec();
        append(engine, Export::Traces(request), payload).await;
    }
    for request in slice.logs {
        let payload = request.encode_to_vec();
        append(engine, Export::Logs(request), payload).await;
    }
    for request in slice.metrics {
        let payload = request.encode_to_vec();
        append(engine, Export::Metrics(request), payload).await;
    }
}

pub(crate) async fn append(engine: &Engine, export: Export, payload: Vec<u8>) {
    let permit = engine.admit(payload.len()).unwrap();
    engine.append(permit, Submission::Decoded { export, payload: payload.into() }).await.unwrap();
}

/// The rows that SQL answers.
pub(crate) async fn rows(queries: &Queries, query: &str) -> Vec<Vec<serde_json::Value>> {
    let request = SqlRequest { query: query.to_owned(), ..SqlRequest::default() };
    let answer = queries.sql(&request).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
    let answer: serde_json::Value = serde_json::from_str(&answer.json()).unwrap();
    serde_json::from_value(answer["rows"].clone()).unwrap()
}
