//! What services answered, minute by minute.

use std::collections::BTreeMap;

use headrope_analysis::histogram::TimeBuckets;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE};
use headrope_model::{DataSet, TimeRange};

use crate::ask::{ENTRY, IN_RANGE, in_range, text};
use crate::column::{Columns, count, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// Length of a step.
pub(super) const STEP_NS: i64 = NANOS_PER_MINUTE;
/// Most (instance or operation, step) pairs that are read.
const MOST_ROWS: usize = 2_000_000;
/// Length of a day.
pub(super) const DAY_NS: i64 = 1440 * NANOS_PER_MINUTE;
/// A step counts if at least this part of it lies in the window and in what is stored.
const LEAST_PART: f64 = 0.5;

/// An instance of a service, as spans name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instance {
    pub(super) service: String,
    pub(super) version: Option<String>,
    pub(super) id: Option<String>,
    pub(super) host: Option<String>,
}

/// What was answered in a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) calls: f64,
    /// Sum of the durations, seconds.
    pub(super) seconds: f64,
}

/// Requests by step.
pub(super) type Series<T> = BTreeMap<usize, T>;

/// Steps of a window, and how much of each is seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) times: TimeBuckets,
    seen: TimeRange,
}

/// What of a window spans are stored for.
pub(super) fn stored(session: &Session, range: TimeRange) -> TimeRange {
    let snapshot = session.snapshot();
    let segments = snapshot.segments(DataSet::Spans).iter();
    let segments = segments.map(|s| (s.meta().min_time, s.meta().max_time));
    let live = snapshot.live(DataSet::Spans).iter().map(|l| (l.min_time, l.max_time));
    let stored = segments.chain(live).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (min, max) = stored.unwrap_or((0, 0));
    let from = range.from().max(min);
    let to = range.to().min(max.saturating_add(1)).max(from);
    TimeRange::new(from, to).unwrap_or(range)
}

impl Steps {
    /// Steps of what is stored of a window.
    pub(super) fn of(seen: TimeRange) -> Self {
        Self { times: TimeBuckets::with_step(seen, STEP_NS), seen }
    }

    /// Seconds of a step that are seen; `None` if they are too few to tell a rate.
    pub(super) fn seconds(&self, step: usize) -> Option<f64> {
        let (from, length) = (self.times.start_ns(step), self.times.step_ns());
        let seen = from.saturating_add(length).min(self.seen.to()) - from.max(self.seen.from());
        (seen as f64 >= LEAST_PART * length as f64).then_some(seen as f64 / 1e9)
    }

    /// Seconds of the window that are seen.
    pub(super) fn length_s(&self) -> f64 {
        self.seen.duration_ns() as f64 / 1e9
    }

    /// What of the window is seen.
    pub(super) const fn seen(&self) -> TimeRange {
        self.seen
    }

    /// The last steps that are seen, as many as asked for.
    pub(super) fn last(&self, steps: usize) -> usize {
        self.times.len().saturating_sub(steps)
    }
}

fn condition(range: TimeRange, service: Option<&str>) -> (String, Params) {
    let mut params = in_range(range);
    let mut all = format!("{IN_RANGE} AND {ENTRY}");
    if let Some(service) = service {
        params.push(("service", text(service)));
        all.push_str(" AND service_name = $service");
    }
    (all, params)
}

/// Says that a window holds too much.
fn bounded(rows: usize, what: &str) -> Result<(), QueryError> {
    let text = || format!("more than {MOST_ROWS} minutes of {what}");
    if rows < MOST_ROWS { Ok(()) } else { Err(QueryError::TooLarge(text())) }
}

/// Requests of each instance by step.
pub(super) async fn instances(
    session: &Session,
    steps: Steps,
    service: Option<&str>,
) -> Result<BTreeMap<Instance, Series<Done>>, QueryError> {
    let (all, params) = condition(steps.seen, service);
    let sql = format!(
        "SELECT service_name, service_version, service_instance_id, host_name, \
         time_bucket({}, start_time) AS step, count(*) AS calls, sum(duration_ns) AS total_ns \
         FROM spans WHERE {all} GROUP BY 1, 2, 3, 4, 5 LIMIT {MOST_ROWS}",
        steps.times.step_ns()
    );
    let mut found: BTreeMap<Instance, Series<Done>> = BTreeMap::new();
    let mut rows = 0;
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let (services, versions) =
            (columns.texts("service_name")?, columns.texts("service_version")?);
        let (ids, hosts) = (columns.texts("service_instance_id")?, columns.texts("host_name")?);
        let (times, calls) = (columns.ints("step")?, columns.ints("calls")?);
        let total = columns.doubles("total_ns")?;
        rows += batch.num_rows();
        for row in 0..batch.num_rows() {
            let Some(step) = steps.times.index(int0(&times, row)) else { continue };
            let instance = Instance {
                service: services.owned(row),
                version: versions.get(row).map(str::to_owned),
                id: ids.get(row).map(str::to_owned),
                host: hosts.get(row).map(str::to_owned),
            };
            let done = found.entry(instance).or_default().entry(step).or_default();
            done.calls += count(&calls, row) as f64;
            done.seconds += total.value(row) / 1e9;
        }
    }
    bounded(rows, "instances")?;
    Ok(found)
}

