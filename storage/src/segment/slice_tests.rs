//! Row groups of spans against rows sorted as plain text.

use std::fs::File;

use arrow::array::{AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::TimestampNanosecondType;
use headrope_model::{RollupSet, schema};
use headrope_testdata::arbitrary::Dice;
use parquet::basic::Encoding;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::tests::{assert_same, batches, footer, plain, read};
use super::*;

fn nowhere() -> Origin {
    Origin { covers: None, data_sets: Vec::new(), rollups: RollupSet::default() }
}

fn starts(rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name("start_time").unwrap();
    column.as_primitive::<TimestampNanosecondType>().values().to_vec()
}

/// Rows by start, cut into groups of so many, each by service and start.
fn sliced(rows: &RecordBatch, group: usize) -> RecordBatch {
    let service = rows.column_by_name("service_name").unwrap().as_string::<i32>();
    let starts = starts(rows);
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by_key(|row| starts[*row as usize]);
    for group in order.chunks_mut(group) {
        group.sort_unstable();
        group.sort_by_key(|row| (service.value(*row as usize), starts[*row as usize]));
    }
    take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}

fn concatenated(batches: &[RecordBatch]) -> RecordBatch {
    let plain: Vec<_> = batches.iter().map(plain).collect();
    concat_batches(&plain[0].schema(), &plain).unwrap()
}

/// Every row group ends before the next one starts, and none has more than `most` rows.
fn assert_slices(path: &Path, most: usize) {
    let footer = footer(path);
    let leaf = schema::stored(DataSet::Spans).index_of("start_time").unwrap();
    let mut end = i64::MIN;
    let rows = footer.file_metadata().num_rows() as usize;
    assert_eq!(footer.num_row_groups(), rows.div_ceil(most));
    for group in footer.row_groups() {
        assert!(group.num_rows() as usize <= most);
        let column = group.column(leaf);
        assert_eq!(column.column_path().string(), "start_time");
        let Some(Statistics::Int64(times)) = column.statistics() else { panic!("no statistics") };
        assert!(end <= *times.min_opt().unwrap());
        end = *times.max_opt().unwrap();
    }
}

/// Writes spans sorted by service and start as a whole, as older versions did.
fn write_whole(dir: &Path, batches: &[&RecordBatch], rows: usize) -> SegmentMeta {
    let order = sort::order(DataSet::Spans, batches, usize::MAX).unwrap();
    let mut writer = SegmentWriter::create(dir, DataSet::Spans, 0, Vec::new(), nowhere()).unwrap();
    let census = census(DataSet::Spans, batches).unwrap();
    for picks in order.chunks(rows) {
        writer.push(batches, census.as_ref(), picks).unwrap();
    }
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn row_groups_of_a_flush_are_slices_of_time(seed: u64, most in 1_usize..60) {
        let batches = batches(&mut Dice::plain(seed), 3);
        let inputs: Vec<_> = batches.iter().collect();
        let dir = tempfile::tempdir().unwrap();
        let written = write_groups(dir.path(), DataSet::Spans, &inputs, nowhere(), most).unwrap();
        prop_assume!(written.is_some());
        let (path, _) = paths(dir.path(), DataSet::Spans, &written.unwrap().id);
        assert_slices(&path, most);
        let all = concatenated(&batches);
        let groups = all.num_rows().div_ceil(most);
        assert_same(&read(&path), &sliced(&all, all.num_rows().div_ceil(groups)));
    }

    #[test]
    fn merged_row_groups_are_slices_however_the_inputs_lie(
        seed: u64,
        most in 1_usize..60,
        layouts in prop::collection::vec(any::<bool>(), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice::plain(seed);
        let mut inputs = Vec::new();
        let mut rows = Vec::new();
        for whole in layouts {
            let batches = batches(&mut dice, 2);
            let batches: Vec<_> = batches.iter().filter(|b| b.num_rows() > 0).collect();
            if batches.is_empty() {
                continue;
            }
            let meta = match whole {
                true => write_whole(dir.path(), &batches, most),
                false => write_groups(dir.path(), DataSet::Spans, &batches, nowhere(), most)
                    .unwrap()
                    .unwrap(),
            };
            let (path, _) = paths(dir.path(), DataSet::Spans, &meta.id);
            rows.push(plain(&read(&path)));
            inputs.push(path);
        }
        prop_assume!(!inputs.is_empty());
        let all = concat_batches(&rows[0].schema(), &rows).unwrap();
        let meta = slices::merge(dir.path(), 1, &inputs, nowhere(), most).unwrap();
        let (path, _) = paths(dir.path(), DataSet::Spans, &meta.id);
        assert_slices(&path, most);
        let groups = all.num_rows().div_ceil(most);
        assert_same(&read(&path), &sliced(&all, all.num_rows().div_ceil(groups)));
        prop_assert_eq!(meta.rows, all.num_rows() as u64);
    }

    #[test]
    fn a_slice_is_a_stretch_of_the_order(
        times in prop::collection::vec(-20_i64..20, 0..200),
        most in 1_usize..50,
    ) {
        let numbers = slices::slices(&times, most);
        let mut keyed: Vec<_> = numbers.iter().copied().zip(times.iter().copied()).collect();
        let by_slice = { keyed.sort_unstable(); keyed.iter().map(|k| k.1).collect::<Vec<_>>() };
        let mut sorted = times.clone();
        sorted.sort_unstable();
        prop_assert_eq!(by_slice, sorted);
        let slices = times.len().div_ceil(most) as u32;
        for slice in 0..slices {
            let rows = numbers.iter().filter(|n| **n == slice).count();
            let last = slice + 1 == slices;
            let full = slices::rows_of_slice(times.len(), most);
            prop_assert!(rows <= most && rows > 0 && (last || rows == full));
        }
    }
}

/// Where spans of a trace lie together, their id is written once.
#[test]
fn ids_of_traces_have_a_dictionary() {
    let batches: Vec<_> = batches(&mut Dice::plain(7), 40);
    let inputs: Vec<_> = batches.iter().collect();
    // The same traces again and again, with other spans.
    let inputs: Vec<_> = std::iter::repeat_n(inputs, 4).flatten().collect();
    let dir = tempfile::tempdir().unwrap();
    let meta = super::write(dir.path(), DataSet::Spans, &inputs, nowhere()).unwrap().unwrap();
    let (path, _) = paths(dir.path(), DataSet::Spans, &meta.id);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let encodings: Vec<_> = group.column(0).encodings().collect();
    assert_eq!(group.column(0).column_path().string(), "trace_id");
    assert!(encodings.contains(&Encoding::RLE_DICTIONARY), "{encodings:?}");
    let all: Vec<RecordBatch> = inputs.into_iter().cloned().collect();
    let all = concatenated(&all);
    assert_same(&read(&path), &sliced(&all, all.num_rows()));
}
