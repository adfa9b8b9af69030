//! Column chunks of text of which no two are alike: lengths, then letters (`DELTA_LENGTH_BYTE_ARRAY`), without
//! bounds.
//!
//! The general Parquet writer makes a context of zstd for each page, of a size for pages of any length; at
//! the higher levels that costs more than to compress a page of a few thousand short texts.

use arrow::array::{Array as _, StringArray};
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, PageOptions, Values};
use super::delta;

/// Writes one column chunk. Returns its bytes and what the file says of it.
///
/// # Errors
/// When there are nulls in a required column, or compression fails.
pub(super) fn write(
    column: &ColumnDescPtr,
    texts: &StringArray,
    options: PageOptions,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let mut chunk = Chunk::new(column, options)?;
    let page_rows = chunk.page_rows();
    let (mut levels, mut lengths) = (Vec::new(), Vec::new());
    let (mut lead, mut bytes) = (Vec::new(), Vec::new());
    for from in (0..texts.len()).step_by(page_rows) {
        let rows = from..texts.len().min(from + page_rows);
        levels.clear();
        lengths.clear();
        lead.clear();
        bytes.clear();
        for row in rows {
            levels.push(u32::from(texts.is_valid(row)));
            if texts.is_valid(row) {
                let value = texts.value(row).as_bytes();
                lengths.push(
                    i32::try_from(value.len()).map_err(|e| ParquetError::External(e.into()))?,
                );
                bytes.extend_from_slice(value);
            }
        }
        delta::encode(&lengths, &mut lead);
        let values = Values {
            lead: &lead,
            bytes: &bytes,
            encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY,
            count: lengths.len(),
            range: None,
            text: i64::try_from(bytes.len()).ok(),
        };
        chunk.push_page(&levels, values)?;
    }
    chunk.finish(None, None)
}
