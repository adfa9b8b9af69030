//! The engine: what collectors and queries use.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headrope_model::metric::Family;
use headrope_model::time::now_ns;
use headrope_model::{DataSet, RefuseReason};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::commit::{self, DISK_RETRY, Pending};
use crate::compact::Extent;
use crate::config::StorageConfig;
use crate::counts::Counts;
use crate::entry::Content;
use crate::error::{AppendError, StorageError};
use crate::export::Submission;
use crate::log::LogWriter;
use crate::pack::Packers;
use crate::shared::{Receipt, Shared};
use crate::snapshot::Snapshot;
use crate::state::{Budget, Room, State};
use crate::{background, backlog, compact, disk, encode, files, flush, recover, retention};

/// Room taken per uncompressed byte: the bytes, the decoded structs, the rows and the log payload.
const ROOM_PER_BYTE: usize = 4;
/// When a client should try again after the budget refused.
const BUDGET_RETRY: Duration = Duration::from_secs(1);
/// Requests of at least this size are encoded on the blocking pool, so that they do not hold up the
/// runtime.
const OFFLOAD_BYTES: usize = 32 << 10;

/// Room in the memory budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    room: Room,
}

/// The storage engine of one data directory.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Sender<Pending>>>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// The log thread, which ends when the queue is closed, and the encoding thread, when the backlog
    /// is.
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

