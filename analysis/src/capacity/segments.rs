//! Two straight lines that meet.

use crate::statistics::least_squares;

/// Fewest points on either side of the break.
const LEAST_SIDE: usize = 3;

/// Latency against rate as two straight lines that meet at the break.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoSegments {
    /// Rate at which they meet, per second.
    pub knee: f64,
    /// Latency there, seconds.
    pub knee_latency_s: f64,
    /// Slope before the break: seconds of latency per request per second.
    pub before: f64,
    /// Slope after the break, greater than that before.
    pub after: f64,
}

impl TwoSegments {
    /// The least-squares fit of the relative error. The search is exact (D. J. Hudson, *Fitting segmented
    /// curves whose join points have to be estimated*, JASA 61, 1966): for each way to divide the points,
    /// either the two free lines meet between the parts, or the break is at a point. Points ascend by rate.
    /// `None` if no fit bends upwards with three points on either side and a break where latency is positive.
    pub(super) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let last = points.len().checked_sub(LEAST_SIDE)?;
        let mut best: Option<(f64, Self)> = None;
        let mut consider = |fit: Option<Self>| {
            let Some(fit) = fit.filter(|f| f.after > f.before && f.knee_latency_s > 0.0) else {
                return;
            };
            let error: f64 = points.iter().map(|(x, r)| ((r - fit.latency(*x)) / r).powi(2)).sum();
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, fit));
            }
        };
        for at in LEAST_SIDE..=last {
            consider(free_lines(points, at));
            if at < last
                && let Some((x, _)) = points.get(at)
            {
                consider(broken_at(points, *x));
            }
        }
        best.map(|(_, fit)| fit)
    }

    /// Latency at a rate, seconds.
    pub(super) fn latency(&self, rate: f64) -> f64 {
        let away = rate - self.knee;
        self.knee_latency_s + away * if away < 0.0 { self.before } else { self.after }
    }
}

fn free_lines(points: &[(f64, f64)], at: usize) -> Option<TwoSegments> {
    let (left, right) = points.split_at_checked(at)?;
    let ([a, b], [c, d]) = (line(left)?, line(right)?);
    let knee = (a - c) / (d - b);
    let between = left.last()?.0 <= knee && knee <= right.first()?.0;
    between.then_some(TwoSegments { knee, knee_latency_s: a + b * knee, before: b, after: d })
}

fn broken_at(points: &[(f64, f64)], knee: f64) -> Option<TwoSegments> {
    let row = |(x, r): &(f64, f64)| {
        let away = x - knee;
        ([1.0 / r, away.min(0.0) / r, away.max(0.0) / r], 1.0)
    };
    let rows: Vec<([f64; 3], f64)> = points.iter().map(row).collect();
    let [knee_latency_s, before, after] = least_squares(&rows)?;
    Some(TwoSegments { knee, knee_latency_s, before, after })
}

/// `[a, b]` of `r = a + b·x` by relative error.
pub(super) fn line(points: &[(f64, f64)]) -> Option<[f64; 2]> {
    let rows: Vec<([f64; 2], f64)> = points.iter().map(|(x, r)| ([1.0 / r, x / r], 1.0)).collect();
    least_squares(&rows)
}
