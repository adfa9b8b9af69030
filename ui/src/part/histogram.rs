//! A latency histogram as SVG: log-scale buckets of even width, errors at the foot, rulers at the
//! percentiles.

use headrope_query::answer::Stats;
use headrope_query::answer::latency::Bucket;

use super::pct;
use crate::number;

/// Height of the plot in pixels.
pub(crate) const HEIGHT: f64 = 150.0;

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) href: String,
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) y: f64,
    pub(crate) height: f64,
    pub(crate) error_y: f64,
    pub(crate) error_height: f64,
    pub(crate) range: String,
    pub(crate) count: String,
    pub(crate) errors: String,
    pub(crate) has_errors: bool,
}

/// A ruler or an axis tick.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) x: String,
    pub(crate) label: String,
    pub(crate) kind: &'static str,
    /// `start`, `middle` or `end`.
    pub(crate) anchor: &'static str,
    /// Row of the label, so that near rulers do not overprint.
    pub(crate) y: u32,
}

/// The drawing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    pub(crate) bars: Vec<Bar>,
    pub(crate) rulers: Vec<Mark>,
    pub(crate) ticks: Vec<Mark>,
    pub(crate) highest: String,
}

/// Draws the buckets; `href` gives the address of the calls between two durations.
pub(crate) fn draw(
    buckets: &[Bucket],
    stats: &Stats,
    href: impl Fn(i64, i64) -> String,
) -> Histogram {
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Histogram::default();
    };
    let scale = Log::new(first.from_ns, last.to_ns);
    let most = buckets.iter().map(|b| b.count).max().unwrap_or(0).max(1);
    let tall = |count: u64| {
        let height = count as f64 / most as f64 * HEIGHT;
        // One call in a million must still be seen.
        if count > 0 { height.max(2.0) } else { 0.0 }
    };
    let bars = buckets
        .iter()
        .filter(|b| b.count > 0)
        .map(|b| {
            let (from, to) = (scale.at(b.from_ns), scale.at(b.to_ns));
            let (height, error_height) = (tall(b.count), tall(b.errors).min(tall(b.count)));
            Bar {
                href: href(b.from_ns, b.to_ns),
                x: pct(from),
                width: pct((to - from) * 0.92),
                y: round(HEIGHT - height),
                height: round(height),
                error_y: round(HEIGHT - error_height),
                error_height: round(error_height),
                range: format!("{} – {}", number::duration(b.from_ns), number::duration(b.to_ns)),
                count: number::exact(b.count),
                errors: number::exact(b.errors),
                has_errors: b.errors > 0,
            }
        })
        .collect();
    Histogram {
        bars,
        rulers: rulers(&scale, stats),
        ticks: ticks(&scale),
        highest: number::count(most),
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn rulers(scale: &Log, stats: &Stats) -> Vec<Mark> {
    let mut before = f64::NEG_INFINITY;
    let mut row = 0;
    [("p50", stats.p50_ns), ("p95", stats.p95_ns), ("p99", stats.p99_ns)]
        .into_iter()
        .map(|(kind, ns)| {
            let at = scale.at(ns);
            row = if at - before < 0.14 { row + 1 } else { 0 };
            before = at;
            Mark {
                x: pct(at),
                label: format!("{kind} {}", number::duration(ns)),
                kind,
                anchor: if at > 0.85 { "end" } else { "start" },
                y: 12 + row * 14,
            }
        })
        .collect()
}

/// Decades; with few of them inside, also steps between.
fn ticks(scale: &Log) -> Vec<Mark> {
    let decades = (scale.to - scale.from) / std::f64::consts::LN_10;
    let steps: &[i64] = match decades {
        d if d > 4.0 => &[1],
        d if d > 0.9 => &[1, 2, 5],
        _ => &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    };
    let mut out = Vec::new();
    let mut decade: i64 = 1;
    while let Some(next) = decade.checked_mul(10) {
        for step in steps {
            let ns = decade.saturating_mul(*step);
            let at = scale.at(ns);
            if (0.01..=0.99).contains(&at) && scale.inside(ns) {
                let label = number::duration(ns);
                out.push(Mark { x: pct(at), label, kind: "tick", anchor: "middle", y: 0 });
            }
        }
        decade = next;
    }
    out
}

/// A logarithmic axis onto `0..=1`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    from: f64,
    to: f64,
}

impl Log {
    pub(crate) fn new(from_ns: i64, to_ns: i64) -> Self {
        let from = (from_ns.max(1) as f64).ln();
        Self { from, to: (to_ns.max(2) as f64).ln().max(from + 1e-6) }
    }

    pub(crate) fn at(&self, ns: i64) -> f64 {
        (((ns.max(1) as f64).ln() - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn inside(&self, ns: i64) -> bool {
        let value = (ns.max(1) as f64).ln();
        self.from <= value && value <= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stats(p50: i64, p99: i64) -> Stats {
        Stats {
            calls: 10,
            errors: 1,
            error_rate: 0.1,
            rate: 1.0,
            total_time_ns: 10,
            mean_ns: 1,
            p50_ns: p50,
            p95_ns: p99,
            p99_ns: p99,
            max_ns: p99,
        }
    }

    proptest! {
        #[test]
        fn every_non_empty_bucket_is_visible(counts in prop::collection::vec((0u64..1_000_000, 0u64..1_000_000), 1..80)) {
            let buckets: Vec<Bucket> = counts
                .iter()
                .enumerate()
                .map(|(i, (count, errors))| Bucket {
                    from_ns: 1000 << (i / 4),
                    to_ns: (1000 << (i / 4)) + 1,
                    count: *count,
                    errors: (*errors).min(*count),
                })
                .collect();
            let drawn = draw(&buckets, &stats(1000, 5000), |a, b| format!("{a}-{b}"));
            prop_assert_eq!(drawn.bars.len(), counts.iter().filter(|(c, _)| *c > 0).count());
            for bar in &drawn.bars {
                prop_assert!(bar.height >= 1.9 && bar.height <= HEIGHT);
                prop_assert!(bar.error_height <= bar.height);
                prop_assert!(!bar.has_errors || bar.error_height >= 1.9);
            }
        }
    }

    #[test]
    fn the_axis_is_logarithmic() {
        let axis = Log::new(1_000, 1_000_000);
        assert!((axis.at(31_623) - 0.5).abs() < 1e-4);
        assert!((axis.at(0) - 0.0).abs() < f64::EPSILON);
        assert!((axis.at(i64::MAX) - 1.0).abs() < f64::EPSILON);
    }
}
