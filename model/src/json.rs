//! Members of a JSON object that Headrope wrote itself (see [`crate::attr`]), without building a tree.

use std::borrow::Cow;

use crate::attr;

/// Members of the object in `text` as slices `(key with its quotes, value)`, until the text ends or
/// stops being an object.
#[must_use]
pub fn members(text: &str) -> Members<'_> {
    let rest = text.trim_start().strip_prefix('{').unwrap_or_default();
    Members { rest }
}

/// Iterator over the members of an object.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        let key_end = string_end(rest)?;
        let (key, rest) = rest.split_at_checked(key_end)?;
        let rest = rest.trim_start().strip_prefix(':')?.trim_start();
        let value_end = value_end(rest)?;
        let (value, rest) = rest.split_at_checked(value_end)?;
        self.rest = rest;
        Some((key, value))
    }
}

/// The attribute key that [`attr::push_key`] wrote as `quoted`.
#[must_use]
pub fn key(quoted: &str) -> Cow<'_, str> {
    match attr::plain(quoted) {
        Cow::Borrowed(key) => Cow::Borrowed(key.strip_prefix('$').unwrap_or(key)),
        Cow::Owned(key) => match key.strip_prefix('$') {
            Some(key) => Cow::Owned(key.to_owned()),
            None => Cow::Owned(key),
        },
    }
}

/// Offset after the string that starts the text.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Offset after the value that starts the text.
fn value_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += string_end(text.get(at..)?)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return Some(at),
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn members_are_what_was_written(pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..5)) {
            let mut text = String::from("{");
            for (at, (k, v)) in pairs.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                attr::push_key(k, &mut text);
                text.push(':');
                attr::push_str(v, &mut text);
            }
            text.push('}');
            let found: Vec<(String, String)> =
                members(&text).map(|(k, v)| (key(k).into_owned(), attr::plain(v).into_owned())).collect();
            prop_assert_eq!(found, pairs);
        }
    }
}
