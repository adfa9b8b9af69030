//! Whether dictionaries are written where they are smaller than what the general writer makes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use bytes::Bytes;
use headrope_testdata::arbitrary::Dice;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::chunk::PageOptions;
use super::labels::{Sorted, write};

const PAGES: PageOptions = PageOptions { rows: 8 << 10, zstd: 1 };
const ROWS: u64 = 64 << 10;

/// The file of a column with a dictionary; `None` if it is not wanted.
fn with_dictionary(rows: &[String]) -> Option<Bytes> {
    let mut values: Vec<&str> = rows.iter().map(String::as_str).collect();
    values.sort_unstable();
    values.dedup();
    let code = |row: &String| values.binary_search(&row.as_str()).unwrap() as u32;
    let codes: Vec<u32> = rows.iter().map(code).collect();
    let schema = Arc::new(parse_message_type("message m { optional binary v (utf8); }").unwrap());
    let mut file = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut file, schema, properties).unwrap();
    let leaf = writer.schema_descr().column(0);
    let (bytes, close) = write(&leaf, &codes, &Sorted(values), PAGES).unwrap()?;
    let mut group = writer.next_row_group().unwrap();
    group.append_column(&bytes, close).unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    Some(file.into())
}

fn without_dictionary(rows: &[String]) -> Bytes {
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(rows));
    let batch = RecordBatch::try_from_iter_with_nullable([("v", values, true)]).unwrap();
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(PAGES.zstd).unwrap()))
        .set_data_page_row_count_limit(PAGES.rows)
        .set_write_batch_size(PAGES.rows)
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file.into()
}

fn size(file: &Bytes) -> i64 {
    let reader = SerializedFileReader::new(file.clone()).unwrap();
    reader.metadata().row_group(0).column(0).compressed_size()
}

/// Text of so many hex digits that no other number has.
fn random(number: u64, digits: usize) -> String {
    let bits = |n: u64| {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 29)
    };
    let all = (0..digits.div_ceil(16) as u64).map(|at| format!("{:016x}", bits(bits(number) ^ at)));
    all.collect::<String>()[..digits].to_owned()
}

#[test]
fn a_dictionary_is_written_where_it_is_smaller() {
    let dice = std::cell::RefCell::new(Dice::plain(1));
    let drawn = |of: u64| (0..ROWS).map(|_| dice.borrow_mut().below(of)).collect::<Vec<_>>();
    let traces = |spans: u64| (0..ROWS).map(|row| row % (ROWS / spans)).collect::<Vec<_>>();
    let short = |n: &u64| format!("value-{n}");
    let long = |n: &u64| format!("user={}&tier=gold", random(*n, 60));
    type Case<'a> = (&'a str, Vec<u64>, &'a dyn Fn(&u64) -> String, Option<bool>);
    let cases: [Case<'_>; 7] = [
        ("few", drawn(20), &short, Some(true)),
        ("a thousand", drawn(1000), &short, Some(true)),
        ("of each trace", traces(10), &long, Some(true)),
        ("of each pair", traces(2), &long, Some(true)),
        ("neighbours", (0..ROWS).map(|row| row / 2).collect(), &long, None),
        ("all different", (0..ROWS).collect(), &long, Some(false)),
        ("too long", traces(10), &|n| random(*n, 2000), Some(false)),
    ];
    for (name, numbers, text, wanted) in cases {
        let rows: Vec<String> = numbers.iter().map(text).collect();
        let (with, without) = (with_dictionary(&rows), without_dictionary(&rows));
        if let Some(wanted) = wanted {
            assert_eq!(with.is_some(), wanted, "{name}");
        }
        let Some(file) = with else { continue };
        assert!(size(&file) <= size(&without), "{name}: {} {}", size(&file), size(&without));
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let read = reader.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap();
        let read: Vec<_> = read.column(0).as_string::<i32>().iter().flatten().collect();
        assert_eq!(read, rows, "{name}");
    }
}
