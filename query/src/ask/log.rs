//! Log search and log volume.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::common::ScalarValue;
use headrope_analysis::histogram::TimeBuckets;
use headrope_model::{DataSet, TimeRange};
use headrope_storage::text::TextQuery;

use super::cursor::Cursor;
use super::span::{Maps, object};
use super::{bounded, in_range, limit, text};
use crate::answer::Time;
use crate::answer::log::{LogPage, LogQuery, LogRow, LogVolume};
use crate::column::{Columns, count, int0};
use crate::engine::{Due, Line, Lines, Part, Read, Session, Wanted};
use crate::error::QueryError;

/// About this many steps of the volume.
const STEPS: usize = 60;
/// Columns of a record, its body last.
const COLUMNS: [&str; 10] = [
    "time",
    "service_name",
    "severity_number",
    "severity_text",
    "event_name",
    "trace_id",
    "span_id",
    "attributes",
    "resource",
    "body",
];
/// Severity number from which a record is a warning (OTLP).
const WARN: i32 = 13;
/// Severity number from which a record is an error (OTLP).
const ERROR: i32 = 17;

/// Records read at a time when more have the time of a page's end than the page has.
const CHUNK: usize = 4096;

/// The text that is searched for, if it tells records apart.
fn search_text(query: &LogQuery) -> Result<Option<TextQuery>, QueryError> {
    let Some(text) = query.text.as_deref() else { return Ok(None) };
    let parsed =
        TextQuery::parse(text).map_err(|e| QueryError::Invalid(format!("search text: {e}")))?;
    Ok(Some(parsed).filter(|parsed| !parsed.matches_all()))
}

fn wanted(query: &LogQuery, range: TimeRange) -> Result<Wanted, QueryError> {
    Ok(Wanted {
        range,
        service: query.service.clone(),
        min_severity: query.min_severity,
        trace_id: query.trace_id,
        span_id: query.span_id,
        text: search_text(query)?,
    })
}

/// Where a record stands in a list: the newest first, those of one time by a hash of what they show,
/// so that pages neither repeat nor skip them whatever arrives meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    time: Reverse<i64>,
    hash: u64,
}

impl Place {
    fn of(row: &LogRow) -> Result<Self, QueryError> {
        let shown = serde_json::to_vec(row).map_err(|e| QueryError::Engine(e.to_string()))?;
        // FNV-1a: the same on every machine and in every version, as cursors outlive both.
        let hash = shown.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Self { time: Reverse(row.time.0), hash })
    }
}

/// Where the page before ended, and how many records that are alike to its last one were shown.
struct After {
    place: Place,
    shown: usize,
}

impl After {
    fn of(query: &LogQuery) -> Result<Option<Self>, QueryError> {
        let Some(cursor) = &query.cursor else { return Ok(None) };
        let cursor = Cursor::decode(cursor, 'l')?;
        let wrong = || {
            QueryError::Invalid("the cursor is not one of this list; start without one".to_owned())
        };
        let (hash, shown) = cursor.tie.split_once(' ').ok_or_else(wrong)?;
        let hash = u64::from_str_radix(hash, 16).map_err(|_| wrong())?;
        let shown = shown.parse().map_err(|_| wrong())?;
        Ok(Some(Self { place: Place { time: Reverse(cursor.at), hash }, shown }))
    }
}

pub(crate) async fn search(session: &Session, query: &LogQuery) -> Result<LogPage, QueryError> {
    let limit = limit(query.limit);
    let after = After::of(query)?;
    let mut end = query.range.to();
    let mut found: Vec<(Place, LogRow)> = Vec::new();
    if let Some(After { place, shown }) = &after {
        let at = place.time.0;
        end = end.min(at).max(query.range.from());
        let last = TimeRange::new(at, at.saturating_add(1));
        if let Some(range) = last.filter(|_| query.range.contains(at)) {
            // Those of the time the page before ended with, without what it has shown.
            let lines = newest(session, wanted(query, range)?, usize::MAX).await?;
            let most = limit.saturating_add(1).saturating_add(*shown);
            found = first(session, &lines, most, |p| p >= place).await?;
            let alike = found.iter().take_while(|(p, _)| p == place).count();
            drop(found.drain(..alike.min(*shown)));
        }
    }
    if found.len() <= limit {
        let most = limit + 1 - found.len();
        let range = TimeRange::new(query.range.from(), end).unwrap_or(query.range);
        let lines = newest(session, wanted(query, range)?, most).await?;
        found.extend(first(session, &lines, most, |_| true).await?);
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(last, _)| {
        let here = found.iter().rev().take_while(|(place, _)| place == last).count();
        let before = after.as_ref().filter(|a| a.place == *last).map_or(0, |a| a.shown);
        let tie = format!("{:016x} {}", last.hash, before + here);
        Cursor { list: 'l', at: last.time.0, tie }.encode()
    });
    Ok(LogPage { logs: found.into_iter().map(|(_, row)| row).collect(), next })
}

