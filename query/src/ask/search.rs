//! The search for traces.
//!
//! A trace is placed by its newest matching span (or by its length, see `slowest`). Spans are read newest first: the
//! first one of a trace is its newest, so a page is done as soon as it is full.

use std::collections::HashSet;

use datafusion::common::ScalarValue;
use headrope_model::TimeRange;

use super::cursor::Cursor;
use super::slowest::{FEW, slowest};
use super::summary::{quoted, summaries};
use super::{IN_RANGE, in_range, limit, text};
use crate::answer::trace::{TraceOrder, TracePage, TraceQuery};
use crate::column::{Columns, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;
use crate::function::canonical;

/// Spans that are read for each trace that is wanted.
const SPANS_PER_TRACE: usize = 4;
/// Most tags of one search.
const MAX_TAGS: usize = 16;
/// Names of the parameters of the tags' keys and values.
const TAG_PARAMS: [(&str, &str); MAX_TAGS] = [
    ("k0", "v0"),
    ("k1", "v1"),
    ("k2", "v2"),
    ("k3", "v3"),
    ("k4", "v4"),
    ("k5", "v5"),
    ("k6", "v6"),
    ("k7", "v7"),
    ("k8", "v8"),
    ("k9", "v9"),
    ("k10", "v10"),
    ("k11", "v11"),
    ("k12", "v12"),
    ("k13", "v13"),
    ("k14", "v14"),
    ("k15", "v15"),
];

/// A trace with its place in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) at: i64,
    pub(super) trace_id: String,
}

pub(crate) async fn search(session: &Session, query: &TraceQuery) -> Result<TracePage, QueryError> {
    let (condition, params) = conditions(query)?;
    let limit = limit(query.limit);
    let mut found = match query.order {
        TraceOrder::Newest => Box::pin(newest(session, query, limit, &condition, params)).await?,
        TraceOrder::Slowest => {
            Box::pin(slowest(session, query, limit, &condition, params, FEW)).await?
        }
    };
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|last| {
        Cursor { list: list(query.order), at: last.at, tie: last.trace_id.clone() }.encode()
    });
    let ids: Vec<String> = found.into_iter().map(|f| f.trace_id).collect();
    let traces = Box::pin(summaries(session, &ids, query.range)).await?;
    Ok(TracePage { traces, next })
}

const fn list(order: TraceOrder) -> char {
    match order {
        TraceOrder::Newest => 'n',
        TraceOrder::Slowest => 's',
    }
}

