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
        out.push(VERSION);
        push(self.zeros.into(), &mut out);
        push(self.min.unsigned_abs().into(), &mut out);
        push(self.max.unsigned_abs().into(), &mut out);
        push(self.sum, &mut out);
        let mut next = 0;
        for b in &self.buckets {
            push(u128::from(b.key - next), &mut out);
            push(b.count.into(), &mut out);
            next = b.key + 1;
        }
        out
    }

    /// Reads the compact form.
    ///
    /// # Errors
    /// [`SketchError`] for anything [`Sketch::to_bytes`] cannot have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = Reader { bytes, at: 0 };
        match reader.byte()? {
            VERSION => {}
            other => return Err(SketchError::Version(other)),
        }
        let mut sketch = Self {
            zeros: reader.number()?,
            min: reader.number()?,
            max: reader.number()?,
            sum: reader.varint()?,
            buckets: Vec::new(),
        };
        let mut next: u16 = 0;
        while reader.at < bytes.len() {
            let step: u16 = reader.number()?;
            let key = next.checked_add(step).filter(|k| *k <= scale::MAX_KEY);
            let count: u64 = reader.number()?;
            let Some(key) = key.filter(|_| count > 0) else { return Err(reader.damaged()) };
            sketch.buckets.push(Bucket { key, count });
            next = key + 1;
        }
        if sketch.is_consistent() { Ok(sketch) } else { Err(reader.damaged()) }
    }

    /// Whether the exact ends lie in the outermost buckets and the sum between what they allow.
    fn is_consistent(&self) -> bool {
        let first = if self.zeros > 0 { None } else { self.buckets.first().map(|b| b.key) };
        let last = self.buckets.last().map(|b| b.key);
        let count = u128::from(self.count());
        let saturated = count == u128::from(u64::MAX);
        let low = count.saturating_mul(self.min.unsigned_abs().into());
        let high = count.saturating_mul(self.max.unsigned_abs().into());
        self.min <= self.max
            && scale::key(self.min) == first
            && scale::key(self.max) == last
            && (saturated || (low <= self.sum && self.sum <= high))
    }
}

fn push(mut value: u128, out: &mut Vec<u8>) {
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

    fn number<T: TryFrom<u128>>(&mut self) -> Result<T, SketchError> {
        let at = self.at;
        T::try_from(self.varint()?).map_err(|_| SketchError::Damaged(at))
    }
}
