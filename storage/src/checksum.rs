//! Checksums of a segment file: a CRC-32 of every block, kept in the file itself.
//!
//! Parquet has an optional checksum per page and none for the footer, the page index and the bloom
//! filters. Here every byte is covered, and a reader checks what it is about to look at before the
//! decoder sees it. The table lies before the footer, where readers of Parquet do not look:
//!
//! ```text
//! data, bloom filters, page index          as Parquet has it: `covered` bytes
//! table     covered u64 · tail u64 · block u32 · footer crc u32 · a crc u32 per block
//! trailer   table length u32 · table crc u32 · "HRSUMS01"                      16 bytes
//! footer, its length u32, "PAR1"           as Parquet has it
//! ```
//!
//! Integers are little-endian, checksums CRC-32 (IEEE). `tail` is where what belongs to the footer
//! begins. The CRC of the table stands for the whole file; the catalog keeps it.

use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::StorageError;
use crate::files::io as io_error;

/// Bytes under one checksum. Pages are about as large, so little is read in excess.
const BLOCK: usize = 16 << 10;
const MAGIC: &[u8; 8] = b"HRSUMS01";
const TRAILER: usize = 16;
const HEADER: usize = 24;
/// Length and magic at the end of a Parquet file.
const PARQUET_END: usize = 8;

/// Passes bytes on and sums them up.
#[derive(Debug)]
pub(crate) struct ChecksumWriter<W> {
    inner: W,
    hasher: crc32fast::Hasher,
    in_block: usize,
    sums: Vec<u32>,
    covered: u64,
    /// What is written from [`Self::hold`] on.
    held: Option<Vec<u8>>,
}

impl<W: Write> ChecksumWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        let hasher = crc32fast::Hasher::new();
        Self { inner, hasher, in_block: 0, sums: Vec::new(), covered: 0, held: None }
    }

    /// Keeps what is written from here on in memory: the indexes and the footer.
    pub(crate) fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.in_block));
            self.hasher.update(now);
            self.in_block += now.len();
            if self.in_block == BLOCK {
                self.end_block();
            }
            rest = later;
        }
        self.covered += bytes.len() as u64;
        Ok(())
    }

    fn end_block(&mut self) {
        let hasher = std::mem::take(&mut self.hasher);
        self.sums.push(hasher.finalize());
        self.in_block = 0;
    }

    /// Writes what was held with the table in its place. Returns the writer and the CRC of the table.
    pub(crate) fn finish(mut self) -> io::Result<(W, u32)> {
        let held = self.held.take().unwrap_or_default();
        let tail = self.covered;
        let footer = held.len().checked_sub(PARQUET_END).and_then(|end| {
            let (len, _) = held.get(end..)?.split_first_chunk::<4>()?;
            end.checked_sub(usize::try_from(u32::from_le_bytes(*len)).ok()?)
        });
        let footer = footer.ok_or_else(|| io::Error::other("the file has no footer"))?;
        let (indexes, footer) = held.split_at(footer);
        self.pass(indexes)?;
        if self.in_block > 0 {
            self.end_block();
        }
        let mut table = Vec::with_capacity(HEADER + self.sums.len() * 4 + TRAILER);
        table.extend(self.covered.to_le_bytes());
        table.extend(tail.to_le_bytes());
        table.extend((BLOCK as u32).to_le_bytes());
        table.extend(crc32fast::hash(footer).to_le_bytes());
        table.extend(self.sums.iter().flat_map(|sum| sum.to_le_bytes()));
        let crc = crc32fast::hash(&table);
        let len = u32::try_from(table.len()).map_err(io::Error::other)?;
        table.extend(len.to_le_bytes());
        table.extend(crc.to_le_bytes());
        table.extend(MAGIC);
        self.inner.write_all(&table)?;
        self.inner.write_all(footer)?;
        self.inner.flush()?;
        Ok((self.inner, crc))
    }
}

impl<W: Write> Write for ChecksumWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.held {
            Some(held) => held.extend_from_slice(bytes),
            None => self.pass(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The checksums of a file, and which blocks were found to be right.
#[derive(Debug)]
pub(crate) struct Checksums {
    sums: Vec<u32>,
    block: u64,
    covered: u64,
    crc: u32,
    /// A bit per block.
    checked: Mutex<Vec<u64>>,
}

fn corrupt(path: &Path, offset: u64, detail: impl Into<String>) -> StorageError {
    StorageError::Corrupt { path: path.to_owned(), offset, detail: detail.into() }
}

pub(crate) fn read_at(
    file: &std::fs::File,
    path: &Path,
    range: Range<u64>,
) -> Result<Vec<u8>, StorageError> {
    let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, range.start) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let end = file.metadata().map_or(range.start, |m| m.len());
            Err(corrupt(path, end, "the file is cut short"))
        }
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|b| b.first_chunk()).copied().unwrap_or([0; N])
}

