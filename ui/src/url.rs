//! Addresses: every state of every page is one.

use std::fmt;

/// A path with its query, built piece by piece; `Display` writes it percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    path: String,
    query: Vec<(String, String)>,
}

impl Url {
    /// Starts from a path that is already encoded (a literal).
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self { path: path.to_owned(), query: Vec::new() }
    }

    /// Appends one path segment, encoded. The segments `.`, `..` and the empty one, which browsers
    /// fold away, become `-` with the text in the parameter `name`.
    #[must_use]
    pub fn segment(mut self, text: &str, name: &str) -> Self {
        self.path.push('/');
        if matches!(text, "" | "." | ".." | "-") {
            self.path.push('-');
            return self.set(name, text);
        }
        encode(text, &mut self.path);
        self
    }

    /// Appends a fixed path segment.
    #[must_use]
    pub fn literal(mut self, text: &str) -> Self {
        self.path.push('/');
        self.path.push_str(text);
        self
    }

    /// Adds a parameter, beside others of the same name.
    #[must_use]
    pub fn add(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.query.push((key.to_owned(), value.to_string()));
        self
    }

    /// Sets a parameter, in place of others of the same name.
    #[must_use]
    pub fn set(self, key: &str, value: impl fmt::Display) -> Self {
        self.remove(key).add(key, value)
    }

    /// Removes a parameter.
    #[must_use]
    pub fn remove(mut self, key: &str) -> Self {
        self.query.retain(|(k, _)| k != key);
        self
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = self.path.clone();
        for (at, (key, value)) in self.query.iter().enumerate() {
            out.push(if at == 0 { '?' } else { '&' });
            encode(key, &mut out);
            out.push('=');
            encode(value, &mut out);
        }
        f.write_str(&out)
    }
}

/// Percent-encodes everything but RFC 3986 unreserved characters.
pub(crate) fn encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')));
            }
        }
    }
}

/// Splits a raw query into decoded pairs, in order. Text that is not valid UTF-8 after decoding is
/// repaired with replacement characters; nothing fails.
#[must_use]
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    raw.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' => out.push(b' '),
            b'%' => match bytes.get(at..at + 2).and_then(hex_pair) {
                Some(decoded) => {
                    out.push(decoded);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let text =
        std::str::from_utf8(pair).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_state_survives_the_address_bar(pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..6)) {
            let url = pairs.iter().fold(Url::new("/traces"), |u, (k, v)| u.add(k, v)).to_string();
            let raw = url.split_once('?').map_or("", |(_, q)| q);
            let empty_keys = pairs.iter().filter(|(k, v)| k.is_empty() && v.is_empty()).count();
            prop_assert_eq!(parse_query(raw).len() , pairs.len(), "{} {}", url, empty_keys);
            prop_assert_eq!(parse_query(raw), pairs);
        }

        #[test]
        fn decoding_never_panics(raw in any::<String>()) {
            let _ = parse_query(&raw);
        }
    }

    #[test]
    fn segments_are_safe() {
        let url = Url::new("/services").segment("a/b?c", "service").to_string();
        assert_eq!(url, "/services/a%2Fb%3Fc");
        let dots = Url::new("/services").segment("..", "service").to_string();
        assert_eq!(dots, "/services/-?service=..");
    }
}
