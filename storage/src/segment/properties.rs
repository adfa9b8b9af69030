//! How Parquet files are written.

use headrope_model::DataSet;
use headrope_model::schema::{self, Column};
use headrope_model::semconv::{self, Kind};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use super::chunk::PageOptions;
use super::ids::{self, IdOptions};
use crate::bodies::TEMPLATE;
use crate::dense::column_name;
use crate::offsets;

/// Rows of a row group: small enough to skip, large enough to compress (what Quickwit, OpenObserve
/// and GreptimeDB settled on).
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Rows of a row group of a roll-up: rows are wide, and the steps of time are to fall in different
/// ones.
const ROLLUP_GROUP_ROWS: usize = 16 << 10;
/// Rows of a data page at most.
const PAGE_ROWS: usize = 8 << 10;
/// Rows of a data page of a roll-up at most: a question skips to its steps of time.
const ROLLUP_PAGE_ROWS: usize = 1 << 10;

/// Rows of a row group at most.
pub(super) const fn row_group_rows(data_set: DataSet) -> usize {
    if data_set.is_rollup() { ROLLUP_GROUP_ROWS } else { ROW_GROUP_ROWS }
}

const fn page_rows(data_set: DataSet) -> usize {
    if data_set.is_rollup() { ROLLUP_PAGE_ROWS } else { PAGE_ROWS }
}

const fn zstd_level(level: u32) -> i32 {
    if level == 0 { 1 } else { 3 }
}

/// How pages of labels are made.
pub(super) const fn pages(data_set: DataSet, level: u32) -> PageOptions {
    PageOptions { rows: page_rows(data_set), zstd: zstd_level(level) }
}

/// How a column of ids is written without the general writer; `None` for those it writes.
pub(super) fn ids(data_set: DataSet, level: u32, column: &str) -> Option<IdOptions> {
    let pages = pages(data_set, level);
    let options = |repeats, filter| Some(IdOptions { pages, repeats, filter });
    match (data_set, column) {
        (DataSet::Spans, "trace_id") => options(true, true),
        (DataSet::Spans, "parent_span_id") => options(true, false),
        (DataSet::Spans, "span_id") => options(false, false),
        (DataSet::Logs, "trace_id") => options(true, true),
        (DataSet::Logs, "span_id") => options(true, false),
        _ => None,
    }
}

/// Encodings: times and durations delta-packed, ids plain (random bits do not compress), labels
/// dictionary-encoded; zstd 1 at flush, 3 once merged.
/// `dense` are the attribute keys with columns of their own.
pub(super) fn properties(data_set: DataSet, level: u32, dense: &[String]) -> WriterProperties {
    let zstd = ZstdLevel::try_new(zstd_level(level)).unwrap_or_default();
    let metadata = vec![KeyValue::new(
        "headrope.schema_version".to_owned(),
        schema::SCHEMA_VERSION.to_string(),
    )];
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some(row_group_rows(data_set)))
        .set_data_page_row_count_limit(page_rows(data_set))
        .set_write_batch_size(page_rows(data_set))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(metadata));
    if data_set == DataSet::Logs {
        builder = logs(builder);
    }
    for column in schema::columns(data_set) {
        let path = ColumnPath::from(column.name);
        match column.column {
            Column::Time | Column::Int | Column::UInt => {
                builder = builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Column::TraceId | Column::SpanId => {
                builder = builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path.clone(), Encoding::PLAIN);
                if column.column == Column::TraceId && data_set != DataSet::TraceParts {
                    builder = builder
                        .set_column_bloom_filter_enabled(path.clone(), true)
                        .set_column_bloom_filter_fpp(path, ids::FALSE_POSITIVES);
                }
            }
            // Where a dictionary pays, it is written without the general writer.
            Column::Label => builder = builder.set_column_dictionary_enabled(path, false),
            Column::Bytes => {
                // Nobody compares them, and no two are alike.
                builder = builder
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path.clone(), Encoding::DELTA_LENGTH_BYTE_ARRAY)
                    .set_column_statistics_enabled(path, EnabledStatistics::None);
            }
            _ => {}
        }
    }
    for path in few_integers(data_set) {
        builder = builder
            .set_column_dictionary_page_size_limit(path.clone(), INTEGERS_BYTES)
            .set_column_dictionary_enabled(path, true);
    }
    for key in dense {
        let path = ColumnPath::new(vec![column_name(key)]);
        builder = builder.set_column_dictionary_enabled(path, false);
    }
    builder.build()
}

/// Bytes of a dictionary of integers at most: 4096 of them.
const INTEGERS_BYTES: usize = 32 << 10;

/// Promoted integers of spans: codes, ports and process ids, of which there are few, and the difference
/// from one to the next says nothing.
fn few_integers(data_set: DataSet) -> impl Iterator<Item = ColumnPath> {
    let promoted = semconv::RESOURCE.iter().chain(semconv::SPAN);
    let integers = promoted.filter(|p| p.kind == Kind::Int).map(|p| ColumnPath::from(p.column));
    integers.filter(move |_| data_set == DataSet::Spans)
}

/// Rows of a page of the values of bodies: those of a block of rare tokens, which a search reads for one
/// line.
const VALUES_ROWS: usize = 2 << 10;
/// Bytes of the dictionary of distances between times: 4096 of them. Delays are of a coarse clock, and
/// few, or differ from row to row; then they are delta-packed, and the dictionary is not to cost much.
const OFFSET_DICTIONARY_BYTES: usize = 32 << 10;

/// How pages of the values of bodies are made, which are the most of a log segment.
pub(super) const fn values(level: u32) -> PageOptions {
    PageOptions { rows: VALUES_ROWS, zstd: if level == 0 { 1 } else { 13 } }
}

fn logs(builder: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    // Where a dictionary pays, templates are written without the general writer.
    let mut builder = builder.set_column_dictionary_enabled(TEMPLATE.into(), false);
    // Version 2 of the format goes on with `DELTA_BINARY_PACKED` when a dictionary is full.
    for offset in [offsets::EVENT, offsets::OBSERVED] {
        let (path, most) = (ColumnPath::from(offset), OFFSET_DICTIONARY_BYTES);
        builder = builder.set_column_dictionary_page_size_limit(path, most);
    }
    builder
}
