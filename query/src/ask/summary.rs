//! Traces in a list: summaries from their parts.

use std::collections::HashMap;

use datafusion::arrow::array::AsArray;
use headrope_model::TimeRange;
use headrope_model::time::NANOS_PER_HOUR;

use super::in_range;
use crate::answer::Time;
use crate::answer::trace::TraceSummary;
use crate::column::{Columns, Texts, count, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// How far from the window parts of a trace are looked for.
pub(super) const REACH_NS: i64 = 24 * NANOS_PER_HOUR;

/// The window in which parts of traces found in a range are looked for.
pub(super) const fn reach(range: TimeRange) -> TimeRange {
    let (from, to) = (range.from().saturating_sub(REACH_NS), range.to().saturating_add(REACH_NS));
    match TimeRange::new(from, to) {
        Some(reach) => reach,
        None => range,
    }
}

/// A list of trace ids for SQL; the ids are hex text that came from the engine.
pub(super) fn quoted(ids: &[String]) -> String {
    let mut out = String::with_capacity(ids.len() * 35);
    for (at, id) in ids.iter().filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())).enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('\'');
        out.push_str(id);
        out.push('\'');
    }
    out
}

/// Summaries in the order of the ids; an id without parts is left out.
pub(super) async fn summaries(
    session: &Session,
    ids: &[String],
    range: TimeRange,
) -> Result<Vec<TraceSummary>, QueryError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT trace_id, min(start_time) AS start_time, max(end_time) AS end_time, \
         sum(span_count) AS span_count, sum(error_count) AS error_count, \
         bool_or(root_service_name IS NOT NULL) AS has_root, \
         first_value(root_service_name ORDER BY root_service_name IS NULL, start_time) AS service, \
         first_value(root_name ORDER BY root_service_name IS NULL, start_time) AS name, \
         array_agg(service_names) AS services FROM trace_parts \
         WHERE trace_id IN ({}) AND start_time >= $from AND start_time < $to GROUP BY trace_id",
        quoted(ids)
    );
    let mut found: HashMap<String, TraceSummary> = HashMap::with_capacity(ids.len());
    for batch in session.rows(&sql, in_range(reach(range))).await? {
        let columns = Columns(&batch);
        let traces = columns.texts("trace_id")?;
        let (starts, ends) = (columns.ints("start_time")?, columns.ints("end_time")?);
        let (spans, errors) = (columns.ints("span_count")?, columns.ints("error_count")?);
        let (service, name) = (columns.texts("service")?, columns.texts("name")?);
        let has_root = columns.bools("has_root")?;
        let lists = columns.array("services")?;
        for row in 0..batch.num_rows() {
            let start = int0(&starts, row);
            let summary = TraceSummary {
                trace_id: traces.owned(row),
                start_time: Time(start),
                duration_ns: int0(&ends, row).saturating_sub(start),
                root_service: service.owned(row),
                root_name: name.owned(row),
                has_root: has_root.value(row),
                span_count: count(&spans, row),
                error_count: count(&errors, row),
                services: names(lists, row)?,
            };
            found.insert(summary.trace_id.clone(), summary);
        }
    }
    name_rootless(session, &mut found, range).await?;
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Distinct names in a list of lists, sorted.
fn names(
    lists: &datafusion::arrow::array::ArrayRef,
    row: usize,
) -> Result<Vec<String>, QueryError> {
    let mut names = Vec::new();
    let outer = lists.as_list_opt::<i32>().map(|l| l.value(row));
    if let Some(inner) = outer.as_ref().and_then(|o| o.as_list_opt::<i32>()) {
        for items in inner.iter().flatten() {
            let texts = Texts::of(&items).map_err(|e| QueryError::Engine(e.to_string()))?;
            names.extend((0..items.len()).map(|at| texts.owned(at)));
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Names traces without a root after their earliest span.
async fn name_rootless(
    session: &Session,
    found: &mut HashMap<String, TraceSummary>,
    range: TimeRange,
) -> Result<(), QueryError> {
    let rootless: Vec<String> =
        found.values().filter(|t| !t.has_root).map(|t| t.trace_id.clone()).collect();
    if rootless.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT trace_id, first_value(service_name ORDER BY start_time, span_id) AS service, \
         first_value(name ORDER BY start_time, span_id) AS name FROM spans \
         WHERE trace_id IN ({}) AND start_time >= $from AND start_time < $to GROUP BY trace_id",
        quoted(&rootless)
    );
    for batch in session.rows(&sql, in_range(reach(range))).await? {
        let columns = Columns(&batch);
        let traces = columns.texts("trace_id")?;
        let (services, names) = (columns.texts("service")?, columns.texts("name")?);
        for row in 0..batch.num_rows() {
            if let Some(summary) = found.get_mut(traces.text(row)) {
                summary.root_service = services.owned(row);
                summary.root_name = names.owned(row);
            }
        }
    }
    Ok(())
}
