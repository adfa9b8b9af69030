//! Attribute maps.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, MapArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use headrope_model::attr;
use headrope_model::schema;

use super::Declined;
use super::cells::Text;
use super::promoted::Place;
use crate::wire::{AnyValue, KeyValue, NotPlain};

/// Levels of lists and maps in a value; more is left to the reference.
pub(super) const MAX_DEPTH: u32 = 32;

/// What is known of an attribute key.
#[derive(Debug)]
struct Key {
    text: Box<str>,
    place: Option<Place>,
}

/// An attribute map column.
#[derive(Debug)]
pub(super) struct Attributes {
    offsets: Vec<i32>,
    keys: Text,
    values: Text,
    seen: HashMap<Box<[u8]>, Key, foldhash::fast::FixedState>,
    places: &'static HashMap<&'static str, Place>,
}

impl Attributes {
    /// `places` says which keys have a column of their own.
    pub(super) fn new(places: &'static HashMap<&'static str, Place>) -> Self {
        Self {
            offsets: vec![0],
            keys: Text::new(),
            values: Text::new(),
            seen: HashMap::default(),
            places,
        }
    }

    /// Appends an attribute to the current row; returns where else it belongs.
    pub(super) fn push(&mut self, pair: &KeyValue<'_>) -> Result<Option<Place>, Declined> {
        if !self.seen.contains_key(pair.key) {
            let text = std::str::from_utf8(pair.key)?;
            let key = Key { text: text.into(), place: self.places.get(text).copied() };
            self.seen.insert(pair.key.into(), key);
        }
        let Some(key) = self.seen.get(pair.key) else { return Err(NotPlain.into()) };
        self.keys.push(&key.text);
        push_value(pair.value, MAX_DEPTH, self.values.open())?;
        self.values.end();
        Ok(key.place)
    }

    /// Ends the current row.
    pub(super) fn end(&mut self) {
        self.offsets.push(i32::try_from(self.keys.len()).unwrap_or(i32::MAX));
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        self.offsets.shrink_to_fit();
        let (keys, values) = (self.keys.finish(None)?, self.values.finish(None)?);
        let fields = schema::attribute_entry();
        let entry = Field::new("key_value", DataType::Struct(fields.clone()), false);
        let entries = StructArray::try_new(fields, vec![Arc::new(keys), Arc::new(values)], None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Ok(Arc::new(MapArray::try_new(Arc::new(entry), offsets, entries, None, false)?))
    }
}

/// Appends a value as canonical JSON.
pub(super) fn push_value(
    value: AnyValue<'_>,
    depth: u32,
    out: &mut String,
) -> Result<(), Declined> {
    let inner = |depth: u32| depth.checked_sub(1).ok_or(NotPlain);
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Str(v) => attr::push_str(std::str::from_utf8(v)?, out),
        AnyValue::Bool(v) => attr::push_bool(v, out),
        AnyValue::Int(v) => attr::push_i64(v, out),
        AnyValue::Double(v) => attr::push_f64(v, out),
        AnyValue::Bytes(v) => attr::push_bytes(v, out),
        AnyValue::Array(values) => {
            let depth = inner(depth)?;
            out.push('[');
            for (at, value) in values.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_value(value?, depth, out)?;
            }
            out.push(']');
        }
        AnyValue::Map(entries) => {
            let depth = inner(depth)?;
            let mut object = Object::open(out);
            for pair in entries {
                object.push(&pair?, depth, out)?;
            }
            Object::close(out);
        }
    }
    Ok(())
}

/// A JSON object that is being written.
#[derive(Debug)]
pub(super) struct Object {
    empty: bool,
}

impl Object {
    pub(super) fn open(out: &mut String) -> Self {
        out.push('{');
        Self { empty: true }
    }

    pub(super) fn push(
        &mut self,
        pair: &KeyValue<'_>,
        depth: u32,
        out: &mut String,
    ) -> Result<(), Declined> {
        if !std::mem::take(&mut self.empty) {
            out.push(',');
        }
        attr::push_key(std::str::from_utf8(pair.key)?, out);
        out.push(':');
        push_value(pair.value, depth, out)
    }

    /// Appends an attribute of a record.
    pub(super) fn attribute(
        &mut self,
        pair: &KeyValue<'_>,
        out: &mut String,
    ) -> Result<(), Declined> {
        self.push(pair, MAX_DEPTH, out)
    }

    pub(super) fn close(out: &mut String) {
        out.push('}');
    }
}
