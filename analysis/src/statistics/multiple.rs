//! Many comparisons at once.

/// Which hypotheses are rejected at false discovery rate `q`: the step-up procedure of Benjamini and
/// Hochberg, *Controlling the False Discovery Rate* (J. R. Stat. Soc. B 57, 1995). Of the hypotheses
/// named by `true`, the expected share that is wrong is at most `q` if the tests are independent or
/// positively dependent. A p-value that is not a number counts as 1. Same order and length as
/// `p_values`.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64], q: f64) -> Vec<bool> {
    let clean = |p: f64| if p.is_nan() { 1.0 } else { p };
    let mut sorted: Vec<f64> = p_values.iter().copied().map(clean).collect();
    sorted.sort_by(f64::total_cmp);
    let m = sorted.len() as f64;
    let limit = (1u32..)
        .zip(&sorted)
        .filter(|(rank, p)| **p <= q * f64::from(*rank) / m)
        .map(|(_, p)| *p)
        .last();
    p_values.iter().map(|p| limit.is_some_and(|l| clean(*p) <= l)).collect()
}
