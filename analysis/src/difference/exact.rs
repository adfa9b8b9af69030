//! Fisher's exact test.

/// Logarithms of the factorials of 0 to `n`.
pub(super) fn log_factorials(n: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let mut table = vec![0.0; n + 1];
    for (k, slot) in table.iter_mut().enumerate().skip(1) {
        sum += (k as f64).ln();
        *slot = sum;
    }
    table
}

/// Two-sided p-value of a difference between `a` of `n` and `b` of `m`: twice the smaller tail of the
/// hypergeometric distribution, at most 1 (R. A. Fisher, *Statistical Methods for Research Workers*,
/// 1934; doubling as in the exact tests of Cox and Hinkley). It holds for any counts, however small. Counts
/// above `n` or `m` count as these. Cost is `O(n + m)`.
#[must_use]
pub fn fisher(a: usize, n: usize, b: usize, m: usize) -> f64 {
    test(&log_factorials(n + m), n, m, a.min(n), b.min(m))
}

/// See [`fisher`]; the table must reach to `n + m`.
pub(super) fn test(log_factorial: &[f64], n: usize, m: usize, a: usize, b: usize) -> f64 {
    /// Terms smaller than this part of the sum are left out.
    const NEGLIGIBLE: f64 = 1e-17;
    let log = |k: usize| log_factorial.get(k).copied().unwrap_or(0.0);
    let choose = |n: usize, k: usize| log(n) - log(k) - log(n - k);
    let (marked, all) = (a + b, n + m);
    if all == 0 {
        return 1.0;
    }
    let first = (choose(n, a) + choose(m, b) - choose(all, marked)).exp();
    // The tail on the side of what was seen; further out the terms only become smaller.
    let above = a as u128 * all as u128 >= marked as u128 * n as u128;
    let (mut i, mut j) = (a as f64, b as f64);
    let (n, m) = (n as f64, m as f64);
    let (mut term, mut tail) = (first, first);
    loop {
        if above {
            term *= (n - i) * j / ((i + 1.0) * (m - j + 1.0));
            (i, j) = (i + 1.0, j - 1.0);
        } else {
            term *= i * (m - j) / ((n - i + 1.0) * (j + 1.0));
            (i, j) = (i - 1.0, j + 1.0);
        }
        if term <= tail * NEGLIGIBLE {
            return (2.0 * tail).min(1.0);
        }
        tail += term;
    }
}
