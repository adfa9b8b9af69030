//! The rows of a term as bits.
//!
//! Exact lists go through the rows in stretches of 16 Ki: rows of one template lie side by side (the
//! writer orders each stretch by the letters its bodies begin with), so the words of a template are a
//! few runs per stretch; other words are gaps. Coarse lists say which blocks of `2^shift` rows hold
//! the term.

use super::bits::{BitReader, BitWriter, rice_bits, rice_parameter};
use super::rows::Gather;

/// Rows of a stretch.
pub(super) const STRETCH: u32 = 16 << 10;

const EMPTY: u32 = 0;
const GAPS: u32 = 1;
const RUNS: u32 = 2;
const FULL: u32 = 3;

/// Appends ascending rows below `rows`.
pub(super) fn write_exact(rows: u32, list: &[u32], out: &mut BitWriter) {
    let mut rest = list;
    for first in (0..rows).step_by(STRETCH as usize) {
        let len = STRETCH.min(rows - first);
        let (here, behind) = rest.split_at(rest.partition_point(|row| row - first < len));
        rest = behind;
        write_stretch(first, len, here, out);
    }
}

fn write_stretch(first: u32, len: u32, list: &[u32], out: &mut BitWriter) {
    let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
    if count == 0 || count == len {
        out.plain(if count == 0 { EMPTY } else { FULL }, 2);
        return;
    }
    let k = gap_parameter(len, count);
    let gaps = || {
        list.iter().scan(first, |next, row| {
            let gap = row - *next;
            *next = row + 1;
            Some(gap)
        })
    };
    let as_gaps: u64 = gaps().map(|gap| rice_bits(gap, k)).sum();
    let runs: Vec<(u32, u32)> = runs(first, list);
    let sum = |of: fn(&(u32, u32)) -> u32| runs.iter().map(|r| u64::from(of(r))).sum::<u64>();
    let (gap_k, run_k) =
        (rice_parameter(sum(|r| r.0), runs.len()), rice_parameter(sum(|r| r.1), runs.len()));
    let as_runs: u64 =
        10 + runs.iter().map(|r| rice_bits(r.0, gap_k) + rice_bits(r.1, run_k)).sum::<u64>();
    if as_runs < as_gaps {
        out.plain(RUNS, 2);
        out.gamma(u32::try_from(runs.len()).unwrap_or(u32::MAX) - 1);
        out.plain(gap_k, 5);
        out.plain(run_k, 5);
        for (gap, more) in runs {
            out.rice(gap, gap_k);
            out.rice(more, run_k);
        }
    } else {
        out.plain(GAPS, 2);
        out.gamma(count - 1);
        gaps().for_each(|gap| out.rice(gap, k));
    }
}

/// The rice parameter for `count` rows of `len`: a function of what the reader knows.
fn gap_parameter(len: u32, count: u32) -> u32 {
    rice_parameter(u64::from(len - count.min(len)), count as usize)
}

/// Maximal runs: how many rows lie before each, and how many rows it has beyond one.
fn runs(first: u32, list: &[u32]) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    let mut next = first;
    for row in list {
        match found.last_mut() {
            Some((_, more)) if *row == next => *more += 1,
            _ => found.push((row - next, 0)),
        }
        next = row + 1;
    }
    found
}

/// Adds the rows of an exact list, `base` more each; `None` when the bits are none.
pub(super) fn read_exact(rows: u32, base: u32, bytes: &[u8], found: &mut Gather) -> Option<()> {
    let mut bits = BitReader::new(bytes);
    for first in (0..rows).step_by(STRETCH as usize) {
        let len = STRETCH.min(rows - first);
        let from = base.checked_add(first)?;
        match bits.plain(2)? {
            EMPTY => {}
            FULL => found.add_range(from, len),
            GAPS => {
                let count = bits.gamma()?.checked_add(1).filter(|n| *n <= len)?;
                let k = gap_parameter(len, count);
                let mut next = from;
                for _ in 0..count {
                    next = next.checked_add(bits.rice(k)?)?;
                    found.add(next);
                    next = next.checked_add(1)?;
                }
            }
            _ => {
                let count = bits.gamma()?.checked_add(1).filter(|n| *n <= len)?;
                let (gap_k, run_k) = (bits.plain(5)?, bits.plain(5)?);
                let mut next = from;
                for _ in 0..count {
                    next = next.checked_add(bits.rice(gap_k)?)?;
                    let more = bits.rice(run_k)?.checked_add(1).filter(|n| *n <= len)?;
                    found.add_range(next, more);
                    next = next.checked_add(more)?;
                }
            }
        }
    }
    Some(())
}

/// How coarse the rows of rare terms are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Logarithm of the rows of a block at most.
    max_shift: u32,
    /// Logarithm of the number of rows of which one is in a block of the term at most, unless the term is
    /// on very few rows.
    share: u32,
}

