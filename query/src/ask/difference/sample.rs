//! Which traces are compared: at most [`MOST_TRACES`] of each side, chosen without regard to what they are like.
//!
//! If there are many requests, those that begin in even stretches of the time are looked at; of these the traces whose ids have
//! the smallest hashes are taken.

use std::collections::BTreeMap;

use headrope_analysis::statistics::{median, quantile};
use headrope_model::TimeRange;

use crate::answer::difference::{DifferenceQuery, Focus};
use crate::ask::{ENTRY, IN_RANGE, in_range, text};
use crate::column::{Columns, count, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// Most traces of each side.
const MOST_TRACES: usize = 1_000;
/// About so many requests are looked at.
const MOST_REQUESTS: u64 = 20_000;
/// Stretches that a longer time is looked at in.
const STRETCHES: i64 = 16;
/// Requests of an operation above this quantile are slow.
const SLOW: f64 = 0.95;
/// Fewest requests of an operation whose quantile means something.
const LEAST_REQUESTS: usize = 20;

/// A trace that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) trace: String,
    pub(super) hash: u64,
    /// When the request began.
    pub(super) start: i64,
    pub(super) excess: u64,
}

/// Both sides, each with how many such traces there are and the share of the time that was looked at.
#[derive(Debug, Default)]
pub(super) struct Sampled {
    pub(super) focus: Vec<Picked>,
    pub(super) normal: Vec<Picked>,
    pub(super) focus_of: (u64, f64),
    pub(super) normal_of: (u64, f64),
}

/// A request.
#[derive(Debug)]
struct Request {
    trace: String,
    start: i64,
    duration: i64,
}

/// Requests by service and operation.
type Requests = BTreeMap<(String, String), Vec<Request>>;

/// Requests that were looked at.
struct Looked {
    requests: Requests,
    /// Share of the time.
    share: f64,
}

pub(super) async fn sample(
    session: &Session,
    query: &DifferenceQuery,
) -> Result<Sampled, QueryError> {
    let reference = query.reference.unwrap_or(query.range);
    match query.focus {
        Focus::Failed => {
            let focus = look(session, query, query.range, Some(true)).await?;
            let normal = look(session, query, reference, Some(false)).await?;
            let all = |looked: &Looked| {
                let requests = looked.requests.values().flatten();
                requests.map(|r| picked(r, 1)).collect::<Vec<Picked>>()
            };
            Ok(sides(all(&focus), focus.share, all(&normal), normal.share))
        }
        Focus::Slow => {
            let here = look(session, query, query.range, None).await?;
            if query.reference.is_none() {
                let limits = limits(&here, query.min_duration_ns);
                return Ok(split(&here, &here, &limits));
            }
            let before = look(session, query, reference, None).await?;
            let limits = limits(&before, query.min_duration_ns);
            Ok(split(&here, &before, &limits))
        }
    }
}

/// Limit and median of the durations of each operation.
type Limits = BTreeMap<(String, String), (f64, f64)>;

fn limits(looked: &Looked, given: Option<i64>) -> Limits {
    let of = |requests: &Vec<Request>| {
        let durations: Vec<f64> = requests.iter().map(|r| r.duration as f64).collect();
        let limit = match given {
            // What is as long as the limit is slow.
            Some(least) => Some(least as f64 - 0.5),
            None => quantile(&durations, SLOW).filter(|_| durations.len() >= LEAST_REQUESTS),
        };
        limit.zip(median(&durations))
    };
    let each = looked.requests.iter();
    each.filter_map(|(name, requests)| Some((name.clone(), of(requests)?))).collect()
}

/// Slow requests of the one, others of the other.
fn split(here: &Looked, there: &Looked, limits: &Limits) -> Sampled {
    let side = |looked: &Looked, slow: bool| {
        let mut side = Vec::new();
        for (name, requests) in &looked.requests {
            let Some((limit, usual)) = limits.get(name) else { continue };
            let those = requests.iter().filter(|r| (r.duration as f64 > *limit) == slow);
            side.extend(those.map(|r| picked(r, (r.duration as f64 - usual).max(0.0) as u64)));
        }
        side
    };
    sides(side(here, true), here.share, side(there, false), there.share)
}

fn picked(request: &Request, excess: u64) -> Picked {
    let (trace, start) = (request.trace.clone(), request.start);
    Picked { hash: hash(&trace), trace, start, excess }
}