impl Engine {
    /// Opens or creates the data directory, recovers, and starts the background tasks.
    ///
    /// # Errors
    /// When the directory is in use, damaged or written by a newer version.
    pub async fn open(mut config: StorageConfig) -> Result<Arc<Self>, StorageError> {
        files::create_dir(&config.data_dir)?;
        // Who reads segments by their addresses needs whole paths.
        config.data_dir =
            std::fs::canonicalize(&config.data_dir).map_err(files::io("find", &config.data_dir))?;
        let lock = files::lock(&config.data_dir)?;
        let shared = Arc::new(Self::recover(config).await?);
        background::check_disk(&shared);
        let (sender, receiver) = commit::queue();
        let log = LogWriter::new(&shared.log_dir, shared.config.durability);
        let committer = commit::spawn(Arc::clone(&shared), receiver, log)
            .map_err(files::io("start the log thread for", &shared.log_dir))?;
        let encoder = backlog::spawn(Arc::clone(&shared))?;
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(background::flush_loop(Arc::clone(&shared), stop.clone())),
            tokio::spawn(background::maintenance_loop(Arc::clone(&shared), stop.clone())),
        ];
        Ok(Arc::new(Self {
            shared,
            queue: Mutex::new(Some(sender)),
            stop,
            tasks: Mutex::new(tasks),
            threads: Mutex::new(vec![committer, encoder]),
            lock: Mutex::new(Some(lock)),
        }))
    }

    async fn recover(config: StorageConfig) -> Result<Shared, StorageError> {
        let log_dir = config.data_dir.join("log");
        let segments_dir = config.data_dir.join("segments");
        files::create_dir(&log_dir)?;
        files::create_dir(&segments_dir)?;
        let in_use = !files::list(&segments_dir, "parquet")?.is_empty();
        let catalog = Catalog::open(&config.data_dir.join("catalog.sqlite"), in_use).await?;
        files::sync_dir(&config.data_dir)?;
        let (watermark, metas, horizons) = catalog.load().await?;
        recover::check_segments(&segments_dir, &metas)?;
        let swept = recover::sweep(&segments_dir, &metas)?;
        let state = State::new(&segments_dir, watermark, metas, horizons);
        let budget = Arc::new(Budget::new(config.memory_budget_bytes));
        let shared = Shared {
            config,
            log_dir,
            segments_dir,
            catalog,
            state: Mutex::new(state),
            budget,
            counts: Counts::default(),
            flush_due: Notify::new(),
            waiting: tokio::sync::Mutex::new(()),
            encode_due: parking_lot::Condvar::new(),
            encoding: Mutex::new(()),
            packers: Packers::default(),
            flushing: tokio::sync::Mutex::new(()),
            maintaining: tokio::sync::Mutex::new(()),
            refusing: Mutex::new(None),
            rotate: false.into(),
        };
        let replay = recover::replay(&shared)?;
        shared.counts.replayed.add(replay.entries);
        tracing::info!(
            watermark,
            entries = replay.entries,
            last_seq = replay.last_seq,
            cut_bytes = replay.cut_bytes,
            swept,
            "recovered"
        );
        Ok(shared)
    }

    /// Reserves room for a request of `bytes` uncompressed bytes, before it is decoded.
    ///
    /// # Errors
    /// [`AppendError::Retry`] over the memory budget, on a full disk or during shutdown.
    pub fn admit(&self, bytes: usize) -> Result<Permit, AppendError> {
        if let Some(reason) = self.shared.refusing() {
            return Err(AppendError::Retry { reason, after: DISK_RETRY });
        }
        match self.shared.budget.take(bytes.saturating_mul(ROOM_PER_BYTE)) {
            Some(room) => Ok(Permit { room }),
            None => {
                self.shared.flush_due.notify_one();
                let reason = RefuseReason::OverBudget;
                Err(AppendError::Retry { reason, after: BUDGET_RETRY })
            }
        }
    }

    /// Waits until there is room for a request of `bytes` uncompressed bytes, behind those that wait
    /// already. The room is not reserved: [`Self::admit`] may still find none, if the disk is full, the
    /// request is larger than the budget, or others were faster.
    pub async fn await_room(&self, bytes: usize) {
        let wanted = bytes.saturating_mul(ROOM_PER_BYTE);
        let budget = &self.shared.budget;
        let _turn = match self.shared.waiting.try_lock() {
            // Nobody waits, and nobody has to.
            Ok(_) if budget.settled(wanted) => return,
            Ok(turn) => turn,
            Err(_) => self.shared.waiting.lock().await,
        };
        loop {
            let freed = budget.freed();
            if budget.settled(wanted) || self.shared.refusing().is_some() {
                return;
            }
            self.shared.flush_due.notify_one();
            freed.await;
        }
    }

    /// Stores a submission; when this returns `Ok`, it is durable and visible to new snapshots.
    ///
    /// # Errors
    /// When nothing was stored: retry, or a failure of the disk.
    pub async fn append(
        &self,
        permit: Permit,
        submission: Submission,
    ) -> Result<Receipt, AppendError> {
        let received_ns = now_ns();
        let (reply, receipt) = oneshot::channel();
        let heavy = submission.payload().len() >= OFFLOAD_BYTES;
        let shared = Arc::clone(&self.shared);
        let prepare = move || prepare(&shared, permit, submission, received_ns, reply);
        let pending =
            if heavy { self.shared.blocking("encoding", prepare).await? } else { prepare()? };
        let sender = self.queue.lock().clone();
        let shutting_down =
            || AppendError::Retry { reason: RefuseReason::ShuttingDown, after: DISK_RETRY };
        let sender = sender.ok_or_else(shutting_down)?;
        sender.send(pending).await.map_err(|_| shutting_down())?;
        receipt.await.map_err(|_| StorageError::TaskGone("ingest log"))?
    }

    /// A snapshot with every row that was acknowledged before; cheap, unless requests have to be made
    /// rows first, which takes milliseconds.
    ///
    /// # Errors
    /// When that fails.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, StorageError> {
        {
            let mut state = self.shared.state.lock();
            if state.caught_up() {
                return Ok(state.snapshot());
            }
        }
        let shared = Arc::clone(&self.shared);
        let catch_up = move || {
            backlog::catch_up(&shared)?;
            Ok(shared.state.lock().snapshot())
        };
        self.shared.blocking("encoding", catch_up).await
    }

    /// Writes every row that is live now into segments.
    ///
    /// # Errors
    /// When a segment or the catalog cannot be written; the rows stay live.
    pub async fn flush(&self) -> Result<(), StorageError> {
        flush::run(&self.shared).await
    }

    /// Merges segments until no merge is due.
    ///
    /// # Errors
    /// When a segment or the catalog cannot be written; the inputs stay.
    pub async fn compact(&self) -> Result<(), StorageError> {
        compact::run(&self.shared, Extent::Due).await
    }

    /// As [`Self::compact`], and merges what is left over however new it is: for measuring, and before a
    /// backup that is to be small. What comes later may be merged with it again.
    ///
    /// # Errors
    /// When a segment or the catalog cannot be written; the inputs stay.
    pub async fn compact_all(&self) -> Result<(), StorageError> {
        compact::run(&self.shared, Extent::All).await
    }

    /// Drops whole segments that are past their signal's limits; returns how many.
    ///
    /// # Errors
    /// When the catalog cannot be written; the segments stay.
    pub async fn expire(&self) -> Result<usize, StorageError> {
        retention::run(&self.shared).await
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Looks at the room on the disk: refuses submissions while there is too little, and takes them
    /// again when there is enough.
    pub fn check_disk(&self) {
        background::check_disk(&self.shared);
    }

    /// Whether the engine takes writes; otherwise why not.
    ///
    /// # Errors
    /// The reason new submissions are refused.
    pub fn ready(&self) -> Result<(), RefuseReason> {
        self.shared.refusing().map_or(Ok(()), Err)
    }

    /// Metric families of the engine.
    #[must_use]
    pub fn metrics(&self) -> Vec<Family> {
        let mut families = self.shared.counts.families();
        let whole = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (mut segments, mut rows, mut bytes) = (
            Family::gauge("headrope_segments", "Published segments."),
            Family::gauge("headrope_segment_rows", "Rows in published segments."),
            Family::gauge("headrope_segment_bytes", "Bytes of published segments and indexes."),
        );
        {
            let state = self.shared.state.lock();
            for data_set in DataSet::ALL {
                let labels = || vec![("data_set", data_set.name().to_owned())];
                let list = state.segments(data_set);
                segments = segments.with(labels(), whole(list.len()));
                rows = rows.with(labels(), list.iter().map(|s| s.meta.rows).sum());
                let size = |s: &crate::Segment| s.meta.bytes + s.meta.index_bytes.unwrap_or(0);
                bytes = bytes.with(labels(), list.iter().map(|s| size(s)).sum());
            }
        }
        let live = whole(self.shared.budget.live());
        let in_flight = whole(self.shared.budget.in_flight());
        let limit = whole(self.shared.config.memory_budget_bytes);
        let disk_full = self.shared.refusing() == Some(RefuseReason::DiskFull);
        families.extend([
            segments,
            rows,
            bytes,
            Family::gauge("headrope_memory_bytes", "Memory budget in use.")
                .with(vec![("part", "live".to_owned())], live)
                .with(vec![("part", "in_flight".to_owned())], in_flight),
            Family::gauge("headrope_memory_budget_bytes", "Memory budget.").with(Vec::new(), limit),
            Family::gauge("headrope_disk_free_bytes", "Free space where the data directory is.")
                .with(Vec::new(), disk::free_bytes(&self.shared.config.data_dir).unwrap_or(0)),
            Family::gauge("headrope_refusing", "1 while no request is stored, by reason.")
                .with(vec![("reason", "disk_full".to_owned())], u64::from(disk_full)),
        ]);
        families
    }

    /// Gives the directory up without closing anything, as a process that dies does; nothing may be
    /// done with the engine afterwards. For tests of recovery.
    pub fn release_lock(&self) {
        self.shared.refuse(RefuseReason::ShuttingDown);
        self.queue.lock().take();
        self.lock.lock().take();
    }

    /// Stops taking submissions, flushes, and closes the files.
    ///
    /// # Errors
    /// When the last flush fails; the log still holds every acknowledged row.
    pub async fn shutdown(&self) -> Result<(), StorageError> {
        self.shared.refuse(RefuseReason::ShuttingDown);
        self.queue.lock().take();
        let threads = std::mem::take(&mut *self.threads.lock());
        let shared = Arc::clone(&self.shared);
        let join = move || {
            // In the order of `open`: the log thread ends with the queue, then no entry comes.
            for thread in threads {
                thread.join().map_err(|_| StorageError::TaskGone("ingest log or encoding"))?;
                shared.close();
            }
            Ok(())
        };
        self.shared.blocking("ingest log", join).await?;
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.await.map_err(|_| StorageError::TaskGone("background"))?;
        }
        flush::run(&self.shared).await?;
        // Everything is in segments now; an empty log makes the next start quick.
        for path in files::list(&self.shared.log_dir, crate::log::EXTENSION)? {
            files::remove(&path)?;
        }
        self.shared.catalog.close().await;
        Ok(())
    }
}