impl Default for Blocks {
    /// At most about half of what a page of bodies holds.
    fn default() -> Self {
        Self { max_shift: 11, share: 5 }
    }
}

impl Blocks {
    /// Those of version 2 of the directory.
    pub(super) const VERSION_2: Self = Self { max_shift: 10, share: 6 };

    /// Logarithm of the rows of a block of a term that is on so many rows, of which only the power of two
    /// counts.
    fn shift(self, rows: u32, magnitude: u32) -> u32 {
        let candidates = (rows >> self.share).max(1 << self.max_shift);
        (candidates >> magnitude.min(31)).max(1).ilog2().min(self.max_shift)
    }
}

/// Appends ascending rows below `rows` as blocks that hold them.
pub(super) fn write_coarse(blocks: Blocks, rows: u32, list: &[u32], out: &mut BitWriter) {
    let magnitude = list.len().max(1).ilog2();
    let shift = blocks.shift(rows, magnitude);
    let mut blocks: Vec<u32> = list.iter().map(|row| row >> shift).collect();
    blocks.dedup();
    let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    out.gamma(magnitude);
    out.plain(count - 1, magnitude + 1);
    let k = gap_parameter(blocks_of(rows, shift), count);
    let mut next = 0;
    for block in blocks {
        out.rice(block - next, k);
        next = block + 1;
    }
}

const fn blocks_of(rows: u32, shift: u32) -> u32 {
    rows.div_ceil(1 << shift)
}

/// Reads a coarse list; its rows are added to `found`, if given, `base` more each. `None` when the
/// bits are none.
pub(super) fn read_coarse(
    blocks: Blocks,
    rows: u32,
    base: u32,
    bits: &mut BitReader<'_>,
    mut found: Option<&mut Gather>,
) -> Option<()> {
    let magnitude = bits.gamma().filter(|m| *m < 31)?;
    let shift = blocks.shift(rows, magnitude);
    let count = bits.plain(magnitude + 1)?.checked_add(1)?;
    let k = gap_parameter(blocks_of(rows, shift), count);
    let mut next = 0_u32;
    for _ in 0..count {
        next = next.checked_add(bits.rice(k)?)?;
        let first = next.checked_mul(1 << shift).filter(|first| *first < rows)?;
        if let Some(found) = &mut found {
            found.add_range(base.checked_add(first)?, (1 << shift).min(rows - first));
        }
        next += 1;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::text::RowSet;
    use proptest::prelude::*;

    /// Rows of every texture: alone, in runs, everywhere.
    fn rows() -> impl Strategy<Value = (u32, Vec<u32>)> {
        let runs = prop::collection::vec((0_u32..40_000, 1_u32..600), 0..40);
        let single = prop::collection::btree_set(0_u32..40_000, 0..300);
        (1_u32..40_000, runs, single, any::<bool>()).prop_map(|(rows, runs, single, dense)| {
            let mut set: BTreeSet<u32> = single;
            set.extend(runs.into_iter().flat_map(|(from, n)| from..from + n));
            if dense {
                set = (0..rows).filter(|row| !set.contains(row)).collect();
            }
            (rows, set.into_iter().filter(|row| *row < rows).collect())
        })
    }

    proptest! {
        #[test]
        fn exact_lists_are_what_was_written((rows, list) in rows(), base in 0_u32..3) {
            let mut out = BitWriter::default();
            write_exact(rows, &list, &mut out);
            let bytes = out.finish();
            let mut found = Gather::new(rows + base);
            read_exact(rows, base, &bytes, &mut found).unwrap();
            let want: RowSet = list.iter().map(|row| row + base).collect();
            prop_assert_eq!(found.finish(), want);
        }

        #[test]
        fn coarse_lists_hold_what_was_written((rows, list) in rows(), base in 0_u32..3, old: bool) {
            prop_assume!(!list.is_empty());
            let blocks = if old { Blocks::VERSION_2 } else { Blocks::default() };
            let mut out = BitWriter::default();
            write_coarse(blocks, rows, &list, &mut out);
            out.plain(5, 3);
            let bytes = out.finish();
            let mut found = Gather::new(rows + base);
            let mut bits = BitReader::new(&bytes);
            read_coarse(blocks, rows, base, &mut bits, Some(&mut found)).unwrap();
            prop_assert_eq!(bits.plain(3), Some(5));
            let found = found.finish();
            for row in &list {
                prop_assert!(found.contains(row + base));
            }
            let least = 1 << blocks.max_shift;
            let most = 2 * u64::from((rows >> blocks.share).max(least)).max(list.len() as u64);
            prop_assert!(found.len() <= most, "{} of {rows} for {}", found.len(), list.len());
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), rows in 1_u32..70_000) {
            let mut found = Gather::new(rows);
            let _ = read_exact(rows, 0, &bytes, &mut found);
            let _ = read_coarse(Blocks::default(), rows, 0, &mut BitReader::new(&bytes), Some(&mut found));
        }
    }
}
