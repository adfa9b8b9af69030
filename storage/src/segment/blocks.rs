//! One zstd frame of several blocks. Bytes of one block share a table of codes: levels and values of a
//! page are distributed so differently that each is smaller with a table of its own.

use parquet::errors::ParquetError;
use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{
    CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name,
};

/// Compresses parts into one frame, each part but the shortest ones as blocks of its own.
pub(super) struct Blocks {
    context: CCtx<'static>,
}

/// Parts shorter than this share a block with the next one.
const MIN_BLOCK: usize = 64;
/// Bytes that a frame and the ends of its blocks take beyond the bound of their contents.
const OVERHEAD: usize = 64;

fn failed(code: usize) -> ParquetError {
    ParquetError::General(format!("zstd: {}", get_error_name(code)))
}

impl Blocks {
    /// With a level of zstd.
    pub(super) fn new(level: i32) -> Result<Self, ParquetError> {
        let no_memory = || ParquetError::General("zstd: no memory for a context".to_owned());
        let mut context = CCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        Ok(Self { context })
    }

    /// The frame, and the number of bytes before compression.
    pub(super) fn compress(&mut self, parts: &[&[u8]]) -> Result<(Vec<u8>, usize), ParquetError> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        self.context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        self.context.set_pledged_src_size(Some(total as u64)).map_err(failed)?;
        let bound = compress_bound(total) + OVERHEAD * parts.len();
        let mut frame = Vec::with_capacity(bound);
        let mut out = OutBuffer::around(&mut frame);
        for part in parts {
            let directive = match part.len() < MIN_BLOCK {
                true => ZSTD_EndDirective::ZSTD_e_continue,
                false => ZSTD_EndDirective::ZSTD_e_flush,
            };
            self.push(part, &mut out, directive)?;
        }
        self.push(&[], &mut out, ZSTD_EndDirective::ZSTD_e_end)?;
        Ok((frame, total))
    }

    fn push(
        &mut self,
        part: &[u8],
        out: &mut OutBuffer<'_, Vec<u8>>,
        directive: ZSTD_EndDirective,
    ) -> Result<(), ParquetError> {
        let mut input = InBuffer::around(part);
        loop {
            let left = self.context.compress_stream2(out, &mut input, directive).map_err(failed)?;
            let all_taken = input.pos() == part.len();
            // Without a flush, what is left is how much more is wanted, not what is to be written.
            if all_taken && (left == 0 || directive == ZSTD_EndDirective::ZSTD_e_continue) {
                return Ok(());
            }
            if out.pos() == out.capacity() {
                return Err(ParquetError::General("zstd: a frame exceeds its bound".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_its_parts(parts in prop::collection::vec(prop::collection::vec(0u8..4, 0..3000), 0..4)) {
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut blocks = Blocks::new(3).unwrap();
            // A context is used again for each page.
            for _ in 0..2 {
                let (frame, total) = blocks.compress(&slices).unwrap();
                let all = parts.concat();
                prop_assert_eq!(total, all.len());
                prop_assert_eq!(zstd::bulk::decompress(&frame, total + 1).unwrap(), all);
            }
        }
    }
}
