//! Dictionary-encoded text: each distinct value once, a code per row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, NullBufferBuilder, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::Int32Type;
use arrow::error::ArrowError;
use headrope_model::schema;

use super::Declined;
use super::cells::Text;

/// A dictionary-encoded text column.
#[derive(Debug)]
pub(super) struct Label {
    codes: Vec<i32>,
    nulls: NullBufferBuilder,
    values: Text,
    code_of: HashMap<Box<[u8]>, i32, foldhash::fast::FixedState>,
}

impl Label {
    pub(super) fn new() -> Self {
        Self {
            codes: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            values: Text::new(),
            code_of: HashMap::default(),
        }
    }

    /// The value of the next row.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<(), Declined> {
        let code = match self.code_of.get(value) {
            Some(code) => *code,
            None => self.add(value)?,
        };
        self.codes.push(code);
        self.nulls.append_non_null();
        Ok(())
    }

    fn add(&mut self, value: &[u8]) -> Result<i32, Declined> {
        let code = i32::try_from(self.values.len()).unwrap_or(i32::MAX);
        self.values.push(std::str::from_utf8(value)?);
        self.code_of.insert(value.into(), code);
        Ok(code)
    }

    /// The value of a row at or behind the end; rows between are null.
    pub(super) fn set(&mut self, row: usize, value: &[u8]) -> Result<(), Declined> {
        self.pad(row);
        self.push(value)
    }

    /// As [`Self::set`], where empty text is null.
    pub(super) fn set_text(&mut self, row: usize, value: &[u8]) -> Result<(), Declined> {
        if value.is_empty() { Ok(()) } else { self.set(row, value) }
    }

    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.codes.len());
        if missing > 0 {
            self.codes.resize(rows, 0);
            self.nulls.append_n_nulls(missing);
        }
    }

    /// Columns without any value are all the same one.
    pub(super) fn finish(mut self, rows: usize, none: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        if self.codes.is_empty() && none.len() == rows {
            return Ok(Arc::clone(none));
        }
        self.pad(rows);
        self.codes.shrink_to_fit();
        let codes = Int32Array::try_new(ScalarBuffer::from(self.codes), self.nulls.finish())?;
        dictionary(codes, self.values.finish(None)?)
    }
}

/// A label column of so many rows without a value.
pub(super) fn none(rows: usize) -> ArrayRef {
    arrow::array::new_null_array(&schema::label_type(), rows)
}

/// A dictionary-encoded column of codes into texts, without nulls.
pub(super) fn coded(mut codes: Vec<i32>, texts: Text) -> Result<ArrayRef, ArrowError> {
    codes.shrink_to_fit();
    let codes = Int32Array::try_new(ScalarBuffer::from(codes), None)?;
    dictionary(codes, texts.finish(None)?)
}

fn dictionary(codes: Int32Array, values: StringArray) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(codes, Arc::new(values))?))
}

/// A dictionary-encoded column whose values are known beforehand and always present.
#[derive(Debug)]
pub(super) struct Fixed {
    codes: Vec<i32>,
    values: &'static [&'static str],
}

impl Fixed {
    pub(super) const fn new(values: &'static [&'static str]) -> Self {
        Self { codes: Vec::new(), values }
    }

    /// The value with this number; the first one if there is none.
    pub(super) fn push(&mut self, number: u32) {
        let known = i32::try_from(number).ok();
        let known = known.filter(|n| usize::try_from(*n).is_ok_and(|n| n < self.values.len()));
        self.codes.push(known.unwrap_or_default());
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef, ArrowError> {
        self.codes.shrink_to_fit();
        let codes = Int32Array::try_new(ScalarBuffer::from(self.codes), None)?;
        dictionary(codes, StringArray::from_iter_values(self.values))
    }
}
