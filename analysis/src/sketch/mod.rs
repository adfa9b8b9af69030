//! A mergeable sketch of latencies in nanoseconds.
//!
//! An OpenTelemetry base-2 exponential histogram at the fixed scale [`SCALE`] = 6: bucket `i` holds
//! the values in `(2^(i/64), 2^((i+1)/64)]`. A quantile is the middle of its bucket and differs from
//! the exact nearest-rank sample by at most [`RELATIVE_ERROR`]. Values from 1 ns to 2^63 ns fall in
//! at most 4,033 buckets, of which only the occupied ones are kept, so memory is bounded and merging
//! adds counts: it is associative, commutative and equal to inserting everything into one sketch.

mod batch;
mod bytes;
mod scale;
#[cfg(test)]
mod tests;
mod total;

pub use batch::SketchBatch;
pub use bytes::SketchError;
pub(crate) use scale::{key as key_of, largest as largest_of};
pub use total::SketchTotal;

/// Scale of the OpenTelemetry exponential histogram: the bucket base is `2^(2^-SCALE)`.
pub const SCALE: i32 = 6;

/// Bound of `|estimate - exact| / exact` for every quantile: half a bucket, `(b-1)/(b+1)` with
/// `b = 2^(1/64)`, which is 0.005416, rounded up.
pub const RELATIVE_ERROR: f64 = 0.00542;

/// One occupied bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// OpenTelemetry bucket index plus one, so that 1 ns has key 0.
    key: u16,
    count: u64,
}

/// A latency sketch. Equal sketches hold equal counts in equal buckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    /// Values of zero or less.
    zeros: u64,
    /// Occupied buckets by ascending key.
    buckets: Vec<Bucket>,
    sum: u128,
    min: i64,
    max: i64,
}

impl Sketch {
    /// An empty sketch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value in nanoseconds; a negative one counts as zero.
    pub fn insert(&mut self, ns: i64) {
        self.insert_n(ns, 1);
    }

    /// Adds a value `n` times. Counts saturate at `u64::MAX`.
    pub fn insert_n(&mut self, ns: i64, n: u64) {
        if n == 0 {
            return;
        }
        let ns = ns.max(0);
        self.widen(ns, ns);
        self.sum = self.sum.saturating_add(u128::from(ns.unsigned_abs()) * u128::from(n));
        match scale::key(ns) {
            None => self.zeros = self.zeros.saturating_add(n),
            Some(key) => match self.buckets.binary_search_by_key(&key, |b| b.key) {
                Ok(at) => self.buckets[at].count = self.buckets[at].count.saturating_add(n),
                Err(at) => self.buckets.insert(at, Bucket { key, count: n }),
            },
        }
    }

    /// Adds everything the other sketch holds.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.widen(other.min, other.max);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.sum = self.sum.saturating_add(other.sum);
        let mine = std::mem::take(&mut self.buckets);
        self.buckets = merge_sorted(&mine, &other.buckets);
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(self.zeros, |sum, b| sum.saturating_add(b.count))
    }

    /// Number of occupied buckets: what the sketch costs in memory, about 16 bytes each.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zeros == 0 && self.buckets.is_empty()
    }

    /// Sum of all values in nanoseconds, exact.
    #[must_use]
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// Smallest value, exact.
    #[must_use]
    pub fn min(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// Largest value, exact.
    #[must_use]
    pub fn max(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// Mean in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.count() as f64)
    }

    /// The `q`-quantile by nearest rank: of `n` values sorted ascending the one at rank
    /// `max(1, ceil(q * n))`, within [`RELATIVE_ERROR`]. The first and the last rank are exact.
    /// `q` outside 0 to 1 is brought inside; not-a-number and an empty sketch give `None`.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.is_empty() || q.is_nan() {
            return None;
        }
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        if rank == count {
            return Some(self.max as f64);
        }
        if rank == 1 {
            return Some(self.min as f64);
        }
        let mut seen = self.zeros;
        if rank <= seen {
            return Some(0.0);
        }
        for b in &self.buckets {
            seen = seen.saturating_add(b.count);
            if rank <= seen {
                return Some(scale::middle(b.key).clamp(self.min as f64, self.max as f64));
            }
        }
        Some(self.max as f64)
    }

    /// Occupied buckets in ascending order as `(largest whole value in nanoseconds, count)`; zeros
    /// come first, as 0.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let zeros = (self.zeros > 0).then_some((0, self.zeros));
        zeros.into_iter().chain(self.buckets.iter().map(|b| (scale::largest(b.key), b.count)))
    }

    fn widen(&mut self, min: i64, max: i64) {
        if self.is_empty() {
            (self.min, self.max) = (min, max);
        } else {
            (self.min, self.max) = (self.min.min(min), self.max.max(max));
        }
    }
}

impl Extend<i64> for Sketch {
    fn extend<T: IntoIterator<Item = i64>>(&mut self, values: T) {
        values.into_iter().for_each(|v| self.insert(v));
    }
}

impl FromIterator<i64> for Sketch {
    fn from_iter<T: IntoIterator<Item = i64>>(values: T) -> Self {
        let mut sketch = Self::new();
        sketch.extend(values);
        sketch
    }
}

fn merge_sorted(a: &[Bucket], b: &[Bucket]) -> Vec<Bucket> {
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.key == y.key => {
                let both = Bucket { key: x.key, count: x.count.saturating_add(y.count) };
                a.next();
                b.next();
                Some(both)
            }
            (Some(x), Some(y)) if x.key > y.key => b.next(),
            (Some(_), _) => a.next(),
            (None, _) => b.next(),
        };
        match next {
            Some(bucket) => out.push(bucket),
            None => return out,
        }
    }
}
