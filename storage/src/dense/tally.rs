//! What a file says of its attribute keys in its key-value metadata: how many values of a key are in
//! dense columns and in the rest, and every key of the rest.

use std::collections::{BTreeMap, BTreeSet};

use parquet::file::metadata::KeyValue;

/// Metadata key of the number of values by attribute key, a JSON object. Left out if there are more
/// than [`MAX_KEYS`].
pub(super) const VALUES: &str = "headrope.attribute_values";
/// Metadata key of the keys found in the rest, a JSON array. Left out if there are more than
/// [`MAX_KEYS`]: then the rest may hold any key.
pub const REST_KEYS: &str = "headrope.rest_keys";

/// Keys listed at most.
const MAX_KEYS: usize = 1024;
/// Dense columns of a file at most.
pub(crate) const MAX_DENSE: usize = 200;
/// Values that make a column worth its page and its place in the footer; few in tests, whose segments
/// are small.
pub(super) const MIN_VALUES: u64 = if cfg!(test) { 2 } else { 256 };
/// A dense key is on one row in this many at least.
const MIN_SHARE: u64 = 100;

/// Counts of attribute keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Values by key, without those that a promoted column stands for; `None`: too many keys.
    values: Option<BTreeMap<String, u64>>,
    /// Keys in the rest; `None`: any.
    rest: Option<BTreeSet<String>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { values: Some(BTreeMap::new()), rest: Some(BTreeSet::new()) }
    }

    /// What a file says.
    pub(crate) fn read(metadata: Option<&Vec<KeyValue>>) -> Self {
        let get = |name: &str| value_of(metadata, name);
        Self {
            values: get(VALUES).and_then(|json| serde_json::from_str(json).ok()),
            rest: get(REST_KEYS).and_then(|json| serde_json::from_str(json).ok()),
        }
    }

    /// What to write into a file.
    pub(crate) fn write(&self) -> Vec<KeyValue> {
        let entry = |name: &str, json: Option<String>| Some(KeyValue::new(name.to_owned(), json?));
        let values = self.values.as_ref().and_then(|v| serde_json::to_string(v).ok());
        let rest = self.rest.as_ref().and_then(|r| serde_json::to_string(r).ok());
        [entry(VALUES, values), entry(REST_KEYS, rest)].into_iter().flatten().collect()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut self.values, &other.values) {
            (Some(mine), Some(theirs)) => {
                for (key, n) in theirs {
                    *mine.entry(key.clone()).or_default() += n;
                }
            }
            _ => self.values = None,
        }
        match (&mut self.rest, &other.rest) {
            (Some(mine), Some(theirs)) => mine.extend(theirs.iter().cloned()),
            _ => self.rest = None,
        }
        self.bound();
    }

    /// Counts values of a key.
    pub(super) fn count(&mut self, key: &str, values: u64) {
        if let Some(known) = &mut self.values {
            *known.entry(key.to_owned()).or_default() += values;
        }
        self.bound();
    }

    /// Notes a key of the rest, or that any may be there.
    pub(super) fn note_rest(&mut self, key: Option<&str>) {
        match key {
            Some(key) => {
                if let Some(rest) = &mut self.rest
                    && !rest.contains(key)
                {
                    rest.insert(key.to_owned());
                }
            }
            None => (self.rest, self.values) = (None, None),
        }
        self.bound();
    }

    fn bound(&mut self) {
        self.values.take_if(|v| v.len() > MAX_KEYS);
        self.rest.take_if(|r| r.len() > MAX_KEYS);
    }

    /// The keys that deserve a column in a file of so many rows.
    pub(crate) fn dense(&self, rows: u64) -> Vec<String> {
        let values = self.values.iter().flatten();
        choose(values.map(|(key, n)| (key.as_str(), *n)), rows)
    }
}

/// A value of a file's key-value metadata.
pub(crate) fn value_of<'a>(metadata: Option<&'a Vec<KeyValue>>, name: &str) -> Option<&'a str> {
    metadata?.iter().find(|kv| kv.key == name)?.value.as_deref()
}

/// The keys that deserve a column in a file of so many rows: by the number of their values, at most
/// [`MAX_DENSE`]; sorted.
pub(crate) fn choose<'a>(values: impl Iterator<Item = (&'a str, u64)>, rows: u64) -> Vec<String> {
    let worth = |n: u64| n >= MIN_VALUES && n.saturating_mul(MIN_SHARE) >= rows;
    let mut keys: Vec<(&str, u64)> = values.filter(|(_, n)| worth(*n)).collect();
    keys.sort_unstable_by_key(|(key, n)| (std::cmp::Reverse(*n), *key));
    keys.truncate(MAX_DENSE);
    let mut keys: Vec<String> = keys.into_iter().map(|(key, _)| key.to_owned()).collect();
    keys.sort_unstable();
    keys
}

/// The keys in the rest by the key-value metadata of a file; `None`: any.
#[must_use]
pub fn rest_keys<'a>(
    mut metadata: impl FnMut(&str) -> Option<&'a str>,
) -> Option<BTreeSet<String>> {
    serde_json::from_str(metadata(REST_KEYS)?).ok()
}
