//! The dictionaries of column chunks: what values a row group has, without decoding its rows.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray};
use parquet::arrow::arrow_reader::RowGroups as _;
use parquet::basic::{Encoding, Type};
use parquet::column::page::Page;
use parquet::errors::{ParquetError, Result};

use super::chunk::Group;
use super::file::Positioned;
use super::footer::Footer;

/// The different values of a column of text or of 64-bit integers in a row group; `None` if the file does not keep
/// them all in a dictionary. Whether some are null it does not say.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub(crate) fn values(
    footer: &Footer,
    file: &Positioned,
    number: usize,
    column: &str,
) -> Result<Option<ArrayRef>> {
    let about = footer.metadata().row_groups().get(number);
    let place = footer.leaf(column);
    let Some((about, leaf)) = about.zip(place) else { return Ok(None) };
    let Some(chunk) = about.columns().get(leaf) else { return Ok(None) };
    let descriptor = chunk.column_descr();
    let decode: fn(&[u8], u32) -> Option<ArrayRef> = match chunk.column_type() {
        Type::BYTE_ARRAY => |bytes, values| Some(Arc::new(texts(bytes, values)?)),
        Type::INT64 => |bytes, values| Some(Arc::new(integers(bytes, values)?)),
        _ => return Ok(None),
    };
    if descriptor.max_rep_level() > 0 {
        return Ok(None);
    }
    let nulls = chunk.statistics().and_then(|s| s.null_count_opt());
    if nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values())) {
        return Ok(decode(&[], 0));
    }
    // A dictionary page is plain; values that did not fit it are delta-encoded.
    let all = chunk.dictionary_page_offset().is_some()
        && chunk
            .encodings()
            .all(|e| matches!(e, Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY));
    if !all {
        return Ok(None);
    }
    let group = Group { footer, file, about, number };
    let mut chunks = group.column_chunks(leaf)?;
    let Some(mut pages) = chunks.next().transpose()? else { return Ok(None) };
    match pages.get_next_page()? {
        Some(Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, .. }) => {
            let values = decode(&buf, num_values).ok_or_else(|| {
                ParquetError::General(format!("the dictionary of {column} is damaged"))
            })?;
            Ok(Some(values))
        }
        _ => Ok(None),
    }
}

/// Plain-encoded text: a length in four bytes, little-endian, before each value.
fn texts(mut bytes: &[u8], values: u32) -> Option<StringArray> {
    let mut out = Vec::new();
    for _ in 0..values {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        out.push(std::str::from_utf8(value).ok()?);
        bytes = rest;
    }
    Some(StringArray::from(out))
}

/// Plain-encoded integers: eight bytes each, little-endian.
fn integers(bytes: &[u8], values: u32) -> Option<Int64Array> {
    let (all, rest) = bytes.as_chunks();
    let complete = rest.is_empty() && u32::try_from(all.len()) == Ok(values);
    complete.then(|| all.iter().map(|value| i64::from_le_bytes(*value)).collect())
}
