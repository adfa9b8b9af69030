//! CPU time per request of each operation.

use crate::statistics::{Interval, MAD_TO_SIGMA, Z_95, median};

/// Most operations that are told apart; the caller adds the others up.
pub const MOST_OPERATIONS: usize = 12;
/// Factors of the regression: the operations, and the load without requests.
const FACTORS: usize = MOST_OPERATIONS + 1;
/// Fewest points for each factor.
const LEAST_PER_FACTOR: usize = 5;
/// Points further than this many standard deviations off are left out: batch jobs, restarts.
const OUTLIER: f64 = 4.0;

/// What a service did in one stretch of time, usually a minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// CPU-seconds used.
    pub cpu_s: f64,
    /// Requests completed, by operation.
    pub calls: Vec<f64>,
}

/// What a request of an operation costs in CPU time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperationCost {
    /// CPU-seconds per request.
    pub cpu_s: f64,
    /// 95 % interval of it, not below zero.
    pub interval: Interval,
}

type Vector = [f64; FACTORS];
type Matrix = [Vector; FACTORS];

/// CPU-seconds per request of each of `operations` operations: by the utilisation law the CPU time of a
/// stretch is linear in its requests, so it is regressed on them with no cost below zero. The interval is
/// the wider of two: that of least squares, which tells when operations rise and fall together, and that
/// of the block jackknife, which tells when stretches differ. An operation whose cost cannot be told from
/// the others' is `None`; all are for too few points or too many operations. Points that are not finite or
/// negative, or lack an operation, are left out.
#[must_use]
pub fn cpu_by_operation(blocks: &[Vec<Work>], operations: usize) -> Vec<Option<OperationCost>> {
    let unknown = vec![None; operations];
    if operations == 0 || operations > MOST_OPERATIONS {
        return unknown;
    }
    let known = |v: &f64| v.is_finite() && *v >= 0.0;
    let sound =
        |w: &&Work| w.calls.len() == operations && known(&w.cpu_s) && w.calls.iter().all(known);
    let row = |work: &Work| {
        let mut row = [0.0; FACTORS];
        row.iter_mut().zip(work.calls.iter().chain([&1.0])).for_each(|(r, c)| *r = *c);
        (row, work.cpu_s)
    };
    let rows = |block: &Vec<Work>| block.iter().filter(sound).map(row).collect();
    let blocks: Vec<Vec<(Vector, f64)>> = blocks.iter().map(rows).collect();
    let points: usize = blocks.iter().map(Vec::len).sum();
    if points < LEAST_PER_FACTOR * (operations + 1) {
        return unknown;
    }
    match without_outliers(blocks).and_then(|kept| costs(&kept, operations)) {
        Some(costs) => costs,
        None => unknown,
    }
}

/// Leaves out what lies far off the fit of the rest, until no more does (least trimmed squares by
/// concentration: Rousseeuw and Van Driessen, *Computing LTS regression for large data sets*, 2006).
fn without_outliers(blocks: Vec<Vec<(Vector, f64)>>) -> Option<Vec<Vec<(Vector, f64)>>> {
    const MOST_ROUNDS: usize = 12;
    let mut kept = blocks.clone();
    for _ in 0..MOST_ROUNDS {
        let fit = Sums::of(kept.iter().flatten()).fit()?;
        let off = |row: &(Vector, f64)| (row.1 - product(&row.0, &fit)).abs();
        let typical = median(&blocks.iter().flatten().map(off).collect::<Vec<_>>())?;
        let most = OUTLIER * MAD_TO_SIGMA * typical;
        let near = |block: &Vec<(Vector, f64)>| {
            block.iter().filter(|row| most == 0.0 || off(row) <= most).copied().collect()
        };
        let next: Vec<Vec<(Vector, f64)>> = blocks.iter().map(near).collect();
        if next.iter().map(Vec::len).eq(kept.iter().map(Vec::len)) {
            break;
        }
        kept = next;
    }
    Some(kept)
}

fn costs(blocks: &[Vec<(Vector, f64)>], operations: usize) -> Option<Vec<Option<OperationCost>>> {
    let sums: Vec<Sums> = blocks.iter().filter(|b| !b.is_empty()).map(Sums::of).collect();
    let all = sums.iter().fold(Sums::default(), |a, b| a.plus(b, 1.0));
    let found = all.fit()?;
    let squares: f64 =
        blocks.iter().flatten().map(|(row, y)| (y - product(row, &found)).powi(2)).sum();
    let free = all.points - (operations + 1) as f64;
    let variances = all.inverse_diagonal();
    let jackknife = jackknife(&all, &sums);
    let cost = |at: usize| {
        let cost = *found.get(at)?;
        let least_squares = (squares / free * (*variances.get(at)?)?).sqrt();
        let blocks =
            jackknife.as_ref().map_or(0.0, |spread| spread.get(at).copied().unwrap_or(0.0));
        let half = Z_95 * least_squares.max(blocks);
        let interval = Interval { low: (cost - half).max(0.0), high: cost + half };
        half.is_finite().then_some(OperationCost { cpu_s: cost, interval })
    };
    Some((0..operations).map(cost).collect())
}

/// Standard error of each factor by leaving out one stretch at a time.
fn jackknife(all: &Sums, blocks: &[Sums]) -> Option<Vector> {
    let n = blocks.len() as f64;
    if n < 3.0 {
        return None;
    }
    let fits: Vec<Vector> =
        blocks.iter().map(|block| all.plus(block, -1.0).fit()).collect::<Option<_>>()?;
    let mut errors = [0.0; FACTORS];
    for (at, error) in errors.iter_mut().enumerate() {
        let mut values: Vec<f64> = fits.iter().filter_map(|fit| fit.get(at).copied()).collect();
        values.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / n;
        let spread: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        *error = (spread * (n - 1.0) / n).sqrt();
    }
    Some(errors)
}

