//! Columns of log records that a segment keeps as two others: times as distances
//! ([`crate::offsets`]), bodies as templates and values ([`crate::bodies`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::{bodies, offsets};

/// How two columns of a file become one of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// A time and a distance from it.
    Time,
    /// A template and what fills it.
    Body,
}

/// Where a file has the two columns that stand for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// How they are put together.
    pub join: Join,
    /// Their places among the columns of the file, in the order [`Join::join`] takes them.
    pub columns: [usize; 2],
}

impl Pair {
    /// Columns of rows that a file may keep as two.
    pub const COLUMNS: [&'static str; 3] = ["event_time", "observed_time", bodies::BODY];

    /// Where a file with this schema has what stands for `column`; `None` if the file keeps the column as
    /// it is.
    #[must_use]
    pub fn of(schema: &Schema, column: &str) -> Option<Self> {
        let (join, [first, second]) = match column {
            bodies::BODY => (Join::Body, [bodies::TEMPLATE, bodies::VALUES]),
            _ => (Join::Time, [offsets::TIME, offsets::offset_of(column)?]),
        };
        let at = |name| schema.index_of(name).ok();
        Some(Self { join, columns: [at(first)?, at(second)?] })
    }
}

impl Join {
    /// The column of rows.
    ///
    /// # Errors
    /// When the columns have other types than such columns have.
    pub fn join(self, first: &ArrayRef, second: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Time => offsets::join(first, second),
            Self::Body => bodies::join(first, second),
        }
    }
}

/// The columns of a file that [`column`] needs.
#[must_use]
pub fn columns_of<'a>(schema: &'a Schema, name: &'a str) -> Vec<&'a str> {
    let names = |at: usize| schema.fields().get(at).map(|field| field.name().as_str());
    match Pair::of(schema, name) {
        Some(pair) => pair.columns.into_iter().filter_map(names).collect(),
        None => vec![name],
    }
}

/// A column of rows from those of a file; `None` if the file lacks it.
///
/// # Errors
/// When columns that stand for it have other types than such columns have.
pub fn column(batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>, ArrowError> {
    let pair = Pair::of(&batch.schema(), name);
    match pair.map(|pair| (pair.join, pair.columns.map(|at| batch.columns().get(at)))) {
        Some((join, [Some(first), Some(second)])) => join.join(first, second).map(Some),
        _ => Ok(batch.column_by_name(name).cloned()),
    }
}

/// The columns that a file has in the place of a column of logs; `None` for those it keeps as they are.
pub(crate) fn fields_of(column: &str) -> Option<Vec<FieldRef>> {
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    match offsets::offset_of(column) {
        Some(offset) => Some(vec![Arc::new(offsets::field(offset))]),
        None if column == bodies::BODY => Some(vec![text(bodies::TEMPLATE), text(bodies::VALUES)]),
        None => None,
    }
}

/// A file for a reader that yields labels, and what else has few values, as the dictionaries they are
/// stored with. `stored` is the schema of rows.
///
/// # Errors
/// When the file's columns cannot be read as Arrow.
pub fn with_dictionaries(
    metadata: &Arc<ParquetMetaData>,
    stored: &Schema,
) -> Result<ArrowReaderMetadata, ParquetError> {
    let options = ArrowReaderOptions::new();
    let plain = ArrowReaderMetadata::try_new(Arc::clone(metadata), options.clone())?;
    let template = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = plain.schema().fields().iter().map(|field| {
        let wanted = match stored.field_with_name(field.name()) {
            Ok(stored) => Some(stored.data_type()),
            Err(_) => Some(&template).filter(|_| field.name() == bodies::TEMPLATE),
        };
        match wanted {
            Some(wanted @ DataType::Dictionary(_, value)) if **value == *field.data_type() => {
                Field::new(field.name(), wanted.clone(), field.is_nullable())
            }
            _ => field.as_ref().clone(),
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    ArrowReaderMetadata::try_new(Arc::clone(metadata), options.with_schema(schema))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_version_keeps_columns() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let old = Schema::new(vec![field("time"), field("event_time"), field("body")]);
        assert!(Pair::COLUMNS.iter().all(|column| Pair::of(&old, column).is_none()));
        let new = ["time", "event_offset_ns", "body_template", "body_values"].map(field);
        let new = Schema::new(new.to_vec());
        let pair = |join, columns| Some(Pair { join, columns });
        assert_eq!(Pair::of(&new, "event_time"), pair(Join::Time, [0, 1]));
        assert_eq!(Pair::of(&new, "body"), pair(Join::Body, [2, 3]));
        assert_eq!(Pair::of(&new, "observed_time"), None);
        assert_eq!(Pair::of(&new, "time"), None);
    }
}