/// What a span must fulfil besides its time, and the parameters of it.
pub(super) fn conditions(query: &TraceQuery) -> Result<(String, Params), QueryError> {
    let mut sql = String::from("true");
    let mut params = Params::new();
    if let Some(service) = &query.service {
        sql.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    if let Some(operation) = &query.operation {
        sql.push_str(" AND name = $operation");
        params.push(("operation", text(operation)));
    }
    if let Some(least) = query.min_duration_ns {
        sql.push_str(" AND duration_ns >= $least");
        params.push(("least", ScalarValue::Int64(Some(least))));
    }
    if let Some(most) = query.max_duration_ns {
        sql.push_str(" AND duration_ns <= $most");
        params.push(("most", ScalarValue::Int64(Some(most))));
    }
    if query.errors_only {
        sql.push_str(" AND status_code = 'ERROR'");
    }
    if query.tags.len() > MAX_TAGS {
        let text = format!("{} tags were given, at most {MAX_TAGS} are allowed", query.tags.len());
        return Err(QueryError::Invalid(text));
    }
    for ((key, value), (key_param, value_param)) in query.tags.iter().zip(TAG_PARAMS) {
        sql.push_str(&format!(
            " AND has_tag(attributes, events, links, scope_attributes, scope_name, scope_version, \
             resource, ${key_param}, ${value_param})"
        ));
        params.push((key_param, text(key)));
        params.push((value_param, text(&canonical(value))));
    }
    Ok((sql, params))
}

pub(super) fn with_range(mut params: Params, range: TimeRange) -> Params {
    params.extend(in_range(range));
    params
}

async fn newest(
    session: &Session,
    query: &TraceQuery,
    limit: usize,
    condition: &str,
    params: Params,
) -> Result<Vec<Found>, QueryError> {
    let after = query.cursor.as_deref().map(|c| Cursor::decode(c, 'n')).transpose()?;
    let range = match &after {
        Some(after) => TimeRange::new(
            query.range.from(),
            query.range.to().min(after.at.saturating_add(1)).max(query.range.from()),
        ),
        None => Some(query.range),
    };
    let range = range.unwrap_or(query.range);
    let wanted = limit + 1;
    let mut most = wanted * SPANS_PER_TRACE;
    let mut to = range.to();
    let mut found: Vec<Found> = Vec::with_capacity(wanted);
    let mut seen: HashSet<String> = HashSet::new();
    while let Some(part) = TimeRange::new(range.from(), to) {
        let rows = newest_spans(session, condition, &params, part, most).await?;
        let exhausted = rows.len() < most;
        let last = rows.last().map_or(range.from(), |row| row.at.saturating_add(1));
        // More spans at the same time than were asked for: ask for more of them.
        if last >= to {
            most = most.saturating_mul(4);
        }
        to = last;
        // The first span of a trace in this order is its newest.
        let mut fresh: Vec<Found> =
            rows.into_iter().filter(|f| seen.insert(f.trace_id.clone())).collect();
        if let Some(after) = &after {
            fresh.retain(|f| (f.at, &f.trace_id) < (after.at, &after.tie));
            let shown = shown_before(session, query, after, &fresh, condition, &params).await?;
            fresh.retain(|f| !shown.contains(&f.trace_id));
        }
        found.extend(fresh);
        found.truncate(wanted);
        if found.len() == wanted || exhausted {
            break;
        }
    }
    Ok(found)
}

/// The newest spans that match, as places of their traces.
async fn newest_spans(
    session: &Session,
    condition: &str,
    params: &Params,
    range: TimeRange,
    most: usize,
) -> Result<Vec<Found>, QueryError> {
    let sql = format!(
        "SELECT trace_id, start_time AS at FROM spans WHERE {IN_RANGE} AND {condition} \
         ORDER BY start_time DESC, trace_id DESC LIMIT {most}"
    );
    places(session, &sql, with_range(params.clone(), range)).await
}

pub(super) async fn places(
    session: &Session,
    sql: &str,
    params: Params,
) -> Result<Vec<Found>, QueryError> {
    let mut found = Vec::new();
    for batch in session.rows(sql, params).await? {
        let columns = Columns(&batch);
        let (traces, at) = (columns.texts("trace_id")?, columns.ints("at")?);
        found.extend(
            (0..batch.num_rows())
                .map(|row| Found { at: int0(&at, row), trace_id: traces.owned(row) }),
        );
    }
    Ok(found)
}

/// Traces among these that stand on a page before: they have a matching span after its end.
async fn shown_before(
    session: &Session,
    query: &TraceQuery,
    after: &Cursor,
    candidates: &[Found],
    condition: &str,
    params: &Params,
) -> Result<HashSet<String>, QueryError> {
    let since = after.at.saturating_add(1);
    let range = TimeRange::new(since, query.range.to()).filter(|r| r.duration_ns() > 0);
    let (Some(range), false) = (range, candidates.is_empty()) else { return Ok(HashSet::new()) };
    let ids: Vec<String> = candidates.iter().map(|f| f.trace_id.clone()).collect();
    let sql = format!(
        "SELECT trace_id, max(start_time) AS at FROM spans \
         WHERE trace_id IN ({}) AND {IN_RANGE} AND {condition} GROUP BY trace_id",
        quoted(&ids)
    );
    let shown = places(session, &sql, with_range(params.clone(), range)).await?;
    Ok(shown.into_iter().map(|f| f.trace_id).collect())
}
