//! How unlike its reference a value is.

use crate::statistics::{MAD_TO_SIGMA, mad, median, t_quantile, t_two_tails};

/// Fewest reference values that give a score: the same minute of the seven days before. With fewer, the
/// median absolute deviation says next to nothing.
pub const LEAST_REFERENCES: usize = 7;

/// A value against its references.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// What the references lead to expect: their median.
    pub expected: f64,
    /// Standard deviation of the references, estimated from their median absolute deviation, at least the
    /// noise of the measurement.
    pub deviation: f64,
    /// `(value - expected) / deviation`, corrected for the error of the median.
    pub z: f64,
    /// Reference values used.
    pub references: usize,
}

/// The robust z-score of a value against references: the same minute of earlier periods, perhaps with its
/// neighbours, or the window before. `noise` is the standard deviation that the measurement itself has
/// ([`counting_noise`] and so on); without such a floor a series that happened to be constant makes
/// every change infinite. `None` for fewer than [`LEAST_REFERENCES`] finite references, a value or noise
/// that is not finite, or no deviation at all.
#[must_use]
pub fn score(value: f64, references: &[f64], noise: f64) -> Option<Score> {
    let finite: Vec<f64> = references.iter().copied().filter(|v| v.is_finite()).collect();
    if finite.len() < LEAST_REFERENCES || !value.is_finite() || !noise.is_finite() {
        return None;
    }
    let expected = median(&finite)?;
    let spread = MAD_TO_SIGMA * small_sample(finite.len()) * mad(&finite)?;
    let deviation = spread.max(noise);
    // The median is uncertain, too: its variance is π/2 of that of a mean.
    let error = 1.0 + std::f64::consts::FRAC_PI_2 / finite.len() as f64;
    let z = (value - expected) / (deviation * error.sqrt());
    let sound = deviation > 0.0 && z.is_finite() && expected.is_finite();
    sound.then_some(Score { expected, deviation, z, references: finite.len() })
}

/// The size of z that a value exceeds on either side with probability `alpha` when nothing changed.
///
/// What that stands for: for independent values with a normal distribution and `references` of them, a
/// share of `alpha` of the minutes scores beyond it, to within 30 % of `alpha` from 0.05 down to 0.001 and
/// from [`LEAST_REFERENCES`] references up. The deviation is estimated from few values by an estimator of
/// low efficiency, so that z has heavy tails. Student's t describes them with `0.41 n` degrees of freedom,
/// n rounded up to an odd number: that is the fit to at least 400,000 simulated scores for each of 13
/// numbers of references from 7 to 200 (for large n the asymptotic efficiency of 37 %, P. J. Rousseeuw and C. Croux,
/// *Alternatives to the median absolute deviation*, JASA 88, 1993, gives nearly the same). With seven
/// references and `alpha` 0.001 it is 14; with 77 (a week of days, five minutes either side) 3.6.
///
/// Of `m` minutes looked at, `alpha · m` exceed it by chance. Where the noise of the measurement is the
/// larger deviation, fewer do. Minutes of real traffic depend on their neighbours and have heavier tails:
/// exceedances come in runs, and [`super::windows()`] asks for several in a row.
#[must_use]
pub fn threshold(references: usize, alpha: f64) -> f64 {
    let alpha = if alpha.is_nan() { 1.0 } else { alpha.clamp(1e-9, 1.0) };
    t_quantile(1.0 - alpha / 2.0, degrees(references))
}

/// The probability that a score of so many references is further from zero than `z`, on either side, when
/// nothing changed: the inverse of [`threshold`].
#[must_use]
pub fn chance(references: usize, z: f64) -> f64 {
    t_two_tails(z, degrees(references))
}

fn degrees(references: usize) -> f64 {
    const DEGREES_PER_REFERENCE: f64 = 0.41;
    DEGREES_PER_REFERENCE * (references | 1) as f64
}

/// What the median absolute deviation of few normal values is multiplied by to be right on average: Croux
/// and Rousseeuw, *Time-efficient algorithms for two highly robust estimators of scale* (COMPSTAT 1992).
fn small_sample(n: usize) -> f64 {
    const UP_TO_NINE: [f64; 10] =
        [1.0, 1.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107];
    let n_f = n as f64;
    UP_TO_NINE.get(n).copied().unwrap_or(n_f / (n_f - 0.8))
}

/// Standard deviation of a count of independent events of which `expected` are usual: Poisson, and never
/// less than that of one event.
#[must_use]
pub fn counting_noise(expected: f64) -> f64 {
    if expected.is_finite() { expected.max(1.0).sqrt() } else { 1.0 }
}

/// Standard deviation of the share of failures among `calls` when `expected` (0 to 1) is usual: binomial,
/// with one failure and one success added (rule of succession), since a share of zero that was seen is not
/// certainty. 1 without calls.
#[must_use]
pub fn share_noise(expected: f64, calls: f64) -> f64 {
    let n = if calls.is_finite() { calls.max(0.0) } else { 0.0 };
    let usual = if expected.is_finite() { expected.clamp(0.0, 1.0) } else { 0.0 };
    let p = (usual * n + 1.0) / (n + 2.0);
    if n > 0.0 { (p * (1.0 - p) / n).sqrt() } else { 1.0 }
}

/// Standard deviation of a value that is known to a relative error, as a quantile of a sketch is: of an
/// error that is anything between the bounds, `error / √3`.
#[must_use]
pub fn relative_noise(expected: f64, error: f64) -> f64 {
    let noise = (expected * error).abs() / 3f64.sqrt();
    if noise.is_finite() { noise } else { 0.0 }
}
