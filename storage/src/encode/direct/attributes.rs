//! Attribute maps.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, MapArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use hashbrown::HashTable;
use headrope_model::attr;
use headrope_model::schema;

use super::Declined;
use super::cells::Text;
use super::label;
use super::promoted::Place;
use crate::wire::{AnyValue, KeyValue, NotPlain};

/// Levels of lists and maps in a value; more is left to the reference.
pub(super) const MAX_DEPTH: u32 = 32;

/// An attribute map column: keys and values as codes.
#[derive(Debug)]
pub(super) struct Attributes {
    offsets: Vec<i32>,
    keys: Keys,
    values: Values,
}

/// The keys of entries.
#[derive(Debug)]
struct Keys {
    codes: Vec<i32>,
    texts: Text,
    code_of: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState>,
    known: Vec<Key>,
    last: usize,
    places: &'static HashMap<&'static str, Place>,
}

/// What is known of an attribute key.
#[derive(Debug)]
struct Key {
    text: Box<[u8]>,
    place: Option<Place>,
    /// The key that followed the last time: records of one kind have the same keys.
    next: usize,
    /// The code of the text it had the last time: many keys have one value for long.
    value: Option<i32>,
}

impl Keys {
    /// Appends a key; returns where else its value belongs, and the code of its last text.
    fn push(&mut self, key: &[u8]) -> Result<(Option<Place>, &mut Option<i32>), Declined> {
        let expected = self.known.get(self.last).map_or(0, |last| last.next);
        let found = match self.known.get(expected) {
            Some(known) if *known.text == *key => expected,
            _ => self.look_up(key)?,
        };
        if let Some(last) = self.known.get_mut(self.last) {
            last.next = found;
        }
        self.last = found;
        self.codes.push(i32::try_from(found).unwrap_or(i32::MAX));
        let known = self.known.get_mut(found).ok_or(NotPlain)?;
        Ok((known.place, &mut known.value))
    }

    fn look_up(&mut self, key: &[u8]) -> Result<usize, Declined> {
        if let Some(found) = self.code_of.get(key) {
            return Ok(*found);
        }
        let text = std::str::from_utf8(key)?;
        let code = self.known.len();
        let place = self.places.get(text).copied();
        self.texts.push(text);
        self.known.push(Key { text: key.into(), place, next: 0, value: None });
        self.code_of.insert(key.into(), code);
        Ok(code)
    }
}

/// The values of entries as canonical JSON, each distinct one once.
#[derive(Debug)]
struct Values {
    codes: Vec<i32>,
    texts: Text,
    code_of: HashTable<i32>,
    hasher: foldhash::fast::FixedState,
    scratch: String,
}

/// What a canonical value is found by: a string without escapes by what is between its quotes, so that
/// it can be looked up as it was received.
fn essence(canonical: &str) -> &[u8] {
    let inner = canonical.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(canonical).as_bytes()
}

impl Values {
    /// `last` is the code of the text that the key had last.
    fn push(&mut self, value: AnyValue<'_>, last: &mut Option<i32>) -> Result<(), Declined> {
        let code = match value {
            AnyValue::Str(raw) => self.text(raw, last)?,
            other => self.add(other)?,
        };
        self.codes.push(code);
        Ok(())
    }

    fn text(&mut self, raw: &[u8], last: &mut Option<i32>) -> Result<i32, Declined> {
        if let Some(code) = *last
            && self.is_text(code, raw)
        {
            return Ok(code);
        }
        // Text that needs escapes does not stand between quotes as it was received.
        if attr::needs_escapes(raw) {
            return self.add(AnyValue::Str(raw));
        }
        let code = match self.find(raw, true) {
            Some(code) => code,
            None => self.add(AnyValue::Str(raw))?,
        };
        *last = Some(code);
        Ok(code)
    }

    /// Whether a code is that of a string without escapes.
    fn is_text(&self, code: i32, raw: &[u8]) -> bool {
        let text = self.texts.get(code).as_bytes();
        text.len() == raw.len() + 2 && text.get(1..raw.len() + 1) == Some(raw)
    }

    /// The code of a value by its essence; a string and a number may share one.
    fn find(&self, essence_of: &[u8], is_string: bool) -> Option<i32> {
        let equal = |code: &i32| {
            let text = self.texts.get(*code);
            text.starts_with('"') == is_string && essence(text) == essence_of
        };
        self.code_of.find(self.hasher.hash_one(essence_of), equal).copied()
    }

    /// Writes a value and gives it a code, unless it has one.
    fn add(&mut self, value: AnyValue<'_>) -> Result<i32, Declined> {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        push_value(value, MAX_DEPTH, &mut text)?;
        let code = match self.find(essence(&text), text.starts_with('"')) {
            Some(code) => code,
            None => {
                let code = i32::try_from(self.texts.len()).unwrap_or(i32::MAX);
                self.texts.push(&text);
                let (texts, hasher) = (&self.texts, &self.hasher);
                let hash = |code: &i32| hasher.hash_one(essence(texts.get(*code)));
                self.code_of.insert_unique(hasher.hash_one(essence(&text)), code, hash);
                code
            }
        };
        self.scratch = text;
        Ok(code)
    }
}

impl Attributes {
    /// `places` says which keys have a column of their own.
    pub(super) fn new(places: &'static HashMap<&'static str, Place>) -> Self {
        let keys = Keys {
            codes: Vec::new(),
            texts: Text::new(),
            code_of: HashMap::default(),
            known: Vec::new(),
            last: 0,
            places,
        };
        let values = Values {
            codes: Vec::new(),
            texts: Text::new(),
            code_of: HashTable::new(),
            hasher: foldhash::fast::FixedState::default(),
            scratch: String::new(),
        };
        Self { offsets: vec![0], keys, values }
    }

    /// Appends an attribute to the current row; returns where else it belongs.
    pub(super) fn push(&mut self, pair: &KeyValue<'_>) -> Result<Option<Place>, Declined> {
        let (place, last) = self.keys.push(pair.key)?;
        self.values.push(pair.value, last)?;
        Ok(place)
    }

    /// Ends the current row.
    pub(super) fn end(&mut self) {
        self.offsets.push(i32::try_from(self.keys.codes.len()).unwrap_or(i32::MAX));
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        self.offsets.shrink_to_fit();
        let keys = label::coded(self.keys.codes, self.keys.texts)?;
        let values = label::coded(self.values.codes, self.values.texts)?;
        let fields = schema::stored_attribute_entry();
        let entry = Field::new("key_value", DataType::Struct(fields.clone()), false);
        let entries = StructArray::try_new(fields, vec![keys, values], None)?;
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
