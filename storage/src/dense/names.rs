//! Names of attributes: the keys that records have, with the types of their values and how often each comes.
//!
//! A file says so in its key-value metadata. Counts are of values: a record that repeats a key counts each.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use headrope_model::attr::{AttributeLevel, ValueType};
use headrope_model::json;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize, Serializer};

use super::WHOLE;
use super::census::Census;

/// Metadata key of the names.
const NAMES: &str = "headrope.attribute_names";
/// Keys of a level that a file lists at most: the most frequent ones.
const MAX_KEYS: usize = 2048;
/// Keys of a level that are counted at most.
const MAX_COUNTED: usize = 2 * MAX_KEYS;
/// Different resources or scopes of a row group that are looked into at most.
const MAX_OBJECTS: usize = 4096;

/// Values by type, in the order of [`ValueType::ALL`].
pub type TypeCounts = [u64; ValueType::ALL.len()];

/// What the attributes belong to that are the JSON objects of a label column.
pub(crate) fn level_of(column: &str) -> Option<AttributeLevel> {
    match column {
        "resource" => Some(AttributeLevel::Resource),
        "scope_attributes" => Some(AttributeLevel::Scope),
        _ => None,
    }
}

/// Names of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    levels: [BTreeMap<String, TypeCounts>; AttributeLevel::ALL.len()],
    /// Whether keys are missing, and counts may be too low.
    cut: bool,
}

/// Names as a file has them: values by type, by key.
#[derive(Serialize)]
struct Written<'a> {
    record: Keys<'a>,
    resource: Keys<'a>,
    scope: Keys<'a>,
    cut: bool,
}

struct Keys<'a>(&'a BTreeMap<String, TypeCounts>);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, counts)| (key, Types(counts))))
    }
}

struct Types<'a>(&'a TypeCounts);

impl Serialize for Types<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let counts = ValueType::ALL.into_iter().zip(self.0).filter(|(_, values)| **values > 0);
        to.collect_map(counts.map(|(value_type, values)| (value_type.name(), values)))
    }
}

/// What a file has, read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Read {
    record: BTreeMap<String, BTreeMap<String, u64>>,
    resource: BTreeMap<String, BTreeMap<String, u64>>,
    scope: BTreeMap<String, BTreeMap<String, u64>>,
    cut: bool,
}

