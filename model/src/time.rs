//! Time: nanoseconds since the Unix epoch, UTC, in `i64` (years 1970 to 2262).

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub const NANOS_PER_MINUTE: i64 = 60 * NANOS_PER_SECOND;
/// Nanoseconds in an hour.
pub const NANOS_PER_HOUR: i64 = 60 * NANOS_PER_MINUTE;

/// The wall clock, in nanoseconds since the Unix epoch. Zero before the epoch.
#[must_use]
pub fn now_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
}

/// A half-open range of time `[from, to)` in Unix nanoseconds, with `from <= to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    from: i64,
    to: i64,
}

impl TimeRange {
    /// Every instant that can be stored.
    pub const ALL: Self = Self { from: i64::MIN, to: i64::MAX };

    /// `None` unless `from <= to`.
    #[must_use]
    pub const fn new(from: i64, to: i64) -> Option<Self> {
        if from <= to { Some(Self { from, to }) } else { None }
    }

    /// Inclusive start, Unix nanoseconds.
    #[must_use]
    pub const fn from(&self) -> i64 {
        self.from
    }

    /// Exclusive end, Unix nanoseconds.
    #[must_use]
    pub const fn to(&self) -> i64 {
        self.to
    }

    /// Length in nanoseconds, saturating.
    #[must_use]
    pub const fn duration_ns(&self) -> i64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether the instant lies inside.
    #[must_use]
    pub const fn contains(&self, at: i64) -> bool {
        self.from <= at && at < self.to
    }

    /// Whether any instant of the closed interval `[min, max]` lies inside.
    #[must_use]
    pub const fn overlaps_closed(&self, min: i64, max: i64) -> bool {
        self.from < self.to && min < self.to && self.from <= max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn overlap_agrees_with_enumeration(a in -20i64..20, n in 0i64..20, lo in -20i64..20, m in 0i64..20) {
            let range = TimeRange::new(a, a + n).unwrap();
            let any = (lo..=lo + m).any(|t| range.contains(t));
            prop_assert_eq!(range.overlaps_closed(lo, lo + m), any);
        }
    }

    #[test]
    fn reversed_range_is_refused() {
        assert!(TimeRange::new(2, 1).is_none());
        assert_eq!(TimeRange::ALL.duration_ns(), i64::MAX);
    }
}
