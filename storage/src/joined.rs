//! Columns of log records that a segment keeps as others: times as distances ([`crate::offsets`]), bodies
//! as templates and values ([`crate::bodies`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::{bodies, offsets};

/// How columns of a file become one of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// A time and a distance from it.
    Time,
    /// Templates and what fills them.
    Body,
}

/// Where a file has the columns that stand for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// How they are put together.
    pub join: Join,
    /// Their places among the columns of the file, in the order [`Join::join`] takes them.
    pub columns: Vec<usize>,
}

impl Joined {
    /// Columns of rows that a file may keep as others.
    pub const COLUMNS: [&'static str; 3] = ["event_time", "observed_time", bodies::BODY];

    /// Where a file with this schema has what stands for `column`; `None` if the file keeps the column as
    /// it is.
    #[must_use]
    pub fn of(schema: &Schema, column: &str) -> Option<Self> {
        let at = |name| schema.index_of(name).ok();
        if column == bodies::BODY {
            let mut columns = vec![at(bodies::TEMPLATE)?];
            columns.extend(bodies::FIRST.into_iter().map_while(at));
            columns.push(at(bodies::VALUES)?);
            return Some(Self { join: Join::Body, columns });
        }
        let offset = offsets::offset_of(column)?;
        Some(Self { join: Join::Time, columns: vec![at(offsets::TIME)?, at(offset)?] })
    }
}

impl Join {
    /// The column of rows.
    ///
    /// # Errors
    /// When the columns are not as many, or have other types, than such columns have.
    pub fn join(self, columns: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
        match (self, columns) {
            (Self::Time, [time, offset]) => offsets::join(time, offset),
            (Self::Time, _) => {
                let detail = format!("a time is kept as {} columns", columns.len());
                Err(ArrowError::SchemaError(detail))
            }
            (Self::Body, _) => bodies::join(columns),
        }
    }
}

/// The columns of a file that [`column`] needs.
#[must_use]
pub fn columns_of<'a>(schema: &'a Schema, name: &'a str) -> Vec<&'a str> {
    let names = |at: usize| schema.fields().get(at).map(|field| field.name().as_str());
    match Joined::of(schema, name) {
        Some(joined) => joined.columns.into_iter().filter_map(names).collect(),
        None => vec![name],
    }
}

/// A column of rows from those of a file; `None` if the file lacks it.
///
/// # Errors
/// When columns that stand for it have other types than such columns have.
pub fn column(batch: &RecordBatch, name: &str) -> Result<Option<ArrayRef>, ArrowError> {
    let Some(joined) = Joined::of(&batch.schema(), name) else {
        return Ok(batch.column_by_name(name).cloned());
    };
    let columns = joined.columns.into_iter().filter_map(|at| batch.columns().get(at).cloned());
    joined.join.join(&columns.collect::<Vec<_>>()).map(Some)
}

/// The columns that a file has in the place of a column of logs; `None` for those it keeps as they are.
pub(crate) fn fields_of(column: &str) -> Option<Vec<FieldRef>> {
    let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    match offsets::offset_of(column) {
        Some(offset) => Some(vec![Arc::new(offsets::field(offset))]),
        None if column == bodies::BODY => {
            let names = [bodies::TEMPLATE].into_iter().chain(bodies::FIRST).chain([bodies::VALUES]);
            Some(names.map(text).collect())
        }
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
        assert!(Joined::COLUMNS.iter().all(|column| Joined::of(&old, column).is_none()));
        let names = ["time", "event_offset_ns", "body_template", "body_values", "body_value_1"];
        let joined = |names: &[&str], column| {
            let fields = names.iter().map(|name| field(name)).collect::<Vec<_>>();
            Joined::of(&Schema::new(fields), column).map(|of| (of.join, of.columns))
        };
        let version_4 = names.get(..4).unwrap();
        assert_eq!(joined(version_4, "event_time"), Some((Join::Time, vec![0, 1])));
        assert_eq!(joined(version_4, "body"), Some((Join::Body, vec![2, 3])));
        assert_eq!(joined(&names, "body"), Some((Join::Body, vec![2, 4, 3])));
        assert_eq!(joined(&names, "observed_time"), None);
        assert_eq!(joined(&names, "time"), None);
    }
}