impl Drop for Engine {
    /// Without [`Engine::shutdown`] the background tasks are stopped where they are; the log holds
    /// every acknowledged row.
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.close();
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

/// Compresses the payload; rows are made here only of what was decoded anyway.
fn prepare(
    shared: &Shared,
    permit: Permit,
    submission: Submission,
    received_ns: i64,
    reply: oneshot::Sender<Result<Receipt, AppendError>>,
) -> Result<Pending, StorageError> {
    let too_large = |_| StorageError::Io {
        action: "log a request over 4 GiB in",
        path: PathBuf::from("log"),
        source: std::io::ErrorKind::FileTooLarge.into(),
    };
    let raw_len = u32::try_from(submission.payload().len()).map_err(too_large)?;
    let packed = shared
        .packers
        .pack(submission.payload())
        .map_err(files::io("compress a request for", &shared.log_dir))?;
    let signal = submission.signal();
    let (records, content) = match submission {
        Submission::Plain { records, payload, .. } => (records, Content::Payload(signal, payload)),
        Submission::Decoded { export, .. } => {
            let rows = encode::rows(&export)?;
            // Trace parts are derived and do not count.
            let own = rows.first().map_or(0, |(_, batch)| batch.num_rows());
            (u64::try_from(own).unwrap_or(u64::MAX), Content::Rows(rows))
        }
    };
    let room = permit.room;
    Ok(Pending { signal, raw_len, received_ns, records, packed, content, room, reply })
}
