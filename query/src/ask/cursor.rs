//! Where a page ended: opaque text that names the last row, so that the next page starts after it
//! whatever has been written meanwhile.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::QueryError;

/// Longest cursor that is looked at.
const MAX_BYTES: usize = 256;

/// The place of a row: a number that orders the list and what tells rows of the same number apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// What the list is: a cursor of another list is refused.
    pub(crate) list: char,
    /// Time or duration in nanoseconds.
    pub(crate) at: i64,
    /// Trace id, or what tells log records of this time apart.
    pub(crate) tie: String,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}1 {} {}", self.list, self.at, self.tie))
    }

    pub(crate) fn decode(text: &str, list: char) -> Result<Self, QueryError> {
        let wrong = || {
            QueryError::Invalid("the cursor is not one of this list; start without one".to_owned())
        };
        if text.len() > MAX_BYTES {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let plain = String::from_utf8(bytes).map_err(|_| wrong())?;
        let mut parts = plain.splitn(3, ' ');
        let (Some(kind), Some(at), Some(tie)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        if kind != format!("{list}1") {
            return Err(wrong());
        }
        Ok(Self { list, at: at.parse().map_err(|_| wrong())?, tie: tie.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(at in any::<i64>(), tie in "[a-z0-9 ]{0,40}") {
            let cursor = Cursor { list: 'n', at, tie };
            prop_assert_eq!(Cursor::decode(&cursor.encode(), 'n').unwrap(), cursor.clone());
            prop_assert!(Cursor::decode(&cursor.encode(), 's').is_err());
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = Cursor::decode(&text, 'n');
        }
    }
}
