//! Text columns, however they are encoded.

use arrow::array::{Array, ArrayRef, AsArray as _, StringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;

/// A text column.
#[derive(Debug, Clone)]
pub(super) enum Texts {
    Plain(StringArray),
    View(StringViewArray),
    Dictionary(arrow::array::Int32Array, StringArray),
}

impl Texts {
    pub(super) fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("{} is not text", array.data_type()));
        if let Some(plain) = array.as_string_opt::<i32>() {
            return Ok(Self::Plain(plain.clone()));
        }
        if let Some(view) = array.as_string_view_opt() {
            return Ok(Self::View(view.clone()));
        }
        let dictionary = array.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(wrong)?;
        Ok(Self::Dictionary(dictionary.keys().clone(), values.clone()))
    }

    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Plain(array) => {
                (row < array.len() && array.is_valid(row)).then(|| array.value(row))
            }
            Self::View(array) => {
                (row < array.len() && array.is_valid(row)).then(|| array.value(row))
            }
            Self::Dictionary(keys, values) => {
                if row >= keys.len() || keys.is_null(row) {
                    return None;
                }
                let at = usize::try_from(keys.value(row)).ok()?;
                (at < values.len() && values.is_valid(at)).then(|| values.value(at))
            }
        }
    }
}