/// The records of these lines, given newest first, that stand first in a list.
async fn first(
    session: &Session,
    lines: &[Line],
    most: usize,
    counts: impl Fn(&Place) -> bool,
) -> Result<Vec<(Place, LogRow)>, QueryError> {
    let mut found: Vec<(Place, LogRow)> = Vec::new();
    for chunk in lines.chunks(CHUNK) {
        for row in fetch(session, chunk).await? {
            let place = Place::of(&row)?;
            if counts(&place) {
                found.push((place, row));
            }
        }
        found.sort_by_key(|(place, _)| *place);
        found.truncate(most);
    }
    Ok(found)
}

/// At least the `most` newest lines and all that have the time of the last of them, newest first.
async fn newest(session: &Session, wanted: Wanted, most: usize) -> Result<Vec<Line>, QueryError> {
    let mut found: Vec<Line> = Vec::new();
    let mut least = i64::MIN;
    walk(session, wanted, Some(most), |lines| {
        found.extend(lines);
        found.sort_unstable_by_key(|line| (Reverse(line.time), line.source, line.row));
        if let Some(last) = most.checked_sub(1).and_then(|at| found.get(at)) {
            least = last.time;
            let end = found.partition_point(|line| line.time >= least);
            found.truncate(end);
        }
        least
    })
    .await?;
    Ok(found)
}

/// Goes through what may hold a line, latest first, as many at a time as there are cores. `take` is
/// given what was found and answers from which time on lines still count.
async fn walk(
    session: &Session,
    wanted: Wanted,
    newest: Option<usize>,
    mut take: impl FnMut(Vec<Line>) -> i64,
) -> Result<(), QueryError> {
    let at_once = session.machine().config.partitions.max(1);
    let lines =
        Arc::new(Lines::new(Arc::clone(session.machine()), session.shared_snapshot(), wanted));
    let mut due = lines.units();
    let mut least = i64::MIN;
    loop {
        due.retain(|d| d.latest >= least);
        due.sort_by_key(|d| d.latest);
        let now = due.split_off(due.len().saturating_sub(at_once));
        if now.is_empty() {
            return Ok(());
        }
        let tasks = now.into_iter().map(|Due { unit, .. }| {
            let lines = Arc::clone(&lines);
            tokio::task::spawn_blocking(move || lines.read(&unit, least, newest))
        });
        for read in futures::future::join_all(tasks).await {
            match read.map_err(|e| QueryError::Engine(e.to_string()))?? {
                Read::Units(units) => due.extend(units),
                Read::Lines(lines) => least = take(lines),
            }
        }
    }
}

/// The records of some lines, in no order.
async fn fetch(session: &Session, lines: &[Line]) -> Result<Vec<LogRow>, QueryError> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_source: BTreeMap<usize, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        by_source.entry(line.source).or_default().push(line);
    }
    let segments = session.snapshot().segments(DataSet::Logs);
    let all_live = session.snapshot().live(DataSet::Logs);
    let each = session.machine().config.partitions.div_ceil(by_source.len().max(1));
    let (mut parts, mut bodies, mut live) = (Vec::new(), Vec::new(), Vec::new());
    for (source, mut lines) in by_source {
        lines.sort_unstable_by_key(|line| line.row);
        let rows: Vec<u32> = lines.iter().map(|line| line.row).collect();
        if let Some(segment) = segments.get(source) {
            let part = Part { segment: Arc::clone(segment), rows };
            parts.extend(part.split(each));
            bodies.extend(lines.into_iter().map(|line| line.body.as_deref()));
        } else if let Some(batch) = all_live.get(source - segments.len()) {
            let rows = take_record_batch(&batch.batch, &UInt32Array::from(rows));
            live.push(rows.map_err(|e| QueryError::Engine(e.to_string()))?);
        }
    }
    let known = bodies.iter().all(Option::is_some);
    let columns =
        if known { COLUMNS.split_last().map_or(&[][..], |(_, others)| others) } else { &COLUMNS };
    let mut found = Vec::with_capacity(lines.len());
    for batch in session.rows_of(parts, columns).await?.iter().flatten() {
        found.extend(rows(batch)?);
    }
    if known {
        for (row, body) in found.iter_mut().zip(bodies) {
            row.body = body.unwrap_or_default().to_owned();
        }
    }
    for batch in session.live_rows(DataSet::Logs, live, &COLUMNS).await? {
        found.extend(rows(&batch)?);
    }
    Ok(found)
}

