//! Roll-ups: spans summed up by steps of time (see [`crate::schema::dimensions`]).

use crate::signal::DataSet;
use crate::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE};

/// Lengths of the steps, nanoseconds, each a multiple of the one before. Steps begin at multiples of
/// their length since the Unix epoch.
pub const STEPS_NS: [i64; 3] = [NANOS_PER_MINUTE, NANOS_PER_HOUR, 24 * NANOS_PER_HOUR];

/// A set of roll-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RollupSet(u32);

impl RollupSet {
    const fn bit(rollup: DataSet) -> u32 {
        match rollup {
            DataSet::OperationRollup => 1,
            DataSet::ServiceRollup => 2,
            DataSet::StatementRollup => 4,
            DataSet::EdgeRollup => 8,
            DataSet::Spans | DataSet::TraceParts | DataSet::Logs | DataSet::Metrics => 0,
        }
    }

    /// The set with one more; a data set that is no roll-up changes nothing.
    #[must_use]
    pub const fn with(self, rollup: DataSet) -> Self {
        Self(self.0 | Self::bit(rollup))
    }

    /// Whether a roll-up is in it.
    #[must_use]
    pub const fn contains(self, rollup: DataSet) -> bool {
        self.0 & Self::bit(rollup) != 0
    }

    /// What both hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// As a number for the catalog: 1 for operations, 2 for services, 4 for
    /// statements, 8 for edges.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Inverse of [`Self::bits`].
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}