fn product(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sums of products: all that least squares needs.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    of_rows: Matrix,
    with_cpu: Vector,
    points: f64,
}

impl Sums {
    /// Rows are sorted first: sums of floats depend on their order.
    fn of<'a>(rows: impl IntoIterator<Item = &'a (Vector, f64)>) -> Self {
        let mut sorted: Vec<&(Vector, f64)> = rows.into_iter().collect();
        let order = |a: &Vector, b: &Vector| {
            a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne())
        };
        sorted.sort_by(|a, b| {
            let rows = order(&a.0, &b.0);
            a.1.total_cmp(&b.1).then(rows.unwrap_or(std::cmp::Ordering::Equal))
        });
        let mut sums = Self::default();
        for (row, y) in sorted {
            for ((line, with), a) in sums.of_rows.iter_mut().zip(&mut sums.with_cpu).zip(row) {
                *with += a * y;
                line.iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
            }
            sums.points += 1.0;
        }
        sums
    }

    fn plus(&self, other: &Self, sign: f64) -> Self {
        let mut sum = *self;
        for (line, more) in sum.of_rows.iter_mut().zip(&other.of_rows) {
            line.iter_mut().zip(more).for_each(|(a, b)| *a += sign * b);
        }
        sum.with_cpu.iter_mut().zip(&other.with_cpu).for_each(|(a, b)| *a += sign * b);
        sum.points += sign * other.points;
        sum
    }

    /// Least squares with no factor below zero, one coordinate after the other until none moves (Franc,
    /// Hlaváč and Navara, *Sequential coordinate-wise algorithm for the non-negative least squares
    /// problem*, CAIP 2005). `None` if it does not settle.
    fn fit(&self) -> Option<Vector> {
        const MOST_ROUNDS: usize = 20_000;
        /// Change of a factor, in CPU-seconds of its own length, that is none.
        const SETTLED: f64 = 1e-12;
        let mut x = [0.0; FACTORS];
        for _ in 0..MOST_ROUNDS {
            let mut moved = 0.0f64;
            for at in 0..FACTORS {
                let (Some(line), Some(with)) = (self.of_rows.get(at), self.with_cpu.get(at)) else {
                    continue;
                };
                let own = line.get(at).copied().unwrap_or_default();
                if own <= 0.0 {
                    continue;
                }
                let step = (with - product(line, &x)) / own;
                let Some(factor) = x.get_mut(at) else { continue };
                let before = *factor;
                *factor = (before + step).max(0.0);
                moved = moved.max((*factor - before).abs() * own.sqrt());
            }
            if !moved.is_finite() {
                return None;
            }
            let size = x.iter().zip(&self.with_cpu).map(|(x, c)| x * c).sum::<f64>().abs().sqrt();
            if moved <= SETTLED * size.max(f64::MIN_POSITIVE) {
                return Some(x);
            }
        }
        None
    }

    /// The diagonal of the inverse, `None` for factors that others determine: by elimination of columns
    /// scaled to unit length.
    fn inverse_diagonal(&self) -> [Option<f64>; FACTORS] {
        /// A pivot below this, of columns of unit length, is rounding.
        const SINGULAR: f64 = 1e-9;
        let mut out = [None; FACTORS];
        let own = |at: usize| self.of_rows.get(at).and_then(|line| line.get(at)).copied();
        let used: Vec<usize> =
            (0..FACTORS).filter(|at| own(*at).is_some_and(|v| v > 0.0)).collect();
        let lengths: Vec<f64> = used.iter().filter_map(|at| own(*at)).map(f64::sqrt).collect();
        for (place, at) in used.iter().enumerate() {
            // The pivot of a column that is eliminated last is what the others leave of it.
            let mut order: Vec<usize> = (0..used.len()).filter(|other| *other != place).collect();
            order.push(place);
            let cell = |i: &usize, j: &usize| {
                let (row, column) = (used.get(*i)?, used.get(*j)?);
                let value = self.of_rows.get(*row)?.get(*column)?;
                Some(value / (lengths.get(*i)? * lengths.get(*j)?))
            };
            let lines: Option<Vec<Vec<f64>>> =
                order.iter().map(|i| order.iter().map(|j| cell(i, j)).collect()).collect();
            let left = lines.and_then(|lines| last_pivot(lines, SINGULAR));
            let length = lengths.get(place).copied().unwrap_or_default();
            if let Some(slot) = out.get_mut(*at) {
                *slot = left.filter(|p| *p > SINGULAR).map(|p| 1.0 / (p * length * length));
            }
        }
        out
    }
}

/// What the elimination of all but the last column leaves of it; columns that others determine are
/// passed over.
fn last_pivot(mut lines: Vec<Vec<f64>>, singular: f64) -> Option<f64> {
    let last = lines.len().checked_sub(1)?;
    for at in 0..last {
        let (done, below) = lines.split_at_mut(at + 1);
        let pivot_line = done.last()?;
        let pivot = *pivot_line.get(at)?;
        if pivot <= singular {
            continue;
        }
        for line in below {
            let part = line.get(at)? / pivot;
            line.iter_mut().zip(pivot_line).skip(at).for_each(|(a, b)| *a -= part * b);
        }
    }
    lines.last()?.last().copied()
}
