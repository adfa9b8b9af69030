//! Columns of a batch by name and type.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch,
    StringArray, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::arrow::error::ArrowError;

use crate::error::QueryError;

/// A text column of either layout.
#[derive(Debug, Clone)]
pub(crate) enum Texts {
    /// Offsets and bytes.
    Utf8(StringArray),
    /// Views.
    View(StringViewArray),
}

impl Texts {
    /// Takes a text column; dictionaries and other types are cast.
    pub(crate) fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        match array.data_type() {
            DataType::Utf8 => Ok(Self::Utf8(array.as_string::<i32>().clone())),
            DataType::Utf8View => Ok(Self::View(array.as_string_view().clone())),
            _ => Ok(Self::View(cast(array, &DataType::Utf8View)?.as_string_view().clone())),
        }
    }

    /// The text of a row; `None` for null and for rows that do not exist.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Utf8(a) => (row < a.len() && a.is_valid(row)).then(|| a.value(row)),
            Self::View(a) => (row < a.len() && a.is_valid(row)).then(|| a.value(row)),
        }
    }

    /// The text of a row, empty for null.
    pub(crate) fn text(&self, row: usize) -> &str {
        self.get(row).unwrap_or_default()
    }

    /// The text of a row as a string, empty for null.
    pub(crate) fn owned(&self, row: usize) -> String {
        self.text(row).to_owned()
    }
}

/// Columns of one batch of an answer of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a>(pub(crate) &'a RecordBatch);

impl Columns<'_> {
    pub(crate) fn array(&self, name: &str) -> Result<&ArrayRef, QueryError> {
        self.0
            .column_by_name(name)
            .ok_or_else(|| QueryError::Engine(format!("the answer lacks the column {name}")))
    }

    fn as_type(&self, name: &str, data_type: &DataType) -> Result<ArrayRef, QueryError> {
        let array = self.array(name)?;
        cast(array, data_type).map_err(|e| QueryError::Engine(format!("column {name}: {e}")))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Texts, QueryError> {
        Texts::of(self.array(name)?).map_err(|e| QueryError::Engine(format!("column {name}: {e}")))
    }

    /// Integers; a timestamp gives nanoseconds.
    pub(crate) fn ints(&self, name: &str) -> Result<Int64Array, QueryError> {
        Ok(self.as_type(name, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    pub(crate) fn doubles(&self, name: &str) -> Result<Float64Array, QueryError> {
        Ok(self.as_type(name, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    }

    pub(crate) fn bools(&self, name: &str) -> Result<BooleanArray, QueryError> {
        Ok(self.as_type(name, &DataType::Boolean)?.as_boolean().clone())
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<BinaryArray, QueryError> {
        Ok(self.as_type(name, &DataType::Binary)?.as_binary::<i32>().clone())
    }
}

/// The integer of a row, `None` for null.
pub(crate) fn int(array: &Int64Array, row: usize) -> Option<i64> {
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

/// The integer of a row, 0 for null.
pub(crate) fn int0(array: &Int64Array, row: usize) -> i64 {
    int(array, row).unwrap_or_default()
}

/// The count of a row, 0 for null and for negative values.
pub(crate) fn count(array: &Int64Array, row: usize) -> u64 {
    u64::try_from(int0(array, row)).unwrap_or_default()
}