/// Requests of each operation that enters a service, by step.
pub(super) async fn operations(
    session: &Session,
    steps: Steps,
    service: Option<&str>,
) -> Result<BTreeMap<String, BTreeMap<String, Series<f64>>>, QueryError> {
    let (all, params) = condition(steps.seen, service);
    let sql = format!(
        "SELECT service_name, name, time_bucket({}, start_time) AS step, count(*) AS calls \
         FROM spans WHERE {all} GROUP BY 1, 2, 3 LIMIT {MOST_ROWS}",
        steps.times.step_ns()
    );
    let mut found: BTreeMap<String, BTreeMap<String, Series<f64>>> = BTreeMap::new();
    let mut rows = 0;
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let (services, names) = (columns.texts("service_name")?, columns.texts("name")?);
        let (times, calls) = (columns.ints("step")?, columns.ints("calls")?);
        rows += batch.num_rows();
        for row in 0..batch.num_rows() {
            let Some(step) = steps.times.index(int0(&times, row)) else { continue };
            let of_service = found.entry(services.owned(row)).or_default();
            let series = of_service.entry(names.owned(row)).or_default();
            *series.entry(step).or_default() += count(&calls, row) as f64;
        }
    }
    bounded(rows, "operations")?;
    Ok(found)
}

/// Requests of a day and of its busiest step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Day {
    pub(super) calls: u64,
    pub(super) peak_calls: u64,
    /// Whether there were requests from its first hour to its last.
    pub(super) is_whole: bool,
}

/// Days of each service since 1970-01-01. Minutes whose spans may be gone are read from the roll-up, which is
/// kept longer.
pub(super) async fn days(
    session: &Session,
    range: TimeRange,
    service: Option<&str>,
) -> Result<BTreeMap<String, BTreeMap<i64, Day>>, QueryError> {
    let horizon = session.snapshot().horizon(DataSet::ServiceRollup);
    let split = horizon.map_or(range.from(), |horizon| {
        let next = horizon.div_euclid(STEP_NS).saturating_add(1).saturating_mul(STEP_NS);
        next.clamp(range.from(), range.to())
    });
    let (all, mut params) = condition(range, service);
    params.push(("split", crate::moment::scalar(split)));
    let only = if service.is_some() { "AND service_name = $service" } else { "" };
    let sql = format!(
        "SELECT service_name, CAST(date_trunc('day', minute) AS BIGINT) AS day, \
         sum(calls) AS calls, max(calls) AS peak, min(minute) AS first, max(minute) AS last FROM ( \
         SELECT service_name, time_bucket({STEP_NS}, start_time) AS minute, count(*) AS calls \
         FROM spans WHERE {all} AND start_time >= $split GROUP BY 1, 2 \
         UNION ALL SELECT service_name, time AS minute, sum(calls) AS calls FROM service_minute \
         WHERE time >= $from AND time < $split {only} \
         AND (kind IN ('SERVER', 'CONSUMER') OR is_root) GROUP BY 1, 2) GROUP BY 1, 2"
    );
    let mut found: BTreeMap<String, BTreeMap<i64, Day>> = BTreeMap::new();
    for batch in Box::pin(session.rows(&sql, params)).await? {
        let columns = Columns(&batch);
        let services = columns.texts("service_name")?;
        let (days, calls) = (columns.ints("day")?, columns.ints("calls")?);
        let peaks = columns.ints("peak")?;
        let (first, last) = (columns.ints("first")?, columns.ints("last")?);
        for row in 0..batch.num_rows() {
            let at = int0(&days, row).div_euclid(DAY_NS);
            let start = at.saturating_mul(DAY_NS);
            let begins = int0(&first, row) - start < NANOS_PER_HOUR;
            let ends = start.saturating_add(DAY_NS) - int0(&last, row) <= NANOS_PER_HOUR;
            let (calls, peak_calls) = (count(&calls, row), count(&peaks, row));
            let day = Day { calls, peak_calls, is_whole: begins && ends };
            found.entry(services.owned(row)).or_default().insert(at, day);
        }
    }
    Ok(found)
}
