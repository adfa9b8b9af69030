//! `attr`, `attr_num`, `attr_json`: one attribute of a map or of an object in JSON text.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Builder, MapArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use headrope_model::attr;
use headrope_model::json::members;

use crate::column::Texts;

/// What of the attribute is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// The text a person expects: a string without its quotes, anything else as JSON.
    Text,
    /// A number, null if the value is none.
    Number,
    /// Canonical JSON, which keeps the type.
    Json,
}

impl Output {
    /// Type of the values.
    pub(crate) const fn data_type(self) -> DataType {
        match self {
            Self::Number => DataType::Float64,
            Self::Text | Self::Json => DataType::Utf8View,
        }
    }

    /// Name of the function.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Text => "attr",
            Self::Number => "attr_num",
            Self::Json => "attr_json",
        }
    }

    /// A column of so many values.
    pub(crate) fn builder(self, rows: usize) -> Found {
        Found::new(self, rows)
    }
}

/// One of the three functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attr {
    signature: Signature,
    output: Output,
}

impl Attr {
    pub(crate) fn new(output: Output) -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), output }
    }

    /// What the function gives of an attribute.
    pub(crate) const fn output(&self) -> Output {
        self.output
    }
}

impl ScalarUDFImpl for Attr {
    fn name(&self) -> &str {
        self.output.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.output.data_type())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let name = self.name();
        let [from, key] = arg_types else {
            return plan_err!("{name} takes two arguments: attributes and a key");
        };
        let from = match from {
            DataType::Map(_, _) => from.clone(),
            other if is_text(other) => DataType::Utf8View,
            other => {
                return plan_err!(
                    "the first argument of {name} must be attributes or JSON text, not {other}"
                );
            }
        };
        if !is_text(key) {
            return plan_err!("the key given to {name} must be text, not {key}");
        }
        Ok(vec![from, DataType::Utf8View])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [from, key] = args.args.as_slice() else {
            return exec_err!("{} takes two arguments", self.name());
        };
        let attributes = Attributes::of(&from.to_array(rows)?)?;
        let mut found = self.output.builder(rows);
        match key {
            ColumnarValue::Scalar(key) => {
                let key = key.try_as_str().flatten().map(Key::new);
                for row in 0..rows {
                    found.push(key.as_ref().and_then(|key| attributes.get(row, key)));
                }
            }
            ColumnarValue::Array(keys) => {
                let keys = Texts::of(keys)?;
                for row in 0..rows {
                    let key = keys.get(row).map(Key::new);
                    found.push(key.as_ref().and_then(|key| attributes.get(row, key)));
                }
            }
        }
        let array = found.finish();
        match (from, key) {
            (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)) if rows > 0 => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            _ => Ok(ColumnarValue::Array(array)),
        }
    }
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// A key as it is and as it stands in JSON text.
#[derive(Debug)]
pub(super) struct Key {
    raw: String,
    json: String,
}

impl Key {
    pub(super) fn new(key: &str) -> Self {
        let mut json = String::with_capacity(key.len() + 2);
        attr::push_key(key, &mut json);
        Self { raw: key.to_owned(), json }
    }

    /// The value of the key in an object in JSON text.
    pub(super) fn in_json<'a>(&self, text: &'a str) -> Option<&'a str> {
        // Most objects lack the key; a search for it is cheaper than reading the object.
        if !text.contains(&self.json) {
            return None;
        }
        members(text).find(|(key, _)| *key == self.json).map(|(_, value)| value)
    }

    pub(super) fn raw(&self) -> &str {
        &self.raw
    }
}

/// Attributes of rows, whichever way they are kept; values are canonical JSON.
#[expect(clippy::large_enum_variant, reason = "one per batch, never stored")]
pub(super) enum Attributes {
    /// Map columns.
    Map { map: MapArray, keys: Texts, values: Texts },
    /// Objects in JSON text.
    Json(Texts),
}

impl Attributes {
    pub(super) fn of(array: &ArrayRef) -> Result<Self> {
        Ok(match array.as_map_opt() {
            Some(map) => Self::Map {
                keys: Texts::of(map.keys())?,
                values: Texts::of(map.values())?,
                map: map.clone(),
            },
            None => Self::Json(Texts::of(array)?),
        })
    }

    pub(super) fn get(&self, row: usize, key: &Key) -> Option<&str> {
        match self {
            Self::Json(texts) => key.in_json(texts.get(row)?),
            Self::Map { map, keys, values } => {
                if map.is_null(row) {
                    return None;
                }
                let offsets = map.value_offsets();
                let from = usize::try_from(*offsets.get(row)?).ok()?;
                let to = usize::try_from(*offsets.get(row + 1)?).ok()?;
                let at = (from..to).find(|at| keys.get(*at) == Some(key.raw.as_str()))?;
                values.get(at)
            }
        }
    }
}

/// Values found, in the type asked for.
pub(crate) enum Found {
    Text(StringViewBuilder),
    Json(StringViewBuilder),
    Number(Float64Builder),
}

impl Found {
    fn new(output: Output, rows: usize) -> Self {
        match output {
            Output::Text => Self::Text(StringViewBuilder::with_capacity(rows)),
            Output::Json => Self::Json(StringViewBuilder::with_capacity(rows)),
            Output::Number => Self::Number(Float64Builder::with_capacity(rows)),
        }
    }

    /// Appends a canonical value.
    pub(crate) fn push(&mut self, value: Option<&str>) {
        match self {
            // An empty value was sent as such; as text it is null.
            Self::Text(out) => out.append_option(value.filter(|v| *v != "null").map(attr::plain)),
            Self::Json(out) => out.append_option(value),
            Self::Number(out) => out.append_option(value.and_then(number)),
        }
    }

    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut out) | Self::Json(mut out) => Arc::new(out.finish()),
            Self::Number(mut out) => Arc::new(out.finish()),
        }
    }
}

/// The number in a canonical value.
fn number(canonical: &str) -> Option<f64> {
    match canonical {
        "{\"$double\":\"NaN\"}" => Some(f64::NAN),
        "{\"$double\":\"Infinity\"}" => Some(f64::INFINITY),
        "{\"$double\":\"-Infinity\"}" => Some(f64::NEG_INFINITY),
        text => {
            let first = text.bytes().next()?;
            (first == b'-' || first.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        }
    }
}
