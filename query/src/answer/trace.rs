//! A trace by id, and the search for traces.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Time;

/// Order of a trace search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceOrder {
    /// Newest first.
    #[default]
    Newest,
    /// Longest trace first.
    Slowest,
}

/// A trace search: traces with at least one span for which every condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceQuery {
    /// Window the matching span starts in.
    pub range: headrope_model::TimeRange,
    /// Service of the span.
    pub service: Option<String>,
    /// Name of the span.
    pub operation: Option<String>,
    /// Least duration of the span, nanoseconds.
    pub min_duration_ns: Option<i64>,
    /// Greatest duration of the span, nanoseconds.
    pub max_duration_ns: Option<i64>,
    /// Only spans with status ERROR.
    pub errors_only: bool,
    /// Typed attributes: each must equal a value on the span, one of its events or links, its scope
    /// or its resource. `123` does not equal `"123"`.
    pub tags: Vec<(String, Value)>,
    /// Order.
    pub order: TraceOrder,
    /// Rows, 1 to 1000.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Number of spans of one service in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceCount {
    /// Service.
    pub service: String,
    /// Spans.
    pub spans: u64,
}

/// A trace in a list: a summary, never its spans.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceSummary {
    /// Trace.
    pub trace_id: String,
    /// Earliest start.
    pub start_time: Time,
    /// Latest end minus earliest start.
    pub duration_ns: i64,
    /// Service of the root; of the earliest span if the root is missing.
    pub root_service: String,
    /// Name of the root; of the earliest span if the root is missing.
    pub root_name: String,
    /// Whether a span without a parent was received.
    pub has_root: bool,
    /// Spans.
    pub span_count: u64,
    /// Spans with status ERROR.
    pub error_count: u64,
    /// Services, sorted by name.
    pub services: Vec<String>,
}

/// A page of a trace search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TracePage {
    /// Traces.
    pub traces: Vec<TraceSummary>,
    /// Pass as `cursor` for the next page; absent at the end.
    pub next: Option<String>,
}

/// An event of a span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanEvent {
    /// When.
    pub time: Time,
    /// Name.
    pub name: String,
    /// Attributes.
    pub attributes: Value,
    /// Attributes the sender dropped.
    pub dropped_attributes_count: u32,
}

/// A link of a span.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpanLink {
    /// Linked trace.
    pub trace_id: String,
    /// Linked span.
    pub span_id: String,
    /// W3C trace state.
    pub trace_state: String,
    /// Attributes.
    pub attributes: Value,
    /// Attributes the sender dropped.
    pub dropped_attributes_count: u32,
    /// W3C trace flags.
    pub flags: u32,
}

/// A stretch of the critical path inside one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PathPart {
    /// Nanoseconds after the trace's start.
    pub from_ns: i64,
    /// Nanoseconds after the trace's start.
    pub to_ns: i64,
}

/// What a request waited for, one stretch after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CriticalPath {
    /// Trace id.
    pub trace_id: String,
    /// Sum of the stretches: the duration of the request.
    pub duration_ns: i64,
    /// Stretches in the order of time; each begins where the one before it ends.
    pub path: Vec<PathStretch>,
    /// Whether spans were left out of the answer, and with them stretches.
    pub truncated: bool,
}

/// A stretch of a critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathStretch {
    /// Whose own work it is.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Begin, nanoseconds after the trace's.
    pub from_ns: i64,
    /// End, nanoseconds after the trace's begin.
    pub to_ns: i64,
}

impl Trace {
    /// The critical path of the trace's request, as far as its spans are in this answer.
    #[must_use]
    pub fn critical_path(&self) -> CriticalPath {
        let stretches = |span: &TraceSpan| {
            let stretch = |part: &PathPart| PathStretch {
                span_id: span.span_id.clone(),
                service: span.service.clone(),
                name: span.name.clone(),
                from_ns: part.from_ns,
                to_ns: part.to_ns,
            };
            span.critical.iter().map(stretch).collect::<Vec<_>>()
        };
        let mut path: Vec<PathStretch> = self.spans.iter().flat_map(stretches).collect();
        path.sort_by_key(|stretch| stretch.from_ns);
        CriticalPath {
            trace_id: self.trace_id.clone(),
            duration_ns: path.iter().map(|stretch| stretch.to_ns - stretch.from_ns).sum(),
            path,
            truncated: usize::try_from(self.span_count).is_ok_and(|all| all > self.spans.len()),
        }
    }
}

