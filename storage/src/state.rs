//! What is visible now, and the memory budget.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use headrope_model::DataSet;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::checked::Checked;
use crate::entry::{CHUNK_BYTES, Entry, Rows};
use crate::live::Live;
use crate::segment;
use crate::snapshot::{Horizons, LiveBatch, Segment, SegmentMeta, Snapshot};

/// Everything a snapshot is made of. Guarded by one lock, so each change is seen whole.
#[derive(Debug)]
pub(crate) struct State {
    live: [Live; DataSet::COUNT],
    segments: [Vec<Arc<Segment>>; DataSet::COUNT],
    horizons: Horizons,
    /// Acknowledged entries that are not rows yet.
    backlog: Vec<Entry>,
    backlog_bytes: usize,
    /// Bytes of entries that are being made rows.
    encoding_bytes: usize,
    /// No more entries come.
    closed: bool,
    /// Number of the last acknowledged entry.
    last_seq: u64,
    /// Number of the last entry whose rows are live or in segments.
    live_seq: u64,
    /// Number of the last entry whose rows are in segments.
    watermark: u64,
    version: u64,
    cached: Option<Arc<Snapshot>>,
    oldest_live: Option<Instant>,
}

/// What a flush writes: everything live at one moment.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Number of the first entry in it.
    pub(crate) first_seq: u64,
    /// Number of the last entry in it.
    pub(crate) seq: u64,
    /// Frozen batches by data set.
    pub(crate) batches: Vec<(DataSet, Vec<Arc<LiveBatch>>)>,
}

impl State {
    pub(crate) fn new(
        dir: &Path,
        watermark: u64,
        metas: Vec<SegmentMeta>,
        horizons: Horizons,
    ) -> Self {
        let mut state = Self {
            live: DataSet::ALL.map(Live::new),
            segments: [const { Vec::new() }; DataSet::COUNT],
            horizons,
            backlog: Vec::new(),
            backlog_bytes: 0,
            encoding_bytes: 0,
            closed: false,
            last_seq: watermark,
            live_seq: watermark,
            watermark,
            version: 1,
            cached: None,
            oldest_live: None,
        };
        for meta in metas {
            state.add_segment(dir, meta);
        }
        state
    }

    fn add_segment(&mut self, dir: &Path, meta: SegmentMeta) {
        let (path, index_path) = segment::paths(dir, meta.data_set, &meta.id);
        let index_path = meta.index_bytes.map(|_| index_path);
        let list = &mut self.segments[meta.data_set.slot()];
        let at =
            list.partition_point(|s| (s.meta.min_time, &s.meta.id) < (meta.min_time, &meta.id));
        let retired = AtomicBool::new(false);
        let checked = Checked::new(meta.bytes, meta.checksum);
        list.insert(at, Arc::new(Segment { meta, path, index_path, retired, checked }));
    }

    /// Takes an acknowledged entry.
    pub(crate) fn receive(&mut self, entry: Entry) {
        self.last_seq = entry.seq;
        self.backlog_bytes += entry.content.bytes();
        self.backlog.push(entry);
        self.oldest_live.get_or_insert_with(Instant::now);
    }

    /// Whether enough has come together to be made rows.
    pub(crate) const fn backlog_due(&self) -> bool {
        self.backlog_bytes >= CHUNK_BYTES
    }

    /// Whether every acknowledged entry is rows.
    pub(crate) const fn caught_up(&self) -> bool {
        self.live_seq == self.last_seq
    }

    /// Gives out the backlog, to be followed by [`Self::publish`] or [`Self::return_backlog`].
    pub(crate) fn take_backlog(&mut self) -> Vec<Entry> {
        self.encoding_bytes = std::mem::take(&mut self.backlog_bytes);
        std::mem::take(&mut self.backlog)
    }

    /// The entries given out could not be made rows.
    pub(crate) fn return_backlog(&mut self, mut entries: Vec<Entry>) {
        self.backlog_bytes += std::mem::take(&mut self.encoding_bytes);
        entries.append(&mut self.backlog);
        self.backlog = entries;
    }

    /// Makes the rows of all entries up to `seq` visible.
    pub(crate) fn publish(&mut self, seq: u64, rows: Rows) {
        for (data_set, batch) in rows {
            self.live[data_set.slot()].push(batch);
        }
        self.live_seq = seq;
        self.encoding_bytes = 0;
        self.changed();
    }

