//! Writing segments: sorted rows to one Parquet file, with a text index beside logs.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int32Type, TimestampNanosecondType, UInt64Type};
use arrow::error::ArrowError;
use headrope_model::schema::{self, Column};
use headrope_model::DataSet;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::StorageError;
use crate::files::{self, io};
use crate::live::time_bounds;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndexBuilder;

/// Rows of a row group: small enough to skip, large enough to compress (what Quickwit, OpenObserve
/// and GreptimeDB settled on).
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Rows of a data page at most.
const PAGE_ROWS: usize = 8 << 10;
/// Rows handed to the Parquet writer at a time.
const CHUNK_ROWS: usize = 16 << 10;
/// Services listed in the catalog at most; with more, the list is left out.
const MAX_SERVICES: usize = 256;

/// Where the files of a segment are.
pub(crate) fn paths(dir: &Path, data_set: DataSet, id: &str) -> (PathBuf, PathBuf) {
    let stem = format!("{data_set}-{id}");
    (dir.join(format!("{stem}.parquet")), dir.join(format!("{stem}.idx")))
}

/// Writes batches of a data set as one segment; durable when this returns. `None` without rows.
///
/// # Errors
/// When a file cannot be written; temporary files may stay and are removed at the next start.
pub(crate) fn write(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    batches: &[RecordBatch],
) -> Result<Option<SegmentMeta>, StorageError> {
    let all = concat_batches(&schema::stored(data_set), batches)?;
    if all.num_rows() == 0 {
        return Ok(None);
    }
    let id = ulid::Ulid::new().to_string();
    let (min_time, max_time) = time_bounds(data_set, &all);
    let services = services(&all);
    let order = order(data_set, &all)?;
    let (path, index_path) = paths(dir, data_set, &id);
    let bytes = write_parquet(&path, data_set, level, &all, &order)?;
    let index_bytes = match data_set {
        DataSet::Logs => Some(write_index(&index_path, &all, &order)?),
        _ => None,
    };
    files::sync_dir(dir)?;
    let rows = u64::try_from(all.num_rows()).unwrap_or(u64::MAX);
    Ok(Some(SegmentMeta {
        id,
        data_set,
        level,
        rows,
        bytes,
        min_time,
        max_time,
        services,
        index_bytes,
    }))
}

fn write_parquet(
    path: &Path,
    data_set: DataSet,
    level: u32,
    all: &RecordBatch,
    order: &UInt32Array,
) -> Result<u64, StorageError> {
    let temporary = files::temporary(path);
    let file = File::create(&temporary).map_err(io("create", &temporary))?;
    // Without the embedded Arrow schema, readers see plain Parquet types: dictionaries are how
    // rows are written, not what they are.
    let options = ArrowWriterOptions::new()
        .with_properties(properties(data_set, level))
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(file, all.schema(), options)?;
    for from in (0..all.num_rows()).step_by(CHUNK_ROWS) {
        let len = CHUNK_ROWS.min(all.num_rows() - from);
        writer.write(&take_record_batch(all, &order.slice(from, len))?)?;
    }
    let file = writer.into_inner()?;
    file.sync_all().map_err(io("sync", &temporary))?;
    let bytes = file.metadata().map_err(io("stat", &temporary))?.len();
    files::publish(path)?;
    Ok(bytes)
}

fn write_index(path: &Path, all: &RecordBatch, order: &UInt32Array) -> Result<u64, StorageError> {
    let missing = || ArrowError::SchemaError("logs have no body or attributes".to_owned());
    let body = all.column_by_name("body").and_then(|c| c.as_string_opt::<i32>());
    let attributes = all.column_by_name("attributes").and_then(|c| c.as_map_opt());
    let (body, attributes) = (body.ok_or_else(missing)?, attributes.ok_or_else(missing)?);
    let keys: &StringArray = attributes.keys().as_string();
    let values: &StringArray = attributes.values().as_string();
    let offsets = attributes.value_offsets();
    let mut builder = TextIndexBuilder::create(path)?;
    for row in order.values() {
        let row = usize::try_from(*row).unwrap_or(usize::MAX);
        let text = if body.is_null(row) { "" } else { body.value(row) };
        let from = offsets.get(row).and_then(|o| usize::try_from(*o).ok()).unwrap_or_default();
        let to = offsets.get(row + 1).and_then(|o| usize::try_from(*o).ok()).unwrap_or(from);
        builder.push(text, (from..to).map(|at| (keys.value(at), values.value(at))))?;
    }
    builder.finish()
}

