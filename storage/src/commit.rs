//! Group commit: one thread takes every request that waits, writes them as one frame, syncs once,
//! hands them to the backlog, from which every later snapshot takes its rows, and wakes the waiters,
//! in log order.

use std::sync::Arc;
use std::time::Instant;

use headrope_model::{RefuseReason, Signal};
use tokio::sync::{mpsc, oneshot};

use crate::entry::{Content, Entry};
use crate::error::AppendError;
use crate::log::{FrameBuilder, LogWriter};
use crate::shared::{Receipt, Shared};
use crate::state::Room;

/// Requests in one frame at most.
const MAX_REQUESTS: usize = 512;
/// Payload bytes at which a frame is closed.
const MAX_BYTES: usize = 8 << 20;
/// When a client should try again after the disk refused.
pub(crate) const DISK_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// A prepared request that waits for its commit.
pub(crate) struct Pending {
    pub(crate) signal: Signal,
    pub(crate) raw_len: u32,
    pub(crate) received_ns: i64,
    pub(crate) records: u64,
    /// Compressed OTLP protobuf.
    pub(crate) packed: Vec<u8>,
    pub(crate) content: Content,
    pub(crate) room: Room,
    pub(crate) reply: oneshot::Sender<Result<Receipt, AppendError>>,
}

/// Runs until every sender is gone.
pub(crate) fn run(shared: &Shared, mut queue: mpsc::Receiver<Pending>, mut log: LogWriter) {
    let mut next_seq = shared.state.lock().last_seq() + 1;
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.packed.len();
        let mut group = vec![first];
        while group.len() < MAX_REQUESTS && bytes < MAX_BYTES {
            let Ok(more) = queue.try_recv() else { break };
            bytes += more.packed.len();
            group.push(more);
        }
        if shared.take_rotation() {
            log.rotate();
        }
        let last = queue.is_empty();
        next_seq = commit(shared, &mut log, next_seq, group, last);
    }
}

/// Commits one group; returns the number of the next entry. The `last` one, behind which none waits, is
/// marked before it is acknowledged.
fn commit(
    shared: &Shared,
    log: &mut LogWriter,
    next_seq: u64,
    group: Vec<Pending>,
    last: bool,
) -> u64 {
    let started = Instant::now();
    let mut frame = FrameBuilder::new(next_seq);
    let mut last_seq = next_seq;
    for pending in &group {
        let code = pending.signal.code();
        last_seq = frame.push(code, pending.raw_len, pending.received_ns, &pending.packed);
    }
    let frame = frame.finish();
    if let Err(error) = log.append(next_seq, &frame) {
        tracing::error!(%error, "the ingest log refused a write");
        shared.refuse(RefuseReason::DiskFull);
        for pending in group {
            let refusal = AppendError::Retry { reason: RefuseReason::DiskFull, after: DISK_RETRY };
            // The waiter may have gone; nothing was stored either way.
            let _gone = pending.reply.send(Err(refusal));
        }
        return next_seq;
    }
    if last {
        log.mark(last_seq + 1);
    }
    shared.counts.commit_seconds.observe(started.elapsed());
    shared.counts.commits.add(1);
    shared.counts.log_bytes.add(u64::try_from(frame.len()).unwrap_or_default());
    acknowledge(shared, next_seq, last_seq, group);
    last_seq + 1
}

/// Puts the group in the backlog, then wakes the waiters.
fn acknowledge(shared: &Shared, first_seq: u64, last_seq: u64, group: Vec<Pending>) {
    let mut waiting = Vec::with_capacity(group.len());
    let live_bytes = {
        let mut state = shared.state.lock();
        for (seq, pending) in (first_seq..).zip(group) {
            let rows = pending.records;
            shared.counts.stored(pending.signal).add(rows);
            state.receive(Entry { seq, content: pending.content });
            waiting.push((pending.reply, Receipt { seq, rows }, pending.room));
        }
        debug_assert_eq!(state.last_seq(), last_seq);
        if state.backlog_due() {
            shared.encode_due.notify_one();
        }
        state.live_bytes()
    };
    shared.budget.set_live(live_bytes);
    if live_bytes >= shared.config.flush_bytes {
        shared.flush_due.notify_one();
    }
    for (reply, receipt, room) in waiting {
        drop(room);
        // The waiter may have gone: the rows are stored, it will send them again.
        let _gone = reply.send(Ok(receipt));
    }
}

/// A queue for [`run`]; bounded, so that senders wait instead of piling up.
pub(crate) fn queue() -> (mpsc::Sender<Pending>, mpsc::Receiver<Pending>) {
    mpsc::channel(MAX_REQUESTS * 2)
}

/// The thread that runs [`run`].
pub(crate) fn spawn(
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Pending>,
    log: LogWriter,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name("ingest-log".to_owned())
        .spawn(move || run(&shared, queue, log))
}
