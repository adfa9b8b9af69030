//! Latency distributions.

use headrope_analysis::histogram::{Heatmap as Cells, LatencyHistogram, LogScale, TimeBuckets};
use headrope_model::DataSet;

use super::measure::{Measure, Steps, sketch};
use super::{bounded, text};
use crate::answer::latency::{Bucket, Cell, ExemplarTrace, Heatmap, Latency, LatencyQuery};
use crate::answer::{SpanScope, Time};
use crate::column::{Columns, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// About this many columns of the heatmap.
const COLUMNS: usize = 60;
/// Slowest and failing calls that are picked.
const PICKED: usize = 3;
/// Scale of histogram and heatmap.
const SCALE: LogScale = LogScale::Quarter;

pub(crate) async fn latency(
    session: &Session,
    query: &LatencyQuery,
) -> Result<Latency, QueryError> {
    let range = bounded(query.range, session.snapshot(), DataSet::Spans);
    let spans = if query.operation.is_some() { SpanScope::All } else { query.spans };
    let (mut condition, mut params) = super::condition(range, spans, Some(&query.service));
    if let Some(operation) = &query.operation {
        condition.push_str(" AND name = $operation");
        params.push(("operation", text(operation)));
    }
    let times = TimeBuckets::about(range, COLUMNS);
    let (steps, cells) = Box::pin(over_time(session, times, &condition, params.clone())).await?;
    let total = steps.total();
    let exemplars = Box::pin(exemplars(session, &total, &condition, params)).await?;
    Ok(Latency {
        stats: total.stats(range),
        histogram: histogram(&cells),
        heatmap: heatmap(times, &cells),
        series: steps.series(),
        exemplars,
        relative_error: headrope_analysis::sketch::RELATIVE_ERROR,
    })
}

/// Measures and cells by step of time. Cells come from sketches, whose buckets nest into theirs, so
/// that roll-ups have them too.
async fn over_time(
    session: &Session,
    times: TimeBuckets,
    condition: &str,
    params: Params,
) -> Result<(Steps, Cells), QueryError> {
    let step = times.step_ns();
    let sql = format!(
        "SELECT time_bucket({step}, start_time) AS step, latency_sketch(duration_ns) AS sketch, \
         latency_sketch(duration_ns) FILTER (WHERE status_code = 'ERROR') AS failed \
         FROM spans WHERE {condition} GROUP BY 1"
    );
    let (mut steps, mut cells) = (Steps::new(times), Cells::new(times, SCALE));
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let step = columns.ints("step")?;
        let (all, failed) = (columns.bytes("sketch")?, columns.bytes("failed")?);
        for row in 0..batch.num_rows() {
            let at = int0(&step, row);
            let (all, failed) = (sketch(&all, row)?, sketch(&failed, row)?);
            all.buckets().for_each(|(ns, calls)| cells.add(at, ns, calls, 0));
            failed.buckets().for_each(|(ns, errors)| cells.add(at, ns, 0, errors));
            steps.add_one(at, &Measure { calls: all.count(), errors: failed.count(), sketch: all });
        }
    }
    Ok((steps, cells))
}

/// Exclusive end of a bucket that ends with a value.
const fn after(ns: i64) -> i64 {
    ns.saturating_add(1)
}

fn histogram(cells: &Cells) -> Vec<Bucket> {
    let mut all = LatencyHistogram::new(SCALE);
    for cell in cells.cells() {
        all.add(cell.bar.to_ns, cell.bar.count, cell.bar.errors);
    }
    let bucket = |bar: headrope_analysis::histogram::Bar| Bucket {
        from_ns: bar.from_ns,
        to_ns: after(bar.to_ns),
        count: bar.count,
        errors: bar.errors,
    };
    all.bars().into_iter().map(bucket).collect()
}

fn heatmap(times: TimeBuckets, cells: &Cells) -> Heatmap {
    let rows = cells.cells().map(|c| SCALE.index(c.bar.to_ns));
    let (low, high) = rows.fold((u16::MAX, 0), |(low, high), at| (low.min(at), high.max(at)));
    let indexes: Vec<u16> =
        (low..=high).filter(|at| SCALE.lower_ns(*at) <= SCALE.upper_ns(*at)).collect();
    let mut bounds_ns: Vec<i64> = indexes.iter().map(|at| SCALE.lower_ns(*at)).collect();
    bounds_ns.extend(indexes.last().map(|at| after(SCALE.upper_ns(*at))));
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let place = |cell: headrope_analysis::histogram::Cell| {
        let row = indexes.binary_search(&SCALE.index(cell.bar.to_ns)).ok()?;
        let (count, errors) = (cell.bar.count, cell.bar.errors);
        Some(Cell { t: number(times.index(cell.time_ns)?), b: number(row), count, errors })
    };
    Heatmap {
        times: (0..times.len()).map(|at| Time(times.start_ns(at))).collect(),
        step_ns: times.step_ns(),
        bounds_ns,
        cells: cells.cells().filter_map(place).collect(),
    }
}

/// Calls that stand for their region of the distribution: for a percentile the newest call of at
/// least that latency among those nearest to it.
async fn exemplars(
    session: &Session,
    total: &Measure,
    condition: &str,
    params: Params,
) -> Result<Vec<ExemplarTrace>, QueryError> {
    if total.calls == 0 {
        return Ok(Vec::new());
    }
    let mut found: Vec<ExemplarTrace> = Vec::new();
    let slowest = "duration_ns DESC, start_time DESC";
    found.extend(pick(session, "slowest", condition, slowest, PICKED, &params).await?);
    let failed = format!("{condition} AND status_code = 'ERROR'");
    let newest = "start_time DESC, span_id";
    found.extend(pick(session, "error", &failed, newest, PICKED, &params).await?);
    for (picked, q) in [("p99", 0.99), ("p95", 0.95), ("median", 0.5)] {
        // The estimate may lie above the greatest call of its region by its error.
        let least = (total.quantile_ns(q) as f64 * (1.0 - 2.0 * RELATIVE)) as i64;
        let near = format!("{condition} AND duration_ns >= {least}");
        found.extend(
            pick(session, picked, &near, "duration_ns, start_time DESC", 1, &params).await?,
        );
    }
    Ok(found)
}

const RELATIVE: f64 = headrope_analysis::sketch::RELATIVE_ERROR;

async fn pick(
    session: &Session,
    picked: &str,
    condition: &str,
    order: &str,
    limit: usize,
    params: &Params,
) -> Result<Vec<ExemplarTrace>, QueryError> {
    let sql = format!(
        "SELECT trace_id, span_id, start_time, duration_ns, status_code FROM spans \
         WHERE {condition} ORDER BY {order} LIMIT {limit}"
    );
    let mut found = Vec::new();
    for batch in session.rows(&sql, params.clone()).await? {
        let columns = Columns(&batch);
        let (traces, spans) = (columns.texts("trace_id")?, columns.texts("span_id")?);
        let (starts, durations) = (columns.ints("start_time")?, columns.ints("duration_ns")?);
        let status = columns.texts("status_code")?;
        for row in 0..batch.num_rows() {
            found.push(ExemplarTrace {
                trace_id: traces.owned(row),
                span_id: spans.owned(row),
                start_time: Time(int0(&starts, row)),
                duration_ns: int0(&durations, row),
                status_code: status.owned(row),
                picked: picked.to_owned(),
            });
        }
    }
    Ok(found)
}
