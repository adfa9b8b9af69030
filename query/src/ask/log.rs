//! Log search and log volume.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use headrope_analysis::histogram::TimeBuckets;
use headrope_model::{DataSet, TimeRange};
use headrope_storage::text::TextQuery;

use super::cursor::Cursor;
use super::span::{Maps, object};
use super::window::Windows;
use super::{bounded, in_range, limit, text};
use crate::answer::Time;
use crate::answer::log::{LogPage, LogQuery, LogRow, LogVolume};
use crate::column::{Columns, count, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// About this many steps of the volume.
const STEPS: usize = 60;
/// Order of records of the same time, so that pages neither repeat nor skip them.
const ORDER: &str = "time DESC, service_name, trace_id, span_id, severity_number, body";
/// Columns of a record.
const COLUMNS: &str = "time, service_name, severity_number, severity_text, body, event_name, \
     trace_id, span_id, attributes, resource";
/// Severity number from which a record is a warning (OTLP).
const WARN: i32 = 13;
/// Severity number from which a record is an error (OTLP).
const ERROR: i32 = 17;

fn conditions(query: &LogQuery) -> Result<(String, Params), QueryError> {
    let mut sql = String::from("time >= $from AND time < $to");
    let mut params = Params::new();
    if let Some(service) = &query.service {
        sql.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    if let Some(least) = query.min_severity {
        sql.push_str(" AND severity_number >= $severity");
        params.push(("severity", ScalarValue::Int32(Some(least))));
    }
    if let Some(id) = &query.trace_id {
        sql.push_str(&format!(" AND trace_id = '{id}'"));
    }
    if let Some(id) = &query.span_id {
        sql.push_str(&format!(" AND span_id = '{id}'"));
    }
    if let Some(search) = query.text.as_deref().filter(|t| !t.trim().is_empty()) {
        let parsed = TextQuery::parse(search)
            .map_err(|e| QueryError::Invalid(format!("search text: {e}")))?;
        if !parsed.matches_all() {
            sql.push_str(" AND text_match(body, $text)");
            params.push(("text", text(search)));
        }
    }
    Ok((sql, params))
}

fn with_range(params: &Params, range: TimeRange) -> Params {
    let mut all = params.clone();
    all.extend(in_range(range));
    all
}

pub(crate) async fn search(session: &Session, query: &LogQuery) -> Result<LogPage, QueryError> {
    let (condition, params) = conditions(query)?;
    let limit = limit(query.limit);
    let after = query.cursor.as_deref().map(|c| Cursor::decode(c, 'l')).transpose()?;
    let mut skip: usize = after.as_ref().and_then(|a| a.tie.parse().ok()).unwrap_or(0);
    let end = after.as_ref().map_or(query.range.to(), |a| a.at.saturating_add(1));
    let end = end.min(query.range.to()).max(query.range.from());
    let range = TimeRange::new(query.range.from(), end).unwrap_or(query.range);
    let mut logs: Vec<LogRow> = Vec::new();
    for window in Windows::new(range, session.snapshot(), DataSet::Logs) {
        let most = (limit + 1).saturating_sub(logs.len()).saturating_add(skip);
        let sql =
            format!("SELECT {COLUMNS} FROM logs WHERE {condition} ORDER BY {ORDER} LIMIT {most}");
        for batch in session.rows(&sql, with_range(&params, window)).await? {
            // The rows the pages before have shown are the first ones of the first window.
            let first = skip.min(batch.num_rows());
            skip -= first;
            logs.extend(rows(&batch.slice(first, batch.num_rows() - first))?);
        }
        if logs.len() > limit {
            break;
        }
    }
    let more = logs.len() > limit;
    logs.truncate(limit);
    let next = logs.last().filter(|_| more).map(|last| {
        let same = logs.iter().filter(|row| row.time == last.time).count();
        let before = match &after {
            // The page is one long run of the time the page before ended with.
            Some(a) if a.at == last.time.0 => a.tie.parse().unwrap_or(0),
            _ => 0usize,
        };
        Cursor { list: 'l', at: last.time.0, tie: (before + same).to_string() }.encode()
    });
    Ok(LogPage { logs, next })
}

fn rows(batch: &RecordBatch) -> Result<Vec<LogRow>, QueryError> {
    let columns = Columns(batch);
    let (times, severity) = (columns.ints("time")?, columns.ints("severity_number")?);
    let (services, texts) = (columns.texts("service_name")?, columns.texts("severity_text")?);
    let (bodies, events) = (columns.texts("body")?, columns.texts("event_name")?);
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
            body: bodies.owned(row),
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
const fn short_name(number: i32) -> &'static str {
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
    let (condition, params) = conditions(query)?;
    let times = TimeBuckets::about(range, STEPS);
    let step = times.step_ns();
    let sql = format!(
        "SELECT time_bucket({step}, time) AS step, CASE WHEN severity_number >= {ERROR} THEN 2 \
         WHEN severity_number >= {WARN} THEN 1 ELSE 0 END AS class, count(*) AS n \
         FROM logs WHERE {condition} GROUP BY 1, 2"
    );
    let zeros = || vec![0u64; times.len()];
    let mut classes = [zeros(), zeros(), zeros()];
    for batch in session.rows(&sql, with_range(&params, range)).await? {
        let columns = Columns(&batch);
        let (steps, class) = (columns.ints("step")?, columns.ints("class")?);
        let n = columns.ints("n")?;
        for row in 0..batch.num_rows() {
            let at = times.index(int0(&steps, row));
            let class = usize::try_from(int0(&class, row)).unwrap_or(0);
            if let Some(slot) = classes.get_mut(class).zip(at).and_then(|(c, at)| c.get_mut(at)) {
                *slot += count(&n, row);
            }
        }
    }
    let [info, warn, error] = classes;
    Ok(LogVolume {
        step_ns: step,
        times: (0..times.len()).map(|at| Time(times.start_ns(at))).collect(),
        info,
        warn,
        error,
    })
}
