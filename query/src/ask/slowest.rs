//! The slowest traces of a search.
//!
//! If few spans match, the traces of these are measured. Otherwise the longest traces of all are looked at one after the
//! other until enough have a span that matches; should that not be the case for many, the traces of all spans that match are
//! measured after all.

use datafusion::common::ScalarValue;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use headrope_model::{TimeRange, TraceId};

use super::cursor::Cursor;
use super::search::{Found, places, with_range};
use super::summary::{reach, summaries};
use super::{IN_RANGE, in_range, text};
use crate::answer::trace::{TraceQuery, TraceSummary};
use crate::engine::{Long, Params, Session, Wish};
use crate::error::QueryError;
use crate::moment;

/// Fewer spans than these match a search whose traces are measured at once.
pub(super) const FEW: usize = 20_000;
/// Most traces that are looked at one after the other.
const LOOKED_AT: usize = 2_000;
/// Traces that are looked at side by side.
const SIDE_BY_SIDE: usize = 4;

/// Places of the slowest traces of a search, one more than wanted if there are more; see [`FEW`].
pub(super) async fn slowest(
    session: &Session,
    query: &TraceQuery,
    limit: usize,
    condition: &str,
    params: Params,
    few: usize,
) -> Result<Vec<Found>, QueryError> {
    let after = query.cursor.as_deref().map(|c| Cursor::decode(c, 's')).transpose()?;
    let search = Search { session, query, condition, params: &params };
    if !Box::pin(search.has_fewer(few)).await?
        && let Some(found) = Box::pin(search.among_longest(after.as_ref(), limit + 1)).await?
    {
        return Ok(found);
    }
    Box::pin(search.measured(after.as_ref(), limit + 1)).await
}

struct Search<'a> {
    session: &'a Session,
    query: &'a TraceQuery,
    condition: &'a str,
    params: &'a Params,
}

impl Search<'_> {
    async fn has_fewer(&self, spans: usize) -> Result<bool, QueryError> {
        let sql = format!(
            "SELECT trace_id, start_time AS at FROM spans WHERE {IN_RANGE} AND {} LIMIT {spans}",
            self.condition
        );
        let params = with_range(self.params.clone(), self.query.range);
        Ok(places(self.session, &sql, params).await?.len() < spans)
    }

    /// The traces of all spans that match, by a statement.
    async fn measured(
        &self,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Vec<Found>, QueryError> {
        let reach = reach(self.query.range);
        let mut params = with_range(self.params.clone(), self.query.range);
        params.push(("reach_from", moment::scalar(reach.from())));
        params.push(("reach_to", moment::scalar(reach.to())));
        let page = match after {
            Some(after) => {
                params.push(("last_at", ScalarValue::Int64(Some(after.at))));
                params.push(("last_id", text(&after.tie)));
                "WHERE at < $last_at OR (at = $last_at AND trace_id < $last_id)"
            }
            None => "",
        };
        let condition = self.condition;
        let sql = format!(
            "SELECT trace_id, at FROM (SELECT trace_id, \
             max(CAST(end_time AS BIGINT)) - min(CAST(start_time AS BIGINT)) AS at FROM trace_parts \
             WHERE start_time >= $reach_from AND start_time < $reach_to AND trace_id IN \
             (SELECT trace_id FROM spans WHERE {IN_RANGE} AND {condition}) GROUP BY trace_id) \
             {page} ORDER BY at DESC, trace_id DESC LIMIT {most}"
        );
        places(self.session, &sql, params).await
    }

    /// Those of the longest traces that match; `None` if too few of them do.
    async fn among_longest(
        &self,
        after: Option<&Cursor>,
        wanted: usize,
    ) -> Result<Option<Vec<Found>>, QueryError> {
        let mut below = after.map(place).transpose()?;
        let mut found = Vec::new();
        let (mut most, mut looked_at) = (wanted.saturating_mul(2).clamp(32, LOOKED_AT), 0);
        loop {
            let range = self.query.range;
            let wish = Wish { within: reach(range), touches: range, below, most };
            let longest = self.session.longest(wish).await?;
            let ids: Vec<String> = longest.iter().map(hex).collect();
            let traces = Box::pin(summaries(self.session, &ids, range)).await?;
            let matching = stream::iter(traces).map(|trace| self.place_if_matching(trace));
            // As many at a time as can end the search.
            let mut matching = matching.buffered(SIDE_BY_SIDE);
            while let Some(place) = matching.try_next().await? {
                found.extend(place);
                if found.len() == wanted {
                    return Ok(Some(found));
                }
            }
            looked_at += longest.len();
            match longest.last() {
                Some(last) if longest.len() == most => below = Some(*last),
                _ => return Ok(Some(found)),
            }
            if looked_at >= LOOKED_AT {
                return Ok(None);
            }
            most = most.saturating_mul(4).min(LOOKED_AT);
        }
    }

    async fn place_if_matching(&self, trace: TraceSummary) -> Result<Option<Found>, QueryError> {
        let matches = match self.told_by_parts(&trace) {
            Some(matches) => matches,
            None => Box::pin(self.has_span(&trace)).await?,
        };
        Ok(matches.then_some(Found { at: trace.duration_ns, trace_id: trace.trace_id }))
    }

    /// Whether a trace matches, if its parts tell: all of it is in the range, and no more is asked than which service.
    fn told_by_parts(&self, trace: &TraceSummary) -> Option<bool> {
        let TraceQuery { range, service, operation, .. } = self.query;
        let rest = operation.is_some()
            || self.query.min_duration_ns.is_some()
            || self.query.max_duration_ns.is_some()
            || self.query.errors_only
            || !self.query.tags.is_empty();
        let start = trace.start_time.0;
        let inside = range.contains(start) && range.contains(start + trace.duration_ns);
        let has = |service: &String| trace.services.contains(service);
        (inside && !rest).then(|| service.as_ref().is_none_or(has))
    }

    async fn has_span(&self, trace: &TraceSummary) -> Result<bool, QueryError> {
        let range = self.query.range;
        let (start, end) = (trace.start_time.0, trace.start_time.0 + trace.duration_ns);
        let (from, to) = (range.from().max(start), range.to().min(end.saturating_add(1)));
        let Some(part) = TimeRange::new(from, to) else { return Ok(false) };
        let sql = format!(
            "SELECT trace_id, start_time AS at FROM spans \
             WHERE trace_id = '{}' AND {IN_RANGE} AND {} LIMIT 1",
            trace.trace_id, self.condition
        );
        let mut params = self.params.clone();
        params.extend(in_range(part));
        Ok(!places(self.session, &sql, params).await?.is_empty())
    }
}

fn hex(long: &Long) -> String {
    format!("{:032x}", long.id)
}

/// The place that a page ends at.
fn place(after: &Cursor) -> Result<Long, QueryError> {
    let wrong =
        || QueryError::Invalid("the cursor names no trace; start from the first page".into());
    let id: TraceId = after.tie.parse().map_err(|_| wrong())?;
    Ok(Long { length_ns: after.at, id: u128::from_be_bytes(*id.bytes()) })
}
