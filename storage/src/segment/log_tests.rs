//! Segments of logs against the rows they were made of, through flush and merges, beside files of an
//! older version.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, RecordBatch, StringArray, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, TimestampNanosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use headrope_model::{DataSet, RollupSet, Signal, schema};
use headrope_testdata::arbitrary::Dice;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use prost::Message as _;

use super::output::Origin;
use super::tests::{by_key, plain, write};
use super::{merge, paths};
use crate::bodies;
use crate::dense::{self, Layout};
use crate::encode::direct;

const NOBODY: Origin =
    Origin { covers: None, data_sets: Vec::new(), rollups: RollupSet::from_bits(0) };

fn batch(dice: &mut Dice) -> RecordBatch {
    let payloads: Vec<Vec<u8>> = (0..=dice.below(4)).map(|_| dice.logs().encode_to_vec()).collect();
    direct::encode(Signal::Logs, payloads.iter().map(Vec::as_slice)).unwrap()
}

/// With times that no request leads to: whatever they are, they must come back.
fn with_other_times(batch: &RecordBatch, dice: &mut Dice) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if !matches!(field.name().as_str(), "event_time" | "observed_time") {
            return Arc::clone(column);
        }
        let times = (0..batch.num_rows()).map(|_| match dice.below(4) {
            0 => None,
            1 => Some(i64::MIN),
            2 => Some(i64::MAX),
            _ => Some(i64::try_from(dice.below(1 << 40)).unwrap()),
        });
        let times: TimestampNanosecondArray = times.collect();
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap()
}

/// Bodies as version 4 has them: each is cut in two, which any template allows.
fn version_4(bodies: &ArrayRef) -> [(&'static str, ArrayRef); 2] {
    let bodies = bodies.as_string::<i32>();
    let cut = |body: &&str| !body.contains(bodies::MARK) && !body.len().is_multiple_of(3);
    let templates: StringArray =
        bodies.iter().map(|body| body.filter(cut).map(|_| "\u{1f}\u{1f}")).collect();
    let value = |body: &str| match body.split_at(body.floor_char_boundary(body.len() / 2)) {
        (first, second) if cut(&body) => format!("{first}\u{1f}{second}"),
        _ => body.to_owned(),
    };
    let values: StringArray = bodies.iter().map(|body| body.map(value)).collect();
    [(bodies::TEMPLATE, Arc::new(templates) as ArrayRef), (bodies::VALUES, Arc::new(values))]
}

/// A file of version 1, columns as rows have them, or one with bodies as version 4 has them.
fn write_old(path: &PathBuf, batch: &RecordBatch, templates: bool) {
    let time = batch.column_by_name("time").unwrap().as_primitive::<TimestampNanosecondType>();
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by_key(|row| time.value(*row as usize));
    let sorted = arrow::compute::take_record_batch(batch, &UInt32Array::from(order)).unwrap();
    let columns = sorted.columns().iter().map(|column| match column.data_type() {
        DataType::Map(..) => cast(column, &schema::attributes_type()).unwrap(),
        _ => Arc::clone(column),
    });
    let names = sorted.schema();
    let fields = names.fields().iter().zip(columns).flat_map(|(field, column)| {
        if templates && field.name() == bodies::BODY {
            return version_4(&column).map(|(name, column)| (name, column, true)).to_vec();
        }
        vec![(field.name().as_str(), column, field.is_nullable())]
    });
    let plain = plain(&RecordBatch::try_from_iter_with_nullable(fields).unwrap());
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), plain.schema(), None).unwrap();
    writer.write(&plain).unwrap();
    writer.close().unwrap();
}

fn read(path: &PathBuf) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let all = concat_batches(&schema, &batches).unwrap();
    let layout = Layout::of(&schema, dense::promoted(DataSet::Logs));
    merge::adapt(&all, &schema::stored(DataSet::Logs), layout.as_ref()).unwrap()
}

/// Every row as text, sorted: segments of logs reorder rows.
fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches.iter().map(plain) {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|column| match column.data_type() {
                DataType::Map(..) => by_key(column),
                _ => Arc::clone(column),
            })
            .collect();
        // The engine's own text of a time ends in the year 2262.
        let options = FormatOptions::new().with_null("-");
        let number = |column: &ArrayRef| match column.data_type() {
            DataType::Timestamp(..) => cast(column, &DataType::Int64).unwrap(),
            _ => Arc::clone(column),
        };
        let columns: Vec<ArrayRef> = columns.iter().map(number).collect();
        let texts: Vec<_> =
            columns.iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            let cells = texts.iter().map(|text| text.value(row).to_string());
            cells.collect::<Vec<_>>().join("\u{1f}")
        }));
    }
    rows.sort_unstable();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flushed_and_merged_logs_are_the_same_rows(seed: u64) {
        let mut dice = Dice::plain(seed);
        let dir = tempfile::tempdir().unwrap();
        let (mut inputs, mut all) = (Vec::new(), Vec::new());
        for number in 0..5 {
            let batch = batch(&mut dice);
            let batch = if number == 1 { with_other_times(&batch, &mut dice) } else { batch };
            if batch.num_rows() == 0 {
                continue;
            }
            let path = if matches!(number, 2 | 3) {
                let path = dir.path().join(format!("old-{number}.parquet"));
                write_old(&path, &batch, number == 3);
                path
            } else {
                let meta = write(dir.path(), DataSet::Logs, &[&batch]).unwrap().unwrap();
                paths(dir.path(), DataSet::Logs, &meta.id).0
            };
            prop_assert_eq!(rows(&[read(&path)]), rows(std::slice::from_ref(&batch)));
            inputs.push(path);
            all.push(batch);
        }
        prop_assume!(!inputs.is_empty());
        // Merged, and merged again.
        for level in 1..3 {
            let meta = merge::merge(dir.path(), DataSet::Logs, level, &inputs, NOBODY).unwrap();
            let (path, _) = paths(dir.path(), DataSet::Logs, &meta.id);
            prop_assert_eq!(rows(&[read(&path)]), rows(&all));
            inputs = vec![path];
        }
    }
}
