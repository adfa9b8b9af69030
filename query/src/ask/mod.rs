//! How each typed answer is found: SQL over the session's snapshot, folded into plain data.
//!
//! Reading order: `measure` (what every group of spans is measured by), `top`, `service`, `latency`,
//! `overview`, `peer` (what is called), `dependency`, `resource`; `chains` (call chains of a window); `trace` and `span` (one trace); `cursor` (how a
//! list is paged), `search`, `log`; `pattern` (what logs say), `error`, `difference`, `change`, `anomaly`; `entity` (whose metrics
//! are whose), `coverage`, `map`, `verdict`, `statement`, `capacity`.

pub(crate) mod anomaly;
pub(crate) mod attribute;
pub(crate) mod capacity;
mod chains;
pub(crate) mod change;
pub(crate) mod coverage;
pub(crate) mod cursor;
pub(crate) mod dependency;
pub(crate) mod difference;
mod entity;
pub(crate) mod error;
pub(crate) mod latency;
pub(crate) mod log;
pub(crate) mod map;
mod measure;
pub(crate) mod overview;
pub(crate) mod pattern;
mod peer;
mod repeats;
pub(crate) mod resource;
pub(crate) mod search;
pub(crate) mod service;
mod slowest;
mod span;
pub(crate) mod statement;
mod summary;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod verdict;

#[cfg(test)]
mod tests;

use datafusion::common::ScalarValue;
use headrope_model::time::NANOS_PER_MINUTE;
use headrope_model::{DataSet, TimeRange};
use headrope_storage::Snapshot;

use crate::answer::SpanScope;
use crate::engine::Params;
use crate::moment;

/// Spans that a service answers: kind SERVER or CONSUMER, or without a parent.
const ENTRY: &str = "(kind IN ('SERVER', 'CONSUMER') OR parent_span_id IS NULL)";
/// Spans that start in the window.
const IN_RANGE: &str = "start_time >= $from AND start_time < $to";

/// Most rows of a list.
pub(crate) const MAX_LIMIT: usize = 1000;

/// Shortest reference that is chosen without being asked for.
const REFERENCE_NS: i64 = 10 * NANOS_PER_MINUTE;

/// What a window is compared with, and who chose it: `asked`, or `before` for the time just before the
/// window, as long as it and ten minutes at least.
pub(crate) fn reference_of(
    asked: Option<TimeRange>,
    window: TimeRange,
) -> (TimeRange, &'static str) {
    let length = window.duration_ns().max(REFERENCE_NS);
    let before = TimeRange::new(window.from().saturating_sub(length), window.from());
    match asked {
        Some(reference) => (reference, "asked"),
        None => (before.unwrap_or(window), "before"),
    }
}

/// The parameters of [`IN_RANGE`].
fn in_range(range: TimeRange) -> Params {
    vec![("from", moment::scalar(range.from())), ("to", moment::scalar(range.to()))]
}

/// The condition and parameters of a range, a scope of spans and perhaps a service.
fn condition(range: TimeRange, spans: SpanScope, service: Option<&str>) -> (String, Params) {
    let mut condition = IN_RANGE.to_owned();
    let mut params = in_range(range);
    if spans == SpanScope::Entry {
        condition.push_str(" AND ");
        condition.push_str(ENTRY);
    }
    if let Some(service) = service {
        condition.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    (condition, params)
}

/// A text parameter.
fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

/// A range without an end becomes one that covers what is stored, so that it can be cut into steps.
fn bounded(range: TimeRange, snapshot: &Snapshot, data_set: DataSet) -> TimeRange {
    if range.from() > i64::MIN && range.to() < i64::MAX {
        return range;
    }
    let segments =
        snapshot.segments(data_set).iter().map(|s| (s.meta().min_time, s.meta().max_time));
    let live = snapshot.live(data_set).iter().map(|l| (l.min_time, l.max_time));
    let stored = segments.chain(live).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (min, max) = stored.unwrap_or((0, 0));
    let from = range.from().max(min);
    let to = range.to().min(max.saturating_add(1));
    TimeRange::new(from, to).or_else(|| TimeRange::new(from, from)).unwrap_or(range)
}

/// A list's length within its bounds.
const fn limit(asked: usize) -> usize {
    match asked {
        0 => 1,
        n if n > MAX_LIMIT => MAX_LIMIT,
        n => n,
    }
}
