//! Which stretches of a window are read.

use headrope_model::TimeRange;

/// Most spans of a window that are looked at.
pub(super) const MOST_SPANS: u64 = 60_000;
/// Most spans that are read to have them, at the mean rate of the window.
const MOST_READ: f64 = 200_000.0;
/// Stretches that a window with more is read in, unless requests take so long that more is read after stretches than in
/// them.
const STRETCHES: i64 = 8;
/// Shortest and longest time after a stretch in which its requests are expected to end, nanoseconds.
const TAIL_NS: (i64, i64) = (250_000_000, 30_000_000_000);

/// What is read of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// Requests that begin in these are looked at.
    pub(super) stretches: Vec<TimeRange>,
    /// What begins so many nanoseconds after a stretch is read, too.
    pub(super) tail_ns: i64,
    /// Share of the traces that are looked at, 0 to 1.
    pub(super) share: f64,
}

impl Plan {
    /// For a window with so many spans and the 99th percentile of its requests.
    pub(super) fn of(range: TimeRange, spans: u64, p99_ns: i64) -> Self {
        let length = range.duration_ns();
        let rate = spans as f64 / (length as f64).max(1.0);
        let half = (MOST_READ / 2.0 / rate.max(f64::MIN_POSITIVE)).min(i64::MAX as f64) as i64;
        let tail_ns = p99_ns.saturating_mul(2).clamp(TAIL_NS.0, TAIL_NS.1).min(half);
        if spans <= MOST_SPANS {
            return Self { stretches: vec![range], tail_ns, share: 1.0 };
        }
        let each = |parts: i64| (MOST_READ / parts as f64 / rate) as i64 - tail_ns;
        let mut parts = STRETCHES;
        while parts > 1 && each(parts) < tail_ns {
            parts /= 2;
        }
        let step = length / parts;
        let each = each(parts).clamp(1, step.max(1));
        let stretch = |part: i64| {
            let from = range.from() + part * step + (step - each) / 2;
            TimeRange::new(from, from + each)
        };
        let stretches: Vec<TimeRange> = (0..parts).filter_map(stretch).collect();
        let in_stretches = rate * each as f64 * parts as f64;
        let share = (MOST_SPANS as f64 / in_stretches.max(1.0)).min(1.0);
        Self { stretches, tail_ns, share }
    }
}
