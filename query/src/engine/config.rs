//! Limits of the query engine: plain data, validated by the server.

use std::path::PathBuf;
use std::time::Duration;

/// What queries may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryConfig {
    /// Memory all running queries share, in bytes; operators that reach it spill or fail.
    pub memory_bytes: usize,
    /// Disk that spilled operators may use, in bytes.
    pub spill_bytes: u64,
    /// Whether aggregations over spans are answered from roll-ups; the answers are the same.
    pub use_rollups: bool,
    /// Where operators spill; the system's temporary directory without.
    pub spill_dir: Option<PathBuf>,
    /// Memory for Parquet footers and page indexes, in bytes.
    pub metadata_cache_bytes: usize,
    /// Memory for open text indexes, in bytes.
    pub text_cache_bytes: u64,
    /// Partitions of a plan: how many cores one query may use.
    pub partitions: usize,
    /// Questions that are answered at the same time.
    pub concurrent: usize,
    /// Questions that wait for their turn; more are refused at once.
    pub waiting: usize,
    /// Longest time a question may take unless it says otherwise, waiting included.
    pub timeout: Duration,
    /// Longest time a question may ask for.
    pub max_timeout: Duration,
    /// Rows of a SQL answer unless the question says otherwise.
    pub default_rows: usize,
    /// Most rows a question may ask for.
    pub max_rows: usize,
    /// Bytes of Arrow data in one SQL answer; what is beyond is cut off and said so.
    pub max_result_bytes: usize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            memory_bytes: 1 << 30,
            spill_bytes: 8 << 30,
            use_rollups: true,
            spill_dir: None,
            metadata_cache_bytes: 512 << 20,
            text_cache_bytes: 256 << 20,
            partitions: cores,
            concurrent: (2 * cores).max(4),
            waiting: 64,
            timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(300),
            default_rows: 10_000,
            max_rows: 1_000_000,
            max_result_bytes: 128 << 20,
        }
    }
}
