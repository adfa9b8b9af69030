//! Where latency bends.

use super::{Load, TwoSegments, Usl, segments};
use crate::statistics::median;

/// Fewest points that are looked at.
const LEAST_POINTS: usize = 30;
/// Steps of rate the points are sorted into.
const STEPS: usize = 40;
/// Fewest steps that must be filled.
const LEAST_STEPS: usize = 8;
/// Points in a step, as a share of all; steps with fewer are put together with the next. The median of
/// one point is no median, but rare heavy traffic must not drown in a step of light traffic.
const LEAST_SHARE: f64 = 1.0 / 400.0;
/// How much better a bend must describe the data than a straight line, in the Bayesian information
/// criterion: 10 is *very strong* evidence in Kass and Raftery, *Bayes Factors* (JASA 90, 1995).
const LEAST_EVIDENCE: f64 = 10.0;
/// Residuals are not taken as smaller than this relative error: a perfect fit is not infinitely good.
const LEAST_ERROR: f64 = 1e-4;

/// What describes the bend best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// The Universal Scalability Law.
    Usl(Usl),
    /// Two straight lines.
    TwoSegments(TwoSegments),
}

/// Where latency bends, and what that means for the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bend {
    /// The description that fits best.
    pub law: Law,
    /// Rate per second from which latency grows faster than throughput: [`Usl::knee`] or
    /// [`TwoSegments::knee`].
    pub knee: f64,
    /// Rate per second that an instance may be given: the knee.
    pub safe_rate: f64,
    /// Greatest rate per second that the law allows; `None` if the data does not tell.
    pub ceiling: Option<f64>,
    /// Typical relative distance of the steps of rate from the law (root of the mean square).
    pub error: f64,
    /// The other law's knee as a second opinion, if it has one among the rates seen.
    pub other_knee: Option<f64>,
    /// Greatest rate seen, per second.
    pub greatest_rate: f64,
    /// Points used.
    pub points: usize,
}

/// Fits the Universal Scalability Law and two straight lines to latency against rate and takes the one
/// with less residual. `None`, which means unknown, if there are too few points or rates, if a straight
/// line does nearly as well, or if the knee lies beyond the greatest rate seen: the data does not reach
/// the bend. Points that are not finite or not positive are left out.
///
/// The points are first put into even steps of rate, each by its medians: that takes the noise out of the
/// rate and the latency alike, which Little's law would otherwise carry into both sides of the fit
/// (A. Wald, *The fitting of straight lines if both variables are subject to error*, 1940), lets rare
/// heavy traffic count as much as common light traffic, and drops outliers.
#[must_use]
pub fn bend(loads: &[Load]) -> Option<Bend> {
    let sound = |l: &&Load| [l.rate, l.latency_s].iter().all(|v| v.is_finite() && *v > 0.0);
    let points: Vec<(f64, f64)> =
        loads.iter().filter(sound).map(|l| (l.rate, l.latency_s)).collect();
    if points.len() < LEAST_POINTS {
        return None;
    }
    let steps = steps(&points);
    let greatest_rate = steps.last()?.0;
    if steps.len() < LEAST_STEPS {
        return None;
    }
    let [a, b] = segments::line(&steps)?;
    let straight = Fit::of(&steps, 2, |x| a + b * x);
    let reached = |knee: &f64| *knee <= greatest_rate;
    let usl = Usl::fit(&steps).and_then(|law| {
        let fit = Fit::of(&steps, 3, |x| law.latency(x));
        Some((fit, law.knee().filter(reached)?, Law::Usl(law)))
    });
    let two = TwoSegments::fit(&steps).and_then(|law| {
        let fit = Fit::of(&steps, 4, |x| law.latency(x));
        Some((fit, Some(law.knee).filter(reached)?, Law::TwoSegments(law)))
    });
    let (best, other) = match (usl, two) {
        (Some(a), Some(b)) if b.0.across < a.0.across => (b, Some(a.1)),
        (Some(a), other) => (a, other.map(|b| b.1)),
        (None, Some(b)) => (b, None),
        (None, None) => return None,
    };
    let (fit, knee, law) = best;
    // A wall just beyond the data is near to everything, but no better in what latency it foretells.
    let evidence = (straight.across - fit.across).min(straight.along - fit.along);
    if evidence < LEAST_EVIDENCE {
        return None;
    }
    let ceiling = match law {
        Law::Usl(law) => law.ceiling().map(|(rate, _)| rate),
        Law::TwoSegments(_) => None,
    };
    Some(Bend {
        law,
        knee,
        safe_rate: knee,
        ceiling,
        error: fit.error,
        other_knee: other,
        greatest_rate,
        points: points.len(),
    })
}

/// Medians by even steps of rate, ascending.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let (from, width) = (first.0, (last.0 - first.0) / STEPS as f64);
    let step = |x: f64| (((x - from) / width) as usize).min(STEPS - 1);
    let least = ((sorted.len() as f64 * LEAST_SHARE) as usize).max(1);
    let mut groups: Vec<Vec<(f64, f64)>> = Vec::new();
    for run in sorted.chunk_by(|a, b| step(a.0) == step(b.0)) {
        match groups.last_mut() {
            Some(group) if group.len() < least => group.extend_from_slice(run),
            _ => groups.push(run.to_vec()),
        }
    }
    if groups.len() > 1 && groups.last().is_some_and(|g| g.len() < least) {
        let rest = groups.pop().unwrap_or_default();
        groups.last_mut().into_iter().for_each(|g| g.extend_from_slice(&rest));
    }
    let middle = |group: &Vec<(f64, f64)>| {
        let (x, r): (Vec<f64>, Vec<f64>) = group.iter().copied().unzip();
        median(&x).zip(median(&r))
    };
    groups.iter().filter_map(middle).collect()
}

/// How well a description fits, as the Bayesian information criterion (G. Schwarz, 1978) of residuals
/// between logarithms; less is better.
#[derive(Debug, Clone, Copy)]
struct Fit {
    /// Of the distance across the curve: rate and latency are both measured, with about the same relative
    /// error, and where latency climbs steeply a small error of the rate must not count as a large one of
    /// the law (orthogonal regression, to first order).
    across: f64,
    /// Of the latency alone.
    along: f64,
    /// Root of the mean square of the relative distance across the curve.
    error: f64,
}

impl Fit {
    fn of(points: &[(f64, f64)], parameters: u32, latency: impl Fn(f64) -> f64) -> Self {
        /// A law that cannot give a latency at all is a million times off.
        const WORST: f64 = 13.8;
        /// Part of the rate over which the steepness is taken.
        const STEP: f64 = 0.01;
        let n = points.len() as f64;
        let log = |x: f64| latency(x).ln();
        let kept = |off: f64| if off.is_finite() { off.clamp(-WORST, WORST) } else { WORST };
        let (mut across, mut along) = (0.0, 0.0);
        for (x, r) in points {
            let here = log(*x);
            let rise = (log(x * (1.0 + STEP)) - here).max(here - log(x * (1.0 - STEP))) / STEP;
            along += kept(r.ln() - here).powi(2);
            across += kept((r.ln() - here) / rise.hypot(1.0)).powi(2);
        }
        let [across, along] = [across, along].map(|sum| (sum / n).sqrt().max(LEAST_ERROR));
        let criterion = |error: f64| 2.0 * n * error.ln() + f64::from(parameters) * n.ln();
        Self { across: criterion(across), along: criterion(along), error: across }
    }
}
