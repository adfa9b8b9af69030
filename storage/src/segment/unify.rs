//! A label column of several batches under one dictionary.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

use super::labels::{NULL, Sorted};

/// Which row of which batch.
pub(crate) type Pick = (usize, usize);

/// One batch's keys, and what they are in the common dictionary.
struct Keys<'a> {
    keys: &'a [i32],
    nulls: Option<&'a NullBuffer>,
    codes: Arc<[u32]>,
}

/// Tells dictionaries apart without looking into them: batches of one source share theirs.
fn identity(values: &StringArray) -> (usize, usize, usize) {
    let offsets = values.value_offsets().as_ptr().addr();
    (values.value_data().as_ptr().addr(), offsets, values.len())
}

/// A label column of several batches: each distinct text once, in byte order, and a code per row.
pub(crate) struct Unified<'a> {
    sorted: Sorted<'a>,
    batches: Vec<Keys<'a>>,
}

impl<'a> Unified<'a> {
    /// # Errors
    /// When the column is not dictionary-encoded text.
    pub(crate) fn of(batches: &[&'a RecordBatch], column: usize) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("column {column} is not a label"));
        let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
        let mut parts = Vec::with_capacity(batches.len());
        for batch in batches {
            let array: &ArrayRef = batch.columns().get(column).ok_or_else(wrong)?;
            let array = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
            let values = array.values().as_string_opt::<i32>().ok_or_else(wrong)?;
            parts.push((array, values));
        }
        let mut seen = HashSet::new();
        for (_, values) in &parts {
            if seen.insert(identity(values)) {
                ranks.extend(values.iter().flatten().map(|text| (text, 0)));
            }
        }
        for (rank, number) in ranks.values_mut().zip(0..) {
            *rank = number;
        }
        let mut codes_of: HashMap<_, Arc<[u32]>> = HashMap::new();
        let keys = parts.into_iter().map(|(array, values)| {
            let codes = codes_of.entry(identity(values)).or_insert_with(|| {
                let rank = |text: Option<&str>| text.and_then(|t| ranks.get(t)).copied();
                values.iter().map(|text| rank(text).unwrap_or(NULL)).collect()
            });
            let keys = array.keys();
            Keys { keys: keys.values(), nulls: keys.nulls(), codes: Arc::clone(codes) }
        });
        let batches = keys.collect();
        Ok(Self { sorted: Sorted(ranks.into_keys().collect()), batches })
    }

    /// The distinct texts in byte order; a code is a place among them.
    pub(crate) fn texts(&self) -> &[&'a str] {
        &self.sorted.0
    }

    /// The distinct texts in byte order.
    pub(super) const fn sorted(&self) -> &Sorted<'a> {
        &self.sorted
    }

    /// The codes of rows.
    pub(super) fn gather(&self, picks: &[Pick]) -> Vec<u32> {
        if self.sorted.0.is_empty() {
            return vec![NULL; picks.len()];
        }
        picks.iter().map(|pick| self.code(*pick)).collect()
    }

    /// The code of a row; codes order as their texts do.
    #[inline]
    pub(crate) fn code(&self, (batch, row): Pick) -> u32 {
        let Some(part) = self.batches.get(batch) else { return NULL };
        if part.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return NULL;
        }
        let key = part.keys.get(row).and_then(|key| usize::try_from(*key).ok());
        key.and_then(|key| part.codes.get(key)).copied().unwrap_or(NULL)
    }
}
