//! The moment of a lasting change.

use crate::statistics::median;

/// A lasting change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelShift {
    /// Position in the series of the first value of the new level.
    pub at: usize,
    /// Median before.
    pub before: f64,
    /// Median from there on.
    pub after: f64,
    /// Probability of as clear a shift in a series of independent values without one, approximately and
    /// rather too large.
    pub p_value: f64,
}

/// The most likely change point of a series in order of time, by the rank test of A. N. Pettitt (*A
/// non-parametric approach to the change-point problem*, Appl. Stat. 28, 1979): the division for which the
/// ranks before and after differ most. It assumes no distribution, and single wild values count no more
/// than any. Values that are not finite are passed over, but count in positions. `None` for fewer than two
/// finite values or a series without any difference. The p-value takes the values as independent.
#[must_use]
pub fn level_shift(values: &[f64]) -> Option<LevelShift> {
    let known: Vec<(usize, f64)> =
        values.iter().copied().enumerate().filter(|(_, v)| v.is_finite()).collect();
    let n = known.len() as f64;
    let ranks = ranks(&known);
    // U(t) = 2 Σ rank - t (n + 1) over the first t values; the mean rank is (n + 1) / 2.
    let mut sum = 0.0;
    let mut best: Option<(f64, usize)> = None;
    for (t, rank) in (1..known.len()).zip(&ranks) {
        sum += 2.0 * rank - (n + 1.0);
        if best.is_none_or(|(most, _)| sum.abs() > most) {
            best = Some((sum.abs(), t));
        }
    }
    let (k, t) = best.filter(|(k, _)| *k > 0.0)?;
    let level = |part: &[(usize, f64)]| median(&part.iter().map(|p| p.1).collect::<Vec<_>>());
    let (before, after) = known.split_at_checked(t)?;
    let p = 2.0 * (-6.0 * k * k / (n * n * n + n * n)).exp();
    Some(LevelShift {
        at: after.first()?.0,
        before: level(before)?,
        after: level(after)?,
        p_value: p.min(1.0),
    })
}

/// Ranks from 1, ties by their mean, in the order of the values.
fn ranks(known: &[(usize, f64)]) -> Vec<f64> {
    let mut order: Vec<(f64, usize)> =
        known.iter().enumerate().map(|(i, (_, v))| (*v, i)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut ranks = vec![0.0; known.len()];
    let mut below = 0;
    // Zero and minus zero are equal, though one sorts before the other.
    for tied in order.chunk_by(|a, b| a.0 == b.0) {
        let mean = below as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for (_, i) in tied {
            if let Some(rank) = ranks.get_mut(*i) {
                *rank = mean;
            }
        }
        below += tied.len();
    }
    ranks
}