impl Checksums {
    /// Reads the table, checks it, the footer, and what belongs to the footer. `None` for a file
    /// without a table, which older versions wrote.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] with the place, or when the file cannot be read.
    pub(crate) fn open(
        file: &std::fs::File,
        path: &Path,
        size: u64,
    ) -> Result<Option<Self>, StorageError> {
        let Some(end_at) = size.checked_sub(PARQUET_END as u64) else {
            return Err(corrupt(path, size, "too short for a Parquet file"));
        };
        let end = read_at(file, path, end_at..size)?;
        let footer_len = u64::from(u32::from_le_bytes(number(&end, 0)));
        if end.get(4..) != Some(b"PAR1") {
            return Err(corrupt(path, end_at, "it does not end like a Parquet file"));
        }
        let footer_at = end_at.checked_sub(footer_len);
        let trailer_at = footer_at.and_then(|at| at.checked_sub(TRAILER as u64));
        let (Some(footer_at), Some(trailer_at)) = (footer_at, trailer_at) else {
            return Err(corrupt(path, end_at, "its footer is longer than the file"));
        };
        let trailer = read_at(file, path, trailer_at..footer_at)?;
        if !trailer.ends_with(MAGIC) {
            return Ok(None);
        }
        let table_len = u64::from(u32::from_le_bytes(number(&trailer, 0)));
        let crc = u32::from_le_bytes(number(&trailer, 4));
        let Some(table_at) = trailer_at.checked_sub(table_len) else {
            return Err(corrupt(path, trailer_at, "its checksums are longer than the file"));
        };
        let table = read_at(file, path, table_at..trailer_at)?;
        if crc32fast::hash(&table) != crc || table.len() < HEADER {
            return Err(corrupt(path, table_at, "the checksum of its checksums is wrong"));
        }
        let covered = u64::from_le_bytes(number(&table, 0));
        let tail = u64::from_le_bytes(number(&table, 8));
        let block = u64::from(u32::from_le_bytes(number(&table, 16)));
        let footer_crc = u32::from_le_bytes(number(&table, 20));
        let sums: Vec<u32> = table
            .get(HEADER..)
            .unwrap_or_default()
            .chunks_exact(4)
            .map(|sum| u32::from_le_bytes(number(sum, 0)))
            .collect();
        if block == 0 || covered != table_at || covered.div_ceil(block) != sums.len() as u64 {
            return Err(corrupt(path, table_at, "its checksums do not cover it"));
        }
        let footer = read_at(file, path, footer_at..size)?;
        if crc32fast::hash(&footer) != footer_crc {
            return Err(corrupt(path, footer_at, "the checksum of its footer is wrong"));
        }
        let checked = Mutex::new(vec![0; sums.len().div_ceil(64)]);
        let found = Self { sums, block, covered, crc, checked };
        found.check(file, path, tail..covered)?;
        Ok(Some(found))
    }

    /// As [`Self::open`], for a file that was published with the checksum `wanted`.
    ///
    /// # Errors
    /// Also when the file has another checksum, or none.
    pub(crate) fn open_published(
        file: &std::fs::File,
        path: &Path,
        size: u64,
        wanted: u32,
    ) -> Result<Self, StorageError> {
        match Self::open(file, path, size)? {
            Some(sums) if sums.crc == wanted => Ok(sums),
            Some(sums) => {
                let found = sums.crc;
                let detail =
                    format!("checksum {found:08x}, published with {wanted:08x}: another file");
                Err(corrupt(path, 0, detail))
            }
            None => Err(corrupt(path, size, "its checksums are gone")),
        }
    }

    /// The CRC that stands for the whole file.
    pub(crate) const fn crc(&self) -> u32 {
        self.crc
    }

    /// Checks the blocks of a range that were not checked before.
    pub(crate) fn check(
        &self,
        file: &std::fs::File,
        path: &Path,
        range: Range<u64>,
    ) -> Result<(), StorageError> {
        if self.has(&range) {
            return Ok(());
        }
        self.read(file, path, range).map(drop)
    }

    /// Whether every block of a range was checked.
    pub(crate) fn has(&self, range: &Range<u64>) -> bool {
        self.blocks(range).all(|at| self.is_checked(at))
    }

    /// Reads a range; blocks that were not checked before are read whole and checked. What lies
    /// behind the covered bytes was checked when the file was opened.
    pub(crate) fn read(
        &self,
        file: &std::fs::File,
        path: &Path,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let blocks = self.blocks(&range);
        let unchecked = |at: &u64| !self.is_checked(*at);
        let first = blocks.clone().find(unchecked);
        let last = blocks.clone().rev().find(unchecked);
        let Some((first, last)) = first.zip(last) else {
            return read_at(file, path, range).map(Bytes::from);
        };
        let start = range.start.min(first * self.block);
        let end = range.end.max(((last + 1) * self.block).min(self.covered));
        let bytes = read_at(file, path, start..end)?;
        let place = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        for at in first..=last {
            let from = at * self.block;
            let block = place(from)..place((from + self.block).min(self.covered));
            let sum = usize::try_from(at).ok().and_then(|at| self.sums.get(at));
            if bytes.get(block).map(crc32fast::hash).as_ref() != sum {
                let detail = format!("the checksum of the block of {} bytes is wrong", self.block);
                return Err(corrupt(path, from, detail));
            }
        }
        self.set_checked(first..last + 1);
        let wanted = place(range.start)..place(range.end);
        Ok(Bytes::from(bytes).slice(wanted))
    }

    /// Checks the whole file again, whatever was checked before.
    pub(crate) fn scrub(&self, file: &std::fs::File, path: &Path) -> Result<(), StorageError> {
        const AT_ONCE: u64 = 64;
        self.checked.lock().fill(0);
        let step = self.block * AT_ONCE;
        let mut from = 0;
        while from < self.covered {
            self.check(file, path, from..(from + step).min(self.covered))?;
            from += step;
        }
        Ok(())
    }

    /// The numbers of the blocks of a range.
    fn blocks(&self, range: &Range<u64>) -> Range<u64> {
        let end = range.end.min(self.covered).div_ceil(self.block);
        (range.start / self.block).min(end)..end
    }

    fn is_checked(&self, block: u64) -> bool {
        let word = usize::try_from(block / 64).unwrap_or(usize::MAX);
        self.checked.lock().get(word).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    fn set_checked(&self, blocks: Range<u64>) {
        let mut checked = self.checked.lock();
        for block in blocks {
            let word = usize::try_from(block / 64).unwrap_or(usize::MAX);
            if let Some(word) = checked.get_mut(word) {
                *word |= 1 << (block % 64);
            }
        }
    }
}
