//! What the logs of a culprit say that they did not say before.

use headrope_model::{DataSet, TimeRange};
use headrope_storage::Snapshot;

use crate::answer::verdict::Evidence;
use crate::ask::pattern::changed;
use crate::engine::Session;
use crate::error::QueryError;

/// Most lines of all services whose codes are looked at, about.
const MOST_LINES: f64 = 500_000.0;
/// Least severity number of a line that is evidence: a warning.
const LEAST_SEVERITY: i32 = 13;
/// Most patterns that are told.
const MOST_PATTERNS: usize = 3;

/// Patterns of warnings and errors of a service that are new in the window or come more often than in the reference.
pub(super) async fn evidence(
    session: &Session,
    (reference, window): (TimeRange, TimeRange),
    service: &str,
) -> Result<Vec<Evidence>, QueryError> {
    let lines = lines(session.snapshot(), reference) + lines(session.snapshot(), window);
    if service.is_empty() || lines <= 0.0 {
        return Ok(Vec::new());
    }
    let share = (MOST_LINES / lines).min(1.0);
    let ranges = (end_of(reference, share), end_of(window, share));
    let found = changed(session, ranges, Some(service.to_owned()), Some(LEAST_SEVERITY)).await?;
    let row = |pattern: crate::ask::pattern::ChangedPattern| {
        let times = match pattern.reference {
            0 => format!("{} times, never before", pattern.window),
            before => format!("{} times, {before} in the reference", pattern.window),
        };
        let trace =
            pattern.example_trace.map_or_else(String::new, |id| format!(", as in trace {id}"));
        Evidence {
            text: format!("{service} logs \"{}\" {times}{trace}", pattern.template),
            entity: service.to_owned(),
            metric: "log pattern".to_owned(),
            reference: Some(pattern.reference as f64),
            window: pattern.window as f64,
        }
    };
    Ok(found.into_iter().take(MOST_PATTERNS).map(row).collect())
}

/// About how many lines a range has, as if they came evenly within each segment.
fn lines(snapshot: &Snapshot, range: TimeRange) -> f64 {
    let part = |min: i64, max: i64, rows: f64| {
        let from = range.from().max(min) as f64;
        let to = range.to().min(max.saturating_add(1)) as f64;
        rows * ((to - from) / (max as f64 - min as f64 + 1.0)).clamp(0.0, 1.0)
    };
    let segments = snapshot.segments(DataSet::Logs).iter().map(|segment| {
        let meta = segment.meta();
        part(meta.min_time, meta.max_time, meta.rows as f64)
    });
    let live = snapshot.live(DataSet::Logs).iter();
    let live = live.map(|l| part(l.min_time, l.max_time, l.batch.num_rows() as f64));
    segments.chain(live).sum()
}

/// The last share of a range.
fn end_of(range: TimeRange, share: f64) -> TimeRange {
    let length = (range.duration_ns() as f64 * share) as i64;
    TimeRange::new(range.to().saturating_sub(length), range.to()).unwrap_or(range)
}
