//! Compression of what is logged.

use std::fmt;

use parking_lot::Mutex;
use zstd::bulk::Compressor;

/// The log is written once and read after a crash only: the fastest level will do.
const LEVEL: i32 = 1;
/// Compressors kept for the next request; each holds about a megabyte.
const KEPT: usize = 8;

/// Compressors and their output buffers, kept: new ones would touch a megabyte of fresh memory each time.
#[derive(Default)]
pub(crate) struct Packers(Mutex<Vec<(Compressor<'static>, Vec<u8>)>>);

impl Packers {
    /// Compresses a payload.
    pub(crate) fn pack(&self, payload: &[u8]) -> std::io::Result<Vec<u8>> {
        let kept = self.0.lock().pop();
        let (mut compressor, mut buffer) = match kept {
            Some(kept) => kept,
            None => (Compressor::new(LEVEL)?, Vec::new()),
        };
        buffer.clear();
        buffer.reserve(zstd::zstd_safe::compress_bound(payload.len()));
        compressor.compress_to_buffer(payload, &mut buffer)?;
        let packed = buffer.as_slice().to_vec();
        // A large request must not leave a large buffer behind.
        buffer.shrink_to(1 << 20);
        let mut kept = self.0.lock();
        if kept.len() < KEPT {
            kept.push((compressor, buffer));
        }
        Ok(packed)
    }
}

impl fmt::Debug for Packers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packers").field("kept", &self.0.lock().len()).finish()
    }
}
