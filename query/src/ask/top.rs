//! Rankings.

use futures::StreamExt as _;
use headrope_model::TimeRange;

use super::dependency::outgoing;
use super::measure::{MEASURES, Measure, Measures};
use super::{condition, limit};
use crate::answer::service::{RankScope, TopQuery, TopRow};
use crate::answer::{RankBy, SpanScope};
use crate::column::Columns;
use crate::engine::{Params, Session, internal};
use crate::error::QueryError;

/// What is asked of a database, as the roll-up of statements tells it.
pub(super) const STATEMENT: &str = "coalesce(db_query_summary, \
     nullif(concat_ws(' ', db_operation_name, db_collection_name), ''), db_query_text, '')";

/// A group of a ranking.
#[derive(Debug, Clone)]
pub(super) struct Ranked {
    pub(super) service: String,
    pub(super) operation: Option<String>,
    pub(super) measure: Measure,
}

/// Keeps the first `limit` groups of a ranking and the sum of its measure over all.
#[derive(Debug)]
pub(super) struct Ranking {
    by: RankBy,
    limit: usize,
    total: f64,
    kept: Vec<(u128, Ranked)>,
}

impl Ranking {
    pub(super) const fn new(by: RankBy, limit: usize) -> Self {
        Self { by, limit, total: 0.0, kept: Vec::new() }
    }

    pub(super) fn push(&mut self, group: Ranked) {
        let value = group.measure.rank(self.by);
        self.total += value as f64;
        self.kept.push((value, group));
        // Sorting now and then keeps the list short at little cost.
        if self.kept.len() > 4 * self.limit + 64 {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.kept.sort_by(|(a, x), (b, y)| {
            b.cmp(a)
                .then_with(|| x.service.cmp(&y.service))
                .then_with(|| x.operation.cmp(&y.operation))
        });
        self.kept.truncate(self.limit);
    }

    pub(super) fn rows(mut self, range: TimeRange) -> Vec<TopRow> {
        self.cut();
        let total = self.total;
        let row = |(value, group): (u128, Ranked)| TopRow {
            service: group.service,
            operation: group.operation,
            stats: group.measure.stats(range),
            share: if total > 0.0 { value as f64 / total } else { 0.0 },
        };
        self.kept.into_iter().map(row).collect()
    }
}

/// Calls `each` with every group of spans; the groups are not kept.
pub(super) async fn each_group(
    session: &Session,
    scope: RankScope,
    condition: &str,
    params: Params,
    mut each: impl FnMut(Ranked),
) -> Result<(), QueryError> {
    let (of, also) = match scope {
        RankScope::Service => ("service_name", None),
        RankScope::Operation => ("service_name", Some("name")),
        RankScope::Statement => ("service_name", Some(STATEMENT)),
        RankScope::Host => ("host_name", None),
        RankScope::Peer => {
            return Err(QueryError::Engine("peers have names of several columns".to_owned()));
        }
    };
    let known = match scope {
        RankScope::Statement => "db_system_name IS NOT NULL",
        RankScope::Host => "host_name IS NOT NULL",
        _ => "true",
    };
    let named = also.map_or_else(String::new, |also| format!(", {also} AS also"));
    let by = if also.is_some() { "1, 2" } else { "1" };
    let sql = format!(
        "SELECT {of} AS of{named}, {MEASURES} FROM spans WHERE {condition} AND {known} GROUP BY {by}"
    );
    let frame = Box::pin(session.plan(&sql, params)).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(internal)?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(internal)?;
        let columns = Columns(&batch);
        let services = columns.texts("of")?;
        let names = also.map(|_| columns.texts("also")).transpose()?;
        let measures = Measures::of(&columns)?;
        for row in 0..batch.num_rows() {
            each(Ranked {
                service: services.owned(row),
                operation: names.as_ref().map(|n| n.owned(row)),
                measure: measures.get(row)?,
            });
        }
    }
    Ok(())
}

pub(crate) async fn top(session: &Session, query: &TopQuery) -> Result<Vec<TopRow>, QueryError> {
    let spans = match query.scope {
        // Who calls is no entry.
        RankScope::Statement | RankScope::Peer => SpanScope::All,
        _ => query.spans,
    };
    let mut ranking = Ranking::new(query.by, limit(query.limit));
    if query.scope == RankScope::Peer {
        let calls = outgoing(session, query.service.as_deref(), query.range).await?;
        for ((service, peer, _), measure) in calls {
            ranking.push(Ranked { service, operation: Some(peer), measure });
        }
        return Ok(ranking.rows(query.range));
    }
    let (condition, params) = condition(query.range, spans, query.service.as_deref());
    each_group(session, query.scope, &condition, params, |group| ranking.push(group)).await?;
    Ok(ranking.rows(query.range))
}
