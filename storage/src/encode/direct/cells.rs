//! Plain columns that are appended to row by row or, where most rows have no value, at a row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, NullBufferBuilder, PrimitiveArray, StringArray,
    TimestampNanosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::ArrowPrimitiveType;
use arrow::error::ArrowError;

/// Text cells one after the other.
#[derive(Debug)]
pub(super) struct Text {
    offsets: Vec<i32>,
    text: String,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], text: String::new() }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end();
    }

    /// What the cell that is not ended yet is appended to.
    pub(super) const fn open(&mut self) -> &mut String {
        &mut self.text
    }

    /// Ends the cell. Beyond 2 GiB the offsets stay behind, which [`Self::finish`] refuses.
    pub(super) fn end(&mut self) {
        let last = self.offsets.last().copied().unwrap_or_default();
        self.offsets.push(i32::try_from(self.text.len()).unwrap_or(last));
    }

    pub(super) const fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The text of an ended cell; empty if there is no such.
    pub(super) fn get(&self, cell: i32) -> &str {
        let cell = usize::try_from(cell).unwrap_or(usize::MAX - 1);
        let at = |cell: usize| self.offsets.get(cell).and_then(|o| usize::try_from(*o).ok());
        let range = at(cell).zip(at(cell.saturating_add(1)));
        range.and_then(|(from, to)| self.text.get(from..to)).unwrap_or_default()
    }

    /// Columns stay in memory for a while: what they were given to grow is given back.
    pub(super) fn finish(mut self, nulls: Option<NullBuffer>) -> Result<StringArray, ArrowError> {
        self.offsets.shrink_to_fit();
        self.text.shrink_to_fit();
        let ended = self.offsets.last().and_then(|end| usize::try_from(*end).ok());
        if ended != Some(self.text.len()) {
            return Err(ArrowError::OffsetOverflowError(self.text.len()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.text.into_bytes()), nulls)
    }
}

/// Numbers, null where nothing was said.
#[derive(Debug)]
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    /// The value of a row at or behind the end; rows between are null.
    pub(super) fn set(&mut self, row: usize, value: T::Native) {
        self.pad(row);
        self.push(value);
    }

    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.values.len());
        if missing > 0 {
            self.values.resize(rows, T::Native::default());
            self.nulls.append_n_nulls(missing);
        }
    }

    pub(super) fn finish(mut self, rows: usize) -> Result<PrimitiveArray<T>, ArrowError> {
        self.pad(rows);
        self.values.shrink_to_fit();
        PrimitiveArray::try_new(ScalarBuffer::from(self.values), self.nulls.finish())
    }
}

/// Times as stored.
pub(super) fn times(values: TimestampNanosecondArray) -> ArrayRef {
    Arc::new(values.with_timezone("UTC"))
}

/// Times that are all known.
pub(super) fn all_times(mut values: Vec<i64>) -> ArrayRef {
    values.shrink_to_fit();
    times(TimestampNanosecondArray::from(values))
}

/// Identifiers of `N` bytes, null where there is none.
#[derive(Debug)]
pub(super) struct Ids<const N: usize> {
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl<const N: usize> Ids<N> {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    pub(super) fn push(&mut self, id: &[u8; N]) {
        self.bytes.extend_from_slice(id);
        self.nulls.append_non_null();
    }

    /// An identifier of another length or of zeros is none.
    pub(super) fn push_opt(&mut self, id: &[u8]) {
        match <&[u8; N]>::try_from(id) {
            Ok(id) if id.iter().any(|b| *b != 0) => self.push(id),
            _ => {
                self.bytes.extend_from_slice(&[0; N]);
                self.nulls.append_null();
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<FixedSizeBinaryArray, ArrowError> {
        self.bytes.shrink_to_fit();
        let size = i32::try_from(N).unwrap_or(i32::MAX);
        FixedSizeBinaryArray::try_new(size, Buffer::from_vec(self.bytes), self.nulls.finish())
    }
}
