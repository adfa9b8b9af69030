//! Attribute values as text.
//!
//! An OTLP `AnyValue` is stored as **canonical JSON**: a string is a JSON string, an integer has no
//! fraction (`123`), a double always has a fraction or an exponent (`5.0`, `72.5`), a boolean is
//! `true`/`false`, an array a JSON array, a key-value list a JSON object in the order received, an
//! empty value `null`. What JSON lacks is an object with one reserved key: bytes
//! `{"$bytes":"<base64>"}`, not-a-number and infinities `{"$double":"NaN"}`. A received key that
//! starts with `$` is written with one more `$`, so nothing collides and everything can be read back.

use std::borrow::Cow;

use base64::Engine as _;

/// What an attribute belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeLevel {
    /// The span, log record or data point.
    Record,
    /// The resource it came from.
    Resource,
    /// The instrumentation scope.
    Scope,
}

impl AttributeLevel {
    /// Every level.
    pub const ALL: [Self; 3] = [Self::Record, Self::Resource, Self::Scope];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Resource => "resource",
            Self::Scope => "scope",
        }
    }
}

/// The type of an attribute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueType {
    /// Text.
    String,
    /// 64-bit integer.
    Int,
    /// 64-bit floating point.
    Double,
    /// Boolean.
    Bool,
    /// Bytes.
    Bytes,
    /// List of values.
    Array,
    /// List of keys with values.
    Map,
    /// No value.
    Null,
}

impl ValueType {
    /// Every type, in the order of [`Self::slot`].
    pub const ALL: [Self; 8] = [
        Self::String,
        Self::Int,
        Self::Double,
        Self::Bool,
        Self::Bytes,
        Self::Array,
        Self::Map,
        Self::Null,
    ];

    /// The type of a value in canonical JSON.
    #[must_use]
    pub fn of(canonical: &str) -> Self {
        match canonical.as_bytes().first() {
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'[') => Self::Array,
            Some(b'{') if canonical.starts_with("{\"$bytes\"") => Self::Bytes,
            Some(b'{') if canonical.starts_with("{\"$double\"") => Self::Double,
            Some(b'{') => Self::Map,
            Some(b'-' | b'0'..=b'9') => match canonical.bytes().any(|b| matches!(b, b'.' | b'e')) {
                true => Self::Double,
                false => Self::Int,
            },
            _ => Self::Null,
        }
    }

    /// Place in [`Self::ALL`].
    #[must_use]
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Array => "array",
            Self::Map => "map",
            Self::Null => "null",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

const fn escapes(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether text differs from what stands between the quotes of its JSON string.
#[must_use]
pub fn needs_escapes(text: &[u8]) -> bool {
    // Most text needs none; looking at every byte without stopping is quicker than stopping.
    text.iter().fold(false, |found, b| found | escapes(*b))
}

/// Appends a JSON string, quotes included.
pub fn push_str(text: &str, out: &mut String) {
    out.push('"');
    if !needs_escapes(text.as_bytes()) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !escapes(byte) {
            continue;
        }
        // Every byte that needs escaping is ASCII, so `at` is a character boundary.
        out.push_str(text.get(from..at).unwrap_or_default());
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                crate::id::push_hex(&[byte], out);
            }
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// Appends an object key received from a client, with the reserved `$` doubled.
pub fn push_key(key: &str, out: &mut String) {
    if key.starts_with('$') {
        push_str(&format!("${key}"), out);
    } else {
        push_str(key, out);
    }
}

/// Appends an integer.
pub fn push_i64(value: i64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a double; what JSON has no number for becomes `{"$double":"…"}`.
pub fn push_f64(value: f64, out: &mut String) {
    if value.is_finite() {
        out.push_str(ryu::Buffer::new().format_finite(value));
    } else {
        let name = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        out.push_str("{\"$double\":\"");
        out.push_str(name);
        out.push_str("\"}");
    }
}

/// Appends a boolean.
pub fn push_bool(value: bool, out: &mut String) {
    out.push_str(if value { "true" } else { "false" });
}

/// Appends bytes as `{"$bytes":"<base64>"}`.
pub fn push_bytes(value: &[u8], out: &mut String) {
    out.push_str("{\"$bytes\":\"");
    base64::engine::general_purpose::STANDARD.encode_string(value, out);
    out.push_str("\"}");
}

/// The text a person expects of a canonical value: a string without its quotes, anything else as it
/// stands.
#[must_use]
pub fn plain(canonical: &str) -> Cow<'_, str> {
    let Some(inner) = canonical.strip_prefix('"').and_then(|s| s.strip_suffix('"')) else {
        return Cow::Borrowed(canonical);
    };
    if inner.contains('\\') { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
}

/// Undoes [`push_str`]'s escapes (and the other JSON escapes); an incomplete escape is kept as is.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                let scalar = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
                out.push(scalar.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        push_str(text, &mut out);
        out
    }

    proptest! {
        #[test]
        fn strings_survive(text in any::<String>()) {
            let json = quoted(&text);
            prop_assert_eq!(plain(&json).into_owned(), text.clone());
        }

        #[test]
        fn doubles_are_never_integers(value in any::<f64>()) {
            let mut out = String::new();
            push_f64(value, &mut out);
            prop_assert!(out.contains(['.', 'e', '$']), "{}", out);
            if value.is_finite() {
                prop_assert_eq!(out.parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }

    proptest! {
        #[test]
        fn types_are_told(int in any::<i64>(), double in any::<f64>(), text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let written = |push: &dyn Fn(&mut String)| {
                let mut out = String::new();
                push(&mut out);
                ValueType::of(&out)
            };
            prop_assert_eq!(written(&|out| push_i64(int, out)), ValueType::Int);
            prop_assert_eq!(written(&|out| push_f64(double, out)), ValueType::Double);
            prop_assert_eq!(written(&|out| push_str(&text, out)), ValueType::String);
            prop_assert_eq!(written(&|out| push_bytes(&bytes, out)), ValueType::Bytes);
            prop_assert_eq!(written(&|out| push_bool(int > 0, out)), ValueType::Bool);
        }
    }

    #[test]
    fn types_have_names() {
        for value_type in ValueType::ALL {
            assert_eq!(ValueType::ALL[value_type.slot()], value_type);
            assert_eq!(ValueType::from_name(value_type.name()), Some(value_type));
        }
        let of = ["[1,2]", "{\"a\":1}", "null"].map(ValueType::of);
        assert_eq!(of, [ValueType::Array, ValueType::Map, ValueType::Null]);
    }

    #[test]
    fn reserved_keys_do_not_collide() {
        let mut out = String::new();
        push_key("$bytes", &mut out);
        assert_eq!(out, "\"$$bytes\"");
        out.clear();
        push_bytes(&[1, 2, 3], &mut out);
        assert_eq!(out, "{\"$bytes\":\"AQID\"}");
        out.clear();
        push_f64(f64::NEG_INFINITY, &mut out);
        assert_eq!(out, "{\"$double\":\"-Infinity\"}");
        assert_eq!(plain("123"), "123");
        assert_eq!(quoted("a\"\\\n\u{1}"), "\"a\\\"\\\\\\n\\u0001\"");
    }
}
