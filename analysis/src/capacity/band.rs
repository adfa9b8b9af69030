//! How sure a bend is.

use super::{Load, bend};
use crate::statistics::{Interval, Z_90};

/// Fewest stretches a band is told from.
const LEAST_BLOCKS: usize = 5;

/// 90 % interval of the knee of all points together, by the block jackknife (H. R. Künsch, *The jackknife
/// and the bootstrap for general stationary observations*, Annals of Statistics 17, 1989): the bend is
/// found again without each stretch of time in turn. Minutes beside each other are alike, so a stretch
/// holds many. `None` if there is no bend, for fewer than five stretches, or where the bend is lost
/// without one of them: then it rests on that stretch alone.
#[must_use]
pub fn knee_band(blocks: &[Vec<Load>]) -> Option<Interval> {
    let used: Vec<&Vec<Load>> = blocks.iter().filter(|block| !block.is_empty()).collect();
    if used.len() < LEAST_BLOCKS {
        return None;
    }
    let without = |left: Option<usize>| {
        let kept = used.iter().enumerate().filter(|(at, _)| Some(*at) != left);
        let loads: Vec<Load> = kept.flat_map(|(_, block)| block.iter().copied()).collect();
        bend(&loads).map(|found| found.knee)
    };
    let knee = without(None)?;
    let mut knees: Vec<f64> = (0..used.len()).map(|at| without(Some(at))).collect::<Option<_>>()?;
    // Sums of floats depend on their order.
    knees.sort_by(f64::total_cmp);
    let n = knees.len() as f64;
    let mean = knees.iter().sum::<f64>() / n;
    let spread: f64 = knees.iter().map(|k| (k - mean).powi(2)).sum();
    let half = Z_90 * (spread * (n - 1.0) / n).sqrt();
    Some(Interval { low: (knee - half).max(0.0), high: knee + half })
}
