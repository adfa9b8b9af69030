//! Column chunks of dictionary-encoded text, written from codes.
//!
//! The general Parquet writer looks at the text of every row: it hashes it to find its place in the
//! dictionary and compares it for the statistics. Rows that carry codes already need neither; here a
//! row costs a table look-up and its bits.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::blocks::Blocks;
use super::hybrid;

/// The code of no value.
pub(super) const NULL: u32 = u32::MAX;
/// Bytes of a value kept as a bound; longer ones are cut, an upper bound upwards.
const BOUND_BYTES: usize = 64;
/// Pages smaller than this are not worth compressing.
const MIN_COMPRESSED: usize = 64;

/// How pages are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageOptions {
    /// Rows of a data page at most.
    pub(super) rows: usize,
    /// Level of zstd.
    pub(super) zstd: i32,
}

/// Text in byte order without repetition, and what codes into it mean.
#[derive(Debug)]
pub(super) struct Sorted<'a>(pub(super) Vec<&'a str>);

impl<'a> Sorted<'a> {
    pub(super) fn get(&self, code: u32) -> Option<&'a str> {
        usize::try_from(code).ok().and_then(|at| self.0.get(at)).copied()
    }
}

/// The values one column chunk uses, in order, and the place of each code among them.
struct Used<'a> {
    values: Vec<&'a str>,
    lengths: Vec<i64>,
    place: Vec<u32>,
    bytes: usize,
}

impl<'a> Used<'a> {
    fn of(codes: &[u32], sorted: &Sorted<'a>) -> Self {
        let mut place = vec![NULL; sorted.0.len()];
        let mut last = NULL;
        for code in codes {
            // Neighbours are often alike.
            if *code == last {
                continue;
            }
            last = *code;
            if let Some(place) = usize::try_from(*code).ok().and_then(|at| place.get_mut(at)) {
                *place = 0;
            }
        }
        let mut used = Self { values: Vec::new(), lengths: Vec::new(), place, bytes: 0 };
        for (place, value) in used.place.iter_mut().zip(&sorted.0) {
            if *place != NULL {
                *place = u32::try_from(used.values.len()).unwrap_or(NULL);
                used.values.push(value);
                used.lengths.push(i64::try_from(value.len()).unwrap_or(i64::MAX));
                used.bytes += 4 + value.len();
            }
        }
        used
    }

    /// Whether codes are a good way to write so many rows: the dictionary must be small against them,
    /// and small enough to be read for a single page.
    const fn pays(&self, rows: usize) -> bool {
        const MAX_BYTES: usize = 1 << 20;
        self.bytes <= MAX_BYTES && (self.values.len() <= 64 || self.values.len() <= rows / 2)
    }

    const fn encoding(&self) -> Encoding {
        if self.values.is_empty() { Encoding::PLAIN } else { Encoding::RLE_DICTIONARY }
    }

    fn place(&self, code: u32) -> u32 {
        usize::try_from(code).ok().and_then(|at| self.place.get(at)).copied().unwrap_or(NULL)
    }
}

/// A column chunk that is being written to memory.
struct Chunk {
    column: ColumnDescPtr,
    options: PageOptions,
    compressor: zstd::bulk::Compressor<'static>,
    blocks: Blocks,
    sink: TrackedWrite<Vec<u8>>,
    uncompressed: i64,
    first_data_page: Option<u64>,
    pages: OffsetIndexBuilder,
    bounds: ColumnIndexBuilder,
    nulls: u64,
    text_bytes: i64,
}

/// Writes one column chunk: `codes` into `sorted` by row, [`NULL`] for none. Returns its bytes and
/// what the file says of it; `None` if a dictionary would not pay.
///
/// # Errors
/// When there are nulls in a required column, or compression fails.
pub(super) fn write(
    column: &ColumnDescPtr,
    codes: &[u32],
    sorted: &Sorted<'_>,
    options: PageOptions,
) -> Result<Option<(Bytes, ColumnCloseResult)>, ParquetError> {
    let used = Used::of(codes, sorted);
    if !used.pays(codes.len()) {
        return Ok(None);
    }
    let mut chunk = Chunk::new(column, options)?;
    chunk.push_dictionary(&used)?;
    let width =
        hybrid::bit_width(u32::try_from(used.values.len().saturating_sub(1)).unwrap_or(NULL));
    let (mut levels, mut places) = (Vec::new(), Vec::new());
    for page in codes.chunks(options.rows) {
        levels.clear();
        places.clear();
        places.extend(page.iter().filter(|code| **code != NULL).map(|code| used.place(*code)));
        if places.len() == page.len() || places.is_empty() {
            levels.resize(page.len(), u32::from(!places.is_empty()));
        } else {
            levels.extend(page.iter().map(|code| u32::from(*code != NULL)));
        }
        chunk.push_page(&levels, &places, width, &used)?;
    }
    let range = used.values.first().copied().zip(used.values.last().copied());
    chunk.finish(codes.len(), range).map(Some)
}

