//! Column chunks of ids: random bytes, of which zstd makes nothing.
//!
//! Spans of a trace share its id. A row group holds most spans of its traces, so a dictionary of the
//! distinct ids and a few bits a row take less than the ids. The general Parquet writer gives a dictionary
//! up by the size of its page alone, and makes an object of each id.

use std::collections::HashMap;

use arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, PageOptions, Values};
use super::hybrid;
use super::unify::Pick;

/// Share of false positives of the bloom filter of a row group.
pub(super) const FALSE_POSITIVES: f64 = 0.01;
/// What zstd needs for an id that was there before in the page, in bytes: about a sequence.
const REPEATED_BYTES: usize = 4;

/// How a column of ids is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdOptions {
    pub(super) pages: PageOptions,
    /// Whether ids may repeat, so that a dictionary is considered.
    pub(super) repeats: bool,
    /// Whether there is a bloom filter.
    pub(super) filter: bool,
}

/// The ids of rows, as numbers that order as their bytes do.
pub(super) struct Ids {
    width: usize,
    /// `None` for none.
    ids: Vec<Option<u128>>,
}

impl Ids {
    /// The ids of picked rows of a column of batches; `None` if they are longer than 16 bytes.
    ///
    /// # Errors
    /// When the column does not hold ids.
    pub(super) fn gather(
        batches: &[&RecordBatch],
        column: usize,
        picks: &[Pick],
    ) -> Result<Option<Self>, ArrowError> {
        let wrong = || ArrowError::SchemaError(format!("column {column} holds no ids"));
        let arrays: Vec<&FixedSizeBinaryArray> = batches
            .iter()
            .map(|b| b.columns().get(column).and_then(|c| c.as_fixed_size_binary_opt()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let width = arrays.first().map_or(0, |array| array.value_length());
        let width = usize::try_from(width).unwrap_or_default();
        if width == 0 || width > size_of::<u128>() {
            return Ok(None);
        }
        let id = |(batch, row): &Pick| {
            let array = arrays.get(*batch).filter(|array| *row < array.len())?;
            let mut bytes = [0; size_of::<u128>()];
            let (_, low) = bytes.split_at_mut(size_of::<u128>() - width);
            low.copy_from_slice(array.value(*row));
            array.is_valid(*row).then(|| u128::from_be_bytes(bytes))
        };
        Ok(Some(Self { width, ids: picks.iter().map(id).collect() }))
    }

    fn push(&self, id: u128, out: &mut Vec<u8>) {
        let bytes = id.to_be_bytes();
        out.extend_from_slice(bytes.get(bytes.len() - self.width..).unwrap_or_default());
    }

    fn bytes(&self, id: u128) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.width);
        self.push(id, &mut out);
        out
    }
}

/// The distinct ids of a chunk in order, and the place of each row's id among them.
struct Distinct {
    ids: Vec<u128>,
    /// By row that has an id.
    places: Vec<u32>,
    /// Bytes of all ids as they are, once compressed: what repeats in a page is found again.
    plain: usize,
}

impl Distinct {
    fn of(ids: &Ids, page_rows: usize) -> Self {
        /// An id's place, and the page it was seen in last, counted from 1.
        type Known = (u32, usize);
        let mut known: HashMap<u128, Known, foldhash::fast::RandomState> = HashMap::default();
        let mut found =
            Self { ids: Vec::new(), places: Vec::with_capacity(ids.ids.len()), plain: 0 };
        for (page, rows) in (1..).zip(ids.ids.chunks(page_rows.max(1))) {
            let mut last = None;
            for id in rows.iter().flatten() {
                let next = u32::try_from(found.ids.len()).unwrap_or(u32::MAX);
                let (place, seen) = match last {
                    Some((same, place)) if same == id => (place, page),
                    _ => {
                        let known = known.entry(*id).or_insert((next, 0));
                        (known.0, std::mem::replace(&mut known.1, page))
                    }
                };
                if place == next {
                    found.ids.push(*id);
                }
                last = Some((id, place));
                found.places.push(place);
                found.plain += if seen == page { REPEATED_BYTES.min(ids.width) } else { ids.width };
            }
        }
        found
    }

    /// Puts the distinct ids in order.
    fn sort(&mut self) {
        let mut order: Vec<(u128, u32)> = self.ids.iter().copied().zip(0..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len()];
        for ((_, place), rank) in order.iter().zip(0_u32..) {
            if let Some(slot) = usize::try_from(*place).ok().and_then(|at| ranks.get_mut(at)) {
                *slot = rank;
            }
        }
        for place in &mut self.places {
            *place =
                usize::try_from(*place).ok().and_then(|at| ranks.get(at)).copied().unwrap_or(0);
        }
        self.ids = order.into_iter().map(|(id, _)| id).collect();
    }

    fn bit_width(&self) -> u32 {
        hybrid::bit_width(u32::try_from(self.ids.len().saturating_sub(1)).unwrap_or(u32::MAX))
    }

