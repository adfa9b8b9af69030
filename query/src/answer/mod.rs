//! Typed answers: plain data, serialised as the REST API documents it. Times are RFC 3339 text with
//! nanoseconds; durations are whole nanoseconds; a share or a rate is a double.

pub mod anomaly;
pub mod attribute;
pub mod capacity;
pub mod change;
pub mod coverage;
pub mod difference;
pub mod latency;
pub mod log;
pub mod map;
pub mod pattern;
pub mod service;
pub mod statement;
pub mod trace;
pub mod verdict;
mod verdict_card;

use serde::{Serialize, Serializer};

/// A point in time, Unix nanoseconds; RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// RFC 3339, UTC, nanoseconds.
    #[must_use]
    pub fn rfc3339(self) -> String {
        arrow::temporal_conversions::timestamp_ns_to_datetime(self.0)
            .map_or_else(|| self.0.to_string(), |t| t.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

/// Calls, errors and latency of a group of spans. Percentiles come from a mergeable sketch whose
/// relative error is at most [`Stats::RELATIVE_ERROR`]; counts, sums and maxima are exact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// Number of spans.
    pub calls: u64,
    /// Spans with status ERROR.
    pub errors: u64,
    /// `errors / calls`, 0 without calls.
    pub error_rate: f64,
    /// Calls per second over the window asked for.
    pub rate: f64,
    /// Sum of the durations: the hotspot measure.
    pub total_time_ns: i64,
    /// Mean duration.
    pub mean_ns: i64,
    /// Median.
    pub p50_ns: i64,
    /// 95th percentile.
    pub p95_ns: i64,
    /// 99th percentile.
    pub p99_ns: i64,
    /// Slowest.
    pub max_ns: i64,
}

/// Which spans a question counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanScope {
    /// Requests a service answers: kind SERVER or CONSUMER, or a span without a parent.
    #[default]
    Entry,
    /// Every span.
    All,
}

/// How a ranking is ordered (descending; ties by name, ascending).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankBy {
    /// Number of calls.
    Calls,
    /// The single slowest call.
    Slowest,
    /// Sum of the response time over the window: the hotspot.
    #[default]
    TotalTime,
    /// Number of errors.
    Errors,
    /// 99th percentile.
    P99,
    /// Response time that came on top since a reference, whether by more calls or by longer ones.
    Change,
}
