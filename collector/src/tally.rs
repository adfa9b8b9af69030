//! How many records were refused, and why.

use headrope_model::RefuseReason;

const REASONS: usize = RefuseReason::ALL.len();

/// Refused records by reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally([u64; REASONS]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; REASONS])
    }
}

impl Tally {
    /// Counts `n` records refused for `reason`.
    pub fn add(&mut self, reason: RefuseReason, n: u64) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += n;
        }
    }

    /// Records refused for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (RefuseReason, u64)> + '_ {
        RefuseReason::ALL.iter().copied().zip(self.0).filter(|(_, n)| *n > 0)
    }

    /// The reasons with counts, for a client: `2 invalid_trace_id (trace_id must be …)`.
    #[must_use]
    pub fn describe(&self) -> String {
        let parts: Vec<String> = self
            .iter()
            .map(|(reason, n)| format!("{n} {} ({})", reason.label(), reason.advice()))
            .collect();
        parts.join("; ")
    }
}

/// A request that was answered with success.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted {
    /// Records that are durable now.
    pub(crate) stored: u64,
    /// Records that were left out.
    pub(crate) refused: Tally,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_keep_their_place() {
        for (at, reason) in RefuseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        let mut tally = Tally::default();
        tally.add(RefuseReason::InvalidSpanId, 2);
        tally.add(RefuseReason::Aborted, 1);
        assert_eq!(tally.total(), 3);
        assert_eq!(tally.iter().count(), 2);
        assert!(tally.describe().starts_with("2 invalid_span_id (span_id must be 8 bytes"));
    }
}
