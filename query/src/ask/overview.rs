//! The first page.

use std::collections::BTreeMap;

use headrope_model::{DataSet, TimeRange};

use super::measure::{Measure, Steps};
use super::service::steps;
use super::top::{Ranked, Ranking, each_group};
use super::{ENTRY, IN_RANGE, bounded, in_range};
use crate::answer::service::{Overview, RankScope};
use crate::answer::{RankBy, SpanScope};
use crate::column::{Columns, count};
use crate::engine::Session;
use crate::error::QueryError;

/// Rows of each ranking.
const ROWS: usize = 10;
/// Spans that begin a request: nothing called them, and somebody waits, other than for what a message sets off.
const ROOTS: &str = "parent_span_id IS NULL AND kind <> 'CONSUMER'";
/// Least share of the entry spans that are roots; a request of a hundred services has more.
const FEWEST_ROOTS: f64 = 0.01;

pub(crate) async fn overview(session: &Session, asked: TimeRange) -> Result<Overview, QueryError> {
    let range = bounded(asked, session.snapshot(), DataSet::Spans);
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
    let entries: u64 = services.values().map(|measure| measure.calls).sum();
    let requests = Requests::of(session, range, entries).await?;
    let mut hotspots = Ranking::new(RankBy::TotalTime, ROWS);
    for (service, measure) in services {
        hotspots.push(Ranked::new(service, None, measure));
    }
    let (spans, names) = spans_and_services(session, range).await?;
    Ok(Overview {
        totals_of: requests.of,
        totals: requests.now.total().stats(range),
        previous: requests.previous.stats(requests.before),
        series: requests.now.series(),
        hotspots: hotspots.rows(range),
        slowest: slowest.rows(range),
        failing: failing.rows(range),
        services: names,
        spans,
        logs: rows(session, DataSet::Logs, range).await?,
        points: rows(session, DataSet::Metrics, range).await?,
    })
}

/// Requests of a window and of the one before.
struct Requests {
    of: &'static str,
    now: Steps,
    before: TimeRange,
    previous: Measure,
}

impl Requests {
    /// Those that nothing called; those that services answer, if they are so many more that most have no root.
    async fn of(session: &Session, range: TimeRange, entries: u64) -> Result<Self, QueryError> {
        let length = range.duration_ns();
        let before = TimeRange::new(range.from().saturating_sub(length), range.from());
        let before = before.unwrap_or(range);
        let steps = async |range, of: &str| {
            steps(session, range, &format!("{IN_RANGE} AND {of}"), in_range(range)).await
        };
        let now = steps(range, ROOTS).await?;
        if now.total().calls as f64 >= FEWEST_ROOTS * entries as f64 {
            let previous = steps(before, ROOTS).await?.total();
            return Ok(Self { of: "root", now, before, previous });
        }
        let (now, previous) = (steps(range, ENTRY).await?, steps(before, ENTRY).await?.total());
        Ok(Self { of: "entry", now, before, previous })
    }
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
