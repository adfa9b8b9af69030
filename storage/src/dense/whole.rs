//! Attribute maps from the columns of a segment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, Int64Array, MapArray, StringArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::error::ArrowError;
use headrope_model::semconv::Kind;
use headrope_model::{attr, json, schema};

use super::texts::Texts;
use super::{Layout, PromotedAt};

/// A promoted column, and the places where its key and the older names of it would be.
struct Standing<'a> {
    key: &'static str,
    value: Value,
    others: Vec<&'a Texts>,
    names: Vec<&'static str>,
}

enum Value {
    Text(Texts),
    Int(Int64Array),
}

impl Value {
    fn of(promoted: &PromotedAt, array: &ArrayRef) -> Result<Self, ArrowError> {
        let column = promoted.promoted.column;
        Ok(match promoted.promoted.kind {
            Kind::Text => Self::Text(Texts::of(array)?),
            Kind::Int => {
                let wrong = || ArrowError::SchemaError(format!("{column} holds no integers"));
                Self::Int(array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?.clone())
            }
        })
    }

    /// Appends the value of a row as canonical JSON; false if there is none.
    fn push(&self, row: usize, out: &mut String) -> bool {
        match self {
            Self::Text(texts) => texts.get(row).map(|text| attr::push_str(text, out)).is_some(),
            Self::Int(ints) => {
                let valid = row < ints.len() && ints.is_valid(row);
                if valid {
                    attr::push_i64(ints.value(row), out);
                }
                valid
            }
        }
    }

    fn is_there(&self, row: usize) -> bool {
        match self {
            Self::Text(texts) => texts.get(row).is_some(),
            Self::Int(ints) => row < ints.len() && ints.is_valid(row),
        }
    }
}

/// Maps being built.
struct Maps {
    offsets: Vec<i32>,
    keys: Cells,
    values: Cells,
}

#[derive(Default)]
struct Cells {
    offsets: Vec<i32>,
    text: String,
}

impl Cells {
    fn new() -> Self {
        Self { offsets: vec![0], text: String::new() }
    }

    fn end(&mut self) {
        let last = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(i32::try_from(self.text.len()).unwrap_or(last));
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end();
    }

    fn finish(self) -> Result<StringArray, ArrowError> {
        if i32::try_from(self.text.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(self.text.len()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, self.text.into_bytes().into(), None)
    }
}

impl Maps {
    fn end_row(&mut self) {
        self.offsets.push(i32::try_from(self.keys.offsets.len() - 1).unwrap_or(i32::MAX));
    }

    fn finish(self) -> Result<MapArray, ArrowError> {
        let (keys, values) = (self.keys.finish()?, self.values.finish()?);
        let fields = schema::attribute_entry();
        let entry = Field::new("key_value", DataType::Struct(fields.clone()), false);
        let entries = StructArray::try_new(fields, vec![Arc::new(keys), Arc::new(values)], None)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        MapArray::try_new(Arc::new(entry), offsets, entries, None, false)
    }
}

impl Layout {
    /// The attribute maps of `rows` rows from the columns named by [`Layout::columns`], in that order.
    /// Keys with a column come first, by key; then the rest.
    ///
    /// # Errors
    /// When a column is missing or of another type, or the text is too long for one map column.
    pub fn assemble(&self, columns: &[ArrayRef], rows: usize) -> Result<MapArray, ArrowError> {
        let missing =
            || ArrowError::SchemaError("a column of the attributes is missing".to_owned());
        let (rest, columns) = columns.split_first().ok_or_else(missing)?;
        let (dense, promoted) = columns.split_at_checked(self.dense.len()).ok_or_else(missing)?;
        let rest = Texts::of(rest)?;
        let dense = dense.iter().map(Texts::of).collect::<Result<Vec<_>, _>>()?;
        let mut standing = Vec::new();
        for (at, column) in self.promoted.iter().zip(promoted) {
            standing.push(self.standing(at, column, &dense)?);
        }
        standing.sort_unstable_by_key(|s| s.key);
        let mut maps = Maps { offsets: vec![0], keys: Cells::new(), values: Cells::new() };
        for row in 0..rows {
            let rest = rest.get(row);
            let mut standing = standing.iter().filter(|s| s.applies(row, rest)).peekable();
            for ((key, _), texts) in self.dense.iter().zip(&dense) {
                while let Some(s) = standing.next_if(|s| s.key < key.as_str()) {
                    s.push(row, &mut maps);
                }
                if let Some(value) = texts.get(row) {
                    maps.keys.push(key);
                    maps.values.push(value);
                }
            }
            standing.for_each(|s| s.push(row, &mut maps));
            for (key, value) in rest.map(json::members).into_iter().flatten() {
                maps.keys.push(&json::key(key));
                maps.values.push(value);
            }
            maps.end_row();
        }
        maps.finish()
    }

    fn standing<'a>(
        &self,
        at: &PromotedAt,
        column: &ArrayRef,
        dense: &'a [Texts],
    ) -> Result<Standing<'a>, ArrowError> {
        let names: Vec<&'static str> =
            std::iter::once(at.promoted.key).chain(at.promoted.aliases.iter().copied()).collect();
        let place = |name: &&str| {
            let at = self.dense.binary_search_by(|(k, _)| k.as_str().cmp(name)).ok()?;
            dense.get(at)
        };
        let others = names.iter().filter_map(place).collect();
        Ok(Standing { key: at.promoted.key, value: Value::of(at, column)?, others, names })
    }
}

impl Standing<'_> {
    /// Whether the column stands for its canonical key in a row.
    fn applies(&self, row: usize, rest: Option<&str>) -> bool {
        self.value.is_there(row)
            && self.others.iter().all(|texts| texts.get(row).is_none())
            && rest.is_none_or(|rest| !self.names.iter().any(|name| has_key(rest, name)))
    }

    fn push(&self, row: usize, maps: &mut Maps) {
        if self.value.push(row, &mut maps.values.text) {
            maps.values.end();
            maps.keys.push(self.key);
        }
    }
}

/// Whether an object in JSON text has a key of the semantic conventions, which needs no escapes.
pub(super) fn has_key(object: &str, key: &str) -> bool {
    // Most objects lack the key; a search for it is cheaper than reading the object.
    object.contains(key) && json::members(object).any(|(found, _)| json::key(found) == key)
}