    /// Whether a dictionary of ids of so many bytes and its codes are smaller than the ids.
    fn pays(&self, width: usize) -> bool {
        let bits = usize::try_from(self.bit_width()).unwrap_or(32) * self.places.len();
        self.ids.len() * width + bits / 8 < self.plain
    }
}

/// Writes one column chunk of ids. Returns its bytes and what the file says of it.
///
/// # Errors
/// When there are nulls in a required column, or compression fails.
pub(super) fn write(
    column: &ColumnDescPtr,
    ids: &Ids,
    options: IdOptions,
) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let page_rows = options.pages.rows.max(1);
    let mut distinct = (options.repeats || options.filter).then(|| Distinct::of(ids, page_rows));
    let filter = match &distinct {
        Some(distinct) if options.filter => Some(bloom_filter(ids, &distinct.ids)?),
        _ => None,
    };
    if let Some(found) = &mut distinct {
        if options.repeats && found.pays(ids.width) {
            found.sort();
        } else {
            distinct = None;
        }
    }
    let mut chunk = Chunk::new(column, options.pages)?;
    if let Some(found) = &distinct {
        let mut plain = Vec::with_capacity(found.ids.len() * ids.width);
        found.ids.iter().for_each(|id| ids.push(*id, &mut plain));
        let packed = chunk.pack(&plain)?;
        chunk.push_dictionary(packed, plain.len(), found.ids.len())?;
    }
    let mut places = distinct.as_ref().map(|found| found.places.as_slice()).unwrap_or_default();
    let (mut levels, mut bytes) = (Vec::new(), Vec::new());
    let mut all: Option<(u128, u128)> = None;
    for page in ids.ids.chunks(page_rows) {
        levels.clear();
        levels.extend(page.iter().map(|id| u32::from(id.is_some())));
        bytes.clear();
        let count = page.iter().flatten().count();
        let encoding = match &distinct {
            Some(found) if count > 0 => {
                let (own, rest) = places.split_at(count.min(places.len()));
                places = rest;
                bytes.push(u8::try_from(found.bit_width()).unwrap_or(32));
                hybrid::encode(own, found.bit_width(), &mut bytes);
                Encoding::RLE_DICTIONARY
            }
            _ => {
                page.iter().flatten().for_each(|id| ids.push(*id, &mut bytes));
                Encoding::PLAIN
            }
        };
        let range = page.iter().flatten().min().zip(page.iter().flatten().max());
        if let Some((min, max)) = range {
            let (least, most) = all.unwrap_or((*min, *max));
            all = Some((least.min(*min), most.max(*max)));
        }
        let range = range.map(|(min, max)| (ids.bytes(*min), ids.bytes(*max)));
        let range = range.as_ref().map(|(min, max)| (min.as_slice(), max.as_slice()));
        let values = Values { lead: &[], bytes: &bytes, encoding, count, range, text: None };
        chunk.push_page(&levels, values)?;
    }
    let bound = |id: u128| FixedLenByteArray::from(ByteArray::from(ids.bytes(id)));
    let statistics = ValueStatistics::new(
        all.map(|(min, _)| bound(min)),
        all.map(|(_, max)| bound(max)),
        None,
        Some(chunk.nulls()),
        false,
    );
    chunk.finish(Some(Statistics::FixedLenByteArray(statistics)), filter)
}

