//! Buckets a person can read: logarithmic latency buckets, heatmaps, percentile rulers and steps of
//! time.

mod step;
#[cfg(test)]
mod tests;

use crate::sketch::Sketch;

pub use step::{TimeBuckets, time_step_ns};

/// A logarithmic scale of latency buckets. A bucket holds the values above the end of the one
/// before it, up to and including its own end; bucket 0 holds zero and less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogScale {
    /// Four buckets per power of two, each 19 % wide. Nests into [`Sketch`].
    #[default]
    Quarter,
    /// Eight buckets per power of two, each 9 % wide. Nests into [`Sketch`].
    Eighth,
    /// Ends at 1, 2, 5, 10, 20, 50, … ns.
    OneTwoFive,
}

impl LogScale {
    /// Index of the bucket a value in nanoseconds falls in.
    #[must_use]
    pub fn index(self, ns: i64) -> u16 {
        if ns <= 0 {
            return 0;
        }
        match self {
            Self::Quarter => octave_index(ns, 4),
            Self::Eighth => octave_index(ns, 8),
            Self::OneTwoFive => {
                let ends = (1..=ONE_TWO_FIVE_LAST).take_while(|i| one_two_five(*i) < ns).count();
                u16::try_from(ends + 1).unwrap_or(u16::MAX)
            }
        }
    }

    /// Largest value of a bucket, nanoseconds.
    #[must_use]
    pub fn upper_ns(self, index: u16) -> i64 {
        let Some(i) = index.checked_sub(1) else { return 0 };
        match self {
            Self::Quarter => octave_upper(i, 4),
            Self::Eighth => octave_upper(i, 8),
            Self::OneTwoFive => one_two_five(index),
        }
    }

    /// Smallest value of a bucket, nanoseconds; 0 for bucket 0. Above [`LogScale::upper_ns`] for the
    /// few buckets below 20 ns that hold no whole nanosecond.
    #[must_use]
    pub fn lower_ns(self, index: u16) -> i64 {
        match index {
            0 => 0,
            i => self.upper_ns(i - 1).saturating_add(1),
        }
    }
}

/// Bucket index, one-based, of a positive value; `per_octave` divides the sketch's 64.
fn octave_index(ns: i64, per_octave: u16) -> u16 {
    crate::sketch::key_of(ns).map_or(0, |key| key.div_ceil(64 / per_octave) + 1)
}

fn octave_upper(index: u16, per_octave: u16) -> i64 {
    crate::sketch::largest_of(index.saturating_mul(64 / per_octave))
}

/// Number of one-two-five ends that fit an `i64`; the last bucket is open.
const ONE_TWO_FIVE_LAST: u16 = 57;

/// End of a one-two-five bucket, for `index >= 1`.
fn one_two_five(index: u16) -> i64 {
    let step = index.saturating_sub(1);
    let mantissa = [1, 2, 5][usize::from(step % 3)];
    10i64.checked_pow(u32::from(step / 3)).and_then(|p| p.checked_mul(mantissa)).unwrap_or(i64::MAX)
}

/// One bar of a latency distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// Smallest value, nanoseconds.
    pub from_ns: i64,
    /// Largest value, nanoseconds.
    pub to_ns: i64,
    /// Number of values.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// A latency distribution over a [`LogScale`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    scale: LogScale,
    /// `(count, errors)` by bucket index.
    counts: Vec<(u64, u64)>,
}

impl LatencyHistogram {
    /// An empty distribution.
    #[must_use]
    pub const fn new(scale: LogScale) -> Self {
        Self { scale, counts: Vec::new() }
    }

    /// The distribution a sketch holds. Exact for the scales that nest; for
    /// [`LogScale::OneTwoFive`] a value may fall one bucket off within the sketch's error.
    #[must_use]
    pub fn from_sketch(scale: LogScale, sketch: &Sketch) -> Self {
        let mut histogram = Self::new(scale);
        for (ns, count) in sketch.buckets() {
            histogram.add(ns, count, 0);
        }
        histogram
    }

    /// Adds `count` values of which `errors` failed.
    pub fn add(&mut self, ns: i64, count: u64, errors: u64) {
        let at = usize::from(self.scale.index(ns));
        if self.counts.len() <= at {
            self.counts.resize(at + 1, (0, 0));
        }
        let cell = &mut self.counts[at];
        *cell = (cell.0.saturating_add(count), cell.1.saturating_add(errors));
    }

    /// Bars from the first to the last occupied bucket, empty ones between them included (except
    /// those that can hold no whole nanosecond).
    #[must_use]
    pub fn bars(&self) -> Vec<Bar> {
        let first = self.counts.iter().position(|c| c.0 > 0).unwrap_or(self.counts.len());
        (0u16..)
            .zip(&self.counts)
            .skip(first)
            .map(|(i, (count, errors))| Bar {
                from_ns: self.scale.lower_ns(i),
                to_ns: self.scale.upper_ns(i),
                count: *count,
                errors: *errors,
            })
            .filter(|bar| bar.from_ns <= bar.to_ns)
            .collect()
    }
}

/// A heatmap: a latency distribution per step of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heatmap {
    times: TimeBuckets,
    scale: LogScale,
    columns: Vec<LatencyHistogram>,
}

/// One occupied cell of a heatmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Start of the column, Unix nanoseconds.
    pub time_ns: i64,
    /// Latency bucket and counts.
    pub bar: Bar,
}

impl Heatmap {
    /// An empty heatmap.
    #[must_use]
    pub fn new(times: TimeBuckets, scale: LogScale) -> Self {
        let columns = vec![LatencyHistogram::new(scale); times.len()];
        Self { times, scale, columns }
    }

    /// Adds `count` values that began at `time_ns`, of which `errors` failed; outside the range of
    /// time they are ignored.
    pub fn add(&mut self, time_ns: i64, ns: i64, count: u64, errors: u64) {
        if let Some(column) = self.times.index(time_ns).and_then(|i| self.columns.get_mut(i)) {
            column.add(ns, count, errors);
        }
    }

    /// Columns of the heatmap.
    #[must_use]
    pub const fn times(&self) -> TimeBuckets {
        self.times
    }

    /// Scale of the rows.
    #[must_use]
    pub const fn scale(&self) -> LogScale {
        self.scale
    }

    /// Occupied cells by (time, latency).
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.columns.iter().enumerate().flat_map(|(i, column)| {
            let time_ns = self.times.start_ns(i);
            let occupied = column.bars().into_iter().filter(|bar| bar.count > 0);
            occupied.map(move |bar| Cell { time_ns, bar })
        })
    }
}

/// The percentiles drawn over a distribution: p50, p75, p90, p95, p99, p99.9.
pub const RULER: [f64; 6] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999];

/// `(q, nanoseconds)` for each of [`RULER`]; empty for an empty sketch.
#[must_use]
pub fn ruler(sketch: &Sketch) -> Vec<(f64, f64)> {
    RULER.iter().filter_map(|q| sketch.quantile(*q).map(|ns| (*q, ns))).collect()
}
