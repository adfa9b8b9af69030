//! Merging segments without reading their rows: the row groups of all inputs, byte for byte, in one
//! file. Each row group stays sorted within itself, which is what pruning needs; what a merge is for,
//! fewer files, costs no more than copying.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrope_model::DataSet;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::SerializedFileWriter;

use super::writer::MAX_SERVICES;
use super::{paths, properties};
use crate::error::StorageError;
use crate::files::{self, io};
use crate::snapshot::SegmentMeta;

/// An input file with what its footer says.
struct Input {
    path: PathBuf,
    file: File,
    footer: ParquetMetaData,
}

impl Input {
    fn open(path: PathBuf) -> Result<Self, StorageError> {
        let file = File::open(&path).map_err(io("open", &path))?;
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&file)?;
        Ok(Self { path, file, footer })
    }
}

/// Copies segments of one data set into one of `level`; durable when this returns. `None` when they
/// have to be sorted instead: rows are indexed or looked up by their order, row groups have less than
/// `min_group_rows` on average, or the files have different columns.
///
/// # Errors
/// When an input cannot be read or the output cannot be written.
pub(super) fn copy(
    dir: &Path,
    data_set: DataSet,
    level: u32,
    metas: &[SegmentMeta],
    min_group_rows: u64,
) -> Result<Option<SegmentMeta>, StorageError> {
    if !matches!(data_set, DataSet::Spans | DataSet::Metrics) {
        return Ok(None);
    }
    let inputs = metas
        .iter()
        .map(|meta| Input::open(paths(dir, data_set, &meta.id).0))
        .collect::<Result<Vec<_>, _>>()?;
    let groups: usize = inputs.iter().map(|i| i.footer.num_row_groups()).sum();
    let rows: u64 = metas.iter().map(|m| m.rows).sum();
    let schema = |input: &Input| input.footer.file_metadata().schema_descr().root_schema_ptr();
    let Some(first) = inputs.first().map(schema) else { return Ok(None) };
    if rows < min_group_rows * groups as u64 || inputs.iter().any(|i| schema(i) != first) {
        return Ok(None);
    }
    let id = ulid::Ulid::new().to_string();
    let (path, _) = paths(dir, data_set, &id);
    let temporary = files::temporary(&path);
    let file = File::create(&temporary).map_err(io("create", &temporary))?;
    let properties = Arc::new(properties::properties(data_set, level));
    let mut output = SerializedFileWriter::new(file, first, properties)?;
    for input in &inputs {
        append(&mut output, input)?;
    }
    let file = output.into_inner()?;
    file.sync_all().map_err(io("sync", &temporary))?;
    let bytes = file.metadata().map_err(io("stat", &temporary))?.len();
    files::publish(&path)?;
    files::sync_dir(dir)?;
    Ok(Some(SegmentMeta {
        id,
        data_set,
        level,
        rows,
        bytes,
        min_time: metas.iter().map(|m| m.min_time).min().unwrap_or(i64::MIN),
        max_time: metas.iter().map(|m| m.max_time).max().unwrap_or(i64::MAX),
        services: services(metas),
        index_bytes: None,
        rollups: Default::default(),
    }))
}

/// Appends every row group of an input.
fn append(output: &mut SerializedFileWriter<File>, input: &Input) -> Result<(), StorageError> {
    let damaged = |detail: &str| StorageError::Corrupt {
        path: input.path.clone(),
        offset: 0,
        detail: detail.to_owned(),
    };
    let bounds = input.footer.column_index().ok_or_else(|| damaged("no column index"))?;
    let pages = input.footer.offset_index().ok_or_else(|| damaged("no offset index"))?;
    for ((group, bounds), pages) in input.footer.row_groups().iter().zip(bounds).zip(pages) {
        let mut copied = output.next_row_group()?;
        for ((column, bounds), pages) in group.columns().iter().zip(bounds).zip(pages) {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                metadata: column.clone(),
                bloom_filter: Sbbf::read_from_column_chunk(column, &input.file)?,
                column_index: Some(bounds.clone()),
                offset_index: Some(pages.clone()),
            };
            copied.append_column(&input.file, close)?;
        }
        copied.close()?;
    }
    Ok(())
}

/// The services of all segments, unless there are too many to list.
fn services(metas: &[SegmentMeta]) -> Option<Vec<String>> {
    let mut all = BTreeSet::new();
    for meta in metas {
        all.extend(meta.services.as_ref()?.iter().cloned());
    }
    (all.len() <= MAX_SERVICES).then(|| all.into_iter().collect())
}
