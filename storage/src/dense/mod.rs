//! Attributes in columns of their own: how a segment keeps the attribute map of its rows.
//!
//! In memory a record's attributes are one map ([`WHOLE`]). In a segment each value is in one of three
//! places:
//!
//! - **promoted**: the canonical key of a promoted column whose value is that of the column is not
//!   written again. The column stands for the attribute on every row that has none of the older names
//!   ([`headrope_model::semconv`]) and has the key in no other place;
//! - **dense**: a key that many rows have is the column [`column_name`], canonical JSON, null where the
//!   row lacks it;
//! - **rest**: everything else is an object in JSON text in the column [`REST`], null if there is
//!   nothing. A key that a row repeats is there with all its values, in order.
//!
//! Which keys are dense differs from file to file; which values are where is exact row by row, so row
//! groups of different files can stand side by side. Order among the keys of a row is not kept.
//!
//! Reading order: `census` (which keys there are), `split` (rows to columns) and its `cells`, [`Layout`], `whole`
//! (columns to rows), `find` (one key), `names` (which keys with what types, for who looks for one).

mod cells;
mod census;
mod find;
pub mod names;
mod split;
mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod texts;
mod whole;

use arrow::datatypes::Schema;
use headrope_model::DataSet;
use headrope_model::semconv::{self, Promoted};

pub(crate) use cells::Cells;
pub(crate) use census::Census;
pub use find::Find;
pub use names::Names;
pub(crate) use split::{Split, split};
pub(crate) use tally::{MAX_DENSE, Tally, choose, value_of};
pub use tally::{REST_KEYS, rest_keys};

/// The attribute map, in memory and in segments of schema version 1.
pub const WHOLE: &str = "attributes";
/// The column of what has no column of its own.
pub const REST: &str = "attributes_rest";
/// What the name of a dense column begins with.
const PREFIX: &str = "attr:";

/// Name of the dense column of an attribute key.
#[must_use]
pub fn column_name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// The attribute key of a dense column; `None` for any other column.
#[must_use]
pub fn key_of(column: &str) -> Option<&str> {
    column.strip_prefix(PREFIX)
}

/// The promoted columns that stand for attributes of a data set's records.
#[must_use]
pub const fn promoted(data_set: DataSet) -> &'static [Promoted] {
    match data_set {
        DataSet::Spans => semconv::SPAN,
        _ => &[],
    }
}

/// A promoted column of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PromotedAt {
    promoted: &'static Promoted,
    column: usize,
}

/// Where the attributes of a file's rows are: places in its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    rest: usize,
    /// Keys with their columns, by key.
    dense: Vec<(String, usize)>,
    promoted: Vec<PromotedAt>,
}

impl Layout {
    /// The layout of a file; `None` if it keeps attributes whole, or has none.
    #[must_use]
    pub fn of(schema: &Schema, promoted: &'static [Promoted]) -> Option<Self> {
        let rest = schema.index_of(REST).ok()?;
        let fields = schema.fields().iter().enumerate();
        let mut dense: Vec<(String, usize)> =
            fields.filter_map(|(at, f)| Some((key_of(f.name())?.to_owned(), at))).collect();
        dense.sort_unstable();
        let at = |p: &'static Promoted| {
            Some(PromotedAt { promoted: p, column: schema.index_of(p.column).ok()? })
        };
        Some(Self { rest, dense, promoted: promoted.iter().filter_map(at).collect() })
    }

    /// Every column that attributes are made of, in the order [`Self::assemble`] takes them.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let dense = self.dense.iter().map(|(_, at)| *at);
        let promoted = self.promoted.iter().map(|p| p.column);
        std::iter::once(self.rest).chain(dense).chain(promoted).collect()
    }

    fn dense_column(&self, key: &str) -> Option<usize> {
        let at = self.dense.binary_search_by(|(k, _)| k.as_str().cmp(key)).ok()?;
        self.dense.get(at).map(|(_, column)| *column)
    }
}
