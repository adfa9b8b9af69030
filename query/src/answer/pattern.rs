//! What logs say: patterns, and groups of errors.

use headrope_model::TimeRange;
use serde::Serialize;

use super::Time;
use super::verdict::Window;

/// A question for log patterns.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternQuery {
    /// Window.
    pub range: TimeRange,
    /// What it is compared with; without, the time just before the window, as long as it and at least ten minutes.
    pub reference: Option<TimeRange>,
    /// Only this service.
    pub service: Option<String>,
    /// Lowest severity number.
    pub min_severity: Option<i32>,
    /// Rows, 1 to 1000.
    pub limit: usize,
}

/// A log record that stands for a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogExample {
    /// When it happened.
    pub time: Time,
    /// Its body.
    pub body: String,
    /// Its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// A pattern of log records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogPattern {
    /// Hash of the template's text.
    pub id: String,
    /// Service.
    pub service: String,
    /// Short name of the severity, empty if none was sent.
    pub severity: String,
    /// What its lines have in common, `<*>` and other marks for what differs.
    pub template: String,
    /// Lines in the window.
    pub count: u64,
    /// Share of the lines of the window.
    pub share: f64,
    /// Lines in the reference.
    pub reference_count: u64,
    /// Lines expected in the window, by the reference.
    pub expected: f64,
    /// `new`, `gone`, `more`, `less` or `steady`.
    pub change: &'static str,
    /// Probability of such a difference by chance.
    pub p_value: f64,
    /// Whether counts are estimates, as some of its lines were read and stand for others.
    pub estimated: bool,
    /// One of its lines, in the window if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<LogExample>,
}

/// Log patterns: new ones first, then those gone, more and less frequent, then the rest, the most frequent first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogPatterns {
    /// Patterns.
    pub patterns: Vec<LogPattern>,
    /// Patterns found, also those cut off.
    pub total: u64,
    /// Lines in the window.
    pub lines: u64,
    /// Lines in the reference.
    pub reference_lines: u64,
    /// The window.
    pub window: Window,
    /// The reference.
    pub reference: Window,
    /// Who chose the reference: `asked` or `before`.
    pub reference_chosen: &'static str,
}

/// A question for groups of errors.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorQuery {
    /// Window.
    pub range: TimeRange,
    /// What it is compared with; see [`PatternQuery::reference`].
    pub reference: Option<TimeRange>,
    /// Only this service.
    pub service: Option<String>,
    /// Rows, 1 to 1000.
    pub limit: usize,
}

/// Errors of one type, message and origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorGroupRow {
    /// Hash of type, message and frames.
    pub id: String,
    /// Type of the exception.
    #[serde(rename = "type")]
    pub kind: String,
    /// First line of its message, values masked.
    pub message: String,
    /// Top functions of its stack trace, the innermost first.
    pub frames: Vec<String>,
    /// Services it was seen in, the one with most first.
    pub services: Vec<String>,
    /// Exceptions in the window.
    pub count: u64,
    /// Exceptions in the reference.
    pub reference_count: u64,
    /// `new`, `regressed` (not in the later half of the reference, but before), `gone`, `more`, `less` or `steady`.
    pub change: &'static str,
    /// Probability of such a difference by chance.
    pub p_value: f64,
    /// First one in reference and window.
    pub first_seen: Time,
    /// Last one in reference and window.
    pub last_seen: Time,
    /// The trace of the last one that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// Groups of errors, ordered as [`LogPatterns`] are; regressed ones are with the new ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ErrorGroups {
    /// Groups.
    pub groups: Vec<ErrorGroupRow>,
    /// Groups found, also those cut off.
    pub total: u64,
    /// Exceptions that were left out because there are too many groups.
    pub left_out: u64,
    /// The window.
    pub window: Window,
    /// The reference.
    pub reference: Window,
    /// Who chose the reference: `asked` or `before`.
    pub reference_chosen: &'static str,
}
