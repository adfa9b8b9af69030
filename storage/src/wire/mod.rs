//! OTLP protobuf read in place: borrowed views, no allocation, no decoded structs.
//!
//! The views read *plain* messages: those that say each thing once, in the shape every SDK sends.
//! Whatever the wire format allows beyond that (a single message sent in two parts that have to be
//! merged, groups, references into a string table) is [`NotPlain`] and left to prost, which is the
//! reference. A view therefore either agrees with prost or declines.
//!
//! Text is not checked here: it is bytes until somebody needs it to be UTF-8.

mod common;
mod logs;
mod traces;

pub use common::{AnyValue, Entries, Group, KeyValue, Scope, Values, groups};
pub use logs::{LogRecord, log_record};
pub use traces::{Event, Link, Span, SpanParts, event, link, span};

/// A message that the views do not read: malformed, or of a rare form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a plain OTLP message")]
pub struct NotPlain;

/// A field as it is on the wire.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl<'a> Wire<'a> {
    #[inline]
    fn bytes(self) -> Result<&'a [u8], NotPlain> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(NotPlain) }
    }

    #[inline]
    const fn fixed64(self) -> Result<u64, NotPlain> {
        if let Self::Fixed64(value) = self { Ok(value) } else { Err(NotPlain) }
    }

    #[inline]
    const fn fixed32(self) -> Result<u32, NotPlain> {
        if let Self::Fixed32(value) = self { Ok(value) } else { Err(NotPlain) }
    }

    #[inline]
    const fn varint(self) -> Result<u64, NotPlain> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(NotPlain) }
    }

    /// A `uint32` or, read as the same bits, an `int32` or an enumeration: protobuf keeps the low
    /// half of a longer number.
    #[inline]
    const fn low32(self) -> Result<u32, NotPlain> {
        match self.varint() {
            Ok(value) => {
                let [a, b, c, d, ..] = value.to_le_bytes();
                Ok(u32::from_le_bytes([a, b, c, d]))
            }
            Err(e) => Err(e),
        }
    }
}

/// The fields of a message, in the order of the wire.
#[derive(Debug, Clone, Copy)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field's number and value. Nearly every field has a number below 16 and, if it has a
    /// length, one below 128: a byte each.
    #[inline(always)]
    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, NotPlain> {
        match self.0 {
            [] => Ok(None),
            [tag @ 8..0x80, len @ ..0x80, rest @ ..] if tag & 7 == 2 => {
                let (value, rest) = rest.split_at_checked(usize::from(*len)).ok_or(NotPlain)?;
                self.0 = rest;
                Ok(Some((u64::from(tag >> 3), Wire::Bytes(value))))
            }
            _ => self.any(),
        }
    }

    /// The next field's number and value, of any form; there is one.
    fn any(&mut self) -> Result<Option<(u64, Wire<'a>)>, NotPlain> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let (value, rest) = self.0.split_first_chunk::<8>().ok_or(NotPlain)?;
                self.0 = rest;
                Wire::Fixed64(u64::from_le_bytes(*value))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| NotPlain)?;
                let (value, rest) = self.0.split_at_checked(len).ok_or(NotPlain)?;
                self.0 = rest;
                Wire::Bytes(value)
            }
            5 => {
                let (value, rest) = self.0.split_first_chunk::<4>().ok_or(NotPlain)?;
                self.0 = rest;
                Wire::Fixed32(u32::from_le_bytes(*value))
            }
            _ => return Err(NotPlain),
        };
        match tag >> 3 {
            // Field numbers are 29 bits and start at 1.
            number @ 1..=0x1fff_ffff => Ok(Some((number, wire))),
            _ => Err(NotPlain),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, NotPlain> {
        match self.0 {
            [byte, rest @ ..] if *byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, NotPlain> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(NotPlain)?;
            self.0 = rest;
            // The tenth byte holds the highest bit alone.
            if shift == 63 && *byte > 1 {
                return Err(NotPlain);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(NotPlain)
    }
}

/// Sets what a message may say once.
#[inline]
fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), NotPlain> {
    if slot.replace(value).is_some() { Err(NotPlain) } else { Ok(()) }
}

/// Sets text that a message may say once. prost checks every text it meets, so text that is said
/// again cannot be left to the last.
#[inline]
fn text<'a>(slot: &mut &'a [u8], wire: Wire<'a>) -> Result<(), NotPlain> {
    let value = wire.bytes()?;
    if !slot.is_empty() {
        return Err(NotPlain);
    }
    *slot = value;
    Ok(())
}
