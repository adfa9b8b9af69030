//! Linear least squares of a few parameters.

/// The `K` factors that bring `Σ (y - row·factors)²` to its least. `None` if the rows do not determine
/// them or anything is not finite. The normal equations of columns scaled to unit length are solved by
/// elimination with pivots, which is accurate enough for the handful of well-spread columns it is used
/// for.
#[must_use]
pub fn least_squares<const K: usize>(rows: &[([f64; K], f64)]) -> Option<[f64; K]> {
    solve(rows, [true; K])
}

/// As [`least_squares`], with no factor below zero where `bounded` says so. Exact: every choice of
/// factors held at zero is tried, which is `2^K` small problems.
#[must_use]
pub fn least_squares_bounded<const K: usize>(
    rows: &[([f64; K], f64)],
    bounded: [bool; K],
) -> Option<[f64; K]> {
    let mut best: Option<(f64, [f64; K])> = None;
    for choice in 0..1u32 << K.min(16) {
        let mut free = [true; K];
        for (k, f) in free.iter_mut().enumerate() {
            *f = choice >> k & 1 == 0;
        }
        if free.iter().zip(bounded).any(|(free, bounded)| !free && !bounded) {
            continue;
        }
        let Some(factors) = solve(rows, free) else { continue };
        if factors.iter().zip(bounded).any(|(f, bounded)| bounded && *f < 0.0) {
            continue;
        }
        let error = residual(rows, &factors);
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, factors));
        }
    }
    best.map(|(_, factors)| factors)
}

fn residual<const K: usize>(rows: &[([f64; K], f64)], factors: &[f64; K]) -> f64 {
    let fitted = |row: &[f64; K]| row.iter().zip(factors).map(|(a, f)| a * f).sum::<f64>();
    rows.iter().map(|(row, y)| (y - fitted(row)).powi(2)).sum()
}

fn solve<const K: usize>(rows: &[([f64; K], f64)], free: [bool; K]) -> Option<[f64; K]> {
    /// A pivot below this, of columns of unit length, is rounding.
    const SINGULAR: f64 = 1e-11;
    let mut length = [0.0f64; K];
    for (row, _) in rows {
        for (l, a) in length.iter_mut().zip(row) {
            *l += a * a;
        }
    }
    let mut scale = [0.0f64; K];
    for ((s, l), free) in scale.iter_mut().zip(length).zip(free) {
        *s = if free && l > 0.0 { l.sqrt().recip() } else { 0.0 };
        if free && *s == 0.0 {
            return None;
        }
    }
    // The last column of each line is the right-hand side.
    let mut lines: Vec<(usize, [f64; K], f64)> = Vec::with_capacity(K);
    for i in (0..K).filter(|i| free[*i]) {
        let (mut left, mut right) = ([0.0; K], 0.0);
        for (row, y) in rows {
            let a = row[i] * scale[i];
            right += a * y;
            for (sum, (b, s)) in left.iter_mut().zip(row.iter().zip(scale)) {
                *sum += a * b * s;
            }
        }
        lines.push((i, left, right));
    }
    let mut factors = [0.0; K];
    let columns: Vec<usize> = (0..K).filter(|i| free[*i]).collect();
    for (step, column) in columns.iter().enumerate() {
        let rest = lines.get_mut(step..)?;
        let pivot = (0..rest.len())
            .max_by(|a, b| rest[*a].1[*column].abs().total_cmp(&rest[*b].1[*column].abs()))?;
        rest.swap(0, pivot);
        let (first, below) = rest.split_first_mut()?;
        if first.1[*column].is_nan() || first.1[*column].abs() < SINGULAR {
            return None;
        }
        for line in below {
            let part = line.1[*column] / first.1[*column];
            for (a, b) in line.1.iter_mut().zip(first.1) {
                *a -= part * b;
            }
            line.2 -= part * first.2;
        }
    }
    for (step, column) in columns.iter().enumerate().rev() {
        let line = lines.get(step)?;
        let known: f64 = columns.iter().skip(step + 1).map(|c| line.1[*c] * factors[*c]).sum();
        factors[*column] = (line.2 - known) / line.1[*column];
    }
    for (f, s) in factors.iter_mut().zip(scale) {
        *f *= s;
    }
    factors.iter().all(|f| f.is_finite()).then_some(factors)
}
