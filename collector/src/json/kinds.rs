//! Kinds of fields: scalars, messages, arrays.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use headrope_model::id;
use serde::de::{Deserialize as _, Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;

use super::read::{ArrayVisitor, Context, Fields, Kind, MessageVisitor, write};

/// A value that is one JSON token. Each method says what a token of its type means, if anything.
pub(super) trait Scalar {
    type Out: Default;
    /// What is wanted, for errors.
    const WANTED: &'static str;
    fn text(_: &str) -> Option<Self::Out> {
        None
    }
    fn unsigned(_: u64) -> Option<Self::Out> {
        None
    }
    fn signed(_: i64) -> Option<Self::Out> {
        None
    }
    fn float(_: f64) -> Option<Self::Out> {
        None
    }
    fn boolean(_: bool) -> Option<Self::Out> {
        None
    }
    fn put(value: &Self::Out, out: &mut Vec<u8>);
    fn is_default(value: &Self::Out) -> bool;
    fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Self::Out>, D::Error>
    where
        Self: Sized,
    {
        from.deserialize_any(ScalarVisitor::<Self>(PhantomData))
    }
}

struct ScalarVisitor<S>(PhantomData<S>);

impl<S: Scalar> ScalarVisitor<S> {
    fn found<E: serde::de::Error>(
        value: Option<S::Out>,
        got: impl FnOnce() -> String,
    ) -> Result<Option<S::Out>, E> {
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(E::custom(format_args!("expected {}, got {}", S::WANTED, got()))),
        }
    }
}

impl<'de, S: Scalar> Visitor<'de> for ScalarVisitor<S> {
    type Value = Option<S::Out>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(S::WANTED)
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Self::Value, E> {
        Self::found(S::text(v), || format!("{:?}", v.chars().take(60).collect::<String>()))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Self::Value, E> {
        Self::found(S::unsigned(v), || v.to_string())
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Self::Value, E> {
        Self::found(S::signed(v), || v.to_string())
    }
    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Self::Value, E> {
        Self::found(S::float(v), || v.to_string())
    }
    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Self::Value, E> {
        Self::found(S::boolean(v), || v.to_string())
    }
}

impl<S: Scalar> Kind for S {
    type Out = S::Out;

    fn read<'de, D: Deserializer<'de>>(
        _: &Context,
        from: D,
    ) -> Result<Option<Self::Out>, D::Error> {
        S::token(from)
    }
    fn write(value: &Self::Out, out: &mut Vec<u8>) {
        S::put(value, out);
    }
    fn absent(value: &Self::Out) -> bool {
        S::is_default(value)
    }
}

/// Writing to a vector cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        let _ = write!($out, $($arg)*);
    };
}

/// A string.
pub(super) struct Text;

impl Scalar for Text {
    type Out = String;
    const WANTED: &'static str = "a string";
    fn text(v: &str) -> Option<String> {
        Some(v.to_owned())
    }
    fn put(value: &String, out: &mut Vec<u8>) {
        // Writing a string to a vector cannot fail.
        let _ = serde_json::to_writer(out, value);
    }
    fn is_default(value: &String) -> bool {
        value.is_empty()
    }
}

/// True or false.
pub(super) struct Bool;

impl Scalar for Bool {
    type Out = bool;
    const WANTED: &'static str = "true or false";
    fn boolean(v: bool) -> Option<bool> {
        Some(v)
    }
    fn put(value: &bool, out: &mut Vec<u8>) {
        put!(out, "{value}");
    }
    fn is_default(value: &bool) -> bool {
        !value
    }
}

/// A whole number written as a fraction or with an exponent, as the protobuf mapping allows.
fn whole(v: f64) -> Option<i128> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
    let exact = (v.fract() == 0.0 && v.abs() < 2f64.powi(64)).then_some(v as i128);
    exact
}

macro_rules! integer {
    ($(#[$doc:meta])* $name:ident, $type:ty, $format:literal, $wanted:literal) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Scalar for $name {
            type Out = $type;
            const WANTED: &'static str = $wanted;
            fn text(v: &str) -> Option<$type> {
                v.parse().ok().or_else(|| <$type>::try_from(whole(v.parse().ok()?)?).ok())
            }
            fn unsigned(v: u64) -> Option<$type> {
                v.try_into().ok()
            }
            fn signed(v: i64) -> Option<$type> {
                v.try_into().ok()
            }
            fn float(v: f64) -> Option<$type> {
                <$type>::try_from(whole(v)?).ok()
            }
            fn put(value: &$type, out: &mut Vec<u8>) {
                put!(out, $format, value);
            }
            fn is_default(value: &$type) -> bool {
                *value == 0
            }
        }
    };
}

integer!(
    /// An unsigned 64-bit number: a string, or a number when reading.
    U64, u64, "\"{}\"", "an unsigned 64-bit number"
);
integer!(
    /// A signed 64-bit number: a string, or a number when reading.
    I64, i64, "\"{}\"", "a signed 64-bit number"
);
integer!(
    /// An unsigned 32-bit number.
    U32, u32, "{}", "an unsigned 32-bit number"
);
integer!(
    /// A signed 32-bit number.
    I32, i32, "{}", "a signed 32-bit number"
);

/// An enum: an integer, never a name.
pub(super) struct Enum;

