//! How much a caller depends on a callee, from what was observed.
//!
//! [`Outcomes`] counts, per call of the caller that called the callee at all, whether a call to the
//! callee failed and whether the caller failed; [`Moments`] sums what the straight line of the
//! caller's latency on the callee's needs. Both are sums of integers: adding roll-up rows in any order
//! gives the same bits. [`Outcomes::strength`] labels the edge by intervals, never by bare shares.
//! [`graph`] knows what follows for a whole service graph: cycles and the critical chain.

pub mod graph;
mod moments;
#[cfg(test)]
mod tests;

pub use moments::{LatencySlope, Moments};

use crate::statistics::{Interval, Proportion, Z_95, difference};

/// Share of the caller's calls, among those in which the callee failed, that must fail for a
/// dependency to be strong: more likely than not.
pub const STRONG_ABOVE: f64 = 0.5;
/// Normal quantile of the intervals that decide: two-sided 95 %, so that an edge just on the other side
/// of [`STRONG_ABOVE`] gets the wrong label in about one case of forty (at four failures, where the
/// interval can be no finer, in one of sixteen).
pub const CONFIDENCE_Z: f64 = Z_95;
/// Fewest failures of the callee from which a label can follow. It is a consequence of the two
/// constants above: the score interval of `n` of `n` begins at `n / (n + z²)`, which exceeds one half
/// from `n > z² = 3.84` on; that of 0 of `n` ends below one half from the same `n` on.
pub const LEAST_FAILURES: u64 = 4;

/// What a caller's calls and its calls to one callee came to. Calls as observed, not weighted by
/// sampling: the intervals need the number of observations. A call of the caller counts once, however
/// often it called the callee; a failure of the callee that a second attempt made good is a failure
/// that the caller survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// The callee failed and so did the caller.
    pub both_failed: u64,
    /// The callee failed and the caller did not: a fallback, a second attempt, or nobody cared.
    pub callee_failed: u64,
    /// The caller failed although the callee did not.
    pub caller_failed: u64,
    /// Neither failed.
    pub none_failed: u64,
}

impl Outcomes {
    /// Counts one call of the caller in which the callee was called.
    pub fn observe(&mut self, callee_failed: bool, caller_failed: bool) {
        let cell = match (callee_failed, caller_failed) {
            (true, true) => &mut self.both_failed,
            (true, false) => &mut self.callee_failed,
            (false, true) => &mut self.caller_failed,
            (false, false) => &mut self.none_failed,
        };
        *cell = cell.saturating_add(1);
    }

    /// Adds other observations of the same edge.
    pub fn merge(&mut self, other: &Self) {
        self.both_failed = self.both_failed.saturating_add(other.both_failed);
        self.callee_failed = self.callee_failed.saturating_add(other.callee_failed);
        self.caller_failed = self.caller_failed.saturating_add(other.caller_failed);
        self.none_failed = self.none_failed.saturating_add(other.none_failed);
    }

    /// Calls of the caller that called the callee.
    #[must_use]
    pub const fn calls(&self) -> u64 {
        let failed = self.both_failed.saturating_add(self.callee_failed);
        failed.saturating_add(self.caller_failed).saturating_add(self.none_failed)
    }

    /// P(caller fails | callee fails).
    #[must_use]
    pub const fn when_callee_fails(&self) -> Proportion {
        Proportion {
            hits: self.both_failed,
            of: self.both_failed.saturating_add(self.callee_failed),
        }
    }

    /// P(caller fails | callee is fine).
    #[must_use]
    pub const fn when_callee_is_fine(&self) -> Proportion {
        Proportion {
            hits: self.caller_failed,
            of: self.caller_failed.saturating_add(self.none_failed),
        }
    }

    /// How often the callee failed and the caller did not.
    #[must_use]
    pub const fn fallbacks(&self) -> u64 {
        self.callee_failed
    }

    /// Whether callers mostly get by when the callee fails.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        self.strength().strength == Strength::Weak
    }

    /// The label with what it rests on.
    ///
    /// - *strong*: P(caller fails | callee fails) is above [`STRONG_ABOVE`] with its whole interval,
    ///   **and** it exceeds P(caller fails | callee is fine) with the whole interval of the difference,
    ///   so that a caller that fails anyway does not make every callee look strong;
    /// - *weak*: P(caller fails | callee fails) is below [`STRONG_ABOVE`] with its whole interval;
    /// - *unknown*: neither. Fewer than [`LEAST_FAILURES`] failures of the callee are always unknown, and
    ///   so is an edge on which the callee was never seen to work.
    #[must_use]
    pub fn strength(&self) -> Dependency {
        let (fails, fine) = (self.when_callee_fails(), self.when_callee_is_fine());
        let (given_failure, given_success) =
            (fails.wilson(CONFIDENCE_Z), fine.wilson(CONFIDENCE_Z));
        let excess = difference(fails, fine, CONFIDENCE_Z);
        let strength = if given_failure.low > STRONG_ABOVE && excess.low > 0.0 && fine.of > 0 {
            Strength::Strong
        } else if given_failure.high < STRONG_ABOVE {
            Strength::Weak
        } else {
            Strength::Unknown
        };
        Dependency { strength, outcomes: *self, given_failure, given_success, excess }
    }
}

/// Whether a caller can do without a callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strength {
    /// If the callee fails, the caller fails more often than not, and because of it.
    Strong,
    /// If the callee fails, the caller mostly gets by.
    Weak,
    /// Too little was seen.
    Unknown,
}

impl Strength {
    /// `strong`, `weak` or `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Weak => "weak",
            Self::Unknown => "unknown",
        }
    }
}

/// A label and its evidence. The intervals are two-sided 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dependency {
    /// The label.
    pub strength: Strength,
    /// What was counted.
    pub outcomes: Outcomes,
    /// Interval of P(caller fails | callee fails).
    pub given_failure: Interval,
    /// Interval of P(caller fails | callee is fine).
    pub given_success: Interval,
    /// Interval of the difference of the two.
    pub excess: Interval,
}
