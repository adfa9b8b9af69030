//! The straight line of a caller's latency on its callee's.

use crate::statistics::Interval;

/// Latencies are summed in whole microseconds and no longer than this, one day: then a hundred
/// thousand billion calls fit the sums.
const LONGEST_US: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i64 = 1_000;

/// Sums over pairs of (callee latency x, caller latency y) in microseconds, one pair per call of the
/// caller; x is the total time of its calls to the callee. All are exact integers below 2^127, so
/// each fits a decimal of 38 digits and addition is associative to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moments {
    /// Pairs.
    pub n: u64,
    /// Σx, µs.
    pub x: u128,
    /// Σy, µs.
    pub y: u128,
    /// Σx², µs².
    pub xx: u128,
    /// Σxy, µs².
    pub xy: u128,
    /// Σy², µs².
    pub yy: u128,
}

/// By how much the caller's latency rises with the callee's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencySlope {
    /// Least-squares slope: milliseconds of the caller per millisecond of the callee. 1 when the caller
    /// waits, 0 when it does not.
    pub slope: f64,
    /// Standard error of the slope, taking the scatter about the line as even.
    pub standard_error: f64,
    /// Latency of the caller where that of the callee is zero, nanoseconds.
    pub intercept_ns: f64,
    /// Share of the caller's variance that the line explains, 0 to 1; 0 for a caller without variance.
    pub r_squared: f64,
    /// Pairs.
    pub n: u64,
}

impl LatencySlope {
    /// The slope give or take `z` standard errors.
    #[must_use]
    pub fn interval(&self, z: f64) -> Interval {
        let half = z * self.standard_error;
        Interval { low: self.slope - half, high: self.slope + half }
    }
}

impl Moments {
    /// Adds one call of the caller. Negative latencies count as zero, longer ones than a day as a day.
    pub fn observe(&mut self, callee_ns: i64, caller_ns: i64) {
        let us = |ns: i64| u128::from((ns / NANOS_PER_MICRO).clamp(0, LONGEST_US).unsigned_abs());
        let (x, y) = (us(callee_ns), us(caller_ns));
        self.merge(&Self { n: 1, x, y, xx: x * x, xy: x * y, yy: y * y });
    }

    /// Adds other calls over the same edge.
    pub fn merge(&mut self, other: &Self) {
        self.n = self.n.saturating_add(other.n);
        self.x = self.x.saturating_add(other.x);
        self.y = self.y.saturating_add(other.y);
        self.xx = self.xx.saturating_add(other.xx);
        self.xy = self.xy.saturating_add(other.xy);
        self.yy = self.yy.saturating_add(other.yy);
    }

    /// Ordinary least squares of y on x. `None` for fewer than three pairs or a callee that always took
    /// the same time.
    #[must_use]
    pub fn slope(&self) -> Option<LatencySlope> {
        if self.n < 3 {
            return None;
        }
        let n = self.n as f64;
        let (sxx, sxy, syy) = (
            self.centred(self.xx, self.x, self.x),
            self.centred(self.xy, self.x, self.y),
            self.centred(self.yy, self.y, self.y),
        );
        if sxx <= 0.0 {
            return None;
        }
        let slope = sxy / sxx;
        let unexplained = (syy - slope * sxy).max(0.0);
        let intercept_us = (self.y as f64 - slope * self.x as f64) / n;
        Some(LatencySlope {
            slope,
            standard_error: (unexplained / (n - 2.0) / sxx).sqrt(),
            intercept_ns: intercept_us * NANOS_PER_MICRO as f64,
            r_squared: if syy > 0.0 { (slope * sxy / syy).clamp(0.0, 1.0) } else { 0.0 },
            n: self.n,
        })
    }

    /// `Σab - ΣaΣb/n`, µs². Exact before it becomes a float, because the two terms are large and
    /// nearly equal; the remainder of the division is the only part that is not an integer.
    fn centred(&self, ab: u128, a: u128, b: u128) -> f64 {
        let n = u128::from(self.n.max(1));
        // a·b / n without overflow: a = q·n + r.
        let (q, r) = (a / n, a % n);
        let (whole, rest) = match (q.checked_mul(b), r.checked_mul(b)) {
            (Some(whole), Some(rest)) => (whole, rest),
            _ => return ab as f64 - a as f64 * (b as f64 / n as f64),
        };
        let mean = whole.saturating_add(rest / n);
        let part = (rest % n) as f64 / n as f64;
        if ab >= mean { (ab - mean) as f64 - part } else { -((mean - ab) as f64) - part }
    }
}