fn sides(focus: Vec<Picked>, focus_share: f64, normal: Vec<Picked>, normal_share: f64) -> Sampled {
    let of =
        |side: &[Picked], share: f64| ((side.len() as f64 / share.max(1e-9)).round() as u64, share);
    let (focus_of, normal_of) = (of(&focus, focus_share), of(&normal, normal_share));
    let focus = fewer(focus);
    // A trace with several requests may be on both sides; it is in focus.
    let in_focus: std::collections::BTreeSet<&str> =
        focus.iter().map(|p| p.trace.as_str()).collect();
    let normal = normal.into_iter().filter(|p| !in_focus.contains(p.trace.as_str())).collect();
    let normal = fewer(normal);
    Sampled { focus, normal, focus_of, normal_of }
}

/// Those with the smallest hashes, each trace once, by its worst request.
fn fewer(mut traces: Vec<Picked>) -> Vec<Picked> {
    traces.sort_by(|a, b| {
        let order = a.hash.cmp(&b.hash).then_with(|| a.trace.cmp(&b.trace));
        order.then(b.excess.cmp(&a.excess)).then(a.start.cmp(&b.start))
    });
    traces.dedup_by(|b, a| a.trace == b.trace);
    traces.truncate(MOST_TRACES);
    traces
}

/// FNV-1a with the finaliser of SplitMix64: ids need not be random.
fn hash(text: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let z = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The condition on requests of a question, and its parameters.
fn condition(query: &DifferenceQuery, range: TimeRange, failed: Option<bool>) -> (String, Params) {
    let mut condition = IN_RANGE.to_owned();
    let mut params = in_range(range);
    condition.push_str(" AND ");
    match (&query.service, &query.operation) {
        (None, None) => condition.push_str("parent_span_id IS NULL"),
        _ => condition.push_str(ENTRY),
    }
    for (name, column, value) in
        [("service", "service_name", &query.service), ("operation", "name", &query.operation)]
    {
        if let Some(value) = value {
            condition.push_str(&format!(" AND {column} = ${name}"));
            params.push((name, text(value)));
        }
    }
    match failed {
        Some(true) => condition.push_str(" AND status_code = 'ERROR'"),
        Some(false) => condition.push_str(" AND status_code <> 'ERROR'"),
        None => {}
    }
    (condition, params)
}

/// Requests of a range, or of stretches of it.
async fn look(
    session: &Session,
    query: &DifferenceQuery,
    range: TimeRange,
    failed: Option<bool>,
) -> Result<Looked, QueryError> {
    let (where_, params) = condition(query, range, failed);
    let mut all = 0;
    let sql = format!("SELECT count(*) AS n FROM spans WHERE {where_}");
    for batch in session.rows(&sql, params).await? {
        all += count(&Columns(&batch).ints("n")?, 0);
    }
    let share = (MOST_REQUESTS as f64 / all.max(1) as f64).min(1.0);
    let mut requests = Requests::new();
    for stretch in stretches(range, share) {
        let (where_, params) = condition(query, stretch, failed);
        let sql = format!(
            "SELECT trace_id, start_time, duration_ns, service_name, name FROM spans WHERE {where_}"
        );
        for batch in Box::pin(session.rows(&sql, params)).await? {
            add(&mut requests, &Columns(&batch))?;
        }
    }
    Ok(Looked { requests, share })
}

fn add(requests: &mut Requests, columns: &Columns<'_>) -> Result<(), QueryError> {
    let traces = columns.texts("trace_id")?;
    let (services, names) = (columns.texts("service_name")?, columns.texts("name")?);
    let (starts, durations) = (columns.ints("start_time")?, columns.ints("duration_ns")?);
    for row in 0..columns.0.num_rows() {
        let of = requests.entry((services.owned(row), names.owned(row))).or_default();
        of.push(Request {
            trace: traces.owned(row),
            start: int0(&starts, row),
            duration: int0(&durations, row),
        });
    }
    Ok(())
}

/// The whole range, or even stretches of it that are so much of it.
fn stretches(range: TimeRange, share: f64) -> Vec<TimeRange> {
    if share >= 1.0 {
        return vec![range];
    }
    let step = range.duration_ns() / STRETCHES;
    let each = (step as f64 * share) as i64;
    let stretch = |at: i64| {
        let from = range.from() + at * step + (step - each) / 2;
        TimeRange::new(from, from + each.max(1))
    };
    (0..STRETCHES).filter_map(stretch).collect()
}