/// Writes a column chunk of rows without a value.
///
/// # Errors
/// When the column is required.
pub(super) fn nulls(
    column: &ColumnDescPtr,
    rows: usize,
    options: PageOptions,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let codes = vec![NULL; rows];
    let missing = || ParquetError::General(format!("column {} cannot be null", column.path()));
    write(column, &codes, &Sorted(Vec::new()), options)?.ok_or_else(missing)
}

impl Chunk {
    fn new(column: &ColumnDescPtr, options: PageOptions) -> Result<Self, ParquetError> {
        Ok(Self {
            column: Arc::clone(column),
            options,
            compressor: zstd::bulk::Compressor::new(options.zstd)?,
            blocks: Blocks::new(options.zstd)?,
            sink: TrackedWrite::new(Vec::new()),
            uncompressed: 0,
            first_data_page: None,
            pages: OffsetIndexBuilder::new(),
            bounds: ColumnIndexBuilder::new(Type::BYTE_ARRAY),
            nulls: 0,
            text_bytes: 0,
        })
    }

    /// Without a value there is no dictionary.
    fn push_dictionary(&mut self, used: &Used<'_>) -> Result<(), ParquetError> {
        if used.values.is_empty() {
            return Ok(());
        }
        let mut plain = Vec::with_capacity(used.bytes);
        for value in &used.values {
            let len = u32::try_from(value.len()).map_err(|e| ParquetError::External(e.into()))?;
            plain.extend(len.to_le_bytes());
            plain.extend(value.as_bytes());
        }
        let uncompressed = plain.len();
        // A dictionary page does not say whether it is compressed: it is as the column is.
        let page = Page::DictionaryPage {
            buf: self.compressor.compress(&plain)?.into(),
            num_values: u32::try_from(used.values.len()).unwrap_or(NULL),
            encoding: Encoding::PLAIN,
            is_sorted: true,
        };
        self.write_page(page, uncompressed).map(drop)
    }

    /// Writes a page and returns where it begins and how long it is.
    fn write_page(
        &mut self,
        page: Page,
        uncompressed: usize,
    ) -> Result<(u64, usize), ParquetError> {
        let page = CompressedPage::new(page, uncompressed);
        let compressed = page.compressed_size();
        let spec = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        let length = usize::try_from(spec.bytes_written).unwrap_or(usize::MAX);
        let header = length.saturating_sub(compressed);
        self.uncompressed += i64::try_from(header + uncompressed).unwrap_or(i64::MAX);
        Ok((spec.offset, length))
    }

    /// Writes a data page of the rows whose presence `levels` tells; `places` are those of the values
    /// that are there.
    fn push_page(
        &mut self,
        levels: &[u32],
        places: &[u32],
        width: u32,
        used: &Used<'_>,
    ) -> Result<(), ParquetError> {
        let nulls = levels.len() - places.len();
        let mut buffer = Vec::new();
        if self.column.max_def_level() > 0 {
            hybrid::encode(levels, 1, &mut buffer);
        } else if nulls > 0 {
            let path = self.column.path();
            return Err(ParquetError::General(format!("required column {path} has nulls")));
        }
        let mut values = Vec::new();
        if !used.values.is_empty() {
            values.push(u8::try_from(width).unwrap_or(32));
            hybrid::encode(places, width, &mut values);
        }
        let (page, uncompressed) = match buffer.len() < MIN_COMPRESSED {
            true => self.page_v2(buffer, &values, levels.len(), nulls, used.encoding())?,
            false => self.page_v1(&buffer, &values, levels.len(), used.encoding())?,
        };
        let (offset, length) = self.write_page(page, uncompressed)?;
        self.first_data_page.get_or_insert(offset);
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.pages.append_offset_and_size(offset, i32::try_from(length).unwrap_or(i32::MAX));
        self.pages.append_row_count(signed(levels.len()));
        let length_of =
            |place: &u32| usize::try_from(*place).ok().and_then(|at| used.lengths.get(at));
        let text = places.iter().filter_map(length_of).sum();
        self.pages.append_unencoded_byte_array_data_bytes(Some(text));
        self.text_bytes += text;
        self.nulls += nulls as u64;
        let value = |place: &u32| usize::try_from(*place).ok().and_then(|at| used.values.get(at));
        let range = places.iter().min().and_then(value).zip(places.iter().max().and_then(value));
        let (min, max) = range.map_or_else(Default::default, |(min, max)| {
            (lower_bound(min).as_bytes().to_vec(), upper_bound(max).into_bytes())
        });
        self.bounds.append(places.is_empty(), min, max, signed(nulls));
        Ok(())
    }