    /// Nothing more will be received.
    pub(crate) const fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.closed
    }

    fn changed(&mut self) {
        self.version += 1;
        self.cached = None;
    }

    /// Freezes everything live. `None` when nothing is.
    pub(crate) fn seal(&mut self) -> Option<Cut> {
        if self.live_seq == self.watermark {
            return None;
        }
        let batches = DataSet::ALL.map(|d| (d, self.live[d.slot()].freeze())).into();
        self.oldest_live = (!self.caught_up()).then(Instant::now);
        Some(Cut { first_seq: self.watermark + 1, seq: self.live_seq, batches })
    }

    /// A flush failed: the frozen rows stay live and are due at once.
    pub(crate) fn unseal(&mut self) {
        self.oldest_live.get_or_insert_with(Instant::now);
    }

    /// A flush was committed: its rows change over from live to segments.
    pub(crate) fn install(&mut self, dir: &Path, seq: u64, metas: Vec<SegmentMeta>) {
        for live in &mut self.live {
            live.release();
        }
        for meta in metas {
            self.add_segment(dir, meta);
        }
        self.watermark = seq;
        self.changed();
    }

    /// A merge was committed. The old files go when their last snapshot goes.
    pub(crate) fn replace(&mut self, dir: &Path, old: &[String], new: Vec<SegmentMeta>) {
        for list in &mut self.segments {
            list.retain(|segment| {
                let gone = old.contains(&segment.meta.id);
                if gone {
                    segment.retired.store(true, Ordering::Relaxed);
                }
                !gone
            });
        }
        for meta in new {
            self.add_segment(dir, meta);
        }
        self.changed();
    }

    /// Retention dropped rows: the segments listed go, and nothing is complete up to the times.
    pub(crate) fn expire(&mut self, dir: &Path, old: &[String], up_to: &[(DataSet, i64)]) {
        for (data_set, time) in up_to {
            self.horizons.rise(*data_set, *time);
        }
        self.replace(dir, old, Vec::new());
    }

    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        let build = || {
            let live = |at: usize| self.live[at].batches().iter().map(|b| b.as_ref().clone());
            Arc::new(Snapshot {
                version: self.version,
                segments: self.segments.clone(),
                live: DataSet::ALL.map(|d| live(d.slot()).collect()),
                horizons: self.horizons,
            })
        };
        let snapshot = self.cached.take().unwrap_or_else(build);
        self.cached = Some(Arc::clone(&snapshot));
        snapshot
    }

    pub(crate) fn segments(&self, data_set: DataSet) -> &[Arc<Segment>] {
        &self.segments[data_set.slot()]
    }

    /// Memory that what is acknowledged and not in segments holds.
    pub(crate) fn live_bytes(&self) -> usize {
        let rows: usize = self.live.iter().map(Live::bytes).sum();
        rows + self.backlog_bytes + self.encoding_bytes
    }

    pub(crate) const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(crate) const fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(crate) const fn oldest_live(&self) -> Option<Instant> {
        self.oldest_live
    }
}

/// The memory budget: requests in flight and live rows against one limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    in_flight: AtomicUsize,
    live: AtomicUsize,
    freed: Notify,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        let none = || AtomicUsize::new(0);
        Self { limit, in_flight: none(), live: none(), freed: Notify::new() }
    }

    /// Whether a request would get room, or could never get it.
    pub(crate) fn settled(&self, bytes: usize) -> bool {
        let taken = self.live().saturating_add(self.in_flight());
        bytes > self.limit || taken.saturating_add(bytes) <= self.limit
    }

    /// Ends once room was given back after it was made.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }

    /// Takes room for a request, or says no.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Room> {
        let live = self.live.load(Ordering::Relaxed);
        let before = self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        let room = Room { budget: Arc::clone(self), bytes };
        (live.saturating_add(before).saturating_add(bytes) <= self.limit).then_some(room)
    }

    /// Takes room that is needed whatever the limit says, so that requests are refused earlier.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Room {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        Room { budget: Arc::clone(self), bytes }
    }

    pub(crate) fn set_live(&self, bytes: usize) {
        if self.live.swap(bytes, Ordering::Relaxed) > bytes {
            self.freed.notify_waiters();
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Room in the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.freed.notify_waiters();
    }
}
