//! Proportions and their intervals.

use super::Interval;

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proportion {
    /// How many had the property; more than `of` counts as `of`.
    pub hits: u64,
    /// How many were looked at.
    pub of: u64,
}

impl Proportion {
    /// The observed share, 0 to 1; `None` without observations.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.hits.min(self.of) as f64 / self.of as f64)
    }

    /// The score interval (E. B. Wilson, *Probable inference, the law of succession, and statistical
    /// inference*, JASA 22, 1927) for a normal quantile `z`. It keeps to 0 to 1 and means something for
    /// few observations and for shares of 0 and 1; without observations it is all of 0 to 1.
    #[must_use]
    pub fn wilson(&self, z: f64) -> Interval {
        let Some(p) = self.share() else { return Interval { low: 0.0, high: 1.0 } };
        let (n, z2) = (self.of as f64, z * z);
        let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        // At the ends the formula is exact only up to rounding.
        let low = if self.hits == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.hits >= self.of { 1.0 } else { (middle + half).min(1.0) };
        Interval { low, high }
    }
}

/// The interval of `a - b` for two independent proportions, from their score intervals (R. G.
/// Newcombe, *Interval estimation for the difference between independent proportions*, Stat. Med. 17,
/// 1998, method 10). If either is without observations the interval reaches as far as the other
/// allows.
#[must_use]
pub fn difference(a: Proportion, b: Proportion, z: f64) -> Interval {
    let (ia, ib) = (a.wilson(z), b.wilson(z));
    let (Some(pa), Some(pb)) = (a.share(), b.share()) else {
        return Interval { low: ia.low - ib.high, high: ia.high - ib.low };
    };
    let d = pa - pb;
    let below = (pa - ia.low).hypot(ib.high - pb);
    let above = (ia.high - pa).hypot(pb - ib.low);
    Interval { low: (d - below).max(-1.0), high: (d + above).min(1.0) }
}
