//! Members of a JSON object that Headrope wrote itself, without building a tree.

/// Members of the object in `text` as slices `(key with its quotes, value)`, until the text ends or
/// stops being an object.
pub(crate) fn members(text: &str) -> Members<'_> {
    let rest = text.trim_start().strip_prefix('{').unwrap_or_default();
    Members { rest }
}

/// Iterator over the members of an object.
#[derive(Debug, Clone)]
pub(crate) struct Members<'a> {
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
