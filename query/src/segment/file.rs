//! A segment's file, read at places of one's choice, without a position of its own.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use headrope_storage::Segment;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

/// Ranges closer to each other than this are read at once: a read costs about as much as copying so
/// many bytes.
const GAP_BYTES: u64 = 8 << 10;
/// Most bytes that are read at once because ranges are close.
const MOST_BYTES: u64 = 4 << 20;

/// An open segment file. Cheap to clone; reads do not disturb each other. Bytes are checked against
/// the segment's checksums before they are given out for the first time.
#[derive(Debug, Clone)]
pub(crate) struct Positioned {
    file: Arc<File>,
    bytes: u64,
    /// Where the checksums are; without, nothing is checked.
    segment: Option<Arc<Segment>>,
}

impl Positioned {
    /// Opens the file of a segment.
    pub(crate) fn of(segment: &Arc<Segment>) -> io::Result<Self> {
        let open = Self::open(segment.path(), segment.meta().bytes)?;
        Ok(Self { segment: Some(Arc::clone(segment)), ..open })
    }

    /// Opens a file that is known to have so many bytes; the caller checks them.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { file: Arc::new(File::open(path)?), bytes, segment: None })
    }

    /// The bytes of a range.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wrong = || io::Error::new(io::ErrorKind::UnexpectedEof, "a range beyond the file");
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= self.bytes);
        let length = usize::try_from(length.ok_or_else(wrong)?).map_err(|_| wrong())?;
        if let Some(segment) = &self.segment {
            segment.check(std::slice::from_ref(&range)).map_err(io::Error::other)?;
        }
        self.fetch(length, range.start).map(Bytes::from)
    }

    /// Bytes from a place on, into memory that is not zeroed first.
    fn fetch(&self, length: usize, start: u64) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            let at = start + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // There may be more room than was asked for.
        buffer.truncate(length);
        Ok(buffer)
    }

    /// The bytes of each of some ranges; those that lie close together are read at once.
    pub(crate) fn read_all(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|at| ranges.get(*at).map(|r| r.start));
        let mut out = vec![Bytes::new(); ranges.len()];
        let mut pending: Vec<(usize, Range<u64>)> = Vec::new();
        let mut whole: Range<u64> = 0..0;
        for at in order {
            let Some(range) = ranges.get(at).cloned() else { continue };
            let near = range.start <= whole.end.saturating_add(GAP_BYTES)
                && range.end.max(whole.end) - whole.start <= MOST_BYTES;
            if pending.is_empty() {
                whole = range.clone();
            } else if near {
                whole.end = whole.end.max(range.end);
            } else {
                self.read_into(&mut out, std::mem::take(&mut pending), whole)?;
                whole = range.clone();
            }
            pending.push((at, range));
        }
        self.read_into(&mut out, pending, whole)?;
        Ok(out)
    }

    fn read_into(
        &self,
        out: &mut [Bytes],
        parts: Vec<(usize, Range<u64>)>,
        whole: Range<u64>,
    ) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        let bytes = self.read(whole.clone())?;
        let offset = |at: u64| usize::try_from(at - whole.start).unwrap_or(usize::MAX);
        for (at, part) in parts {
            if let Some(slot) = out.get_mut(at) {
                *slot = bytes.slice(offset(part.start)..offset(part.end));
            }
        }
        Ok(())
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Positioned {
    type T = From;

    fn get_read(&self, start: u64) -> Result<From> {
        Ok(From { file: self.clone(), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.saturating_add(length as u64);
        self.read(start..end).map_err(ParquetError::from)
    }
}

/// Reads on from a place.
#[derive(Debug)]
pub(crate) struct From {
    file: Positioned,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (buffer.len() as u64).min(self.file.bytes.saturating_sub(self.at));
        let bytes = self.file.read(self.at..self.at + length)?;
        self.at += length;
        let (now, _) = buffer.split_at_mut(bytes.len());
        now.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_read_together_are_the_ranges(
            ranges in prop::collection::vec((0_u64..90_000, 0_u64..9_000), 0..20),
        ) {
            let bytes: Vec<u8> = (0..100_000_u32).map(|n| ((n * 31) >> 3) as u8).collect();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, &bytes).unwrap();
            let file = Positioned::open(&path, bytes.len() as u64).unwrap();
            let ranges: Vec<_> = ranges.into_iter().map(|(from, n)| from..from + n).collect();
            let found = file.read_all(&ranges).unwrap();
            prop_assert_eq!(found.len(), ranges.len());
            for (found, range) in found.iter().zip(&ranges) {
                prop_assert_eq!(&found[..], &bytes[range.start as usize..range.end as usize]);
            }
            prop_assert!(file.read(99_999..100_001).is_err());
        }
    }
}
