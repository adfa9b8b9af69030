//! The best of many rows.

/// How many rows of which order are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) rows: usize,
    pub(crate) descending: bool,
    /// Also every row whose value equals that of the last.
    pub(crate) with_equals: bool,
}

impl Order {
    /// Greater is better.
    pub(super) const fn rank(self, value: i64) -> i64 {
        if self.descending { value } else { !value }
    }
}

/// A row that may be among the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) rank: i64,
    /// Place of the file, or of the live batch after all files.
    pub(super) source: usize,
    pub(super) row: usize,
}

/// Keeps the best rows.
#[derive(Debug, Clone)]
pub(super) struct Best {
    order: Order,
    pub(super) kept: Vec<Candidate>,
    /// Rank of the last of them once there are enough.
    pub(super) last: Option<i64>,
}

impl Best {
    /// None yet.
    pub(super) const fn new(order: Order) -> Self {
        Self { order, kept: Vec::new(), last: None }
    }

    /// None yet, and only those are wanted that are better than the last of others.
    pub(super) const fn after(order: Order, last: Option<i64>) -> Self {
        Self { order, kept: Vec::new(), last }
    }

    pub(super) fn push(&mut self, candidate: Candidate) {
        if self.may_add(candidate.rank) {
            self.kept.push(candidate);
        }
    }

    /// Whether a row of this rank may be among the first.
    pub(super) fn may_add(&self, rank: i64) -> bool {
        self.last.is_none_or(|last| rank > last || self.order.with_equals && rank == last)
    }

    /// Drops what is not among the first.
    pub(super) fn cut(&mut self) {
        let rows = self.order.rows;
        if self.kept.len() < rows {
            return;
        }
        let (_, last, _) = self.kept.select_nth_unstable_by(rows - 1, |a, b| b.cmp(a));
        let last = last.rank;
        self.last = Some(last);
        if self.order.with_equals {
            self.kept.retain(|c| c.rank >= last);
        } else {
            self.kept.truncate(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_are_kept_in_whatever_order_they_come(
            ranks in prop::collection::vec(-9_i64..9, 0..300),
            rows in 1_usize..20,
            with_equals: bool,
            often in 1_usize..50,
        ) {
            let mut best = Best::new(Order { rows, descending: true, with_equals });
            for (row, rank) in ranks.iter().enumerate() {
                best.push(Candidate { rank: *rank, source: 0, row });
                if row % often == 0 {
                    best.cut();
                }
            }
            best.cut();
            let mut kept: Vec<i64> = best.kept.iter().map(|c| c.rank).collect();
            kept.sort_unstable_by(|a, b| b.cmp(a));
            let mut all = ranks;
            all.sort_unstable_by(|a, b| b.cmp(a));
            let last = all.get(rows - 1).copied().unwrap_or(i64::MIN);
            let mut wanted = all.clone();
            wanted.truncate(rows);
            if with_equals {
                wanted = all.into_iter().filter(|rank| *rank >= last).collect();
            }
            prop_assert_eq!(kept, wanted);
        }
    }
}