impl Names {
    /// What a file says; files of older versions say nothing, so that all keys are missing.
    #[must_use]
    pub fn read<'a>(mut metadata: impl FnMut(&str) -> Option<&'a str>) -> Self {
        let written = metadata(NAMES).and_then(|text| serde_json::from_str::<Read>(text).ok());
        let Some(written) = written else { return Self { cut: true, ..Self::default() } };
        let counts = |by_type: BTreeMap<String, u64>| {
            let mut counts = TypeCounts::default();
            for (name, values) in by_type {
                if let Some(value_type) = ValueType::from_name(&name) {
                    counts[value_type.slot()] = values;
                }
            }
            counts
        };
        let level = |keys: BTreeMap<String, BTreeMap<String, u64>>| {
            keys.into_iter().map(|(key, by_type)| (key, counts(by_type))).collect()
        };
        let levels = [level(written.record), level(written.resource), level(written.scope)];
        Self { levels, cut: written.cut }
    }

    /// The names of a batch in the stored schema.
    ///
    /// # Errors
    /// When the attributes are not a map of text to text.
    pub fn of_batch(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let mut names = Self::default();
        if batch.column_by_name(WHOLE).is_some() {
            Census::of(&[batch])?.count_types(|key, value_type, values| match key {
                Some(key) => names.count(AttributeLevel::Record, key, value_type, values),
                None => names.cut |= values > 0,
            });
        }
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let Some(level) = level_of(field.name()) else { continue };
            let Some(labels) = column.as_dictionary_opt::<Int32Type>() else { continue };
            let Some(texts) = labels.values().as_string_opt::<i32>() else { continue };
            let codes =
                labels.keys().iter().flatten().filter_map(|code| usize::try_from(code).ok());
            let text = |code| (code < texts.len()).then(|| texts.value(code));
            names.count_objects(level, texts.len(), text, codes);
        }
        Ok(names)
    }

    /// What to write into a file.
    pub(crate) fn write(mut self) -> Option<KeyValue> {
        self.bound(MAX_KEYS);
        let [record, resource, scope] = &self.levels;
        let (record, resource, scope) = (Keys(record), Keys(resource), Keys(scope));
        let written = Written { record, resource, scope, cut: self.cut };
        Some(KeyValue::new(NAMES.to_owned(), serde_json::to_string(&written).ok()?))
    }

    /// Adds other names.
    pub fn add(&mut self, other: Self) {
        self.cut |= other.cut;
        for (mine, theirs) in self.levels.iter_mut().zip(other.levels) {
            for (key, counts) in theirs {
                match mine.get_mut(&key) {
                    Some(known) => add(known, &counts),
                    None => drop(mine.insert(key, counts)),
                }
            }
        }
        self.bound_counted();
    }

    /// Counts values of a key.
    pub(super) fn count(
        &mut self,
        level: AttributeLevel,
        key: &str,
        value_type: ValueType,
        values: u64,
    ) {
        let mut counts = TypeCounts::default();
        counts[value_type.slot()] = values;
        self.count_all(level, key, &counts);
    }

    /// Counts values of a key by type.
    pub(crate) fn count_all(&mut self, level: AttributeLevel, key: &str, counts: &TypeCounts) {
        let any = counts.iter().any(|values| *values > 0);
        let Some(keys) = self.levels.get_mut(level as usize).filter(|_| any) else { return };
        match keys.get_mut(key) {
            Some(known) => add(known, counts),
            None => {
                keys.insert(key.to_owned(), *counts);
                self.bound_counted();
            }
        }
    }

    /// Counts the members of the objects that rows refer to by code.
    pub(crate) fn count_objects<'a>(
        &mut self,
        level: AttributeLevel,
        distinct: usize,
        text: impl Fn(usize) -> Option<&'a str>,
        codes: impl Iterator<Item = usize>,
    ) {
        let mut rows = vec![0u64; distinct];
        for code in codes {
            if let Some(rows) = rows.get_mut(code) {
                *rows += 1;
            }
        }
        let mut looked_into = 0;
        for (code, rows) in rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
            looked_into += 1;
            if looked_into > MAX_OBJECTS {
                self.cut = true;
                return;
            }
            for (key, value) in text(code).into_iter().flat_map(json::members) {
                self.count(level, &json::key(key), ValueType::of(value), rows);
            }
        }
    }

    /// Notes that there are keys which were not counted.
    pub(super) const fn note_uncounted(&mut self) {
        self.cut = true;
    }

    /// Gives rare keys up when there are too many to count.
    fn bound_counted(&mut self) {
        if self.levels.iter().any(|keys| keys.len() > MAX_COUNTED) {
            self.bound(MAX_KEYS);
        }
    }

    /// Keeps the most frequent keys of each level.
    fn bound(&mut self, most: usize) {
        for keys in self.levels.iter_mut().filter(|keys| keys.len() > most) {
            self.cut = true;
            let mut listed: Vec<(String, TypeCounts)> = std::mem::take(keys).into_iter().collect();
            // Stable: of equally frequent keys the first by name stay.
            listed.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
            listed.truncate(most);
            keys.extend(listed);
        }
    }

    /// Whether every key is listed with all its values.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.cut
    }

    /// Every key with its values by type.
    pub fn iter(&self) -> impl Iterator<Item = (AttributeLevel, &str, &TypeCounts)> {
        let levels = AttributeLevel::ALL.into_iter().zip(&self.levels);
        levels.flat_map(|(level, keys)| keys.iter().map(move |(k, c)| (level, k.as_str(), c)))
    }
}

fn add(into: &mut TypeCounts, from: &TypeCounts) {
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}
