//! Work that is new, and how the mean request changed, from roll-ups.

use std::collections::BTreeMap;

use headrope_analysis::change::{Group, MixSplit, mix_split};
use headrope_model::TimeRange;

use super::{Ranges, seen};
use crate::answer::change::{ChangeRow, LatencyShift, OperationShift};
use crate::answer::service::RankScope;
use crate::answer::{SpanScope, Time};
use crate::ask::condition;
use crate::ask::top::each_group;
use crate::column::{Columns, count, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// Most operations or statements that are looked at.
const MOST_ROWS: usize = 200_000;
/// Fewest requests of a service whose mean is compared.
const LEAST_REQUESTS: u64 = 30;
/// Operations told of each service.
const OPERATIONS: usize = 5;
/// Longest statement in a text, in characters.
const MOST_CHARS: usize = 300;

/// Spans and the first of them, by service and name.
type Work = BTreeMap<(String, String), (u64, i64)>;

pub(super) async fn operations(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let read = |range| {
        work(session, range, service, "service_name, name", "", |columns, row| {
            Ok(columns.texts("name")?.owned(row))
        })
    };
    let (before, now) = (read(ranges.reference).await?, read(ranges.window).await?);
    Ok(new("new_operation", ranges, &before, now))
}

pub(super) async fn statements(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let by = "service_name, db_system_name, db_query_summary, db_query_text, db_operation_name, db_collection_name";
    let read = |range| {
        work(session, range, service, by, " AND db_system_name IS NOT NULL", |columns, row| {
            let text =
                |name: &str| columns.texts(name).map(|texts| texts.get(row).map(str::to_owned));
            let (summary, query) = (text("db_query_summary")?, text("db_query_text")?);
            let parts = [text("db_operation_name")?, text("db_collection_name")?];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            let what = query.or(summary).unwrap_or_else(|| parts.join(" "));
            Ok(format!("{} {what}", text("db_system_name")?.unwrap_or_default()))
        })
    };
    let (before, now) = (read(ranges.reference).await?, read(ranges.window).await?);
    Ok(new("new_statement", ranges, &before, now))
}

/// What was not there before, of services that were.
fn new(kind: &'static str, ranges: Ranges, before: &Work, now: Work) -> Vec<ChangeRow> {
    let known: std::collections::BTreeSet<&str> =
        before.keys().map(|(service, _)| service.as_str()).collect();
    let is_new = |((service, name), (spans, _)): &((String, String), (u64, i64))| {
        known.contains(service.as_str())
            && !before.contains_key(&(service.clone(), name.clone()))
            && ranges.is_new(*spans)
    };
    let row = |((service, name), (spans, first)): ((String, String), (u64, i64))| {
        let text: String = name.chars().take(MOST_CHARS).collect();
        ChangeRow { time: Some(Time(first)), ..seen(kind, &service, text, spans) }
    };
    now.into_iter().filter(is_new).map(row).collect()
}

async fn work(
    session: &Session,
    range: TimeRange,
    service: Option<&str>,
    by: &str,
    and: &str,
    name: impl Fn(&Columns<'_>, usize) -> Result<String, QueryError>,
) -> Result<Work, QueryError> {
    let (all, params) = condition(range, SpanScope::All, service);
    let sql = format!(
        "SELECT {by}, count(*) AS spans, min(start_time) AS first FROM spans \
         WHERE {all}{and} GROUP BY {by} LIMIT {MOST_ROWS}"
    );
    let mut found = Work::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let services = columns.texts("service_name")?;
        let (spans, first) = (columns.ints("spans")?, columns.ints("first")?);
        for row in 0..batch.num_rows() {
            let key = (services.owned(row), name(&columns, row)?);
            let known = found.entry(key).or_insert((0, i64::MAX));
            *known = (known.0 + count(&spans, row), known.1.min(int0(&first, row)));
        }
    }
    Ok(found)
}

/// Operations of services as groups of a mean.
async fn groups(
    session: &Session,
    range: TimeRange,
    service: Option<&str>,
) -> Result<BTreeMap<String, Vec<Group>>, QueryError> {
    let mut found: BTreeMap<String, Vec<Group>> = BTreeMap::new();
    each_group(session, RankScope::Operation, SpanScope::Entry, service, range, |group| {
        let (calls, sum) = (group.measure.calls, group.measure.sketch.sum() as f64);
        let name = group.operation.unwrap_or_default();
        found.entry(group.service).or_default().push(Group { name, calls, sum });
    })
    .await?;
    Ok(found)
}

pub(super) async fn latency(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
) -> Result<Vec<LatencyShift>, QueryError> {
    let before = groups(session, ranges.reference, service).await?;
    let now = groups(session, ranges.window, service).await?;
    let calls = |groups: &[Group]| groups.iter().map(|group| group.calls).sum::<u64>();
    let mut found: Vec<LatencyShift> = Vec::new();
    for (service, is) in &now {
        let Some(was) = before.get(service) else { continue };
        if calls(was) >= LEAST_REQUESTS && calls(is) >= LEAST_REQUESTS {
            found.extend(mix_split(was, is).map(|split| shift(service, split)));
        }
    }
    let size = |shift: &LatencyShift| shift.window_mean_ns.abs_diff(shift.reference_mean_ns);
    found.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.service.cmp(&b.service)));
    Ok(found)
}

fn shift(service: &str, split: MixSplit) -> LatencyShift {
    let ns = |value: f64| value.round() as i64;
    let operations = split.groups.into_iter().take(OPERATIONS).map(|group| OperationShift {
        operation: group.name,
        mix_ns: ns(group.mix),
        performance_ns: ns(group.performance),
    });
    LatencyShift {
        service: service.to_owned(),
        reference_mean_ns: ns(split.reference_mean),
        window_mean_ns: ns(split.window_mean),
        mix_ns: ns(split.mix),
        performance_ns: ns(split.performance),
        operations: operations.collect(),
    }
}
