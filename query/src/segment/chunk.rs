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
        let index = self.footer.index(self.number, leaf);
        let locations = index.map(|index| index.offsets.page_locations().clone());
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::sync::Arc;

    use datafusion::arrow::array::{
        ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray, UInt32Array,
    };
    use datafusion::arrow::compute::{concat_batches, take_record_batch};
    use datafusion::arrow::datatypes::Int64Type;
    use headrope_model::DataSet;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::basic::ZstdLevel;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use proptest::prelude::*;

    use super::*;
    use crate::segment::dictionary::values;
    use crate::segment::lookup::each_batch;

    /// A file with numbers, words and words that are seldom there.
    fn write(
        path: &std::path::Path,
        rows: &[(i64, Option<u8>)],
        page: usize,
        new: bool,
        zstd: bool,
    ) {
        let numbers: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>());
        let word = |n: u8| format!("word {}", n % 7);
        let words = rows.iter().map(|r| Some(word(r.0.to_le_bytes()[0])));
        let words: ArrayRef = Arc::new(words.collect::<StringArray>());
        let seldom: ArrayRef =
            Arc::new(rows.iter().map(|r| r.1.map(word)).collect::<StringArray>());
        let columns = [("numbers", numbers), ("words", words), ("seldom", seldom)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let version = if new { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
        let zstd =
            if zstd { Compression::ZSTD(ZstdLevel::default()) } else { Compression::UNCOMPRESSED };
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_compression(zstd)
            .set_data_page_row_count_limit(page)
            .set_write_batch_size(page)
            .build();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    proptest! {
        #[test]
        fn rows_are_those_the_library_reads(
            rows in prop::collection::vec((any::<i64>(), prop::option::weighted(0.1, any::<u8>())), 1..400),
            wanted in prop::collection::btree_set(0_usize..400, 1..40),
            page in 1_usize..90,
            new: bool,
            zstd: bool,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            write(&path, &rows, page, new, zstd);
            let whole = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let schema = Arc::clone(whole.schema());
            let whole: Vec<_> = whole.build().unwrap().map(Result::unwrap).collect();
            let whole = concat_batches(&schema, &whole).unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            let file = Positioned::open(&path, bytes).unwrap();
            let footer = Footer::parse(DataSet::Spans, &file).unwrap();
            let wanted: Vec<usize> = wanted.into_iter().filter(|row| *row < rows.len()).collect();
            let mut found = Vec::new();
            let ranges = wanted.iter().map(|row| *row..row + 1);
            each_batch(&footer, &file, 0, ranges, &["numbers", "words", "seldom"], |batch| {
                found.push(batch.clone());
                Ok(())
            }).unwrap();
            let found = concat_batches(&schema, &found).unwrap();
            let wanted: UInt32Array = wanted.into_iter().map(|row| row as u32).collect();
            prop_assert_eq!(found, take_record_batch(&whole, &wanted).unwrap());
            for column in ["words", "seldom"] {
                let all = whole.column_by_name(column).unwrap().as_string::<i32>();
                let all: BTreeSet<_> = all.iter().flatten().collect();
                let dictionary = values(&footer, &file, 0, column).unwrap().unwrap();
                let dictionary: BTreeSet<_> = dictionary.as_string::<i32>().iter().flatten().collect();
                prop_assert_eq!(dictionary, all);
            }
            let all = whole.column_by_name("numbers").unwrap().as_primitive::<Int64Type>();
            let dictionary = values(&footer, &file, 0, "numbers").unwrap().unwrap();
            let dictionary = dictionary.as_primitive::<Int64Type>();
            prop_assert_eq!(
                dictionary.values().iter().collect::<BTreeSet<_>>(),
                all.values().iter().collect::<BTreeSet<_>>()
            );
        }
    }
}