/// Encodings: times and durations delta-packed, ids plain (random bits do not compress), labels
/// dictionary-encoded; zstd 1 at flush, 3 once merged.
fn properties(data_set: DataSet, level: u32) -> WriterProperties {
    let zstd = ZstdLevel::try_new(if level == 0 { 1 } else { 3 }).unwrap_or_default();
    let metadata = vec![KeyValue::new(
        "headrope.schema_version".to_owned(),
        schema::SCHEMA_VERSION.to_string(),
    )];
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(metadata));
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
                        .set_column_bloom_filter_fpp(path, 0.01);
                }
            }
            _ => {}
        }
    }
    builder.build()
}

/// Service names that occur, unless there are too many.
fn services(all: &RecordBatch) -> Option<Vec<String>> {
    let labels = all.column_by_name("service_name")?.as_dictionary_opt::<Int32Type>()?;
    let values = labels.values().as_string_opt::<i32>()?;
    let keys: BTreeSet<i32> = labels.keys().values().iter().copied().collect();
    let names: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| usize::try_from(*key).ok())
        .filter(|key| *key < values.len())
        .map(|key| values.value(key))
        .collect();
    (names.len() <= MAX_SERVICES).then(|| names.into_iter().map(str::to_owned).collect())
}

/// The rows in segment order (see [`schema::sort_columns`]); stable.
fn order(data_set: DataSet, all: &RecordBatch) -> Result<UInt32Array, ArrowError> {
    let rows = u32::try_from(all.num_rows())
        .map_err(|_| ArrowError::ComputeError("a segment has at most 2^32 rows".to_owned()))?;
    let column = |name: &str| {
        all.column_by_name(name)
            .ok_or_else(|| ArrowError::SchemaError(format!("column {name} is missing")))
    };
    let times = |name: &str| -> Result<Vec<i64>, ArrowError> {
        Ok(column(name)?.as_primitive::<TimestampNanosecondType>().values().to_vec())
    };
    let mut keys: Vec<(u32, u64, i64, u32)> = match data_set {
        DataSet::TraceParts => return Ok(UInt32Array::from_iter_values(0..rows)),
        DataSet::Spans => {
            let (rank, time) = (ranks(column("service_name")?)?, times("start_time")?);
            zip3(rank, (0..rows).map(|_| 0), time)
        }
        DataSet::Logs => zip3((0..rows).map(|_| 0), (0..rows).map(|_| 0), times("time")?),
        DataSet::Metrics => {
            let series: &UInt64Array = column("series_id")?.as_primitive::<UInt64Type>();
            let series = series.values().to_vec();
            zip3(ranks(column("name")?)?, series, times("time")?)
        }
    };
    keys.sort_unstable();
    Ok(keys.into_iter().map(|(_, _, _, row)| row).collect::<Vec<u32>>().into())
}

fn zip3(
    rank: impl IntoIterator<Item = u32>,
    series: impl IntoIterator<Item = u64>,
    time: Vec<i64>,
) -> Vec<(u32, u64, i64, u32)> {
    let keys = rank.into_iter().zip(series).zip(time).zip(0..);
    keys.map(|(((rank, series), time), row)| (rank, series, time, row)).collect()
}

/// For each row the position of its label in the sorted list of labels.
fn ranks(labels: &ArrayRef) -> Result<Vec<u32>, ArrowError> {
    let wrong = || ArrowError::SchemaError("a sort column is not a dictionary".to_owned());
    let labels = labels.as_dictionary_opt::<Int32Type>().ok_or_else(wrong)?;
    let values = labels.values().as_string_opt::<i32>().ok_or_else(wrong)?;
    let sorted: BTreeSet<&str> = values.iter().flatten().collect();
    let rank_of: std::collections::HashMap<&str, u32> = sorted.into_iter().zip(0..).collect();
    let by_key: Vec<u32> = values
        .iter()
        .map(|v| v.and_then(|v| rank_of.get(v).copied()).unwrap_or_default())
        .collect();
    let of = |key: &i32| usize::try_from(*key).ok().and_then(|k| by_key.get(k).copied());
    Ok(labels.keys().values().iter().map(|key| of(key).unwrap_or_default()).collect())
}

/// Reads a segment back in the stored schema, for merging.
///
/// # Errors
/// When the file cannot be read, or its columns cannot be brought to the stored schema.
pub(crate) fn read(path: &Path, data_set: DataSet) -> Result<Vec<RecordBatch>, StorageError> {
    let file = File::open(path).map_err(io("open", path))?;
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file)?
        .with_batch_size(CHUNK_ROWS)
        .build()?;
    reader.map(|batch| Ok(to_stored(&batch?, data_set)?)).collect()
}

/// Brings a batch with the same column names to the stored schema; a column the file lacks (an older
/// file) is null.
fn to_stored(batch: &RecordBatch, data_set: DataSet) -> Result<RecordBatch, ArrowError> {
    let target = schema::stored(data_set);
    let columns = target
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => arrow::compute::cast(column, field.data_type()),
            None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    RecordBatch::try_new(Arc::clone(&target), columns)
}
