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
    /// Memory when idle after the workload was stored, after the warm questions, and after a restart.
    pub(super) memory_loaded: Memory,
    pub(super) memory_asked: Memory,
    pub(super) memory_restarted: Option<Memory>,
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
        let both = [("page cache kept", &self.restarted), (dropped, &self.cold)];
        for (what, restarts) in both.into_iter().filter(|(_, r)| r.count > 0) {
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

/// Times, or a dash where nothing was answered right.
fn shown(figures: &Figures, text: impl Fn(Latency) -> String) -> String {
    if figures.right == 0 { "–".to_owned() } else { text(figures.latency) }
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
            "| memory loaded / after the questions / most / after a restart, MiB | {:.0} / {:.0} / \
             {:.0} / {:.0} |",
            mib(self.memory_loaded.rss),
            mib(self.memory_asked.rss),
            mib(self.memory_asked.peak),
            mib(self.memory_restarted.unwrap_or_default().rss)
        )?;
        self.write_restarts(f)?;
        writeln!(
            f,
            "\n| question | asked | warm p50 / p99 / max, ms | after restart p50 / max, ms | cold \
             p50 / max, ms | wrong |\n|---|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let wrong = row.warm.wrong + row.restarted.wrong + row.cold.wrong;
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {wrong} |",
                row.name,
                row.warm.right,
                shown(&row.warm, |l| format!(
                    "{:.2} / {:.2} / {:.2}",
                    l.p50_ms, l.p99_ms, l.max_ms
                )),
                shown(&row.restarted, |l| format!("{:.1} / {:.1}", l.p50_ms, l.max_ms)),
                shown(&row.cold, |l| format!("{:.1} / {:.1}", l.p50_ms, l.max_ms)),
            )?;
        }
        Ok(())
    }
}
