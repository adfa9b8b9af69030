//! What can go wrong in storage.

use std::path::PathBuf;
use std::time::Duration;

use headrope_model::RefuseReason;

/// A failure of the storage engine.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file's content is not what was written.
    #[error("{} is damaged at byte {offset}: {detail}; restore the file from a backup, or move it away to go on without it", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// The data directory was written by a newer version.
    #[error("{} has format {found}, this version reads up to {supported}; use a newer headrope", path.display())]
    TooNew {
        /// The file or directory.
        path: PathBuf,
        /// Format found.
        found: u32,
        /// Newest format this version reads.
        supported: u32,
    },
    /// The catalog is not there, though there are segments.
    #[error("{} is missing or empty, but there are segments beside it; make it anew with `headrope admin rebuild-catalog`, or restore it from a backup", path.display())]
    NoCatalog {
        /// Where it should be.
        path: PathBuf,
    },
    /// Another process uses the data directory.
    #[error("{} is in use by another headrope process; stop it or choose another --data-dir", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The catalog failed.
    #[error("catalog: {0}")]
    Catalog(#[from] sqlx::Error),
    /// Parquet failed.
    #[error("parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow failed.
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The text index failed.
    #[error("text index: {0}")]
    TextIndex(String),
    /// A background task ended early.
    #[error("the {0} task has stopped; restart headrope")]
    TaskGone(&'static str),
}

/// Why a submission was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing was stored; the client should send it again after the delay.
    #[error("{reason}")]
    Retry {
        /// Why.
        reason: RefuseReason,
        /// When to try again.
        after: Duration,
    },
    /// Storage failed; nothing was acknowledged.
    #[error(transparent)]
    Failed(#[from] StorageError),
}
