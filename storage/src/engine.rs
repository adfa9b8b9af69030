//! The engine: what collectors and queries use.

use std::sync::Arc;

use headrope_model::metric::Family;

use crate::config::StorageConfig;
use crate::error::{AppendError, StorageError};
use crate::export::Submission;
use crate::snapshot::Snapshot;

/// Room in the memory budget, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _bytes: usize,
}

/// Proof that a submission is durable and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Position in the ingest log.
    pub seq: u64,
    /// Rows stored.
    pub rows: u64,
}

/// The storage engine of one data directory.
#[derive(Debug)]
pub struct Engine {
    config: StorageConfig,
}

impl Engine {
    /// Opens or creates the data directory, recovers, and starts the background tasks.
    ///
    /// # Errors
    /// When the directory is in use, damaged or written by a newer version.
    pub async fn open(config: StorageConfig) -> Result<Arc<Self>, StorageError> {
        Ok(Arc::new(Self { config }))
    }

    /// Reserves room for a request of `bytes` uncompressed bytes, before it is decoded.
    ///
    /// # Errors
    /// [`AppendError::Retry`] over the memory budget, on a full disk or during shutdown.
    pub fn admit(&self, bytes: usize) -> Result<Permit, AppendError> {
        let _ = &self.config;
        Ok(Permit { _bytes: bytes })
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
        drop((permit, submission));
        Ok(Receipt { seq: 0, rows: 0 })
    }

    /// The current snapshot; cheap.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot::default())
    }

    /// Writes every row that is live now into segments.
    ///
    /// # Errors
    /// When a segment or the catalog cannot be written; the rows stay live.
    pub async fn flush(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Merges segments until no merge is due.
    ///
    /// # Errors
    /// When a segment or the catalog cannot be written; the inputs stay.
    pub async fn compact(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// Whether the engine takes writes; otherwise why not.
    ///
    /// # Errors
    /// The reason new submissions are refused.
    pub fn ready(&self) -> Result<(), headrope_model::RefuseReason> {
        Ok(())
    }

    /// Metric families of the engine.
    #[must_use]
    pub fn metrics(&self) -> Vec<Family> {
        Vec::new()
    }

    /// Stops taking submissions, flushes, and closes the files.
    ///
    /// # Errors
    /// When the last flush fails; the log still holds every acknowledged row.
    pub async fn shutdown(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
