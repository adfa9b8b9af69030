//! What is different about slow or failed traces.

use headrope_model::TimeRange;
use serde::{Deserialize, Serialize};

use super::Time;
use super::verdict::Window;

/// Which traces are looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Focus {
    /// Slow ones: above the 95th percentile of their operation, or above a duration that is given.
    #[default]
    Slow,
    /// Those whose request failed: status ERROR.
    Failed,
}

/// A question for differences.
#[derive(Debug, Clone, PartialEq)]
pub struct DifferenceQuery {
    /// Window.
    pub range: TimeRange,
    /// Where normal traces are taken from; without, from the window.
    pub reference: Option<TimeRange>,
    /// Requests as this service sees them; without, requests as users see them.
    pub service: Option<String>,
    /// Only requests of this operation.
    pub operation: Option<String>,
    /// Which traces are looked into.
    pub focus: Focus,
    /// From which duration on a trace is slow, nanoseconds.
    pub min_duration_ns: Option<i64>,
}

/// Something that traces have or lack.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fact {
    /// `attribute`, `resource`, `operation` (it occurs), `calls` (of an operation in a trace), `error`, or `state` (of a machine, a
    /// process or a store at that minute).
    pub kind: &'static str,
    /// Whose spans; absent for what is not of one service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Key of the attribute, name of the operation or metric.
    pub key: String,
    /// The value, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// For a number: what it lies above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
}

/// A difference between traces in focus and normal ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DifferenceRow {
    /// What it is, in words.
    pub text: String,
    /// What it is.
    #[serde(flatten)]
    pub fact: Fact,
    /// Whether it is more frequent in focus; otherwise it is more often missing there.
    pub more: bool,
    /// Traces in focus that have it.
    pub focus_count: u64,
    /// Normal traces that have it.
    pub normal_count: u64,
    /// Share of the traces in focus.
    pub focus_share: f64,
    /// Share of the normal traces.
    pub normal_share: f64,
    /// Share of the excess in the traces that have it (that lack it, if `more` is false).
    pub excess_share: f64,
    /// Probability of such a difference by chance (Fisher's exact test), not corrected; lines are.
    pub p_value: f64,
    /// Whether it is of the small subset that holds most of the excess.
    pub chosen: bool,
    /// Facts that mark nearly the same traces, in words; the first ten.
    pub also: Vec<String>,
    /// A trace in focus with it (without it, if `more` is false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// How traces were chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chosen {
    /// Traces compared.
    pub traces: u64,
    /// Traces of that kind, counted or, if not all requests were looked at, estimated.
    pub of: u64,
    /// Share of the time whose requests were looked at, in even stretches; of these, traces were taken by a hash of their id.
    pub looked_at: f64,
}

/// Differences, the greatest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Differences {
    /// Lines, at most 50.
    pub lines: Vec<DifferenceRow>,
    /// Share of the excess in the traces that the chosen lines mark.
    pub held: f64,
    /// Share of the normal traces that they mark as well.
    pub normal_marked: f64,
    /// Facts that were tested.
    pub tested: u64,
    /// Whether facts were left out because there are too many.
    pub facts_left_out: bool,
    /// Traces in focus.
    pub focus: Chosen,
    /// Normal traces.
    pub normal: Chosen,
    /// Where traces in focus are from.
    pub window: Window,
    /// Where normal traces are from.
    pub reference: Window,
    /// Earliest and latest start of the traces in focus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<[Time; 2]>,
}