/// A span in the call chain, in pre-order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceSpan {
    /// Span.
    pub span_id: String,
    /// Parent as sent.
    pub parent_span_id: Option<String>,
    /// Index of the parent in [`Trace::spans`]; absent for roots and orphans.
    pub parent_index: Option<u32>,
    /// Depth in the tree, roots 0.
    pub depth: u32,
    /// Spans below it.
    pub descendants: u32,
    /// Whether its parent was named but not received.
    pub orphan: bool,
    /// Service.
    pub service: String,
    /// Name.
    pub name: String,
    /// Kind, upper case.
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status_code: String,
    /// Status message.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// Start as sent.
    pub start_time: Time,
    /// Nanoseconds after the trace's start, clock skew repaired.
    pub offset_ns: i64,
    /// Duration.
    pub duration_ns: i64,
    /// Duration not covered by children.
    pub self_ns: i64,
    /// Shift applied to repair clock skew; 0 without.
    pub skew_ns: i64,
    /// Stretches of the critical path inside this span.
    pub critical: Vec<PathPart>,
    /// Attributes.
    pub attributes: Value,
    /// Resource attributes.
    pub resource: Value,
    /// Instrumentation scope name.
    pub scope_name: String,
    /// Instrumentation scope version.
    pub scope_version: String,
    /// W3C trace state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_state: String,
    /// Events.
    pub events: Vec<SpanEvent>,
    /// Links.
    pub links: Vec<SpanLink>,
}

/// Time of a trace by service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceTime {
    /// Service.
    pub service: String,
    /// Spans.
    pub spans: u64,
    /// Spans with status ERROR.
    pub errors: u64,
    /// Sum of self times.
    pub self_ns: i64,
    /// Length of the critical path inside the service.
    pub critical_ns: i64,
}

/// Calls that repeat others of the same trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepeatRow {
    /// `loop`: the same target five times or more one after the other, the N+1 pattern; `retry`: further attempts;
    /// `duplicate_read`: the same read again, the first not counted.
    pub kind: &'static str,
    /// Index in [`Trace::spans`] of the span that answers for the calls, if it is among them.
    pub caller: Option<u32>,
    /// What is called, without the values of one call.
    pub target: String,
    /// Indexes in [`Trace::spans`] of the calls: of a loop all of them, otherwise those that repeat another; at most a hundred.
    pub calls: Vec<u32>,
    /// How many there are.
    pub count: u64,
    /// How many can be put one after the other.
    pub in_sequence: u64,
    /// How many did not fail.
    pub succeeded: u64,
    /// Time during which at least one of them ran and the caller, too.
    pub time_ns: i64,
    /// That time as a share of the caller's duration.
    pub share: f64,
}

/// A trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// Trace.
    pub trace_id: String,
    /// Start of the earliest span, skew repaired.
    pub start_time: Time,
    /// Length of the whole trace.
    pub duration_ns: i64,
    /// Spans in pre-order, at most the limit asked for.
    pub spans: Vec<TraceSpan>,
    /// Spans received, duplicates removed.
    pub span_count: u64,
    /// Spans with status ERROR.
    pub error_count: u64,
    /// Greatest depth.
    pub depth: u32,
    /// Spans whose parent was not received.
    pub orphans: u64,
    /// Duplicates dropped.
    pub duplicates: u64,
    /// Spans shifted to repair clock skew.
    pub skewed: u64,
    /// Time by service, most critical first.
    pub services: Vec<ServiceTime>,
    /// Index in `spans` of the span to look at first: the deepest failing one, or else the one with
    /// the most self time on the critical path.
    pub guilty: Option<u32>,
    /// Calls that repeat others, those that take longest first; kinds overlap.
    pub repeats: Vec<RepeatRow>,
    /// Log records that carry this trace id.
    pub log_count: u64,
}
