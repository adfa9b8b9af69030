//! Latency distributions.

use serde::Serialize;

use super::service::Series;
use super::{SpanScope, Stats, Time};

/// A question about a latency distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyQuery {
    /// Window.
    pub range: headrope_model::TimeRange,
    /// Service.
    pub service: String,
    /// Span name; `None` for all of the service.
    pub operation: Option<String>,
    /// Which spans count; with an operation, every span of that name counts.
    pub spans: SpanScope,
}

/// A bucket of the histogram: `[from_ns, to_ns)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Inclusive lower bound.
    pub from_ns: i64,
    /// Exclusive upper bound.
    pub to_ns: i64,
    /// Calls.
    pub count: u64,
    /// Calls with status ERROR.
    pub errors: u64,
}

/// A non-empty cell of the heatmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Index into [`Heatmap::times`].
    pub t: u32,
    /// Index into [`Heatmap::bounds_ns`]: the cell covers `[bounds[b], bounds[b + 1])`.
    pub b: u32,
    /// Calls.
    pub count: u64,
    /// Calls with status ERROR.
    pub errors: u64,
}

/// Calls by time and duration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Heatmap {
    /// Start of each column.
    pub times: Vec<Time>,
    /// Width of a column in nanoseconds.
    pub step_ns: i64,
    /// Bounds of the rows, ascending; one more than rows.
    pub bounds_ns: Vec<i64>,
    /// Cells with calls.
    pub cells: Vec<Cell>,
}

/// A call picked to stand for its region of the distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExemplarTrace {
    /// Trace.
    pub trace_id: String,
    /// Span in the trace.
    pub span_id: String,
    /// Start of the span.
    pub start_time: Time,
    /// Duration of the span.
    pub duration_ns: i64,
    /// `UNSET`, `OK` or `ERROR`.
    pub status_code: String,
    /// Why it was picked: `slowest`, `p99`, `p95`, `median`, `error`.
    pub picked: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Figures of the whole window.
    pub stats: Stats,
    /// Histogram over log-scale buckets without leading and trailing empty ones.
    pub histogram: Vec<Bucket>,
    /// Heatmap.
    pub heatmap: Heatmap,
    /// Calls, errors and percentiles over time.
    pub series: Series,
    /// Calls to look at.
    pub exemplars: Vec<ExemplarTrace>,
    /// Greatest relative error of the percentiles.
    pub relative_error: f64,
}
