//! Settings of the storage engine: plain data, validated by the server.

use std::path::PathBuf;
use std::time::Duration;

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The batch was written and `fdatasync` returned: it survives power loss.
    #[default]
    Fsync,
    /// The batch was handed to the operating system: it survives `kill -9`, not power loss.
    PageCache,
}

/// Settings of the storage engine.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    /// Directory that holds everything; created if absent.
    pub data_dir: PathBuf,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Live rows plus requests in flight, in bytes, above which new requests are refused.
    pub memory_budget_bytes: usize,
    /// Live bytes at which a flush starts.
    pub flush_bytes: usize,
    /// Age of the oldest live row at which a flush starts.
    pub flush_age: Duration,
    /// Rows a compacted segment may have.
    pub compact_max_rows: u64,
    /// Number of segments of one level that are merged into one of the next.
    pub compact_fan_in: usize,
    /// Time without a new segment after which the segments left over in a day are merged, however few.
    pub compact_settled: Duration,
    /// How often the background task looks for segments to merge and to drop.
    pub maintenance_interval: Duration,
    /// Age after which whole segments of spans and trace parts are dropped; `None` keeps them.
    pub retain_traces: Option<Duration>,
    /// As `retain_traces`, for logs.
    pub retain_logs: Option<Duration>,
    /// As `retain_traces`, for metrics.
    pub retain_metrics: Option<Duration>,
    /// Bytes of spans and trace parts, in segments, above which the oldest segments are dropped; `None`
    /// keeps them.
    pub retain_traces_bytes: Option<u64>,
    /// As `retain_traces_bytes`, for logs and their text indexes.
    pub retain_logs_bytes: Option<u64>,
    /// As `retain_traces_bytes`, for metrics.
    pub retain_metrics_bytes: Option<u64>,
    /// As `retain_traces`, for roll-ups. Questions about spans use them only where the spans are still
    /// there; older ones are seen through the views of the roll-ups.
    pub retain_rollups: Option<Duration>,
    /// Free bytes on the disk under which new requests are refused.
    pub min_free_bytes: u64,
}

impl StorageConfig {
    /// Defaults for a directory.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            durability: Durability::Fsync,
            memory_budget_bytes: 512 << 20,
            flush_bytes: 128 << 20,
            flush_age: Duration::from_secs(120),
            compact_max_rows: 4 << 20,
            compact_fan_in: 8,
            compact_settled: Duration::from_secs(900),
            maintenance_interval: Duration::from_secs(10),
            retain_traces: Some(Duration::from_secs(14 * 86_400)),
            retain_logs: Some(Duration::from_secs(14 * 86_400)),
            retain_metrics: Some(Duration::from_secs(90 * 86_400)),
            retain_traces_bytes: None,
            retain_logs_bytes: None,
            retain_metrics_bytes: None,
            retain_rollups: Some(Duration::from_secs(400 * 86_400)),
            min_free_bytes: 512 << 20,
        }
    }
}
