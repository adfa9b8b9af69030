//! Which attribute keys batches have: a number per key, and the number of each entry's key.

use std::collections::HashMap;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Int32Array, MapArray, RecordBatch, StringArray,
};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use headrope_model::attr::ValueType;
use headrope_model::semconv::Promoted;

use super::WHOLE;
use super::names::TypeCounts;

/// The number of a key that was not counted: there were too many before it.
pub(super) const OTHER: u16 = u16::MAX;

/// The attribute entries of one batch.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    map: &'a MapArray,
    keys: Coded<'a>,
    values: Coded<'a>,
    /// By code of a key.
    numbers: Vec<u16>,
}

/// Dictionary-encoded text.
#[derive(Debug)]
struct Coded<'a> {
    codes: &'a Int32Array,
    texts: &'a StringArray,
}

impl<'a> Coded<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        let array = array.as_dictionary_opt::<Int32Type>()?;
        Some(Self { codes: array.keys(), texts: array.values().as_string_opt()? })
    }

    /// The code of an entry; `None` if it is null.
    fn code(&self, entry: usize) -> Option<usize> {
        let known = entry < self.codes.len() && self.codes.is_valid(entry);
        known.then(|| usize::try_from(self.codes.value(entry)).ok()).flatten()
    }

    fn text(&self, code: usize) -> Option<&'a str> {
        (code < self.texts.len() && self.texts.is_valid(code)).then(|| self.texts.value(code))
    }
}

impl<'a> Entries<'a> {
    /// The entries of a row, as places.
    pub(super) fn row(&self, row: usize) -> std::ops::Range<usize> {
        let offsets = self.map.value_offsets();
        let at = |row: usize| offsets.get(row).and_then(|o| usize::try_from(*o).ok());
        match (at(row), at(row + 1)) {
            (Some(from), Some(to)) => from..to,
            _ => 0..0,
        }
    }

    /// All entries, as places.
    fn all(&self) -> std::ops::Range<usize> {
        let offsets = self.map.value_offsets();
        let bound = |o: Option<&i32>| o.and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
        bound(offsets.first())..bound(offsets.last())
    }

    /// The types of the distinct values.
    fn types(&self) -> Vec<ValueType> {
        self.values.texts.iter().map(|text| ValueType::of(text.unwrap_or("null"))).collect()
    }

    /// The number of an entry's key.
    pub(super) fn number(&self, entry: usize) -> u16 {
        self.keys.code(entry).and_then(|code| self.numbers.get(code)).copied().unwrap_or(OTHER)
    }

    pub(super) fn key(&self, entry: usize) -> &'a str {
        self.keys.code(entry).and_then(|code| self.keys.text(code)).unwrap_or_default()
    }

    /// The code of an entry's value and the value; a null counts as the empty value.
    pub(super) fn value(&self, entry: usize) -> (usize, &'a str) {
        let code = self.values.code(entry);
        let text = code.and_then(|code| self.values.text(code));
        (code.unwrap_or(usize::MAX), text.unwrap_or("null"))
    }

    /// Number of distinct values.
    pub(super) fn distinct(&self) -> usize {
        self.values.texts.len()
    }
}

/// The keys of several batches.
#[derive(Debug)]
pub(crate) struct Census<'a> {
    pub(super) keys: Vec<&'a str>,
    /// Entries by key.
    entries: Vec<u64>,
    pub(super) batches: Vec<Entries<'a>>,
}

/// Numbers keys as they come.
#[derive(Default)]
struct Numbering<'a> {
    numbers: HashMap<&'a str, u16, foldhash::fast::FixedState>,
    keys: Vec<&'a str>,
}

impl<'a> Numbering<'a> {
    fn number(&mut self, key: &'a str) -> u16 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = u16::try_from(self.keys.len()).unwrap_or(OTHER);
        if number != OTHER {
            self.numbers.insert(key, number);
            self.keys.push(key);
        }
        number
    }
}

impl<'a> Census<'a> {
    /// Counts the keys of batches in the stored schema; batches without attributes have none.
    ///
    /// # Errors
    /// When the attributes are not a map of text to text.
    pub(crate) fn of(batches: &[&'a RecordBatch]) -> Result<Self, ArrowError> {
        let mut numbering = Numbering::default();
        let mut entries: Vec<u64> = Vec::new();
        let mut all = Vec::with_capacity(batches.len());
        for batch in batches {
            let wrong = || ArrowError::SchemaError(format!("{WHOLE} is not a map of codes"));
            let map = batch.column_by_name(WHOLE).and_then(|c| c.as_map_opt()).ok_or_else(wrong)?;
            let keys = Coded::of(map.keys()).ok_or_else(wrong)?;
            let values = Coded::of(map.values()).ok_or_else(wrong)?;
            let number = |code| keys.text(code).map_or(OTHER, |key| numbering.number(key));
            let numbers: Vec<u16> = (0..keys.texts.len()).map(number).collect();
            entries.resize(numbering.keys.len(), 0);
            let found = Entries { map, keys, values, numbers };
            for entry in found.all() {
                if let Some(count) = entries.get_mut(usize::from(found.number(entry))) {
                    *count += 1;
                }
            }
            all.push(found);
        }
        Ok(Self { keys: numbering.keys, entries, batches: all })
    }

    /// Hands each key with the number of its values of each type to `each`; no key for those without
    /// a number.
    pub(super) fn count_types(&self, mut each: impl FnMut(Option<&str>, ValueType, u64)) {
        for batch in &self.batches {
            let types: Vec<ValueType> = batch.types();
            let mut counts = vec![TypeCounts::default(); self.keys.len() + 1];
            for entry in batch.all() {
                let number = usize::from(batch.number(entry)).min(self.keys.len());
                let value_type = batch.values.code(entry).and_then(|code| types.get(code));
                let slot = value_type.map_or(ValueType::Null, |t| *t).slot();
                if let Some(count) = counts.get_mut(number).and_then(|c| c.get_mut(slot)) {
                    *count += 1;
                }
            }
            for (number, counts) in counts.iter().enumerate() {
                for (value_type, count) in ValueType::ALL.into_iter().zip(counts) {
                    each(self.keys.get(number).copied(), value_type, *count);
                }
            }
        }
    }

    /// The number of a key, if any row has it.
    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|k| *k == key)
    }

    /// Keys with the number of entries that the promoted columns do not stand for, about.
    pub(crate) fn left(
        &self,
        batches: &[&RecordBatch],
        promoted: &'static [Promoted],
    ) -> impl Iterator<Item = (&'a str, u64)> + '_ {
        let mut entries = self.entries.clone();
        for p in promoted {
            let renamed = p.aliases.iter().any(|alias| self.number(alias).is_some());
            let Some(at) = self.number(p.key).filter(|_| !renamed) else { continue };
            let column = |b: &&RecordBatch| {
                b.column_by_name(p.column).map_or(0, |c| c.len() - c.null_count())
            };
            let stood_for: usize = batches.iter().map(column).sum();
            if let Some(entries) = entries.get_mut(at) {
                *entries = entries.saturating_sub(stood_for as u64);
            }
        }
        self.keys.iter().copied().zip(entries)
    }
}
