//! Log search.

use serde::Serialize;
use serde_json::Value;

use super::Time;

/// A question about logs. Every condition given must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct LogQuery {
    /// Window.
    pub range: headrope_model::TimeRange,
    /// Text query on the body: words, `"phrases"`, `-not`, `OR`, `prefix*`.
    pub text: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// Lowest severity number (OTLP: 9 INFO, 13 WARN, 17 ERROR).
    pub min_severity: Option<i32>,
    /// Trace.
    pub trace_id: Option<headrope_model::TraceId>,
    /// Span.
    pub span_id: Option<headrope_model::SpanId>,
    /// Rows, 1 to 1000; newest first.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A log record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogRow {
    /// When it happened.
    pub time: Time,
    /// Service.
    pub service: String,
    /// OTLP severity number, 0 if not sent.
    pub severity_number: i32,
    /// Severity as sent, or the short name of the number.
    pub severity_text: String,
    /// Body: text as it is, anything else as JSON.
    pub body: String,
    /// Event name, if it is an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// Trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// Attributes.
    pub attributes: Value,
    /// Resource attributes.
    pub resource: Value,
}

/// Records per step of time and severity class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogVolume {
    /// Length of a step in nanoseconds.
    pub step_ns: i64,
    /// Start of each step.
    pub times: Vec<Time>,
    /// Below WARN.
    pub info: Vec<u64>,
    /// WARN.
    pub warn: Vec<u64>,
    /// ERROR and FATAL.
    pub error: Vec<u64>,
}

/// A page of log records, newest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogPage {
    /// Records.
    pub logs: Vec<LogRow>,
    /// Pass as `cursor` for the next page; absent at the end.
    pub next: Option<String>,
}
