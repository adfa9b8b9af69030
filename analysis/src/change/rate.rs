//! Events that come more or less often than before.

use crate::statistics::{benjamini_hochberg, binomial_at_least, median};

/// Slices of the reference that tell how much counts vary by themselves.
pub const SLICES: usize = 8;
/// Events in the reference from which on its slices say how much they vary.
const TELLING: f64 = 16.0;
/// Kinds of events from which on what is usual among them means something.
const LEAST_KINDS: usize = 5;
/// Least factor between rates that is worth telling.
pub const LEAST_FACTOR: f64 = 2.0;

/// Most a window and its reference may differ in length: a millisecond and eleven days.
const FARTHEST: f64 = 1e9;

/// How often a kind of event was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Occurrences {
    /// In each slice of the reference, all of the same length.
    pub reference: [f64; SLICES],
    /// In the window.
    pub window: f64,
    /// Variance of what was counted over its sum: 1 where each event was counted, more where
    /// some stand for others. Less than 1 counts as 1.
    pub weight: f64,
}

impl Occurrences {
    /// In all of the reference.
    #[must_use]
    pub fn before(&self) -> f64 {
        self.reference.iter().sum()
    }

    /// Variance of the slices over their mean, 1 at least; `None` if there is too little to tell.
    fn dispersion(&self) -> Option<f64> {
        let (total, slices) = (self.before(), SLICES as f64);
        let mean = total / slices;
        let square = |seen: &f64| (seen - mean) * (seen - mean);
        let sum: f64 = self.reference.iter().map(square).sum();
        (total >= TELLING).then(|| (sum / (slices - 1.0) / mean).max(1.0))
    }
}

/// What became of a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occurring {
    /// Not in the reference.
    New,
    /// Not in the window.
    Gone,
    /// More often by [`LEAST_FACTOR`] at least.
    More,
    /// Less often by [`LEAST_FACTOR`] at least.
    Less,
    /// Nothing that chance does not explain.
    Steady,
}

/// The outcome for a kind of event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateChange {
    /// What became of it.
    pub occurring: Occurring,
    /// Events expected in the window.
    pub expected: f64,
    /// Probability of as great a difference by chance, two-sided, not corrected for many comparisons.
    pub p_value: f64,
}

/// Compares how often kinds of events occur in a window and in its reference; `factor` is the length of
/// the window over that of the reference, `q` the share of kinds among those reported that may be wrong
/// ([`benjamini_hochberg`]).
///
/// Given the sum of both counts, that of the window is binomial if events are independent (J. Przyborowski
/// and H. Wilenski, *Homogeneity of results in testing samples from Poisson series*, Biometrika 31, 1940).
/// Events that come in bursts are fewer independent ones: counts are divided by how much more the slices of
/// the reference vary than independent events would (quasi-Poisson), and where there are too few to tell, by
/// what is usual among the kinds. When more is done, everything occurs more often: a change counts beyond
/// the median change of the kinds, in its direction only. All kinds are of one source.
#[must_use]
pub fn rate_changes(kinds: &[Occurrences], factor: f64, q: f64) -> Vec<RateChange> {
    let factor = if factor > 0.0 { factor.clamp(1.0 / FARTHEST, FARTHEST) } else { 1.0 };
    let told: Vec<f64> = kinds.iter().filter_map(Occurrences::dispersion).collect();
    let usual = if told.len() < LEAST_KINDS { 1.0 } else { median(&told).unwrap_or(1.0) };
    let ratio = |kind: &Occurrences| kind.window / (factor * kind.before());
    let ratios: Vec<f64> = kinds.iter().filter(|k| k.before() >= TELLING).map(ratio).collect();
    let growth = if ratios.len() < LEAST_KINDS { 1.0 } else { median(&ratios).unwrap_or(1.0) };
    let mut found: Vec<RateChange> = kinds
        .iter()
        .map(|kind| {
            let before = kind.before();
            let dispersion = kind.dispersion().unwrap_or(usual) * kind.weight.max(1.0);
            let over = kind.window > factor * before;
            let factor = factor * if over { growth.max(1.0) } else { growth.clamp(1e-9, 1.0) };
            let (was, is) = (before / dispersion, kind.window / dispersion);
            let p = factor / (1.0 + factor);
            let tail = match over {
                true => binomial_at_least(is, was + is, p),
                false => binomial_at_least(was, was + is, 1.0 - p),
            };
            let p_value = if tail.is_finite() { (2.0 * tail).min(1.0) } else { 1.0 };
            let expected = factor * before;
            RateChange { occurring: occurring(kind, expected), expected, p_value }
        })
        .collect();
    let p_values: Vec<f64> = found.iter().map(|change| change.p_value).collect();
    for (change, beyond) in found.iter_mut().zip(benjamini_hochberg(&p_values, q)) {
        if !beyond {
            change.occurring = Occurring::Steady;
        }
    }
    found
}

fn occurring(kind: &Occurrences, expected: f64) -> Occurring {
    match (kind.before() > 0.0, kind.window > 0.0) {
        (false, true) => Occurring::New,
        (true, false) => Occurring::Gone,
        _ if kind.window >= LEAST_FACTOR * expected && expected > 0.0 => Occurring::More,
        _ if kind.window * LEAST_FACTOR <= expected => Occurring::Less,
        _ => Occurring::Steady,
    }
}
