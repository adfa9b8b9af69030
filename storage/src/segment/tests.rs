//! Segments against what a general reader finds in them.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, MapArray, RecordBatch, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Schema, TimestampNanosecondType};
use headrope_model::{RollupSet, Signal, schema};
use headrope_testdata::arbitrary::Dice;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::dense::Layout;
use crate::encode::direct;

/// Batches of arbitrary spans, each with its own dictionaries.
pub(super) fn batches(dice: &mut Dice, count: u64) -> Vec<RecordBatch> {
    let payloads = |dice: &mut Dice| -> Vec<Vec<u8>> {
        (0..=dice.below(6)).map(|_| dice.traces().encode_to_vec()).collect()
    };
    (0..count)
        .map(|_| {
            let payloads = payloads(dice);
            direct::encode(Signal::Traces, payloads.iter().map(Vec::as_slice)).unwrap()
        })
        .collect()
}

pub(super) fn write(
    dir: &Path,
    data_set: DataSet,
    batches: &[&RecordBatch],
) -> Result<Option<SegmentMeta>, StorageError> {
    super::write(
        dir,
        data_set,
        batches,
        Origin { covers: None, data_sets: Vec::new(), rollups: RollupSet::default() },
    )
}

/// Labels as plain text, everything else as it is.
pub(super) fn plain(batch: &RecordBatch) -> RecordBatch {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Dictionary(_, value) => cast(column, value).unwrap(),
            _ => Arc::clone(column),
        })
        .collect();
    let fields: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(f, c)| f.as_ref().clone().with_data_type(c.data_type().clone()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// All rows in segment order, worked out on plain text.
fn sorted(batches: &[RecordBatch]) -> RecordBatch {
    let plain: Vec<_> = batches.iter().map(plain).collect();
    let all = concat_batches(&plain[0].schema(), &plain).unwrap();
    let service = all.column_by_name("service_name").unwrap().as_string::<i32>();
    let start = all.column_by_name("start_time").unwrap().as_primitive::<TimestampNanosecondType>();
    let mut rows: Vec<u32> = (0..all.num_rows() as u32).collect();
    rows.sort_by_key(|row| (service.value(*row as usize), start.value(*row as usize)));
    take_record_batch(&all, &UInt32Array::from(rows)).unwrap()
}

pub(super) fn read(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&schema, &batches).unwrap();
    let layout = Layout::of(&schema, dense::promoted(DataSet::Spans));
    merge::adapt(&all, &schema::stored(DataSet::Spans), layout.as_ref()).unwrap()
}

/// The entries of each row by key: their order is not kept.
pub(super) fn by_key(map: &ArrayRef) -> ArrayRef {
    let map = cast(map, &schema::attributes_type()).unwrap();
    let map = map.as_map();
    let mut picks: Vec<u32> = Vec::new();
    let (keys, offsets) = (map.keys().as_string::<i32>(), map.value_offsets());
    for bounds in offsets.windows(2) {
        let mut row: Vec<u32> = (bounds[0] as u32..bounds[1] as u32).collect();
        row.sort_by_key(|at| keys.value(*at as usize));
        picks.extend(row);
    }
    let picks = UInt32Array::from(picks);
    let entries = take(map.entries(), &picks, None).unwrap();
    let DataType::Map(entry, _) = map.data_type() else { panic!("not a map") };
    let lengths = offsets.windows(2).map(|b| (b[1] - b[0]) as usize);
    let offsets = OffsetBuffer::from_lengths(lengths);
    let entries = entries.as_struct().clone();
    Arc::new(MapArray::new(Arc::clone(entry), offsets, entries, map.nulls().cloned(), false))
}

pub(super) fn assert_same(got: &RecordBatch, want: &RecordBatch) {
    assert_eq!(got.num_rows(), want.num_rows());
    for (field, want) in want.schema().fields().iter().zip(want.columns()) {
        // Parquet has its own names for the fields within lists.
        let got = cast(got.column_by_name(field.name()).unwrap(), want.data_type()).unwrap();
        let (got, want) = match want.data_type() {
            DataType::Map(..) => (by_key(&got), by_key(want)),
            _ => (got, Arc::clone(want)),
        };
        assert_eq!(&got, &want, "{}", field.name());
    }
}

pub(super) fn footer(path: &Path) -> ParquetMetaData {
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&File::open(path).unwrap())
        .unwrap()
}

