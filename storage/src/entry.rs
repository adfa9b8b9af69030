//! An acknowledged request.

use arrow::array::RecordBatch;
use bytes::Bytes;
use headrope_model::{DataSet, Signal};

use crate::live::memory;

/// Payload bytes that are encoded together: some 16,000 spans, which a snapshot waits 15 ms for.
pub(crate) const CHUNK_BYTES: usize = 6 << 20;
/// Rows by data set.
pub(crate) type Rows = Vec<(DataSet, RecordBatch)>;

/// What is known of a request.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Its rows.
    Rows(Rows),
    /// Its bytes.
    Payload(Signal, Bytes),
}

impl Content {
    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.iter().map(|(_, batch)| memory(batch)).sum(),
            Self::Payload(_, payload) => payload.len(),
        }
    }
}

/// A request in the backlog.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Number of its log entry.
    pub(crate) seq: u64,
    pub(crate) content: Content,
}