fn bloom_filter(ids: &Ids, distinct: &[u128]) -> Result<Sbbf, ParquetError> {
    let mut filter = Sbbf::new_with_ndv_fpp(distinct.len() as u64, FALSE_POSITIVES)?;
    let mut bytes = Vec::with_capacity(ids.width);
    for id in distinct {
        bytes.clear();
        ids.push(*id, &mut bytes);
        filter.insert(bytes.as_slice());
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, FixedSizeBinaryBuilder};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use proptest::prelude::*;

    use super::*;

    fn batch(ids: &[Option<u128>], width: usize) -> RecordBatch {
        let mut array = FixedSizeBinaryBuilder::new(width as i32);
        for id in ids {
            match id {
                Some(id) => array.append_value(&id.to_be_bytes()[16 - width..]).unwrap(),
                None => array.append_null(),
            }
        }
        let array: ArrayRef = Arc::new(array.finish());
        RecordBatch::try_from_iter_with_nullable([("id", array, true)]).unwrap()
    }

    fn read(file: &Bytes) -> (RecordBatch, ParquetMetaData) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
        let schema = Arc::clone(reader.schema());
        let rows: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
        let footer = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let rows = arrow::compute::concat_batches(&schema, &rows).unwrap();
        (rows, footer.parse_and_finish(file).unwrap())
    }

    /// As the general writer does it.
    fn general(batch: &RecordBatch, pages: PageOptions) -> Bytes {
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_dictionary_enabled(false)
            .set_data_page_row_count_limit(pages.rows)
            .set_write_batch_size(pages.rows)
            .build();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        file.into()
    }

    fn own(batch: &RecordBatch, width: usize, options: IdOptions) -> Bytes {
        let schema = format!("message m {{ optional fixed_len_byte_array({width}) id; }}");
        let schema = Arc::new(parse_message_type(&schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().build());
        let mut file = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut file, schema, properties).unwrap();
        let leaf = writer.schema_descr().column(0);
        let picks: Vec<Pick> = (0..batch.num_rows()).map(|row| (0, row)).collect();
        let ids = Ids::gather(&[batch], 0, &picks).unwrap().unwrap();
        let (bytes, close) = write(&leaf, &ids, options).unwrap();
        let mut group = writer.next_row_group().unwrap();
        group.append_column(&bytes, close).unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        file.into()
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_the_general_writer_writes(
            rows in prop::collection::vec(prop::option::weighted(0.8, 0_usize..400), 1..900),
            pool in prop::collection::vec(any::<u128>(), 1..400),
            page in 1_usize..300,
            short: bool,
            repeats: bool,
            filter: bool,
        ) {
            let width = if short { 8 } else { 16 };
            let ids: Vec<Option<u128>> =
                rows.iter().map(|row| row.map(|at| pool[at % pool.len()])).collect();
            let batch = batch(&ids, width);
            let pages = PageOptions { rows: page, zstd: 1 };
            let (want, general) = read(&general(&batch, pages));
            let file = own(&batch, width, IdOptions { pages, repeats, filter });
            let (got, footer) = read(&file);
            prop_assert_eq!(got.column(0), want.column(0));
            let (column, other) = (footer.row_group(0).column(0), general.row_group(0).column(0));
            let bounds = |of: &Statistics| {
                let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
                (bytes(of.min_bytes_opt()), bytes(of.max_bytes_opt()), of.null_count_opt())
            };
            prop_assert_eq!(column.statistics().map(bounds), other.statistics().map(bounds));
            prop_assert_eq!(column.num_values(), other.num_values());
            let indexes = footer.column_index().unwrap()[0][0].clone();
            let general_indexes = general.column_index().unwrap()[0][0].clone();
            prop_assert_eq!(format!("{:?}", page_bounds(&indexes)), format!("{:?}", page_bounds(&general_indexes)));
            let firsts = |footer: &ParquetMetaData| -> Vec<i64> {
                let pages = &footer.offset_index().unwrap()[0][0].page_locations;
                pages.iter().map(|p| p.first_row_index).collect()
            };
            prop_assert_eq!(firsts(&footer), firsts(&general));
            let found = Sbbf::read_from_column_chunk(column, &file).unwrap();
            prop_assert_eq!(found.is_some(), filter);
            let array = got.column(0).as_fixed_size_binary();
            let ids = (0..array.len()).filter(|row| array.is_valid(*row));
            for row in ids {
                prop_assert!(found.as_ref().is_none_or(|found| found.check(array.value(row))));
            }
            // A dictionary is there when it is smaller, and only where it may be.
            let with = column.dictionary_page_offset().is_some();
            prop_assert!(!with || repeats);
        }
    }

    type Bounds = Vec<(bool, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>)>;

    fn page_bounds(index: &parquet::file::page_index::column_index::ColumnIndexMetaData) -> Bounds {
        use parquet::file::page_index::column_index::ColumnIndexMetaData as Index;
        let Index::FIXED_LEN_BYTE_ARRAY(index) = index else { panic!("no bounds of ids") };
        let bytes = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
        (0..index.num_pages() as usize)
            .map(|page| {
                let (min, max) = (index.min_value(page), index.max_value(page));
                (index.is_null_page(page), bytes(min), bytes(max), index.null_count(page))
            })
            .collect()
    }

    /// Bytes of ids that are as random as those of traces.
    #[test]
    fn a_dictionary_is_written_where_it_is_smaller() {
        let id = |n: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let pages = PageOptions { rows: 8 << 10, zstd: 3 };
        for (spans, wanted) in [(1, false), (10, true)] {
            // Spans of a trace lie apart, as those of different services do.
            let traces = 40_000 / spans;
            let ids: Vec<_> = (0..40_000).map(|row| Some(id(row % traces))).collect();
            let batch = batch(&ids, 16);
            let sizes = [false, true].map(|repeats| {
                let file = own(&batch, 16, IdOptions { pages, repeats, filter: false });
                let footer = read(&file).1;
                let column = footer.row_group(0).column(0);
                (column.compressed_size(), column.dictionary_page_offset().is_some())
            });
            let [(plain, never), (either, dictionary)] = sizes;
            assert!(!never);
            assert_eq!(dictionary, wanted);
            assert!(if wanted { either < plain / 2 } else { either == plain }, "{sizes:?}");
        }
    }
}