/// The records of a batch; without bodies if it has none.
fn rows(batch: &RecordBatch) -> Result<Vec<LogRow>, QueryError> {
    let columns = Columns(batch);
    let (times, severity) = (columns.ints("time")?, columns.ints("severity_number")?);
    let (services, texts) = (columns.texts("service_name")?, columns.texts("severity_text")?);
    let bodies = batch.column_by_name("body").map(|_| columns.texts("body")).transpose()?;
    let events = columns.texts("event_name")?;
    let (traces, spans) = (columns.texts("trace_id")?, columns.texts("span_id")?);
    let attributes = Maps::of(columns.array("attributes")?)?;
    let resources = columns.texts("resource")?;
    let row = |row: usize| {
        let number = i32::try_from(int0(&severity, row)).unwrap_or_default();
        LogRow {
            time: Time(int0(&times, row)),
            service: services.owned(row),
            severity_number: number,
            severity_text: texts.get(row).unwrap_or_else(|| short_name(number)).to_owned(),
            body: bodies.as_ref().map(|bodies| bodies.owned(row)).unwrap_or_default(),
            event_name: events.get(row).map(str::to_owned),
            trace_id: traces.get(row).map(str::to_owned),
            span_id: spans.get(row).map(str::to_owned),
            attributes: attributes.object(row),
            resource: object(resources.get(row)),
        }
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

/// Short name of an OTLP severity number.
pub(super) const fn short_name(number: i32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

pub(crate) async fn volume(session: &Session, query: &LogQuery) -> Result<LogVolume, QueryError> {
    let range = bounded(query.range, session.snapshot(), DataSet::Logs);
    let times = TimeBuckets::about(range, STEPS);
    let zeros = || vec![0u64; times.len()];
    let mut classes = [zeros(), zeros(), zeros()];
    let mut count = |time: i64, class: usize, n: u64| {
        let at = times.index(time);
        if let Some(slot) = classes.get_mut(class).zip(at).and_then(|(c, at)| c.get_mut(at)) {
            *slot += n;
        }
    };
    let wanted = wanted(query, range)?;
    if wanted.text.is_some() {
        walk(session, wanted, None, |lines| {
            lines.iter().for_each(|line| count(line.time, class(line.severity), 1));
            i64::MIN
        })
        .await?;
    } else {
        for (time, class, n) in counts(session, query, range, times.step_ns()).await? {
            count(time, class, n);
        }
    }
    let [info, warn, error] = classes;
    Ok(LogVolume {
        step_ns: times.step_ns(),
        times: (0..times.len()).map(|at| Time(times.start_ns(at))).collect(),
        info,
        warn,
        error,
    })
}

/// 0 below WARN, 1 WARN, 2 above.
fn class(severity: i32) -> usize {
    usize::from(severity >= WARN) + usize::from(severity >= ERROR)
}

/// Records per step and class, counted without looking for a text.
async fn counts(
    session: &Session,
    query: &LogQuery,
    range: TimeRange,
    step: i64,
) -> Result<Vec<(i64, usize, u64)>, QueryError> {
    let mut condition = String::from("time >= $from AND time < $to");
    let mut params = in_range(range);
    if let Some(service) = &query.service {
        condition.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    if let Some(least) = query.min_severity {
        condition.push_str(" AND severity_number >= $severity");
        params.push(("severity", ScalarValue::Int32(Some(least))));
    }
    if let Some(id) = &query.trace_id {
        condition.push_str(&format!(" AND trace_id = '{id}'"));
    }
    if let Some(id) = &query.span_id {
        condition.push_str(&format!(" AND span_id = '{id}'"));
    }
    let sql = format!(
        "SELECT time_bucket({step}, time) AS step, CASE WHEN severity_number >= {ERROR} THEN 2 \
         WHEN severity_number >= {WARN} THEN 1 ELSE 0 END AS class, count(*) AS n \
         FROM logs WHERE {condition} GROUP BY 1, 2"
    );
    let mut found = Vec::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (steps, class) = (columns.ints("step")?, columns.ints("class")?);
        let n = columns.ints("n")?;
        for row in 0..batch.num_rows() {
            let class = usize::try_from(int0(&class, row)).unwrap_or(0);
            found.push((int0(&steps, row), class, count(&n, row)));
        }
    }
    Ok(found)
}
