//! Column chunks written page by page, without the general Parquet writer.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::blocks::Blocks;
use super::hybrid;

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

/// What a data page holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    /// What their encoding has before the values, and is distributed otherwise.
    pub(super) lead: &'a [u8],
    /// Values in their encoding.
    pub(super) bytes: &'a [u8],
    pub(super) encoding: Encoding,
    /// Values that are there.
    pub(super) count: usize,
    /// Bounds of the values.
    pub(super) range: Option<(&'a [u8], &'a [u8])>,
    /// Bytes of the values as they are, of types of variable length.
    pub(super) text: Option<i64>,
}

/// A column chunk that is being written to memory.
pub(super) struct Chunk {
    column: ColumnDescPtr,
    options: PageOptions,
    compressor: zstd::bulk::Compressor<'static>,
    blocks: Blocks,
    sink: TrackedWrite<Vec<u8>>,
    uncompressed: i64,
    dictionary: bool,
    /// Whether a page has lengths before its values.
    lengths: bool,
    first_data_page: Option<u64>,
    pages: OffsetIndexBuilder,
    bounds: ColumnIndexBuilder,
    rows: usize,
    nulls: u64,
    text: Option<i64>,
}

impl Chunk {
    pub(super) fn new(column: &ColumnDescPtr, options: PageOptions) -> Result<Self, ParquetError> {
        Ok(Self {
            column: Arc::clone(column),
            options,
            compressor: zstd::bulk::Compressor::new(options.zstd)?,
            blocks: Blocks::new(options.zstd)?,
            sink: TrackedWrite::new(Vec::new()),
            uncompressed: 0,
            dictionary: false,
            lengths: false,
            first_data_page: None,
            pages: OffsetIndexBuilder::new(),
            bounds: ColumnIndexBuilder::new(column.physical_type()),
            rows: 0,
            nulls: 0,
            text: (column.physical_type() == Type::BYTE_ARRAY).then_some(0),
        })
    }

    /// Rows of a page at most.
    pub(super) fn page_rows(&self) -> usize {
        self.options.rows.max(1)
    }

    /// Nulls so far.
    pub(super) const fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Compresses bytes as a dictionary page is. A dictionary page does not say whether it is compressed: it is
    /// as the column is.
    pub(super) fn pack(&mut self, plain: &[u8]) -> Result<Bytes, ParquetError> {
        Ok(self.compressor.compress(plain)?.into())
    }

    /// Writes the dictionary page of so many values in order, before any data page. Without a value there is none.
    pub(super) fn push_dictionary(
        &mut self,
        packed: Bytes,
        uncompressed: usize,
        values: usize,
    ) -> Result<(), ParquetError> {
        if values == 0 {
            return Ok(());
        }
        self.dictionary = true;
        let page = Page::DictionaryPage {
            buf: packed,
            num_values: count(values),
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

    /// Writes a data page of the rows whose presence `levels` tells.
    ///
    /// # Errors
    /// When there are nulls in a required column, or compression fails.
    pub(super) fn push_page(
        &mut self,
        levels: &[u32],
        values: Values<'_>,
    ) -> Result<(), ParquetError> {
        self.lengths |= values.encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY;
        let nulls = levels.len() - values.count;
        let mut buffer = Vec::new();
        if self.column.max_def_level() > 0 {
            hybrid::encode(levels, 1, &mut buffer);
        } else if nulls > 0 {
            let path = self.column.path();
            return Err(ParquetError::General(format!("required column {path} has nulls")));
        }
        let (page, uncompressed) = match buffer.len() < MIN_COMPRESSED {
            true => self.page_v2(buffer, &values, levels.len(), nulls)?,
            false => self.page_v1(&buffer, &values, levels.len())?,
        };
        let (offset, length) = self.write_page(page, uncompressed)?;
        self.first_data_page.get_or_insert(offset);
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.pages.append_offset_and_size(offset, i32::try_from(length).unwrap_or(i32::MAX));
        self.pages.append_row_count(signed(levels.len()));
        if let (Some(all), Some(text)) = (&mut self.text, values.text) {
            self.pages.append_unencoded_byte_array_data_bytes(Some(text));
            *all += text;
        }
        self.rows += levels.len();
        self.nulls += nulls as u64;
        let (min, max) =
            values.range.map(|(min, max)| (min.to_vec(), max.to_vec())).unwrap_or_default();
        self.bounds.append(values.count == 0, min, max, signed(nulls));
        Ok(())
    }

    /// A page whose levels are not compressed, and its size before compression.
    fn page_v2(
        &mut self,
        levels: Vec<u8>,
        values: &Values<'_>,
        rows: usize,
        nulls: usize,
    ) -> Result<(Page, usize), ParquetError> {
        let mut buffer = levels;
        let level_bytes = buffer.len();
        let (Values { lead, bytes, encoding, .. }, plain) =
            (*values, values.lead.len() + values.bytes.len());
        let packed = match plain < MIN_COMPRESSED {
            true => None,
            false if lead.is_empty() => Some(self.compressor.compress(bytes)?),
            false => Some(self.blocks.compress(&[lead, bytes])?.0),
        };
        let packed = packed.filter(|packed| packed.len() < plain);
        match &packed {
            Some(packed) => buffer.extend_from_slice(packed),
            None => buffer.extend(lead.iter().chain(bytes)),
        }
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
        Ok((page, level_bytes + plain))
    }

    /// A page whose levels are compressed with the values, which pays where values are scattered.
    fn page_v1(
        &mut self,
        levels: &[u8],
        values: &Values<'_>,
        rows: usize,
    ) -> Result<(Page, usize), ParquetError> {
        let length = count(levels.len()).to_le_bytes();
        let parts = [&length, levels, values.lead, values.bytes];
        let (packed, uncompressed) = self.blocks.compress(&parts)?;
        let page = Page::DataPage {
            buf: packed.into(),
            num_values: count(rows),
            encoding: values.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        Ok((page, uncompressed))
    }

    /// The chunk's bytes and what the file says of it; nothing of its bounds without statistics.
    pub(super) fn finish(
        self,
        statistics: Option<Statistics>,
        bloom_filter: Option<Sbbf>,
    ) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let bytes = Bytes::from(self.sink.into_inner()?);
        let level = parquet::basic::ZstdLevel::try_new(self.options.zstd)?;
        let first = self.first_data_page.and_then(|at| i64::try_from(at).ok());
        let mut encodings = vec![Encoding::PLAIN, Encoding::RLE];
        encodings.extend(self.dictionary.then_some(Encoding::RLE_DICTIONARY));
        encodings.extend(self.lengths.then_some(Encoding::DELTA_LENGTH_BYTE_ARRAY));
        let known = statistics.is_some();
        let mut metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(Compression::ZSTD(level))
            .set_encodings(encodings)
            .set_total_compressed_size(signed(bytes.len()))
            .set_total_uncompressed_size(self.uncompressed)
            .set_num_values(signed(self.rows))
            .set_dictionary_page_offset(self.dictionary.then_some(0))
            .set_data_page_offset(first.unwrap_or_default())
            .set_unencoded_byte_array_data_bytes(self.text);
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        let result = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.rows as u64,
            metadata: metadata.build()?,
            bloom_filter,
            column_index: if known { Some(self.bounds.build()?) } else { None },
            offset_index: Some(self.pages.build()),
        };
        Ok((bytes, result))
    }
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
