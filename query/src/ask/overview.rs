//! The first page.

use std::collections::BTreeMap;

use headrope_model::{DataSet, TimeRange};

use super::measure::Measure;
use super::service::steps;
use super::top::{Ranked, Ranking, each_group};
use super::{IN_RANGE, bounded, in_range};
use crate::answer::service::{Overview, RankScope};
use crate::answer::{RankBy, SpanScope};
use crate::column::{Columns, count};
use crate::engine::Session;
use crate::error::QueryError;

/// Rows of each ranking.
const ROWS: usize = 10;
/// Spans that begin a request: nothing called them.
const ROOTS: &str = "start_time >= $from AND start_time < $to AND parent_span_id IS NULL";

pub(crate) async fn overview(session: &Session, asked: TimeRange) -> Result<Overview, QueryError> {
    let range = bounded(asked, session.snapshot(), DataSet::Spans);
    let roots = steps(session, range, ROOTS, in_range(range)).await?;
    let length = range.duration_ns();
    let before = TimeRange::new(range.from().saturating_sub(length), range.from()).unwrap_or(range);
    let previous = steps(session, before, ROOTS, in_range(before)).await?.total();

    let mut services: BTreeMap<String, Measure> = BTreeMap::new();
    let mut slowest = Ranking::new(RankBy::P99, ROWS);
    let mut failing = Ranking::new(RankBy::Errors, ROWS);
    each_group(session, RankScope::Operation, SpanScope::Entry, None, range, |group| {
        services.entry(group.service.clone()).or_default().merge(&group.measure);
        if group.measure.errors > 0 {
            failing.push(group.clone());
        }
        slowest.push(group);
    })
    .await?;
    let mut hotspots = Ranking::new(RankBy::TotalTime, ROWS);
    for (service, measure) in services {
        hotspots.push(Ranked::new(service, None, measure));
    }
    let (spans, names) = spans_and_services(session, range).await?;
    Ok(Overview {
        totals: roots.total().stats(range),
        previous: previous.stats(before),
        series: roots.series(),
        hotspots: hotspots.rows(range),
        slowest: slowest.rows(range),
        failing: failing.rows(range),
        services: names,
        spans,
        logs: rows(session, DataSet::Logs, range).await?,
        points: rows(session, DataSet::Metrics, range).await?,
    })
}

async fn spans_and_services(session: &Session, range: TimeRange) -> Result<(u64, u64), QueryError> {
    let sql = format!(
        "SELECT service_name, count(*) AS spans FROM spans WHERE {IN_RANGE} GROUP BY service_name"
    );
    let (mut spans, mut services) = (0, 0);
    for batch in session.rows(&sql, in_range(range)).await? {
        let counts = Columns(&batch).ints("spans")?;
        spans += (0..batch.num_rows()).map(|row| count(&counts, row)).sum::<u64>();
        services += batch.num_rows() as u64;
    }
    Ok((spans, services))
}

async fn rows(session: &Session, data_set: DataSet, range: TimeRange) -> Result<u64, QueryError> {
    let sql =
        format!("SELECT count(*) AS n FROM {} WHERE time >= $from AND time < $to", data_set.name());
    let mut total = 0;
    for batch in session.rows(&sql, in_range(range)).await? {
        let n = Columns(&batch).ints("n")?;
        total += (0..batch.num_rows()).map(|row| count(&n, row)).sum::<u64>();
    }
    Ok(total)
}
