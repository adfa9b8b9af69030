//! What a run of the query benchmark found.

use std::fmt;
use std::time::Duration;

use super::super::child::Memory;
use super::super::disk::Parts;
use super::super::machine::Machine;
use super::super::report::{Latency, mib, write_disk};
use super::QueryArgs;
use super::cache::Dropped;
use super::measure::{Figures, Starts, Times};

/// The questions of one kind.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) warm: Figures,
    pub(super) restarted: Figures,
    pub(super) cold: Figures,
}

/// Restarts in one state of the page cache.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Restarts {
    pub(super) count: usize,
    pub(super) ready: Latency,
    pub(super) first_answer: Latency,
}

impl Restarts {
    fn of(ready: Vec<Duration>, answered: Vec<Duration>) -> Self {
        Self { count: ready.len(), ready: Latency::of(ready), first_answer: Latency::of(answered) }
    }
}

/// The figures of a run.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) args: QueryArgs,
    /// Records stored, and their bytes as OTLP.
    pub(super) records: u64,
    pub(super) raw_bytes: u64,
    /// Whether the data directory held them already.
    pub(super) reused: bool,
    pub(super) disk_bytes: Parts,
    /// Memory when idle before the questions, and after the warm ones.
    pub(super) memory_before: Memory,
    pub(super) memory_after: Memory,
    pub(super) rows: Vec<Row>,
    pub(super) restarted: Restarts,
    pub(super) cold: Restarts,
    pub(super) dropped: Option<Dropped>,
}

/// Brings together what was measured of each kind.
pub(super) fn rows(
    names: Vec<String>,
    warm: Vec<Times>,
    restarted: &mut Starts,
    cold: &mut Starts,
) -> Vec<Row> {
    let restarted = std::mem::take(&mut restarted.times);
    let cold = std::mem::take(&mut cold.times);
    let times = warm.into_iter().zip(restarted).zip(cold);
    let row = |(name, ((warm, restarted), cold)): (String, ((Times, Times), Times))| Row {
        name,
        warm: warm.figures(),
        restarted: restarted.figures(),
        cold: cold.figures(),
    };
    names.into_iter().zip(times).map(row).collect()
}

impl From<Starts> for Restarts {
    fn from(starts: Starts) -> Self {
        Self::of(starts.ready, starts.answered)
    }
}

impl Report {
    /// Wrong answers, and what was wrong with the first.
    pub(super) fn wrong(&self) -> (u64, Option<&str>) {
        let figures = || self.rows.iter().flat_map(|r| [&r.warm, &r.restarted, &r.cold]);
        let first = figures().find_map(|f| f.first_wrong.as_deref());
        (figures().map(|f| f.wrong).sum(), first)
    }

    fn write_restarts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped = self.dropped.map_or("page cache kept", Dropped::text);
        for (what, restarts) in [("page cache kept", &self.restarted), (dropped, &self.cold)] {
            let (ready, answer) = (restarts.ready, restarts.first_answer);
            writeln!(
                f,
                "| restart to ready; to first answer, {what}, p50 / max of {}, ms | {:.1} / {:.1}; \
                 {:.1} / {:.1} |",
                restarts.count, ready.p50_ms, ready.max_ms, answer.p50_ms, answer.max_ms
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| figure | value |\n|---|---|\n{}", self.machine)?;
        let reused = if self.reused { ", stored before" } else { "" };
        writeln!(f, "| records | {}{reused} |", self.records)?;
        let each = self.raw_bytes as f64 / self.records.max(1) as f64;
        writeln!(f, "| OTLP bytes per record | {each:.0} |")?;
        write_disk(f, &self.disk_bytes, self.records, self.raw_bytes)?;
        writeln!(
            f,
            "| memory idle / after the questions / most, MiB | {:.0} / {:.0} / {:.0} |",
            mib(self.memory_before.rss),
            mib(self.memory_after.rss),
            mib(self.memory_after.peak)
        )?;
        self.write_restarts(f)?;
        writeln!(
            f,
            "\n| question | asked | warm p50 / p99 / max, ms | after restart p50 / max, ms | cold \
             p50 / max, ms | wrong |\n|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let (warm, restarted, cold) =
                (row.warm.latency, row.restarted.latency, row.cold.latency);
            writeln!(
                f,
                "| {} | {} | {:.2} / {:.2} / {:.2} | {:.1} / {:.1} | {:.1} / {:.1} | {} |",
                row.name,
                row.warm.right,
                warm.p50_ms,
                warm.p99_ms,
                warm.max_ms,
                restarted.p50_ms,
                restarted.max_ms,
                cold.p50_ms,
                cold.max_ms,
                row.warm.wrong + row.restarted.wrong + row.cold.wrong
            )?;
        }
        Ok(())
    }
}
