//! A compact, versioned form: version, zeros, min, max, sum, then the buckets as (key step, count),
//! all numbers in LEB128.

use super::{Bucket, Sketch, scale};

/// First byte: this layout at scale 6.
const VERSION: u8 = 1;

/// Bytes that are not a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// The first byte names a layout this release does not know.
    #[error("sketch version {0} is not known to this release; read it with a newer one")]
    Version(u8),
    /// The bytes end too early, go on too long, or contradict themselves.
    #[error("sketch bytes are damaged at offset {0}; rebuild the roll-up from its spans")]
    Damaged(usize),
}

impl Sketch {
    /// The compact form; [`Sketch::from_bytes`] is its inverse.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 3 * self.buckets.len());
        self.write(&mut out);
        out
    }

    /// Appends the compact form.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        push(self.zeros.into(), out);
        push(self.min.unsigned_abs().into(), out);
        push(self.max.unsigned_abs().into(), out);
        push(self.sum, out);
        let mut next = 0;
        for b in &self.buckets {
            push(u128::from(b.key - next), out);
            push(b.count.into(), out);
            next = b.key + 1;
        }
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// [`SketchError`] for anything [`Sketch::to_bytes`] cannot have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut buckets = Vec::new();
        let header = read(bytes, |key, count| buckets.push(Bucket { key, count }))?;
        let Header { zeros, sum, min, max, .. } = header;
        Ok(Self { zeros, buckets, sum, min, max })
    }
}

/// What comes before the buckets.
pub(super) struct Header {
    pub(super) zeros: u64,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) sum: u128,
    /// Whether the sketch holds nothing.
    pub(super) is_empty: bool,
}

/// Reads the compact form; buckets are given out in ascending order as they are read, and must be
/// forgotten on an error.
pub(super) fn read(bytes: &[u8], mut bucket: impl FnMut(u16, u64)) -> Result<Header, SketchError> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.byte()? {
        VERSION => {}
        other => return Err(SketchError::Version(other)),
    }
    let mut header = Header {
        zeros: reader.number()?,
        min: reader.number()?,
        max: reader.number()?,
        sum: reader.varint()?,
        is_empty: false,
    };
    let (mut next, mut first, mut all): (u16, Option<u16>, u64) = (0, None, header.zeros);
    while reader.at < bytes.len() {
        let step: u16 = reader.number()?;
        let key = next.checked_add(step).filter(|k| *k <= scale::MAX_KEY);
        let count: u64 = reader.number()?;
        let Some(key) = key.filter(|_| count > 0) else { return Err(reader.damaged()) };
        bucket(key, count);
        first = first.or(Some(key));
        all = all.saturating_add(count);
        next = key + 1;
    }
    header.is_empty = all == 0;
    // The exact ends lie in the outermost buckets, and the sum between what they allow.
    let first = if header.zeros > 0 { None } else { first };
    let count = u128::from(all);
    let low = count.saturating_mul(header.min.unsigned_abs().into());
    let high = count.saturating_mul(header.max.unsigned_abs().into());
    let consistent = header.min <= header.max
        && scale::key(header.min) == first
        && scale::key(header.max) == next.checked_sub(1)
        && (all == u64::MAX || (low <= header.sum && header.sum <= high));
    if consistent { Ok(header) } else { Err(reader.damaged()) }
}

fn push(mut value: u128, out: &mut Vec<u8>) {
    while value > u128::from(u64::MAX) {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    // Arithmetic of one word for all but the longest sums.
    let mut value = value as u64;
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    const fn damaged(&self) -> SketchError {
        SketchError::Damaged(self.at)
    }

    fn byte(&mut self) -> Result<u8, SketchError> {
        let byte = *self.bytes.get(self.at).ok_or(self.damaged())?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u128, SketchError> {
        let mut value: u128 = 0;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.damaged());
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged())
    }

    fn number<T: TryFrom<u128> + From<u8>>(&mut self) -> Result<T, SketchError> {
        let at = self.at;
        // Most numbers are one byte.
        if let Some(byte) = self.bytes.get(at).filter(|b| **b < 0x80) {
            self.at += 1;
            return Ok(T::from(*byte));
        }
        T::try_from(self.varint()?).map_err(|_| SketchError::Damaged(at))
    }
}
