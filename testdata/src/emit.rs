//! Simulated records as OTLP requests, batched the way a collector batches them.

pub(crate) mod fill;
mod logs;
mod metrics;
mod span_attrs;
mod spans;
mod trouble;

pub(crate) use logs::requests as log_requests;
pub(crate) use metrics::requests as metric_requests;
pub(crate) use spans::requests as trace_requests;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;

/// The semantic conventions the shop follows.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

fn scope(name: &str, version: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
    }
}

/// A time as OTLP wants it; the shop lives after 1970.
fn unix(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or_default()
}
