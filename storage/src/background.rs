//! The engine's background tasks. A failure is logged, counted and tried again.

use std::sync::Arc;

use headrope_model::RefuseReason;
use tokio_util::sync::CancellationToken;

use crate::compact::Extent;
use crate::error::StorageError;
use crate::shared::Shared;
use crate::{compact, disk, flush, retention};

fn note(shared: &Shared, what: &str, result: Result<(), StorageError>) {
    if let Err(error) = result {
        shared.counts.background_failures.add(1);
        tracing::error!(%error, "{what} failed and will be tried again");
    }
}

/// Flushes when the live buffer is large or old enough.
pub(crate) async fn flush_loop(shared: Arc<Shared>, stop: CancellationToken) {
    let check = (shared.config.flush_age / 4)
        .clamp(std::time::Duration::from_millis(10), std::time::Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.flush_due.notified() => {}
            () = tokio::time::sleep(check) => {
                let oldest = shared.state.lock().oldest_live();
                if oldest.is_none_or(|at| at.elapsed() < shared.config.flush_age) {
                    continue;
                }
            }
        }
        note(&shared, "flush", flush::run(&shared).await);
    }
}

/// Watches the disk, merges and drops segments.
pub(crate) async fn maintenance_loop(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(shared.config.maintenance_interval) => {}
        }
        check_disk(&shared);
        note(&shared, "retention", retention::run(&shared).await.map(|_| ()));
        if shared.refusing() == Some(RefuseReason::DiskFull) {
            // A merge needs room before it gives any back.
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            result = compact::run(&shared, Extent::Due) => note(&shared, "compaction", result),
        }
    }
}

/// Refuses submissions while the disk is nearly full and takes them again when it is not.
pub(crate) fn check_disk(shared: &Shared) {
    let Some(free) = disk::free_bytes(&shared.config.data_dir) else { return };
    if free < shared.config.min_free_bytes {
        if shared.refusing().is_none() {
            tracing::error!(free, needed = shared.config.min_free_bytes, "the disk is nearly full");
        }
        shared.refuse(RefuseReason::DiskFull);
    } else if shared.refusing() == Some(RefuseReason::DiskFull) {
        tracing::info!(free, "the disk has room again");
        shared.accept();
    }
}
