//! The ingest log: what makes an acknowledgement durable.
//!
//! Files `log/<first sequence number, 20 digits>.log`, append-only. A file starts with a header and
//! holds frames; a frame is one group commit: all requests that were waiting, under one checksum,
//! made durable by one `fdatasync`.
//!
//! ```text
//! header  magic "HRLOG001" · version u32 · zero u32 · first_seq u64 · created_ns i64      32 bytes
//! frame   magic "HRFR" · crc32 u32 · body_len u32 · count u32 · first_seq u64             24 bytes
//!         body: count × entry
//! entry   signal u8 · codec u8 · zero u16 · raw_len u32 · stored_len u32 · received_ns i64 · bytes
//! ```
//!
//! Integers are little-endian. The checksum (CRC-32, IEEE) covers everything after itself. Entries
//! are numbered from `first_seq`; numbers run on without a gap over frames and files.
//!
//! One frame is in flight at a time, so a crash can damage the last frame only: a reader cuts a
//! damaged tail off, and refuses to go on when anything valid follows the damage.

mod frame;
mod reader;
mod writer;

pub(crate) use frame::FrameBuilder;
pub use frame::fuzz_frames;
pub(crate) use reader::{Replay, inspect, recover};
pub(crate) use writer::LogWriter;

use std::path::{Path, PathBuf};

/// Extension of log files.
pub(crate) const EXTENSION: &str = "log";

/// The file whose first entry has this number.
pub(crate) fn file_name(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.{EXTENSION}"))
}

/// The number of the first entry, from a file's name.
pub(crate) fn first_seq(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
