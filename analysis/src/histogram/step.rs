//! Steps of time that fall on round instants.

use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE, NANOS_PER_SECOND};

/// Steps a person can count in, from a second up: those that divide a minute, an hour or a day, then
/// whole days.
const STEPS: [i64; 22] = [
    NANOS_PER_SECOND,
    2 * NANOS_PER_SECOND,
    5 * NANOS_PER_SECOND,
    10 * NANOS_PER_SECOND,
    15 * NANOS_PER_SECOND,
    30 * NANOS_PER_SECOND,
    NANOS_PER_MINUTE,
    2 * NANOS_PER_MINUTE,
    5 * NANOS_PER_MINUTE,
    10 * NANOS_PER_MINUTE,
    15 * NANOS_PER_MINUTE,
    30 * NANOS_PER_MINUTE,
    NANOS_PER_HOUR,
    2 * NANOS_PER_HOUR,
    3 * NANOS_PER_HOUR,
    6 * NANOS_PER_HOUR,
    12 * NANOS_PER_HOUR,
    24 * NANOS_PER_HOUR,
    2 * 24 * NANOS_PER_HOUR,
    7 * 24 * NANOS_PER_HOUR,
    30 * 24 * NANOS_PER_HOUR,
    365 * 24 * NANOS_PER_HOUR,
];

/// The smallest round step, in nanoseconds, of which `target` cover the range (one that does not
/// start on a multiple of the step touches one bucket more). Below a second steps are 1, 2 or 5 times
/// a power of ten, above 365 days whole times as many. A target of 0 counts as 1.
#[must_use]
pub fn time_step_ns(range: TimeRange, target: usize) -> i64 {
    let target = i64::try_from(target).unwrap_or(i64::MAX).max(1);
    let least = range.duration_ns().saturating_sub(1) / target + 1;
    let decades = (0..9).flat_map(|e| [1, 2, 5].map(|m| m * 10i64.pow(e)));
    let longest = STEPS[STEPS.len() - 1];
    let years = || longest.saturating_mul((least - 1) / longest + 1);
    decades.chain(STEPS).find(|step| *step >= least).unwrap_or_else(years)
}

/// Consecutive buckets of equal length that cover a range of time and start on multiples of their
/// length since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBuckets {
    first_ns: i64,
    step_ns: i64,
    len: usize,
}

impl TimeBuckets {
    /// Most buckets a range is cut into; a shorter step is lengthened to keep to it.
    pub const MAX: usize = 10_000;

    /// Buckets of a given length; one of zero or less counts as 1 ns.
    #[must_use]
    pub fn with_step(range: TimeRange, step_ns: i64) -> Self {
        let step_ns = step_ns.max(1).max(time_step_ns(range, Self::MAX - 1));
        let first = range.from().div_euclid(step_ns);
        let last = range.to().saturating_sub(1).max(range.from()).div_euclid(step_ns);
        let len = if range.duration_ns() == 0 { 0 } else { last - first + 1 };
        Self {
            first_ns: first.saturating_mul(step_ns),
            step_ns,
            len: usize::try_from(len).unwrap_or(0).min(Self::MAX),
        }
    }

    /// About `target` buckets of a round length.
    #[must_use]
    pub fn about(range: TimeRange, target: usize) -> Self {
        Self::with_step(range, time_step_ns(range, target))
    }

    /// Number of buckets; 0 for an empty range.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no bucket.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of a bucket in nanoseconds.
    #[must_use]
    pub const fn step_ns(&self) -> i64 {
        self.step_ns
    }

    /// Inclusive start of a bucket, Unix nanoseconds.
    #[must_use]
    pub fn start_ns(&self, index: usize) -> i64 {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        self.first_ns.saturating_add(self.step_ns.saturating_mul(index))
    }

    /// The bucket an instant falls in; `None` outside the buckets.
    #[must_use]
    pub fn index(&self, at_ns: i64) -> Option<usize> {
        let offset = at_ns.checked_sub(self.first_ns).filter(|o| *o >= 0)?;
        usize::try_from(offset / self.step_ns).ok().filter(|i| *i < self.len)
    }
}
