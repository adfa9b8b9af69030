//! What the engine, its log thread and its background tasks share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headrope_model::RefuseReason;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::catalog::Catalog;
use crate::config::StorageConfig;
use crate::counts::Counts;
use crate::error::StorageError;
use crate::files;
use crate::pack::Packers;
use crate::state::{Budget, State};

/// Proof that a submission is durable and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Position in the ingest log.
    pub seq: u64,
    /// Rows stored.
    pub rows: u64,
}

/// What the engine's tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: StorageConfig,
    pub(crate) log_dir: PathBuf,
    pub(crate) segments_dir: PathBuf,
    pub(crate) catalog: Catalog,
    /// Guards what is visible. Held briefly; never across an await or a file operation.
    pub(crate) state: Mutex<State>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) counts: Counts,
    pub(crate) flush_due: Notify,
    /// Held by the request that gets room next.
    pub(crate) waiting: tokio::sync::Mutex<()>,
    /// Tells the encoding thread that the backlog is due, or closed. Goes with `state`.
    pub(crate) encode_due: parking_lot::Condvar,
    /// One at a time makes rows of the backlog.
    pub(crate) encoding: Mutex<()>,
    pub(crate) packers: Packers,
    /// One flush at a time.
    pub(crate) flushing: tokio::sync::Mutex<()>,
    /// One merge or retention run at a time.
    pub(crate) maintaining: tokio::sync::Mutex<()>,
    pub(crate) refusing: Mutex<Option<RefuseReason>>,
    pub(crate) rotate: AtomicBool,
}

impl Shared {
    /// Refuses new submissions until [`Shared::accept`].
    pub(crate) fn refuse(&self, reason: RefuseReason) {
        *self.refusing.lock() = Some(reason);
    }

    /// Takes new submissions again, unless the engine is shutting down.
    pub(crate) fn accept(&self) {
        let mut refusing = self.refusing.lock();
        if *refusing != Some(RefuseReason::ShuttingDown) {
            *refusing = None;
        }
    }

    pub(crate) fn refusing(&self) -> Option<RefuseReason> {
        *self.refusing.lock()
    }

    /// No more entries come: the encoding thread ends.
    pub(crate) fn close(&self) {
        self.state.lock().close();
        self.encode_due.notify_all();
    }

    /// Asks the log to start a new file, so that the current one can be trimmed.
    pub(crate) fn request_rotation(&self) {
        self.rotate.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_rotation(&self) -> bool {
        self.rotate.swap(false, Ordering::Relaxed)
    }

    /// After a commit whose outcome was unknown, catalog and memory may disagree on the watermark.
    /// Flushing on would store rows twice, so this refuses until a restart reads the truth.
    pub(crate) async fn check_watermark(&self) -> Result<(), StorageError> {
        let stored = self.catalog.watermark().await?;
        if stored == self.state.lock().watermark() {
            return Ok(());
        }
        Err(StorageError::TaskGone("flush (the catalog moved on without it)"))
    }

    /// Runs CPU- and disk-heavy work that a client waits for off the runtime.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        tokio::task::spawn_blocking(work).await.map_err(|_| StorageError::TaskGone(what))?
    }

    /// Runs maintenance on a thread of its own that gives way to the threads clients wait for: on a
    /// busy machine a flush or a merge takes longer instead of every acknowledgement.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        what: &'static str,
        niceness: i32,
        work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (done, result) = tokio::sync::oneshot::channel();
        let run = move || {
            // On Linux the priority is the thread's own; elsewhere it would be the whole process's.
            if cfg!(target_os = "linux") {
                // Where it cannot be lowered, work goes on as it is.
                let _ = rustix::process::nice(niceness);
            }
            // The receiver is gone when the engine was dropped; the work is then thrown away.
            let _ = done.send(work());
        };
        let thread = std::thread::Builder::new()
            .name(what.to_owned())
            .spawn(run)
            .map_err(files::io("start a thread for", &self.segments_dir))?;
        let result = result.await.map_err(|_| StorageError::TaskGone(what));
        // It has sent its result or panicked, so this does not wait.
        let _ = thread.join();
        result?
    }
}
