//! CPU time per request.

use super::Load;
use crate::statistics::{Interval, Z_95, median, quantile, theil_sen};

/// Points from which a slope is taken as known: below it, the interval of Sen needs nearly all pairs.
const LEAST_POINTS: usize = 10;
/// Most points the slope is computed from pair by pair. More are put together first.
const MOST_POINTS: usize = 400;
/// How far the rate must vary, as the ratio of its 95th percentile to its 5th, for a slope to be told
/// from the idle load: less than a fifth more traffic says little of what a request costs.
const LEAST_SPREAD: f64 = 1.2;

/// What a request costs in CPU time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuCost {
    /// CPU-seconds per request.
    pub cpu_s: f64,
    /// 95 % interval of it.
    pub interval: Interval,
    /// CPU in use without requests, as a share of what the instance may use.
    pub idle: f64,
    /// Requests per second at which the CPU would be all in use. By the utilisation law (Denning and
    /// Buzen, *The operational analysis of queueing network models*, 1978) no more can be served; `None`
    /// if requests cost no CPU that can be seen.
    pub rate_at_full_cpu: Option<f64>,
    /// Points used.
    pub points: usize,
}

/// CPU-seconds per request of an instance that may use `cores` CPUs: the Theil–Sen slope of CPU time on
/// requests, since CPU is linear in them. Minutes with a batch job, a restart or a missing sample do not
/// move it while they are few. `None` for fewer than ten points, a rate that hardly varies, or a slope
/// without an interval. Points that are not finite or negative are left out.
#[must_use]
pub fn cpu_cost(loads: &[Load], cores: f64) -> Option<CpuCost> {
    let known = |v: f64| v.is_finite() && v >= 0.0;
    let points: Vec<(f64, f64)> =
        loads.iter().map(|l| (l.rate, l.cpu)).filter(|(r, c)| known(*r) && known(*c)).collect();
    if points.len() < LEAST_POINTS || !known(cores) || cores == 0.0 {
        return None;
    }
    let rates: Vec<f64> = points.iter().map(|p| p.0).collect();
    let (low, high) = (quantile(&rates, 0.05)?, quantile(&rates, 0.95)?);
    if high < LEAST_SPREAD * low || high == 0.0 {
        return None;
    }
    let line = theil_sen(&together(points.clone()), Z_95)?;
    let interval = line.interval?;
    let scaled = Interval { low: interval.low * cores, high: interval.high * cores };
    let full = (1.0 - line.intercept) / line.slope;
    Some(CpuCost {
        cpu_s: line.slope * cores,
        interval: scaled,
        idle: line.intercept.max(0.0),
        rate_at_full_cpu: Some(full)
            .filter(|_| interval.low > 0.0 && full.is_finite() && full > 0.0),
        points: points.len(),
    })
}

/// At most [`MOST_POINTS`] points: neighbours in x are replaced by their medians.
fn together(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let size = points.len().div_ceil(MOST_POINTS);
    let middle = |chunk: &[(f64, f64)]| {
        let (x, y): (Vec<f64>, Vec<f64>) = chunk.iter().copied().unzip();
        median(&x).zip(median(&y))
    };
    points.chunks(size).filter_map(middle).collect()
}
