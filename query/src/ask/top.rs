//! Rankings.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use headrope_model::{DataSet, TimeRange};

use super::dependency::outgoing;
use super::measure::{MEASURES, Measure, Measures};
use super::{bounded, condition, limit, reference_of};
use crate::answer::service::{Compared, RankScope, Since, Top, TopQuery, TopRow};
use crate::answer::{RankBy, SpanScope};
use crate::column::Columns;
use crate::engine::{Session, internal};
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
    pub(super) since: Option<Since>,
}

impl Ranked {
    pub(super) const fn new(service: String, operation: Option<String>, measure: Measure) -> Self {
        Self { service, operation, measure, since: None }
    }

    fn rank(&self, by: RankBy) -> u128 {
        match &self.since {
            Some(since) => u128::from(since.added_ns.max(0).unsigned_abs()),
            None => self.measure.rank(by),
        }
    }
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
        let value = group.rank(self.by);
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
            since: group.since,
        };
        self.kept.into_iter().map(row).collect()
    }
}

/// Calls `each` with every group of spans of a service, or of all; the groups are not kept.
pub(super) async fn each_group(
    session: &Session,
    scope: RankScope,
    spans: SpanScope,
    service: Option<&str>,
    range: TimeRange,
    mut each: impl FnMut(Ranked),
) -> Result<(), QueryError> {
    let (of, also, known) = match scope {
        RankScope::Service => ("service_name", None, "true"),
        RankScope::Operation => ("service_name", Some("name"), "true"),
        RankScope::Statement => ("service_name", Some(STATEMENT), "db_system_name IS NOT NULL"),
        RankScope::Host => ("host_name", None, "host_name IS NOT NULL"),
        RankScope::Peer => {
            for ((service, peer, _), measure) in outgoing(session, service, range).await? {
                each(Ranked::new(service, Some(peer), measure));
            }
            return Ok(());
        }
    };
    let (condition, params) = condition(range, spans, service);
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
            let operation = names.as_ref().map(|n| n.owned(row));
            each(Ranked::new(services.owned(row), operation, measures.get(row)?));
        }
    }
    Ok(())
}

pub(crate) async fn top(session: &Session, query: &TopQuery) -> Result<Top, QueryError> {
    let spans = match query.scope {
        // Who calls is no entry.
        RankScope::Statement | RankScope::Peer => SpanScope::All,
        _ => query.spans,
    };
    let query = TopQuery { spans, ..query.clone() };
    if query.by == RankBy::Change {
        return changed(session, &query).await;
    }
    let mut ranking = Ranking::new(query.by, limit(query.limit));
    groups(session, &query, query.range, |group| ranking.push(group)).await?;
    Ok(Top { rows: ranking.rows(query.range), compared: None })
}

async fn groups(
    session: &Session,
    query: &TopQuery,
    range: TimeRange,
    each: impl FnMut(Ranked),
) -> Result<(), QueryError> {
    let service = query.service.as_deref();
    each_group(session, query.scope, query.spans, service, range, each).await
}

/// Groups that take more time than before, most first.
async fn changed(session: &Session, query: &TopQuery) -> Result<Top, QueryError> {
    let range = bounded(query.range, session.snapshot(), DataSet::Spans);
    let (reference, reference_chosen) = reference_of(query.reference, range);
    let mut before: BTreeMap<(String, Option<String>), Measure> = BTreeMap::new();
    groups(session, query, reference, |group| {
        before.insert((group.service, group.operation), group.measure);
    })
    .await?;
    let scale = range.duration_ns() as f64 / (reference.duration_ns() as f64).max(1.0);
    let mut ranking = Ranking::new(query.by, limit(query.limit));
    groups(session, query, range, |mut group| {
        let key = (group.service, group.operation);
        let was = before.remove(&key);
        (group.service, group.operation) = key;
        let total = was.as_ref().map_or(0.0, |was| was.sketch.sum() as f64);
        let added_ns = (group.measure.sketch.sum() as f64 - total * scale).round() as i64;
        group.since = Some(Since { added_ns, reference: was.map(|was| was.stats(reference)) });
        if added_ns > 0 {
            ranking.push(group);
        }
    })
    .await?;
    let compared = Compared { reference: reference.into(), reference_chosen };
    Ok(Top { rows: ranking.rows(range), compared: Some(compared) })
}
