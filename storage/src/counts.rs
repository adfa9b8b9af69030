//! The engine's own counters.

use headrope_model::Signal;
use headrope_model::metric::{Counter, Family, Histogram};

/// What the engine counts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    spans: Counter,
    points: Counter,
    logs: Counter,
    pub(crate) commits: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) log_bytes: Counter,
    pub(crate) flush_seconds: Histogram,
    pub(crate) flushed_rows: Counter,
    pub(crate) merges: Counter,
    pub(crate) merged_rows: Counter,
    pub(crate) expired_segments: Counter,
    pub(crate) replayed: Counter,
    pub(crate) declined_chunks: Counter,
    pub(crate) background_failures: Counter,
}

impl Counts {
    /// Records of a signal made durable.
    pub(crate) const fn stored(&self, signal: Signal) -> &Counter {
        match signal {
            Signal::Traces => &self.spans,
            Signal::Metrics => &self.points,
            Signal::Logs => &self.logs,
        }
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let mut stored = Family::counter("headrope_stored_records", "Records made durable.");
        for signal in Signal::ALL {
            let labels = vec![("signal", signal.name().to_owned())];
            stored = stored.with(labels, self.stored(signal).get());
        }
        let counter = |name, help, counter: &Counter| {
            Family::counter(name, help).with(Vec::new(), counter.get())
        };
        vec![
            stored,
            counter("headrope_log_commits", "Group commits of the ingest log.", &self.commits),
            counter("headrope_log_bytes", "Bytes written to the ingest log.", &self.log_bytes),
            Family::histogram(
                "headrope_log_commit_seconds",
                "Time to write and sync a group commit.",
                &self.commit_seconds,
            ),
            Family::histogram("headrope_flush_seconds", "Time of a flush.", &self.flush_seconds),
            counter("headrope_flushed_rows", "Rows written by flushes.", &self.flushed_rows),
            counter("headrope_merges", "Segment merges.", &self.merges),
            counter("headrope_merged_rows", "Rows written by merges.", &self.merged_rows),
            counter(
                "headrope_expired_segments",
                "Segments dropped by retention.",
                &self.expired_segments,
            ),
            counter("headrope_replayed_entries", "Log entries replayed at start.", &self.replayed),
            counter(
                "headrope_declined_chunks",
                "Chunks of requests that were encoded one by one, as one of them was of a rare form.",
                &self.declined_chunks,
            ),
            counter(
                "headrope_background_failures",
                "Encodings, flushes, merges and retention runs that failed and will be tried again.",
                &self.background_failures,
            ),
        ]
    }
}
