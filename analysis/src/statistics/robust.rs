//! Location, scale and slope that a minority of wild values cannot move.

use super::Interval;

/// What the median absolute deviation is multiplied by to estimate the standard deviation of a
/// normal distribution: `1 / Φ⁻¹(3/4)`.
pub const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

/// The middle value, the mean of the two middle ones for an even count. Values that are not finite
/// are left out; `None` if none is left.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    median_of_sorted(&finite_sorted(values))
}

/// The median absolute deviation from the median. See [`median`] and [`MAD_TO_SIGMA`].
#[must_use]
pub fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let away: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    median(&away)
}

/// The quantile `q` (0 to 1) by linear interpolation between order statistics (type 7 of Hyndman and
/// Fan, *Sample Quantiles in Statistical Packages*, 1996). Values that are not finite are left out.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let sorted = finite_sorted(values);
    let last = sorted.len().checked_sub(1)?;
    let at = if q.is_nan() { 0.5 } else { q.clamp(0.0, 1.0) } * last as f64;
    let (low, part) = (sorted.get(at.floor() as usize)?, at.fract());
    let high = sorted.get((at.floor() as usize + 1).min(last))?;
    Some(low + part * (high - low))
}

/// A straight line through points, by its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slope {
    /// Median of the slopes between pairs of points: units of y per unit of x.
    pub slope: f64,
    /// Where the slope lies with the asked confidence; `None` if there are too few points for it.
    pub interval: Option<Interval>,
    /// Median of `y - slope·x`.
    pub intercept: f64,
    /// Points used.
    pub points: usize,
}

/// The Theil–Sen line (P. K. Sen, *Estimates of the regression coefficient based on Kendall's tau*,
/// JASA 63, 1968): up to 29 % of the points may be anything. The interval is Sen's, from the ranks of the
/// pairwise slopes, for a normal quantile `z`; it takes the errors as independent. Points that are not
/// finite are left out; `None` unless two remain whose x differ. Cost is `O(n² log n)`: the caller
/// keeps n in the hundreds.
#[must_use]
pub fn theil_sen(points: &[(f64, f64)], z: f64) -> Option<Slope> {
    seasonal_slope(&[points], z)
}

/// The seasonal Kendall slope (Hirsch, Slack and Smith, *Techniques of trend analysis for monthly
/// water quality data*, Water Resour. Res. 18, 1982): the median of the slopes between points of the
/// same season, so that a difference between seasons is no trend. See [`theil_sen`].
#[must_use]
pub fn seasonal_slope(seasons: &[&[(f64, f64)]], z: f64) -> Option<Slope> {
    let (mut slopes, mut variance) = (Vec::new(), 0.0);
    let mut used: Vec<(f64, f64)> = Vec::new();
    for season in seasons {
        let mut points: Vec<(f64, f64)> =
            season.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        for (i, a) in points.iter().enumerate() {
            let later = points.iter().skip(i + 1).filter(|b| b.0 > a.0);
            slopes.extend(later.map(|b| (b.1 - a.1) / (b.0 - a.0)));
        }
        variance += kendall_variance(points.len());
        for tied in points.chunk_by(|a, b| a.0 == b.0) {
            variance -= kendall_variance(tied.len());
        }
        used.extend(points);
    }
    let sorted = finite_sorted(&slopes);
    let slope = median_of_sorted(&sorted)?;
    let above: Vec<f64> = used.iter().map(|(x, y)| y - slope * x).collect();
    let intercept = median(&above)?;
    // Gilbert, Statistical Methods for Environmental Pollution Monitoring (1987), §16.4.2 and §17.5.
    let (n, c) = (sorted.len() as f64, z * variance.max(0.0).sqrt());
    let (low, high) = (((n - c) / 2.0).floor(), ((n + c) / 2.0).ceil());
    let interval = match (sorted.get((low - 1.0).max(0.0) as usize), sorted.get(high as usize)) {
        (Some(l), Some(h)) if low >= 1.0 => Some(Interval { low: *l, high: *h }),
        _ => None,
    };
    Some(Slope { slope, interval, intercept, points: used.len() })
}

/// 18 times the part of the variance of Kendall's S that `n` values contribute, over 18.
fn kendall_variance(n: usize) -> f64 {
    let n = n as f64;
    n * (n - 1.0) * (2.0 * n + 5.0) / 18.0
}

fn finite_sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower + (upper - lower) / 2.0)
}