    /// A page whose levels are not compressed, and its size before compression.
    fn page_v2(
        &mut self,
        levels: Vec<u8>,
        values: &[u8],
        rows: usize,
        nulls: usize,
        encoding: Encoding,
    ) -> Result<(Page, usize), ParquetError> {
        let mut buffer = levels;
        let level_bytes = buffer.len();
        let packed = if values.len() < MIN_COMPRESSED {
            None
        } else {
            Some(self.compressor.compress(values)?).filter(|packed| packed.len() < values.len())
        };
        buffer.extend_from_slice(packed.as_deref().unwrap_or(values));
        let page = Page::DataPageV2 {
            buf: buffer.into(),
            num_values: count(rows),
            encoding,
            num_nulls: count(nulls),
            num_rows: count(rows),
            def_levels_byte_len: count(level_bytes),
            rep_levels_byte_len: 0,
            is_compressed: packed.is_some(),
            statistics: None,
        };
        Ok((page, level_bytes + values.len()))
    }

    /// A page whose levels are compressed with the values, which pays where values are scattered.
    fn page_v1(
        &mut self,
        levels: &[u8],
        values: &[u8],
        rows: usize,
        encoding: Encoding,
    ) -> Result<(Page, usize), ParquetError> {
        let length = count(levels.len()).to_le_bytes();
        let (packed, uncompressed) = self.blocks.compress(&[&length, levels, values])?;
        let page = Page::DataPage {
            buf: packed.into(),
            num_values: count(rows),
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        Ok((page, uncompressed))
    }

    fn finish(
        self,
        rows: usize,
        range: Option<(&str, &str)>,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let signed = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let bytes = Bytes::from(self.sink.into_inner()?);
        let bound = |text: String| ByteArray::from(text.into_bytes());
        let statistics = parquet::file::statistics::ValueStatistics::new(
            range.map(|(min, _)| bound(lower_bound(min).to_owned())),
            range.map(|(_, max)| bound(upper_bound(max))),
            None,
            Some(self.nulls),
            false,
        );
        let exact = |text: &str| text.len() <= BOUND_BYTES;
        let statistics = statistics
            .with_min_is_exact(range.is_some_and(|(min, _)| exact(min)))
            .with_max_is_exact(range.is_some_and(|(_, max)| exact(max)));
        let level = parquet::basic::ZstdLevel::try_new(self.options.zstd)?;
        let first = self.first_data_page.and_then(|at| i64::try_from(at).ok());
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Compression::ZSTD(level))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_total_compressed_size(signed(bytes.len()))
            .set_total_uncompressed_size(self.uncompressed)
            .set_num_values(signed(rows))
            .set_dictionary_page_offset(range.map(|_| 0))
            .set_data_page_offset(first.unwrap_or_default())
            .set_statistics(Statistics::ByteArray(statistics))
            .set_unencoded_byte_array_data_bytes(Some(self.text_bytes))
            .build()?;
        let result = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: Some(self.bounds.build()?),
            offset_index: Some(self.pages.build()),
        };
        Ok((bytes, result))
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// At most as great as `text`, and short.
fn lower_bound(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BOUND_BYTES)).unwrap_or(text)
}

/// At least as great as `text`, and short; `text` itself if there is no such.
fn upper_bound(text: &str) -> String {
    let mut bound = lower_bound(text).to_owned();
    if bound.len() == text.len() {
        return bound;
    }
    while let Some(last) = bound.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            bound.push(next);
            return bound;
        }
    }
    text.to_owned()
}
