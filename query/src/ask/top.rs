//! Rankings.

use futures::StreamExt as _;
use headrope_model::TimeRange;

use super::measure::{MEASURES, Measure, Measures};
use super::{ENTRY, IN_RANGE, in_range, limit, text};
use crate::answer::service::{RankScope, TopQuery, TopRow};
use crate::answer::{RankBy, SpanScope};
use crate::column::Columns;
use crate::engine::{Params, Session, internal};
use crate::error::QueryError;

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
    let by = match scope {
        RankScope::Service => "service_name",
        RankScope::Operation => "service_name, name",
    };
    let sql = format!("SELECT {by}, {MEASURES} FROM spans WHERE {condition} GROUP BY {by}");
    let frame = Box::pin(session.plan(&sql, params)).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(internal)?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(internal)?;
        let columns = Columns(&batch);
        let services = columns.texts("service_name")?;
        let names = match scope {
            RankScope::Service => None,
            RankScope::Operation => Some(columns.texts("name")?),
        };
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

/// The condition and parameters of a range, a scope of spans and perhaps a service.
pub(super) fn condition(
    range: TimeRange,
    spans: SpanScope,
    service: Option<&str>,
) -> (String, Params) {
    let mut condition = IN_RANGE.to_owned();
    let mut params = in_range(range);
    if spans == SpanScope::Entry {
        condition.push_str(" AND ");
        condition.push_str(ENTRY);
    }
    if let Some(service) = service {
        condition.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    (condition, params)
}

pub(crate) async fn top(session: &Session, query: &TopQuery) -> Result<Vec<TopRow>, QueryError> {
    let (condition, params) = condition(query.range, query.spans, query.service.as_deref());
    let mut ranking = Ranking::new(query.by, limit(query.limit));
    each_group(session, query.scope, &condition, params, |group| ranking.push(group)).await?;
    Ok(ranking.rows(query.range))
}
