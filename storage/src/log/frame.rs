//! Frames and entries as bytes.

/// Size of a file header.
pub(crate) const FILE_HEADER: usize = 32;
/// Size of a frame header.
pub(crate) const FRAME_HEADER: usize = 24;
/// Size of an entry header.
pub(crate) const ENTRY_HEADER: usize = 20;
/// Version of the file format this code writes; it reads 1 up to this.
pub(crate) const VERSION: u32 = 1;
/// Entry payloads are OTLP protobuf, compressed with zstd.
pub(crate) const CODEC_ZSTD: u8 = 1;

const FILE_MAGIC: &[u8; 8] = b"HRLOG001";
const FRAME_MAGIC: &[u8; 4] = b"HRFR";
/// Offset of the first byte the frame checksum covers.
const COVERED: usize = 8;

/// A logged request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Position in the log.
    pub(crate) seq: u64,
    /// Code of the signal.
    pub(crate) signal: u8,
    /// How `bytes` is compressed.
    pub(crate) codec: u8,
    /// Length of the payload when decompressed.
    pub(crate) raw_len: u32,
    /// When the request was received, Unix nanoseconds.
    pub(crate) received_ns: i64,
    /// The payload as stored.
    pub(crate) bytes: &'a [u8],
}

/// Builds one frame.
#[derive(Debug)]
pub(crate) struct FrameBuilder {
    buffer: Vec<u8>,
    count: u32,
    first_seq: u64,
}

impl FrameBuilder {
    /// Starts a frame whose first entry has this number.
    pub(crate) fn new(first_seq: u64) -> Self {
        let mut buffer = Vec::with_capacity(64 << 10);
        buffer.extend_from_slice(FRAME_MAGIC);
        buffer.resize(FRAME_HEADER, 0);
        Self { buffer, count: 0, first_seq }
    }

    /// Appends an entry and returns its number. Payloads are capped far below 4 GiB.
    pub(crate) fn push(&mut self, signal: u8, raw_len: u32, received_ns: i64, bytes: &[u8]) -> u64 {
        self.buffer.extend_from_slice(&[signal, CODEC_ZSTD, 0, 0]);
        self.buffer.extend_from_slice(&raw_len.to_le_bytes());
        let stored = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&stored.to_le_bytes());
        self.buffer.extend_from_slice(&received_ns.to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        let seq = self.first_seq + u64::from(self.count);
        self.count += 1;
        seq
    }

    /// The complete frame.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let body = u32::try_from(self.buffer.len() - FRAME_HEADER).unwrap_or(u32::MAX);
        let header = [
            body.to_le_bytes().as_slice(),
            &self.count.to_le_bytes(),
            &self.first_seq.to_le_bytes(),
        ]
        .concat();
        if let Some(slot) = self.buffer.get_mut(COVERED..FRAME_HEADER) {
            slot.copy_from_slice(&header);
        }
        let crc = crc32fast::hash(self.buffer.get(COVERED..).unwrap_or_default());
        if let Some(slot) = self.buffer.get_mut(4..COVERED) {
            slot.copy_from_slice(&crc.to_le_bytes());
        }
        self.buffer
    }
}

/// A file header.
pub(crate) fn file_header(first_seq: u64, created_ns: i64) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    let bytes = [
        FILE_MAGIC.as_slice(),
        &VERSION.to_le_bytes(),
        &[0; 4],
        &first_seq.to_le_bytes(),
        &created_ns.to_le_bytes(),
    ]
    .concat();
    header.copy_from_slice(&bytes);
    header
}

/// Reads a file header: version and number of the first entry.
pub(crate) fn read_file_header(bytes: &[u8]) -> Option<(u32, u64)> {
    let header = bytes.get(..FILE_HEADER)?;
    header.starts_with(FILE_MAGIC).then_some(())?;
    Some((u32_at(header, 8)?, u64_at(header, 16)?))
}

/// A frame that passed its checksum.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// Number of the first entry.
    pub(crate) first_seq: u64,
    /// Entries.
    pub(crate) count: u32,
    body: &'a [u8],
}

/// Reads the frame at the start of `bytes`: the frame and its length, or what is wrong with it.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<(Frame<'_>, usize), String> {
    let header = bytes.get(..FRAME_HEADER).ok_or("the frame header is cut short")?;
    if !header.starts_with(FRAME_MAGIC) {
        return Err("no frame starts here".to_owned());
    }
    let field = |at| u32_at(header, at).unwrap_or_default();
    let (crc, body_len, count) = (field(4), field(8), field(12));
    let first_seq = u64_at(header, 16).unwrap_or_default();
    let end = usize::try_from(body_len).ok().and_then(|len| len.checked_add(FRAME_HEADER));
    let whole = end.and_then(|end| bytes.get(..end)).ok_or("the frame is cut short")?;
    let found = crc32fast::hash(whole.get(COVERED..).unwrap_or_default());
    if found != crc {
        return Err(format!("checksum {found:08x} instead of {crc:08x}"));
    }
    let body = whole.get(FRAME_HEADER..).unwrap_or_default();
    Ok((Frame { first_seq, count, body }, whole.len()))
}

/// Offset of the next byte sequence that could start a frame, at or after `from`.
pub(crate) fn next_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let tail = bytes.get(from..)?;
    tail.windows(FRAME_MAGIC.len()).position(|w| w == FRAME_MAGIC).map(|at| from + at)
}

impl<'a> Frame<'a> {
    /// The entries, or what is wrong with them.
    pub(crate) fn entries(&self) -> Result<Vec<Entry<'a>>, String> {
        let mut rest = self.body;
        let mut entries = Vec::new();
        for at in 0..self.count {
            let header = rest.get(..ENTRY_HEADER).ok_or("an entry header is cut short")?;
            let &[signal, codec, ..] = header else { return Err("no entry".to_owned()) };
            let raw_len = u32_at(header, 4).unwrap_or_default();
            let stored =
                u32_at(header, 8).and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
            let received_ns = u64_at(header, 12).unwrap_or_default().cast_signed();
            rest = rest.get(ENTRY_HEADER..).unwrap_or_default();
            let bytes = rest.get(..stored).ok_or("an entry is cut short")?;
            rest = rest.get(stored..).unwrap_or_default();
            let seq = self.first_seq.saturating_add(u64::from(at));
            entries.push(Entry { seq, signal, codec, raw_len, received_ns, bytes });
        }
        if rest.is_empty() { Ok(entries) } else { Err("bytes follow the last entry".to_owned()) }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Parses arbitrary bytes as frames and returns how many entries were read. For fuzzing: it must
/// neither panic nor allocate out of proportion.
#[must_use]
pub fn fuzz_frames(bytes: &[u8]) -> usize {
    let mut entries = 0;
    let mut at = 0;
    while let Some(start) = next_magic(bytes, at) {
        let tail = bytes.get(start..).unwrap_or_default();
        at = start + 1;
        if let Ok((frame, len)) = read_frame(tail) {
            entries += frame.entries().map_or(0, |e| e.len());
            at = start + len;
        }
    }
    entries
}
