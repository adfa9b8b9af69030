//! Recovery: reading the log back.

use std::path::{Path, PathBuf};

use super::frame::{CODEC_ZSTD, FILE_HEADER, VERSION, next_magic, read_file_header, read_frame};
use super::{EXTENSION, first_seq};
use crate::disk;
use crate::error::StorageError;
use crate::files::{self, io};

/// What recovery found.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Number of the last entry, or the watermark if the log is empty.
    pub(crate) last_seq: u64,
    /// Entries handed out.
    pub(crate) entries: u64,
    /// Bytes cut off a damaged tail.
    pub(crate) cut_bytes: u64,
}

/// A replayed request: its number, signal code and OTLP protobuf.
pub(crate) struct Replayed {
    pub(crate) seq: u64,
    pub(crate) signal: u8,
    pub(crate) payload: Vec<u8>,
}

/// Reads every entry above the watermark, in order, and cuts a damaged tail off the last file. What
/// was read is durable afterwards: it may have come from the page cache of a process that died before
/// it synced, and what is appended from here on must not outlive it.
///
/// A file ends where its successor begins: a frame behind that was given up when its write failed.
///
/// # Errors
/// [`StorageError::Corrupt`] when something valid follows the damage, numbers have a gap, or an
/// entry cannot be decompressed; whatever `each` returns.
pub(crate) fn recover(
    dir: &Path,
    watermark: u64,
    each: impl FnMut(Replayed) -> Result<(), StorageError>,
) -> Result<Replay, StorageError> {
    read(dir, watermark, true, each)
}

/// As [`recover`], but changes nothing.
pub(crate) fn inspect(dir: &Path, watermark: u64) -> Result<Replay, StorageError> {
    read(dir, watermark, false, |_| Ok(()))
}

fn read(
    dir: &Path,
    watermark: u64,
    repair: bool,
    mut each: impl FnMut(Replayed) -> Result<(), StorageError>,
) -> Result<Replay, StorageError> {
    let paths = files::list(dir, EXTENSION)?;
    let mut replay = Replay { last_seq: watermark, ..Replay::default() };
    let mut expected: Option<u64> = None;
    for (at, path) in paths.iter().enumerate() {
        let successor = paths.get(at + 1).and_then(|next| first_seq(next));
        if successor.is_some_and(|next| next <= watermark + 1) {
            // Every entry is in a segment already; the file only awaits trimming.
            expected = successor;
            continue;
        }
        let bytes = disk::read(path).map_err(io("read", path))?;
        let reader = FileReader { path, bytes: &bytes, successor, repair };
        expected = reader.read(expected, watermark, &mut replay, &mut each)?;
        if repair && path.exists() {
            disk::File::open(path).and_then(|f| f.sync_data()).map_err(io("sync", path))?;
        }
    }
    if repair && !paths.is_empty() {
        files::sync_dir(dir)?;
    }
    if let Some(next) = expected {
        replay.last_seq = replay.last_seq.max(next.saturating_sub(1));
    }
    Ok(replay)
}

struct FileReader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    /// Number of the first entry of the next file.
    successor: Option<u64>,
    /// Whether a damaged tail is cut off.
    repair: bool,
}

impl FileReader<'_> {
    fn corrupt(&self, offset: usize, detail: impl Into<String>) -> StorageError {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        StorageError::Corrupt { path: PathBuf::from(self.path), offset, detail: detail.into() }
    }

    /// Reads one file; returns the number the next file must start with.
    fn read(
        &self,
        mut expected: Option<u64>,
        watermark: u64,
        replay: &mut Replay,
        each: &mut impl FnMut(Replayed) -> Result<(), StorageError>,
    ) -> Result<Option<u64>, StorageError> {
        let Some((version, first)) = read_file_header(self.bytes) else {
            // A crash while the file was created leaves it without a header and without frames.
            return self.damage(0, "no log header", replay).map(|()| expected);
        };
        if version > VERSION {
            let path = self.path.to_owned();
            return Err(StorageError::TooNew { path, found: version, supported: VERSION });
        }
        if expected.is_some_and(|e| e != first) || first_seq(self.path) != Some(first) {
            let want = expected.or(first_seq(self.path)).unwrap_or_default();
            return Err(self.corrupt(16, format!("starts at entry {first}, expected {want}")));
        }
        if expected.is_none() && first > watermark + 1 {
            let detail = format!("starts at entry {first}, but segments end at {watermark}");
            return Err(self.corrupt(16, detail));
        }
        let mut next = first;
        let mut at = FILE_HEADER;
        while at < self.bytes.len() && self.successor != Some(next) {
            let tail = self.bytes.get(at..).unwrap_or_default();
            let (frame, len) = match read_frame(tail) {
                Ok(read) => read,
                Err(detail) => {
                    self.damage(at, &detail, replay)?;
                    break;
                }
            };
            if frame.first_seq != next {
                let detail = format!("entry {} where {next} is due", frame.first_seq);
                return Err(self.corrupt(at, detail));
            }
            for entry in frame.entries().map_err(|detail| self.corrupt(at, detail))? {
                if entry.seq > watermark {
                    let payload = self.decompress(at, entry.codec, entry.raw_len, entry.bytes)?;
                    replay.entries += 1;
                    each(Replayed { seq: entry.seq, signal: entry.signal, payload })?;
                }
            }
            next += u64::from(frame.count);
            at += len;
        }
        expected = Some(next);
        Ok(expected)
    }

    fn decompress(
        &self,
        at: usize,
        codec: u8,
        raw_len: u32,
        bytes: &[u8],
    ) -> Result<Vec<u8>, StorageError> {
        if codec != CODEC_ZSTD {
            return Err(self.corrupt(at, format!("unknown codec {codec}")));
        }
        let raw_len = usize::try_from(raw_len).unwrap_or(usize::MAX);
        zstd::bulk::decompress(bytes, raw_len)
            .map_err(|error| self.corrupt(at, format!("entry does not decompress: {error}")))
    }

    /// Cuts the file at `at` if nothing valid follows and it is the last one; otherwise refuses.
    fn damage(&self, at: usize, detail: &str, replay: &mut Replay) -> Result<(), StorageError> {
        let mut from = at + 1;
        while let Some(candidate) = next_magic(self.bytes, from) {
            if read_frame(self.bytes.get(candidate..).unwrap_or_default()).is_ok() {
                return Err(self.corrupt(at, format!("{detail}, and valid frames follow")));
            }
            from = candidate + 1;
        }
        if self.successor.is_some() {
            return Err(self.corrupt(at, format!("{detail}, and later files exist")));
        }
        let lost = self.bytes.len().saturating_sub(at);
        replay.cut_bytes += u64::try_from(lost).unwrap_or_default();
        if !self.repair {
            return Ok(());
        }
        tracing::warn!(path = %self.path.display(), offset = at, bytes = lost, detail,
            "cut an unfinished write off the ingest log; it was never acknowledged");
        if at < FILE_HEADER {
            files::remove(self.path)?;
            return match self.path.parent() {
                Some(dir) => files::sync_dir(dir),
                None => Ok(()),
            };
        }
        let keep = u64::try_from(at).unwrap_or(u64::MAX);
        disk::File::open(self.path)
            .and_then(|file| {
                file.set_len(keep)?;
                file.sync_data()
            })
            .map_err(io("cut", self.path))
    }
}
