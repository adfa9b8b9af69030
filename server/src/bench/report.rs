//! What a run of the ingest benchmark found.

use std::fmt;
use std::time::Duration;

use super::child::Memory;
use super::disk::Parts;
use super::ingest::IngestArgs;
use super::machine::Machine;
use super::mixed::Mixed;

/// A moment of the run.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Sample {
    /// Seconds since the first request.
    pub(crate) at_s: f64,
    /// Memory of the server.
    pub(crate) memory: Memory,
    /// CPU seconds the server has used since the first request.
    pub(crate) cpu_s: f64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    /// Exact percentiles (nearest rank).
    pub(crate) fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| {
            let rank = (all.len() * percent).div_ceil(100).max(1);
            all.get(rank - 1).map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        Self { p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), max_ms: at(100) }
    }
}

/// The figures of a run.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) args: IngestArgs,
    /// Acknowledged records, their requests and their bytes as OTLP.
    pub(crate) records: u64,
    pub(crate) requests: u64,
    pub(crate) raw_bytes: u64,
    /// Answers that asked to send again, and requests that failed for good.
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// Rows SQL finds afterwards.
    pub(crate) found: u64,
    /// Seconds of sending.
    pub(crate) seconds: f64,
    /// Of acknowledgements, from the time a request was to be sent.
    pub(crate) latency: Latency,
    /// What was asked meanwhile.
    pub(crate) mixed: Option<Mixed>,
    /// CPU seconds of the server while requests were sent, and until it was idle after a flush.
    pub(crate) cpu_load_s: f64,
    pub(crate) cpu_total_s: f64,
    /// Whether a compaction was asked for and done.
    pub(crate) compacted: bool,
    /// Memory before the first request, and in the end.
    pub(crate) memory_before: Memory,
    pub(crate) memory_after: Memory,
    /// Bytes on disk in the end, by what they are.
    pub(crate) disk_bytes: Parts,
    /// Bytes the server had written to storage from the first request to the end.
    pub(crate) written_bytes: Option<u64>,
    pub(crate) curve: Vec<Sample>,
}

impl Report {
    /// Records per second of sending.
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.seconds.max(1e-9)
    }

    /// Records per CPU second, all work until idle included.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.records as f64 / self.cpu_total_s.max(1e-9)
    }

    /// Megabytes (10^6) of OTLP per CPU second, all work until idle included.
    pub(crate) fn mb_per_cpu_second(&self) -> f64 {
        self.raw_bytes as f64 / 1e6 / self.cpu_total_s.max(1e-9)
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Rows of a table about what is on disk.
pub(crate) fn write_disk(
    f: &mut fmt::Formatter<'_>,
    parts: &Parts,
    records: u64,
    raw_bytes: u64,
) -> fmt::Result {
    let all: u64 = parts.values().sum();
    let (records, raw) = (records.max(1) as f64, raw_bytes.max(1) as f64);
    let share = |bytes: u64| 100.0 * bytes as f64 / raw;
    writeln!(
        f,
        "| bytes on disk per record | {:.1} ({:.1} % of OTLP) |",
        all as f64 / records,
        share(all)
    )?;
    for (part, bytes) in parts {
        let each = *bytes as f64 / records;
        writeln!(f, "| … {part} | {each:.2} ({:.2} % of OTLP) |", share(*bytes))?;
    }
    Ok(())
}

impl Report {
    fn write_intake(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = self.records.max(1) as f64;
        writeln!(f, "| records acknowledged | {} in {} requests |", self.records, self.requests)?;
        writeln!(f, "| records found by SQL | {} |", self.found)?;
        writeln!(f, "| OTLP bytes per record | {:.0} |", self.raw_bytes as f64 / records)?;
        writeln!(f, "| records per second | {:.0} |", self.rate())?;
        writeln!(
            f,
            "| records per CPU second, until idle | {:.0} ({:.2} s while sending, {:.2} s in all) |",
            self.per_cpu_second(),
            self.cpu_load_s,
            self.cpu_total_s
        )?;
        writeln!(f, "| MB of OTLP per CPU second, until idle | {:.1} |", self.mb_per_cpu_second())?;
        let l = self.latency;
        writeln!(
            f,
            "| acknowledgement p50 / p90 / p99 / max, ms | {:.1} / {:.1} / {:.1} / {:.1} |",
            l.p50_ms, l.p90_ms, l.p99_ms, l.max_ms
        )?;
        writeln!(f, "| refused, sent again / failed | {} / {} |", self.refused, self.failed)?;
        if let Some(failure) = &self.first_failure {
            writeln!(f, "| first failure | {failure} |")?;
        }
        if let Some(Mixed { rate, answered, failed, latency: l, .. }) = &self.mixed {
            writeln!(
                f,
                "| questions at {rate}/s: answered / failed; p50 / p99 / max, ms | {answered} / \
                 {failed}; {:.1} / {:.1} / {:.1} |",
                l.p50_ms, l.p99_ms, l.max_ms
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = self.curve.iter().map(|s| s.memory.rss).max().unwrap_or(0);
        write!(f, "| figure | value |\n|---|---|\n{}", self.machine)?;
        self.write_intake(f)?;
        writeln!(
            f,
            "| memory before / most / after, MiB | {:.0} / {:.0} / {:.0} |",
            mib(self.memory_before.rss),
            mib(peak.max(self.memory_after.peak)),
            mib(self.memory_after.rss)
        )?;
        write_disk(f, &self.disk_bytes, self.records, self.raw_bytes)?;
        if let Some(written) = self.written_bytes {
            let kept: u64 = self.disk_bytes.values().sum();
            writeln!(
                f,
                "| written, MiB (× what is kept) | {:.0} ({:.2}) |",
                mib(written),
                written as f64 / kept.max(1) as f64
            )?;
        }
        write!(f, "| memory each second, MiB |")?;
        for sample in &self.curve {
            write!(f, " {:.0}", mib(sample.memory.rss))?;
        }
        write!(f, " |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis).collect());
        let Latency { p50_ms, p90_ms, p99_ms, max_ms } = latency;
        assert_eq!((p50_ms, p90_ms, p99_ms, max_ms), (100.0, 180.0, 198.0, 200.0));
        assert_eq!(Latency::of(Vec::new()).max_ms, 0.0);
    }
}
