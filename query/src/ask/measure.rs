//! Calls, errors and latency of groups of spans.

use datafusion::arrow::array::{Array, BinaryArray, Int64Array};
use headrope_analysis::Sketch;
use headrope_analysis::histogram::TimeBuckets;
use headrope_model::TimeRange;

use crate::answer::service::{Series, SeriesPoint};
use crate::answer::{RankBy, Stats, Time};
use crate::column::{Columns, count, int0};
use crate::error::QueryError;

/// Aggregates over spans that [`Measures`] reads.
pub(super) const MEASURES: &str = "count(*) AS calls, \
     sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, \
     latency_sketch(duration_ns) AS sketch";

/// What a group of spans is measured by. Sums, counts and extremes are exact.
#[derive(Debug, Clone, Default)]
pub(super) struct Measure {
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) sketch: Sketch,
}

/// The columns of [`MEASURES`] in one batch.
pub(super) struct Measures {
    calls: Int64Array,
    errors: Int64Array,
    sketch: BinaryArray,
}

/// A sketch of a column; an empty one for null.
pub(super) fn sketch(column: &BinaryArray, row: usize) -> Result<Sketch, QueryError> {
    match column.is_valid(row) {
        true => Sketch::from_bytes(column.value(row))
            .map_err(|e| QueryError::Engine(format!("latency sketch: {e}"))),
        false => Ok(Sketch::new()),
    }
}

impl Measures {
    pub(super) fn of(columns: &Columns<'_>) -> Result<Self, QueryError> {
        Ok(Self {
            calls: columns.ints("calls")?,
            errors: columns.ints("errors")?,
            sketch: columns.bytes("sketch")?,
        })
    }

    pub(super) fn get(&self, row: usize) -> Result<Measure, QueryError> {
        let sketch = sketch(&self.sketch, row)?;
        Ok(Measure { calls: count(&self.calls, row), errors: count(&self.errors, row), sketch })
    }
}

impl Measure {
    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.sketch.merge(&other.sketch);
    }

    /// A quantile in whole nanoseconds, 0 without calls.
    pub(super) fn quantile_ns(&self, q: f64) -> i64 {
        self.sketch.quantile(q).map_or(0, round)
    }

    fn total_ns(&self) -> i64 {
        i64::try_from(self.sketch.sum()).unwrap_or(i64::MAX)
    }

    /// The value a ranking orders by.
    pub(super) fn rank(&self, by: RankBy) -> u128 {
        let ns = |ns: i64| u128::from(ns.unsigned_abs());
        match by {
            RankBy::Calls => u128::from(self.calls),
            RankBy::Errors => u128::from(self.errors),
            RankBy::Slowest => ns(self.sketch.max().unwrap_or(0)),
            RankBy::TotalTime | RankBy::Change => self.sketch.sum(),
            RankBy::P99 => ns(self.quantile_ns(0.99)),
        }
    }

    /// The figures over a window.
    pub(super) fn stats(&self, range: TimeRange) -> Stats {
        let seconds = range.duration_ns() as f64 / 1e9;
        let calls = self.calls as f64;
        Stats {
            calls: self.calls,
            errors: self.errors,
            error_rate: if self.calls > 0 { self.errors as f64 / calls } else { 0.0 },
            rate: if seconds > 0.0 { calls / seconds } else { 0.0 },
            total_time_ns: self.total_ns(),
            mean_ns: self.sketch.mean().map_or(0, round),
            p50_ns: self.quantile_ns(0.50),
            p95_ns: self.quantile_ns(0.95),
            p99_ns: self.quantile_ns(0.99),
            max_ns: self.sketch.max().unwrap_or(0),
        }
    }
}

fn round(ns: f64) -> i64 {
    ns.round() as i64
}

/// Measures by step of time; steps without calls are there with zeros.
pub(super) struct Steps {
    pub(super) times: TimeBuckets,
    pub(super) measures: Vec<Measure>,
}

impl Steps {
    pub(super) fn new(times: TimeBuckets) -> Self {
        Self { times, measures: vec![Measure::default(); times.len()] }
    }

    /// Adds the rows of a batch with the columns `step` and [`MEASURES`].
    pub(super) fn add(&mut self, columns: &Columns<'_>) -> Result<(), QueryError> {
        let steps = columns.ints("step")?;
        let measures = Measures::of(columns)?;
        for row in 0..steps.len() {
            self.add_one(int0(&steps, row), &measures.get(row)?);
        }
        Ok(())
    }

    /// Adds the measure of spans that began in the step that starts at a time.
    pub(super) fn add_one(&mut self, step_ns: i64, measure: &Measure) {
        let at = self.times.index(step_ns);
        if let Some(slot) = at.and_then(|at| self.measures.get_mut(at)) {
            slot.merge(measure);
        }
    }

    /// Everything together.
    pub(super) fn total(&self) -> Measure {
        let mut total = Measure::default();
        self.measures.iter().for_each(|m| total.merge(m));
        total
    }

    pub(super) fn series(&self) -> Series {
        let point = |(at, m): (usize, &Measure)| SeriesPoint {
            time: Time(self.times.start_ns(at)),
            calls: m.calls,
            errors: m.errors,
            p50_ns: m.quantile_ns(0.50),
            p95_ns: m.quantile_ns(0.95),
            p99_ns: m.quantile_ns(0.99),
        };
        Series {
            step_ns: self.times.step_ns(),
            points: self.measures.iter().enumerate().map(point).collect(),
        }
    }
}
