//! The newest first: a range is read in windows from its end, each longer than the one before, until
//! enough is found. How much is read then depends on what is found, not on what is stored.

use headrope_model::{DataSet, TimeRange};
use headrope_storage::Snapshot;

/// Rows the first window is meant to hold.
const FIRST_ROWS: u64 = 50_000;
/// How much longer each window is than the one before.
const GROWTH: i64 = 4;

/// Windows of a range, newest first; together they are the range.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    from: i64,
    to: i64,
    length: i64,
}

impl Windows {
    pub(super) fn new(range: TimeRange, snapshot: &Snapshot, data_set: DataSet) -> Self {
        let range = super::bounded(range, snapshot, data_set);
        let segments = snapshot
            .segments(data_set)
            .iter()
            .map(|s| (s.meta().min_time, s.meta().max_time, s.meta().rows));
        let live = snapshot
            .live(data_set)
            .iter()
            .map(|l| (l.min_time, l.max_time, l.batch.num_rows() as u64));
        let rows: f64 = segments.chain(live).map(|part| expected(range, part)).sum();
        let length = range.duration_ns() as f64 * (FIRST_ROWS as f64 / rows.max(1.0)).min(1.0);
        Self { from: range.from(), to: range.to(), length: (length as i64).max(1) }
    }
}

/// Rows of a part that lie in the range if they are spread evenly.
fn expected(range: TimeRange, (min, max, rows): (i64, i64, u64)) -> f64 {
    if !range.overlaps_closed(min, max) {
        return 0.0;
    }
    let common = range.to().min(max.saturating_add(1)).saturating_sub(range.from().max(min));
    let all = max.saturating_sub(min).saturating_add(1).max(1);
    rows as f64 * (common as f64 / all as f64)
}

impl Iterator for Windows {
    type Item = TimeRange;

    fn next(&mut self) -> Option<TimeRange> {
        if self.to <= self.from {
            return None;
        }
        let from = self.to.saturating_sub(self.length).max(self.from);
        let window = TimeRange::new(from, self.to)?;
        self.to = from;
        self.length = self.length.saturating_mul(GROWTH);
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_are_the_range(from in -1000i64..1000, n in 0i64..100_000, length in 1i64..50) {
            let windows = Windows { from, to: from + n, length };
            let mut end = from + n;
            for window in windows {
                prop_assert_eq!(window.to(), end);
                prop_assert!(window.duration_ns() > 0);
                end = window.from();
            }
            prop_assert_eq!(end, from);
        }
    }
}
