//! Trace and span identifiers (W3C Trace Context, section 3.2.2.3: all-zero ids are invalid).

use std::fmt;
use std::str::FromStr;

/// An identifier that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be {want} lower- or upper-case hex digits, not all zero; got {got:?}")]
pub struct InvalidId {
    kind: &'static str,
    want: usize,
    got: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $bytes;

            /// Takes raw bytes; `None` if the length is wrong or every byte is zero.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let raw: [u8; $bytes] = bytes.try_into().ok()?;
                raw.iter().any(|b| *b != 0).then_some(Self(raw))
            }

            /// The raw bytes.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let error = || InvalidId { kind: $kind, want: 2 * $bytes, got: clip(text) };
                let mut raw = [0u8; $bytes];
                decode_hex(text.as_bytes(), &mut raw).ok_or_else(error)?;
                Self::from_bytes(&raw).ok_or_else(error)
            }
        }
    };
}

id!(
    /// A 16-byte trace identifier, never all zero.
    TraceId,
    16,
    "trace id"
);
id!(
    /// An 8-byte span identifier, never all zero.
    SpanId,
    8,
    "span id"
);

/// Decodes hex into `out`; `None` if the length differs or a digit is not hex.
#[must_use]
pub fn decode_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    if text.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let [hi, lo] = pair else { return None };
        *byte = (digit(*hi)? << 4) | digit(*lo)?;
    }
    Some(())
}

/// Appends the lower-case hex of `bytes` to `out`.
pub fn push_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)]);
        out.push(DIGITS[usize::from(b & 15)]);
    }
}

const fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trip_and_refusals() {
        let id: TraceId = "5B8EFFF798038103D269B633813FC60C".parse().unwrap();
        assert_eq!(id.to_string(), "5b8efff798038103d269b633813fc60c");
        assert!("00000000000000000000000000000000".parse::<TraceId>().is_err());
        assert!("5b8e".parse::<TraceId>().is_err());
        assert!("zz8efff798038103d269b633813fc60c".parse::<TraceId>().is_err());
        assert!(SpanId::from_bytes(&[0; 8]).is_none());
        assert!(SpanId::from_bytes(&[1; 7]).is_none());
        let mut text = String::new();
        push_hex(&[0, 255, 16], &mut text);
        assert_eq!(text, "00ff10");
    }
}
