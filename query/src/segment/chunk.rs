//! Pages of a row group, decompressed by contexts that are used again.
//!
//! The Parquet library makes a compressor and a decompressor for every column chunk it opens. For a page
//! or two of each column that takes longer than decoding them. Here the library reads pages as if they
//! were not compressed, and a context that the thread keeps does the rest.

use std::cell::RefCell;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use super::file::Positioned;
use super::footer::Footer;

/// Most bytes that one page may have: what a page header can say.
const MOST_PAGE_BYTES: u64 = i32::MAX as u64;

thread_local! {
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One row group of a file.
pub(super) struct Group<'a> {
    pub(super) footer: &'a Footer,
    pub(super) file: &'a Positioned,
    pub(super) about: &'a RowGroupMetaData,
    pub(super) number: usize,
}

impl Group<'_> {
    fn pages(&self, leaf: usize) -> Result<Box<dyn PageReader>> {
        let chunk = self.about.columns().get(leaf);
        let chunk = chunk.ok_or_else(|| wrong(format!("no column {leaf}")))?;
        let offsets = self.footer.metadata().offset_index();
        let locations = offsets.and_then(|all| all.get(self.number)?.get(leaf));
        let locations = locations.map(|index| index.page_locations().clone());
        let zstd = matches!(chunk.compression(), Compression::ZSTD(_));
        let as_stored = if zstd { &uncompressed(chunk)? } else { chunk };
        let rows = usize::try_from(self.about.num_rows())?;
        let file = Arc::new(self.file.clone());
        let stored = SerializedPageReader::new(file, as_stored, rows, locations)?;
        Ok(if zstd { Box::new(Decompressed { stored }) } else { Box::new(stored) })
    }
}

impl RowGroups for Group<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.about.num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        Ok(Box::new(Once(Some(self.pages(leaf)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.about))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.footer.metadata()
    }
}

/// The pages of one column chunk.
struct Once(Option<Result<Box<dyn PageReader>>>);

impl Iterator for Once {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take()
    }
}

impl PageIterator for Once {}

/// The same column chunk, as if its pages were not compressed.
fn uncompressed(chunk: &ColumnChunkMetaData) -> Result<ColumnChunkMetaData> {
    ColumnChunkMetaData::builder(chunk.column_descr_ptr())
        .set_compression(Compression::UNCOMPRESSED)
        .set_data_page_offset(chunk.data_page_offset())
        .set_dictionary_page_offset(chunk.dictionary_page_offset())
        .set_total_compressed_size(chunk.compressed_size())
        .build()
}

/// Pages whose contents are zstd frames, decompressed.
struct Decompressed {
    stored: SerializedPageReader<Positioned>,
}

impl Iterator for Decompressed {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Decompressed {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.stored.get_next_page()?.map(decompressed).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.stored.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.stored.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.stored.at_record_boundary()
    }
}

fn decompressed(mut page: Page) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = whole(buf, 0)?,
        // The levels come first and are never compressed.
        Page::DataPageV2 {
            buf,
            is_compressed: true,
            rep_levels_byte_len,
            def_levels_byte_len,
            ..
        } => {
            let levels = usize::try_from(*rep_levels_byte_len)?
                .saturating_add(usize::try_from(*def_levels_byte_len)?);
            *buf = whole(buf, levels)?;
        }
        Page::DataPageV2 { .. } => {}
    }
    Ok(page)
}

/// Some bytes as they are and the frame behind them decompressed.
fn whole(buffer: &Bytes, plain: usize) -> Result<Bytes> {
    let parts = buffer.split_at_checked(plain);
    let (plain, frame) = parts.ok_or_else(|| wrong("a page is shorter than its levels"))?;
    if frame.is_empty() {
        return Ok(buffer.clone());
    }
    let bytes = get_frame_content_size(frame).ok().flatten();
    let bytes = bytes.filter(|bytes| *bytes <= MOST_PAGE_BYTES);
    let bytes = bytes.ok_or_else(|| wrong("a page is no zstd frame of a known length"))?;
    let bytes = usize::try_from(bytes)?;
    let mut contents = Vec::with_capacity(plain.len() + bytes);
    contents.extend_from_slice(plain);
    let mut out = Cursor::new(&mut contents);
    out.set_position(plain.len() as u64);
    let result = DECOMPRESSOR.with_borrow_mut(|kept| {
        let context = match kept {
            Some(context) => context,
            None => kept.insert(Decompressor::new()?),
        };
        context.decompress_to_buffer(frame, &mut out)
    });
    result.map_err(|e| wrong(format!("a page cannot be decompressed: {e}")))?;
    Ok(contents.into())
}

fn wrong(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}
