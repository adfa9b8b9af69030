//! A set of row numbers of one segment.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Row numbers, ascending, each once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowSet(RoaringBitmap);

impl RowSet {
    /// No row.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The rows `0..rows`.
    #[must_use]
    pub fn all(rows: u32) -> Self {
        let mut set = RoaringBitmap::new();
        set.insert_range(0..rows);
        Self(set)
    }

    /// The number of rows in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row is in the set.
    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.0.contains(row)
    }

    /// The rows, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// The rows within a range, ascending.
    pub fn within(&self, range: Range<u32>) -> impl Iterator<Item = u32> + '_ {
        self.0.range(range)
    }

    /// The number of rows within a range.
    #[must_use]
    pub fn count_within(&self, range: Range<u32>) -> u64 {
        self.0.range_cardinality(range)
    }

    /// The rows as maximal ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut rows = self.0.iter();
        std::iter::from_fn(move || {
            let run = rows.next_range()?;
            // A segment has fewer than `u32::MAX` rows, so the end cannot overflow.
            Some(*run.start()..run.end().saturating_add(1))
        })
    }

    /// Keeps the rows that are in `other` too.
    pub fn intersect(&mut self, other: &Self) {
        self.0 &= &other.0;
    }

    /// Adds the rows of `other`.
    pub fn union(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// The rows of `0..rows` that are not in the set.
    #[must_use]
    pub fn complement(&self, rows: u32) -> Self {
        let mut rest = Self::all(rows);
        rest.0 -= &self.0;
        rest
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

/// Gathers the rows of terms: few by their numbers, many as bits.
#[derive(Debug)]
pub(super) struct Gather {
    rows: u32,
    few: Vec<u32>,
    bits: Vec<u8>,
}

impl Gather {
    /// Numbers that are kept before the whole segment is represented by bits.
    const FEW: usize = 4096;

    /// Starts without a row, for a segment of so many.
    pub(super) const fn new(rows: u32) -> Self {
        Self { rows, few: Vec::new(), bits: Vec::new() }
    }

    /// Adds a row; one beyond the segment is ignored.
    pub(super) fn add(&mut self, row: u32) {
        if self.bits.is_empty() {
            if self.few.len() < Self::FEW {
                self.few.push(row);
                return;
            }
            self.become_bits();
        }
        self.set(row);
    }

    /// Adds `count` rows from `first` on.
    pub(super) fn add_range(&mut self, first: u32, count: u32) {
        let end = first.saturating_add(count).min(self.rows);
        if self.bits.is_empty() {
            if self.few.len() + count as usize <= Self::FEW {
                self.few.extend(first..end);
                return;
            }
            self.become_bits();
        }
        let (mut row, whole) = (first, end & !7);
        while row < end {
            if row % 8 == 0 && row < whole {
                let bytes = self.bits.get_mut(row as usize / 8..whole as usize / 8);
                bytes.unwrap_or_default().fill(0xff);
                row = whole;
            } else {
                self.set(row);
                row += 1;
            }
        }
    }

    fn become_bits(&mut self) {
        self.bits = vec![0; self.rows.div_ceil(8) as usize];
        for row in std::mem::take(&mut self.few) {
            self.set(row);
        }
    }

    fn set(&mut self, row: u32) {
        if let Some(byte) = self.bits.get_mut(row as usize / 8)
            && row < self.rows
        {
            *byte |= 1 << (row % 8);
        }
    }

    /// The rows gathered.
    pub(super) fn finish(mut self) -> RowSet {
        if self.bits.is_empty() {
            self.few.sort_unstable();
            self.few.dedup();
            let rows = self.rows;
            return self.few.into_iter().take_while(|row| *row < rows).collect();
        }
        RowSet(RoaringBitmap::from_lsb0_bytes(0, &self.bits))
    }
}