impl Scalar for Enum {
    type Out = i32;
    const WANTED: &'static str = "an integer (OTLP/JSON does not use enum names)";
    fn unsigned(v: u64) -> Option<i32> {
        v.try_into().ok()
    }
    fn signed(v: i64) -> Option<i32> {
        v.try_into().ok()
    }
    fn float(v: f64) -> Option<i32> {
        I32::float(v)
    }
    fn put(value: &i32, out: &mut Vec<u8>) {
        I32::put(value, out);
    }
    fn is_default(value: &i32) -> bool {
        *value == 0
    }
}

/// A double; what JSON numbers cannot say is a string.
pub(super) struct Double;

impl Scalar for Double {
    type Out = f64;
    const WANTED: &'static str = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";
    fn text(v: &str) -> Option<f64> {
        match v {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => v.parse().ok().filter(|number: &f64| number.is_finite()),
        }
    }
    /// Read from its text, because `serde_json` may be off by one in the last digit of a double.
    fn token<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        let raw = <&RawValue>::deserialize(from)?.get();
        let value = match raw.as_bytes() {
            b"null" => return Ok(None),
            [b'"', ..] => {
                let text: Cow<'_, str> = serde_json::from_str(raw).map_err(D::Error::custom)?;
                Self::text(&text)
            }
            [b'-' | b'0'..=b'9', ..] => raw.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        };
        ScalarVisitor::<Self>::found(value, || raw.chars().take(60).collect())
    }
    fn put(value: &f64, out: &mut Vec<u8>) {
        if value.is_finite() {
            // Writing a number to a vector cannot fail.
            let _ = serde_json::to_writer(out, value);
        } else if value.is_nan() {
            out.extend_from_slice(b"\"NaN\"");
        } else if *value > 0.0 {
            out.extend_from_slice(b"\"Infinity\"");
        } else {
            out.extend_from_slice(b"\"-Infinity\"");
        }
    }
    fn is_default(value: &f64) -> bool {
        value.to_bits() == 0
    }
}

/// A trace or span id in hex.
pub(super) struct Hex;

impl Scalar for Hex {
    type Out = Vec<u8>;
    const WANTED: &'static str = "an id in hex digits";
    fn text(v: &str) -> Option<Vec<u8>> {
        let mut bytes = vec![0; v.len() / 2];
        id::decode_hex(v.as_bytes(), &mut bytes).map(|()| bytes)
    }
    fn put(value: &Vec<u8>, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(2 * value.len());
        id::push_hex(value, &mut text);
        put!(out, "\"{text}\"");
    }
    fn is_default(value: &Vec<u8>) -> bool {
        value.is_empty()
    }
}

/// Bytes in base64: written in the standard alphabet with padding, read in either alphabet with or
/// without padding, as the protobuf mapping says.
pub(super) struct Base64;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const ANY_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const ANY_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Scalar for Base64 {
    type Out = Vec<u8>;
    const WANTED: &'static str = "bytes in base64";
    fn text(v: &str) -> Option<Vec<u8>> {
        let engine = if v.contains(['-', '_']) { ANY_URL_SAFE } else { ANY_STANDARD };
        engine.decode(v).ok()
    }
    fn put(value: &Vec<u8>, out: &mut Vec<u8>) {
        put!(out, "\"{}\"", STANDARD.encode(value));
    }
    fn is_default(value: &Vec<u8>) -> bool {
        value.is_empty()
    }
}

/// A scalar that is either set, even to its default, or not.
pub(super) struct Maybe<S>(PhantomData<S>);

impl<S: Scalar> Kind for Maybe<S> {
    type Out = Option<S::Out>;

    fn read<'de, D: Deserializer<'de>>(
        context: &Context,
        from: D,
    ) -> Result<Option<Self::Out>, D::Error> {
        S::read(context, from).map(Some)
    }
    fn write(value: &Self::Out, out: &mut Vec<u8>) {
        if let Some(value) = value {
            S::put(value, out);
        }
    }
    fn absent(value: &Self::Out) -> bool {
        value.is_none()
    }
}

/// A message.
pub(super) struct Nested<M>(PhantomData<M>);

impl<M: Fields> Kind for Nested<M> {
    type Out = M;

    fn read<'de, D: Deserializer<'de>>(context: &Context, from: D) -> Result<Option<M>, D::Error> {
        from.deserialize_any(MessageVisitor(context, PhantomData))
    }
    fn write(value: &M, out: &mut Vec<u8>) {
        write(value, out);
    }
    fn absent(_: &M) -> bool {
        false
    }
}

/// A message that may be unset.
pub(super) struct One<M>(PhantomData<M>);

impl<M: Fields> Kind for One<M> {
    type Out = Option<M>;

    fn read<'de, D: Deserializer<'de>>(
        context: &Context,
        from: D,
    ) -> Result<Option<Self::Out>, D::Error> {
        Nested::read(context, from).map(Some)
    }
    fn write(value: &Self::Out, out: &mut Vec<u8>) {
        if let Some(value) = value {
            write(value, out);
        }
    }
    fn absent(value: &Self::Out) -> bool {
        value.is_none()
    }
}

/// An array of a kind.
pub(super) struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn read<'de, D: Deserializer<'de>>(
        context: &Context,
        from: D,
    ) -> Result<Option<Self::Out>, D::Error> {
        from.deserialize_any(ArrayVisitor::<K, K::Out>(context, PhantomData))
    }
    fn write(value: &Self::Out, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, element) in value.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            K::write(element, out);
        }
        out.push(b']');
    }
    fn absent(value: &Self::Out) -> bool {
        value.is_empty()
    }
}

/// An array of messages.
pub(super) type Many<M> = List<Nested<M>>;