/// Statistics and page bounds of labels hold for the rows they are of.
fn assert_bounds(path: &Path, rows: &RecordBatch) {
    let footer = footer(path);
    let mut from = 0;
    for (at, group) in footer.row_groups().iter().enumerate() {
        let len = group.num_rows() as usize;
        for (leaf, column) in group.columns().iter().enumerate() {
            let name = column.column_path().string();
            let stored = schema::stored(headrope_model::DataSet::Spans);
            let is_label = stored
                .field_with_name(&name)
                .is_ok_and(|f| matches!(f.data_type(), DataType::Dictionary(..)));
            if !is_label {
                continue;
            }
            let values = rows.column_by_name(&name).unwrap().slice(from, len);
            let values = values.as_string::<i32>();
            let Some(Statistics::ByteArray(stats)) = column.statistics() else {
                panic!("{name} has no statistics")
            };
            assert_eq!(stats.null_count_opt(), Some(values.null_count() as u64), "{name}");
            for value in values.iter().flatten() {
                assert!(stats.min_opt().unwrap().data() <= value.as_bytes(), "{name}");
                assert!(stats.max_opt().unwrap().data() >= value.as_bytes(), "{name}");
            }
            let ColumnIndexMetaData::BYTE_ARRAY(bounds) = &footer.column_index().unwrap()[at][leaf]
            else {
                panic!("{name} has no page bounds")
            };
            let pages = &footer.offset_index().unwrap()[at][leaf].page_locations;
            for (page, location) in pages.iter().enumerate() {
                let first = location.first_row_index as usize;
                let last = pages.get(page + 1).map_or(len, |p| p.first_row_index as usize);
                let values = values.slice(first, last - first);
                assert_eq!(bounds.null_count(page), Some(values.null_count() as i64));
                for value in values.iter().flatten() {
                    assert!(bounds.min_value(page).unwrap() <= value.as_bytes(), "{name}");
                    assert!(bounds.max_value(page).unwrap() >= value.as_bytes(), "{name}");
                }
            }
        }
        from += len;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_segment_holds_the_rows_in_order(seed: u64) {
        let batches = batches(&mut Dice::plain(seed), 4);
        let dir = tempfile::tempdir().unwrap();
        let inputs: Vec<_> = batches.iter().collect();
        let Some(meta) = write(dir.path(), DataSet::Spans, &inputs).unwrap() else {
            prop_assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
            return Ok(());
        };
        let (path, _) = paths(dir.path(), DataSet::Spans, &meta.id);
        let want = sorted(&batches);
        assert_same(&read(&path), &want);
        assert_bounds(&path, &want);
        prop_assert_eq!(meta.rows, want.num_rows() as u64);
    }

    #[test]
    fn merging_by_copy_and_by_sorting_keeps_every_row(seed: u64) {
        let mut dice = Dice::plain(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut metas, mut all) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let batches = batches(&mut dice, 2);
            let inputs: Vec<_> = batches.iter().collect();
            if let Some(meta) = write(dir.path(), DataSet::Spans, &inputs).unwrap() {
                metas.push(meta);
                all.push(sorted(&batches));
            }
        }
        prop_assume!(!metas.is_empty());
        // In the order of the inputs, row groups as they are.
        let copied = copy::copy(dir.path(), DataSet::Spans, 1, &metas, 0).unwrap().unwrap();
        let want = concat_batches(&all[0].schema(), &all).unwrap();
        let (path, _) = paths(dir.path(), DataSet::Spans, &copied.id);
        assert_same(&read(&path), &want);
        assert_bounds(&path, &want);
        let filters = footer(&path);
        let trace_id = filters.row_group(0).columns().first().unwrap();
        prop_assert!(trace_id.bloom_filter_offset().is_some());
        // Small row groups are sorted into one.
        let merged = merge(dir.path(), DataSet::Spans, 1, &metas).unwrap();
        let (path, _) = paths(dir.path(), DataSet::Spans, &merged.id);
        let want = sorted(&all);
        assert_same(&read(&path), &want);
        for meta in [&copied, &merged] {
            prop_assert_eq!(meta.rows, want.num_rows() as u64);
            prop_assert_eq!(&meta.services, &merged.services);
            prop_assert_eq!((meta.min_time, meta.max_time), (merged.min_time, merged.max_time));
        }
    }
}
