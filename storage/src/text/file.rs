//! The file of a text index: what `docs/format/segment.md` describes.
//!
//! ```text
//! "HRTEXT2\n"                                8 bytes
//! part, part, …                              each with its CRC-32, u32 little-endian
//! directory                                  where the parts are, see `Directory`
//! length and CRC-32 of the directory         u32 little-endian, twice
//! "HRTEXT2\n"                                8 bytes
//! ```
//!
//! Opening reads the directory; a part is read, and its checksum verified, when it is asked for.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::posting::Blocks;
use crate::error::StorageError;
use crate::files::{self, Temporary, io};

const MAGIC: &[u8; 8] = b"HRTEXT2\n";
/// How the files begin and end that the first version wrote, with another engine.
const MAGIC_1: &[u8; 8] = b"HRTEXT1\n";
const TRAILER_BYTES: usize = 16;
/// Version of the directory; [`Blocks::VERSION_2`] tells what the one before had otherwise.
const VERSION: u32 = 3;
/// Bytes of a checksum.
const CRC_BYTES: usize = 4;

/// Where a part is, without its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// A frequent token of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frequent {
    pub(super) text: Box<str>,
    pub(super) part: Part,
}

/// A block of rare tokens, the first of which has this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rare {
    pub(super) key: u64,
    pub(super) part: Part,
}

/// Rows that were indexed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// Bits of the hash in the keys of rare tokens.
    pub(super) hash_bits: u32,
    /// In the order of their text.
    pub(super) frequent: Vec<Frequent>,
    /// In the order of their keys.
    pub(super) rare: Vec<Rare>,
}

/// What is where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) blocks: Blocks,
    pub(super) rows: u32,
    pub(super) pieces: Vec<Piece>,
}

fn push(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

impl Directory {
    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut put = |value: u64| push(&mut out, value);
        put(u64::from(if self.blocks == Blocks::VERSION_2 { 2 } else { VERSION }));
        put(u64::from(self.rows));
        put(self.pieces.len() as u64);
        for piece in &self.pieces {
            piece.write(&mut out);
        }
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let blocks = match input.short()? {
            VERSION => Blocks::default(),
            2 => Blocks::VERSION_2,
            _ => return None,
        };
        let rows = input.short()?;
        let (mut next_row, mut pieces) = (0, Vec::new());
        for _ in 0..input.number()? {
            let piece = Piece::read(&mut input)?;
            (piece.first_row == next_row && piece.rows <= rows - next_row).then_some(())?;
            next_row += piece.rows;
            pieces.push(piece);
        }
        (next_row == rows && input.0.is_empty()).then_some(Self { blocks, rows, pieces })
    }
}

