//! The page index of a file, decoded for one column chunk at a time.
//!
//! A file of spans has a page index for some hundred columns, and a question looks at a few. As it is
//! stored, all of it takes an eighth of the memory it takes decoded, so it is kept as it is stored.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::basic::Type as Physical;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataPushDecoder,
    RowGroupMetaData,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::reader::{ChunkReader as _, Length as _};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};

use super::file::Positioned;

/// What the page index says of one column chunk.
#[derive(Debug)]
pub(super) struct ChunkIndex {
    /// Bounds of the values of each page.
    pub(super) bounds: ColumnIndexMetaData,
    /// Where each page is and which rows it holds.
    pub(super) offsets: OffsetIndexMetaData,
}

type Slot = OnceLock<Option<Box<ChunkIndex>>>;

/// The page index of a file.
#[derive(Debug)]
pub(super) struct PageIndex {
    stored: Stored,
    /// The schema of a file of one column, as which a chunk is decoded.
    alone: SchemaDescPtr,
    /// By row group, then by leaf column.
    slots: Vec<Vec<Slot>>,
    decoded_bytes: AtomicU64,
}

/// The page index as it is stored.
#[derive(Debug)]
struct Stored {
    /// Where it begins in the file.
    start: u64,
    bytes: Bytes,
    file_bytes: u64,
}

impl Stored {
    /// Reads it; empty for a file without.
    fn read(metadata: &ParquetMetaData, file: &Positioned) -> Result<Self> {
        let chunks = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        let ranges = chunks.flat_map(ranges).flatten();
        let all = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default();
        let length = usize::try_from(all.end.saturating_sub(all.start))?;
        let bytes = if length == 0 { Bytes::new() } else { file.get_bytes(all.start, length)? };
        Ok(Self { start: all.start, bytes, file_bytes: file.len() })
    }

    /// Adds to metadata what it says of their chunks.
    fn decode(&self, metadata: ParquetMetaData) -> Result<ParquetMetaData> {
        let mut decoder =
            ParquetMetaDataPushDecoder::try_new_with_metadata(self.file_bytes, metadata)?;
        let range = self.start..self.start + self.bytes.len() as u64;
        decoder.push_range(range, self.bytes.clone())?;
        match decoder.try_decode()? {
            DecodeResult::Data(metadata) => Ok(metadata),
            _ => Err(ParquetError::General("the page index is cut short".to_owned())),
        }
    }
}

/// Where the bounds and the places of a chunk's pages are.
fn ranges(chunk: &ColumnChunkMetaData) -> [Option<Range<u64>>; 2] {
    let range = |offset: Option<i64>, length: Option<i32>| {
        let start = u64::try_from(offset?).ok()?;
        Some(start..start.checked_add(u64::try_from(length?).ok()?)?)
    };
    [
        range(chunk.column_index_offset(), chunk.column_index_length()),
        range(chunk.offset_index_offset(), chunk.offset_index_length()),
    ]
}

/// The schema of a file of one column. Of which type the column is, a chunk says itself.
fn alone() -> Result<SchemaDescPtr> {
    let leaf = Type::primitive_type_builder("chunk", Physical::INT64).build()?;
    let root = Type::group_type_builder("alone").with_fields(vec![Arc::new(leaf)]).build()?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(root))))
}

impl PageIndex {
    /// Reads the page index of a file whose footer is known, and decodes none of it.
    pub(super) fn read(metadata: &ParquetMetaData, file: &Positioned) -> Result<Self> {
        let groups = metadata.row_groups().iter();
        let slots = groups.map(|group| group.columns().iter().map(|_| Slot::new()).collect());
        Ok(Self {
            stored: Stored::read(metadata, file)?,
            alone: alone()?,
            slots: slots.collect(),
            decoded_bytes: AtomicU64::new(0),
        })
    }

    /// Memory it takes by now.
    pub(super) fn bytes(&self) -> u64 {
        let slots = self.slots.iter().map(Vec::len).sum::<usize>() * size_of::<Slot>();
        (self.stored.bytes.len() + slots) as u64 + self.decoded_bytes.load(Ordering::Relaxed)
    }

    /// The metadata with all that the page index says.
    pub(super) fn whole(&self, metadata: &ParquetMetaData) -> Result<ParquetMetaData> {
        self.stored.decode(metadata.clone())
    }

