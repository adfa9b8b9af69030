//! body → decompressed, never beyond the limit.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::budget::{Exhausted, Reservation};

/// First read when nothing says how large the content is.
const MIN_STEP: usize = 64 << 10;
/// Largest growth at once.
const MAX_STEP: usize = 8 << 20;
/// Deflate cannot shrink more than this (RFC 1951: 258 bytes from two bits).
const DEFLATE_RATIO: usize = 1032;
/// Largest zstd window, 32 MiB: what the strongest streaming levels of common encoders use.
const ZSTD_WINDOW_LOG: u32 = 25;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
    /// RFC 1950 (zlib), or bare RFC 1951 as some clients send it.
    Deflate,
}

impl Encoding {
    /// What is understood, for `Accept-Encoding`.
    pub(crate) const ACCEPTED: &'static str = "gzip, zstd, deflate, identity";

    /// Reads one content coding; `None` if it is not supported.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if name.is_empty() || is("identity") => Some(Self::Identity),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () if is("deflate") => Some(Self::Deflate),
            () => None,
        }
    }

    /// How large the content of `body` claims to be; a hint, not to be trusted.
    pub(crate) fn size_hint(self, body: &[u8]) -> usize {
        match self {
            Self::Identity => body.len(),
            Self::Gzip => {
                let size = body.last_chunk().map_or(0, |tail| u32::from_le_bytes(*tail) as usize);
                size.min(body.len().saturating_mul(DEFLATE_RATIO))
            }
            Self::Zstd => zstd::zstd_safe::get_frame_content_size(body)
                .ok()
                .flatten()
                .map_or(body.len().saturating_mul(4), |n| usize::try_from(n).unwrap_or(usize::MAX)),
            Self::Deflate => body.len().saturating_mul(4),
        }
    }
}

/// Why a body could not be decompressed.
#[derive(Debug)]
pub(crate) enum InflateError {
    /// It is not what its encoding says.
    Damaged(std::io::Error),
    /// Its content is larger than the limit.
    TooLarge,
    /// There is no memory for it.
    Exhausted(Exhausted),
}

/// Decompresses `body`, reserving memory before it is used; at most `limit` bytes.
///
/// # Errors
/// When the body is damaged, its content larger than `limit`, or memory short.
pub(crate) fn inflate(
    encoding: Encoding,
    body: Bytes,
    limit: usize,
    room: &mut Reservation,
) -> Result<Bytes, InflateError> {
    let raw: &[u8] = &body;
    let hint = encoding.size_hint(raw);
    match encoding {
        Encoding::Identity if raw.len() > limit => Err(InflateError::TooLarge),
        Encoding::Identity => Ok(body),
        Encoding::Gzip => read_all(MultiGzDecoder::new(raw), hint, limit, room),
        Encoding::Deflate if is_zlib(raw) => read_all(ZlibDecoder::new(raw), hint, limit, room),
        Encoding::Deflate => read_all(DeflateDecoder::new(raw), hint, limit, room),
        Encoding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(raw).map_err(InflateError::Damaged)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(InflateError::Damaged)?;
            read_all(decoder, hint, limit, room)
        }
    }
}

/// RFC 1950: method 8, and the first two bytes are a multiple of 31.
fn is_zlib(raw: &[u8]) -> bool {
    match raw {
        [cmf, flg, ..] => cmf & 15 == 8 && (u16::from(*cmf) << 8 | u16::from(*flg)) % 31 == 0,
        _ => true,
    }
}

fn read_all(
    mut reader: impl Read,
    hint: usize,
    limit: usize,
    room: &mut Reservation,
) -> Result<Bytes, InflateError> {
    let mut out = Vec::new();
    // One byte more than expected shows the end of the content without another round.
    let mut step = hint.saturating_add(1).max(MIN_STEP);
    loop {
        let want = step.min(limit + 1 - out.len());
        room.grow(want).map_err(InflateError::Exhausted)?;
        out.reserve_exact(want);
        let mut part = (&mut reader).take(want as u64);
        let got = part.read_to_end(&mut out).map_err(InflateError::Damaged)?;
        if out.len() > limit {
            return Err(InflateError::TooLarge);
        }
        if got < want {
            return Ok(Bytes::from(out));
        }
        step = out.len().min(MAX_STEP);
    }
}

#[cfg(test)]
mod tests;
