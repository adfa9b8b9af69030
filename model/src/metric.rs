//! Headrope's own metrics: counters, gauges and histograms as plain atomics, and the families a
//! component hands to `/metrics`. No registry and no globals: a component owns its metrics and the
//! server collects the families it is wired to.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Current value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds a signed amount.
    pub fn add(&self, delta: i64) {
        self.0.fetch_add(delta, Ordering::Relaxed);
    }

    /// Current value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of [`Histogram`]'s buckets, in seconds.
pub const LATENCY_BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// A histogram of seconds over [`LATENCY_BOUNDS`].
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Records one duration.
    pub fn observe(&self, duration: std::time::Duration) {
        let seconds = duration.as_secs_f64();
        let at = LATENCY_BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Cumulative counts per bound (the last is `+Inf`) and the sum in seconds.
    #[must_use]
    pub fn read(&self) -> (Vec<u64>, f64) {
        let mut total = 0;
        let counts = self
            .buckets
            .iter()
            .map(|b| {
                total += b.load(Ordering::Relaxed);
                total
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a sum of nanoseconds as seconds")]
        let sum = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        (counts, sum)
    }
}

/// Kind of a metric family (OpenMetrics 1.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Only grows; its samples end in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, count and sum.
    Histogram,
}

/// One sample of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Appended to the family name: `_total`, `_bucket`, `_count`, `_sum` or empty.
    pub suffix: &'static str,
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// Value.
    pub value: f64,
}

/// A metric family: name, help, samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name without a suffix.
    pub name: &'static str,
    /// Kind.
    pub kind: FamilyKind,
    /// One sentence for people.
    pub help: &'static str,
    /// Samples.
    pub samples: Vec<Sample>,
}

impl Family {
    /// A counter family without samples.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Counter, help, samples: Vec::new() }
    }

    /// A gauge family without samples.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Gauge, help, samples: Vec::new() }
    }

    /// A histogram family with one histogram in it.
    #[must_use]
    pub fn histogram(name: &'static str, help: &'static str, from: &Histogram) -> Self {
        let (counts, sum) = from.read();
        let mut family = Self { name, kind: FamilyKind::Histogram, help, samples: Vec::new() };
        let total = counts.last().copied().unwrap_or_default();
        let bounds = LATENCY_BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(counts) {
            family.push("_bucket", vec![("le", bound)], count);
        }
        family.push("_count", Vec::new(), total);
        family.samples.push(Sample { suffix: "_sum", labels: Vec::new(), value: sum });
        family
    }

    /// Adds a sample whose value is a whole number.
    pub fn push(&mut self, suffix: &'static str, labels: Vec<(&'static str, String)>, value: u64) {
        #[expect(clippy::cast_precision_loss, reason = "metrics are doubles on the wire")]
        self.samples.push(Sample { suffix, labels, value: value as f64 });
    }

    /// Adds one sample and returns the family.
    #[must_use]
    pub fn with(mut self, labels: Vec<(&'static str, String)>, value: u64) -> Self {
        let suffix = if self.kind == FamilyKind::Counter { "_total" } else { "" };
        self.push(suffix, labels, value);
        self
    }
}

/// Renders families as OpenMetrics text 1.0, with the closing `# EOF`.
#[must_use]
pub fn render(families: &[Family]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for family in families {
        let kind = match family.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "# TYPE {} {kind}\n# HELP {} {}", family.name, family.name, family.help);
        for sample in &family.samples {
            let _ = write!(out, "{}{}", family.name, sample.suffix);
            for (at, (name, value)) in sample.labels.iter().enumerate() {
                let open = if at == 0 { '{' } else { ',' };
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(out, "{open}{name}=\"{value}\"");
            }
            let close = if sample.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(out, "{close} {}", sample.value);
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn renders_openmetrics() {
        let h = Histogram::default();
        h.observe(Duration::from_millis(1));
        h.observe(Duration::from_secs(60));
        let text = render(&[
            Family::counter("a", "An a.").with(vec![("why", "x\"y".to_owned())], 2),
            Family::histogram("b_seconds", "B.", &h),
        ]);
        assert!(text.starts_with("# TYPE a counter\n# HELP a An a.\na_total{why=\"x\\\"y\"} 2\n"));
        assert!(text.contains("b_seconds_bucket{le=\"0.001\"} 1\n"));
        assert!(text.contains("b_seconds_bucket{le=\"+Inf\"} 2\nb_seconds_count 2\n"));
        assert!(text.ends_with("# EOF\n"));
    }
}