    /// What it says of a column chunk; `None` if it says nothing, or what cannot be read: then pages
    /// are found by reading the chunk from its beginning.
    pub(super) fn chunk(
        &self,
        metadata: &ParquetMetaData,
        group: usize,
        leaf: usize,
    ) -> Option<&ChunkIndex> {
        let slot = self.slots.get(group)?.get(leaf)?;
        let read = || {
            let found = self.decode(metadata, group, leaf);
            let found = found.inspect_err(|error| {
                tracing::warn!(%error, group, leaf, "a page index cannot be read");
            });
            found.ok().flatten().map(Box::new)
        };
        slot.get_or_init(read).as_deref()
    }

    fn decode(
        &self,
        metadata: &ParquetMetaData,
        group: usize,
        leaf: usize,
    ) -> Result<Option<ChunkIndex>> {
        let about = metadata.row_groups().get(group);
        let Some((about, chunk)) =
            about.and_then(|about| Some((about, about.columns().get(leaf)?)))
        else {
            return Ok(None);
        };
        // Bounds may be missing alone.
        let [_, Some(_)] = ranges(chunk) else { return Ok(None) };
        let rows = about.num_rows();
        let one = RowGroupMetaData::builder(Arc::clone(&self.alone))
            .set_num_rows(rows)
            .set_column_metadata(vec![chunk.clone()])
            .build()?;
        let file = FileMetaData::new(1, rows, None, None, Arc::clone(&self.alone), None);
        let one = ParquetMetaData::new(file, vec![one]);
        let before = one.memory_size();
        let one = self.stored.decode(one)?;
        let more = one.memory_size().saturating_sub(before);
        self.decoded_bytes.fetch_add(more as u64, Ordering::Relaxed);
        let mut one = one.into_builder();
        let mut first = (one.take_column_index(), one.take_offset_index());
        let bounds = first.0.as_mut().and_then(|all| all.pop()?.pop());
        let offsets = first.1.as_mut().and_then(|all| all.pop()?.pop());
        Ok(bounds.zip(offsets).map(|(bounds, offsets)| ChunkIndex { bounds, offsets }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use headrope_model::DataSet;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    use parquet::file::properties::{EnabledStatistics, WriterProperties};
    use parquet::schema::types::ColumnPath;
    use proptest::prelude::*;

    use crate::segment::Positioned;
    use crate::segment::footer::Footer;

    proptest! {
        /// A chunk's page index is what the library says of it when it reads all of them at once.
        #[test]
        fn chunks_are_as_in_the_whole(
            rows in prop::collection::vec((any::<i64>(), prop::option::of(".{0,80}")), 1..300),
            page in 1_usize..60,
            group in 20_usize..200,
            bounds: bool,
        ) {
            let numbers: ArrayRef = Arc::new(rows.iter().map(|r| Some(r.0)).collect::<Int64Array>());
            let words: ArrayRef = Arc::new(rows.iter().map(|r| r.1.as_deref()).collect::<StringArray>());
            let batch = RecordBatch::try_from_iter([("numbers", numbers), ("words", words)]).unwrap();
            let words = if bounds { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
            let properties = WriterProperties::builder()
                .set_column_statistics_enabled(ColumnPath::from("words"), words)
                .set_data_page_row_count_limit(page)
                .set_write_batch_size(page)
                .set_max_row_group_row_count(Some(group))
                .build();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let file = File::create(&path).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let bytes = std::fs::metadata(&path).unwrap().len();
            let file = Positioned::open(&path, bytes).unwrap();
            let footer = Footer::parse(DataSet::Spans, &file).unwrap();
            let reference = ParquetMetaDataReader::new()
                .with_page_index_policy(PageIndexPolicy::Required)
                .parse_and_finish(&file)
                .unwrap();
            prop_assert_eq!(&*footer.whole().unwrap(), &reference);
            for group in 0..reference.num_row_groups() {
                for leaf in 0..2 {
                    let index = footer.index(group, leaf).unwrap();
                    prop_assert_eq!(&index.bounds, &reference.column_index().unwrap()[group][leaf]);
                    prop_assert_eq!(&index.offsets, &reference.offset_index().unwrap()[group][leaf]);
                }
                prop_assert!(footer.index(group, 2).is_none());
            }
            prop_assert!(footer.index(reference.num_row_groups(), 0).is_none());
        }
    }
}