impl Piece {
    fn write(&self, out: &mut Vec<u8>) {
        let first = |part: Option<&Part>| part.map_or(0, |p| p.offset);
        let numbers = [
            u64::from(self.first_row),
            u64::from(self.rows),
            u64::from(self.hash_bits),
            first(self.rare.first().map(|r| &r.part)),
            self.rare.len() as u64,
        ];
        numbers.into_iter().for_each(|n| push(out, n));
        let mut key = 0;
        for rare in &self.rare {
            push(out, rare.key - key);
            push(out, u64::from(rare.part.len));
            key = rare.key;
        }
        push(out, first(self.frequent.first().map(|f| &f.part)));
        push(out, self.frequent.len() as u64);
        let mut before: &[u8] = &[];
        for frequent in &self.frequent {
            let text = frequent.text.as_bytes();
            let shared = text.iter().zip(before).take_while(|(a, b)| a == b).count();
            let own = text.get(shared..).unwrap_or_default();
            push(out, shared as u64);
            push(out, own.len() as u64);
            out.extend_from_slice(own);
            push(out, u64::from(frequent.part.len));
            before = text;
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        let (first_row, rows, hash_bits) = (input.short()?, input.short()?, input.short()?);
        (hash_bits <= 32).then_some(())?;
        let mut offset = input.number()?;
        let (mut key, mut rare) = (0_u64, Vec::new());
        for _ in 0..input.number()? {
            key = key.checked_add(input.number()?)?;
            let part = next_part(&mut offset, input.short()?)?;
            rare.push(Rare { key, part });
        }
        let mut offset = input.number()?;
        let (mut text, mut frequent) = (Vec::new(), Vec::new());
        for _ in 0..input.number()? {
            let shared = usize::try_from(input.number()?).ok().filter(|n| *n <= text.len())?;
            text.truncate(shared);
            let own = usize::try_from(input.number()?).ok()?;
            text.extend_from_slice(input.take(own)?);
            let part = next_part(&mut offset, input.short()?)?;
            frequent.push(Frequent { text: str::from_utf8(&text).ok()?.into(), part });
        }
        Some(Self { first_row, rows, hash_bits, frequent, rare })
    }
}

/// The part at `offset`, which moves on to the one behind it.
fn next_part(offset: &mut u64, len: u32) -> Option<Part> {
    let part = Part { offset: *offset, len };
    *offset = offset.checked_add(u64::from(len) + CRC_BYTES as u64)?;
    Some(part)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn short(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }
}

/// Writes an index beside its final name; removes it again unless finished.
#[derive(Debug)]
pub(super) struct IndexWriter {
    path: PathBuf,
    file: BufWriter<Temporary>,
    offset: u64,
}

impl IndexWriter {
    pub(super) fn create(path: &Path) -> Result<Self, StorageError> {
        let file = BufWriter::with_capacity(256 << 10, Temporary::create(path)?);
        let mut writer = Self { path: path.to_owned(), file, offset: 0 };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.file.write_all(bytes).map_err(io("write", &self.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Appends a part with its checksum.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<Part, StorageError> {
        let long = |_| StorageError::TextIndex("a part has more than 4 GiB".to_owned());
        let part = Part { offset: self.offset, len: u32::try_from(bytes.len()).map_err(long)? };
        self.write(bytes)?;
        self.write(&crc32fast::hash(bytes).to_le_bytes())?;
        Ok(part)
    }

    /// Makes the file durable under its final name and answers its size in bytes.
    pub(super) fn finish(mut self, directory: &Directory) -> Result<u64, StorageError> {
        let directory = directory.write();
        let long = |_| StorageError::TextIndex("the directory has more than 4 GiB".to_owned());
        let length = u32::try_from(directory.len()).map_err(long)?;
        self.write(&directory)?;
        self.write(&length.to_le_bytes())?;
        self.write(&crc32fast::hash(&directory).to_le_bytes())?;
        self.write(MAGIC)?;
        let file = self.file.into_inner().map_err(|e| io("write", &self.path)(e.into_error()))?;
        file.publish()?;
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        files::sync_dir(parent.unwrap_or_else(|| Path::new(".")))?;
        Ok(self.offset)
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    file: File,
}

/// Whether there is a file, of this version: what an older one wrote counts as no index.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn is_current(path: &Path) -> Result<bool, StorageError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(io("open", path))?,
    };
    let mut magic = [0; MAGIC.len()];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(&magic != MAGIC_1),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(true),
        Err(e) => Err(io("read", path)(e)),
    }
}

impl IndexFile {
    /// Opens a file and reads its directory; with it, the bytes of the directory.
    pub(super) fn open(path: &Path) -> Result<(Self, Directory, u64), StorageError> {
        let file = File::open(path).map_err(io("open", path))?;
        let size = file.metadata().map_err(io("stat", path))?.len();
        let this = Self { path: path.to_owned(), file };
        let least = (MAGIC.len() + TRAILER_BYTES) as u64;
        let mut magic = [0; MAGIC.len()];
        if size < least {
            return Err(this.damaged(size, "it was cut short"));
        }
        this.read_at(&mut magic, 0)?;
        if &magic != MAGIC {
            return Err(this.damaged(0, "it does not begin like a text index"));
        }
        let trailer_at = size - TRAILER_BYTES as u64;
        let mut trailer = [0; TRAILER_BYTES];
        this.read_at(&mut trailer, trailer_at)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, end @ ..] = trailer;
        if &end != MAGIC {
            return Err(this.damaged(size, "it does not end like a text index; it was cut short"));
        }
        let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
        let Some(at) = trailer_at.checked_sub(length).filter(|at| *at >= MAGIC.len() as u64) else {
            return Err(this.damaged(trailer_at, "its directory is longer than the file"));
        };
        let mut directory = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        this.read_at(&mut directory, at)?;
        if crc32fast::hash(&directory) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(this.damaged(at, "the checksum of its directory is wrong"));
        }
        let found = Input(&directory).short().unwrap_or(u32::MAX);
        if found > VERSION {
            return Err(StorageError::TooNew { path: this.path, found, supported: VERSION });
        }
        let unreadable = || this.damaged(at, "its directory is unreadable");
        let read = Directory::read(&directory).ok_or_else(unreadable)?;
        Ok((this, read, length))
    }

    /// Reads a part.
    pub(super) fn part(&self, part: Part) -> Result<Vec<u8>, StorageError> {
        let len = part.len as usize;
        let mut bytes = vec![0; len + CRC_BYTES];
        self.read_at(&mut bytes, part.offset)?;
        let crc = bytes.split_off(len);
        if crc != crc32fast::hash(&bytes).to_le_bytes() {
            return Err(self.damaged(part.offset, "the checksum of a part is wrong"));
        }
        Ok(bytes)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StorageError> {
        match self.file.read_exact_at(bytes, offset) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged(offset, "a part lies beyond its end"))
            }
            other => other.map_err(io("read", &self.path)),
        }
    }

    /// The error for bytes that are not what was written.
    pub(super) fn damaged(&self, offset: u64, detail: &str) -> StorageError {
        StorageError::Corrupt { path: self.path.clone(), offset, detail: detail.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
