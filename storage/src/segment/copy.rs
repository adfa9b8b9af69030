//! Merging segments without reading their rows: the row groups of all inputs, byte for byte, in one
//! file. Each row group stays sorted within itself, which is what pruning needs; what a merge is for,
//! fewer files, costs no more than copying.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrope_model::{DataSet, RollupSet};
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};

use super::chunk::PageOptions;
use super::labels;
use super::output::{self, Origin, Sink};
use super::writer::MAX_SERVICES;
use super::{paths, properties};
use crate::dense::{self, Names, Tally};
use crate::disk;
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
        let file = disk::open(&path).map_err(io("open", &path))?;
        let footer = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .parse_and_finish(&file)?;
        Ok(Self { path, file, footer })
    }
}

/// Copies segments of one data set into one of `level`; durable when this returns. `None` when they
/// have to be sorted instead: rows are indexed or looked up by their order, row groups have less than
/// `min_group_rows` on average, or the files differ in more than which attributes have a column.
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
    if rows < min_group_rows * groups as u64 {
        return Ok(None);
    }
    let Some((schema, dense)) = union(&inputs) else { return Ok(None) };
    let id = ulid::Ulid::new().to_string();
    let (path, _) = paths(dir, data_set, &id);
    let file = output::create(&path)?;
    let properties = Arc::new(properties::properties(data_set, level, &dense));
    let mut output = SerializedFileWriter::new(file, schema, properties)?;
    let (mut tally, mut names) = (Tally::new(), Names::default());
    for input in &inputs {
        let metadata = input.footer.file_metadata().key_value_metadata();
        tally.add(&Tally::read(metadata));
        names.add(Names::read(|key| dense::value_of(metadata, key)));
        append(&mut output, input, properties::pages(data_set, level))?;
    }
    for entry in tally.write().into_iter().chain(names.write()) {
        output.append_key_value_metadata(entry);
    }
    let meta = SegmentMeta {
        id: id.clone(),
        data_set,
        level,
        rows,
        bytes: 0,
        min_time: metas.iter().map(|m| m.min_time).min().unwrap_or(i64::MIN),
        max_time: metas.iter().map(|m| m.max_time).max().unwrap_or(i64::MAX),
        services: services(metas),
        index_bytes: None,
        checksum: None,
        covers: None,
        rollups: RollupSet::default(),
    };
    let named = || {
        let meta = output::finish(output, meta, &Origin::merged(metas))?;
        files::sync_dir(dir)?;
        Ok(meta)
    };
    named().map(Some).inspect_err(|_| output::discard(dir, data_set, &id))
}

fn fields(input: &Input) -> &[TypePtr] {
    input.footer.file_metadata().schema_descr().root_schema().get_fields()
}

/// The columns of all files, and the attribute keys with columns of their own: the files may differ in
/// those.
fn union(inputs: &[Input]) -> Option<(TypePtr, Vec<String>)> {
    let is_dense = |field: &&TypePtr| dense::key_of(field.name()).is_some();
    let first = inputs.first()?;
    let common: Vec<&TypePtr> = fields(first).iter().filter(|f| !is_dense(f)).collect();
    let mut keys: BTreeMap<&str, &TypePtr> = BTreeMap::new();
    for input in inputs {
        if !fields(input).iter().filter(|f| !is_dense(f)).eq(common.iter().copied()) {
            return None;
        }
        let own = fields(input).iter().filter_map(|f| Some((dense::key_of(f.name())?, f)));
        keys.extend(own);
    }
    // With too many, keys that have become rare give their columns up when rows are sorted anew.
    if keys.len() > dense::MAX_DENSE {
        return None;
    }
    let all = common.into_iter().chain(keys.values().copied()).cloned().collect();
    let root = first.footer.file_metadata().schema_descr().root_schema();
    let schema = Type::group_type_builder(root.name()).with_fields(all).build().ok()?;
    Some((Arc::new(schema), keys.into_keys().map(str::to_owned).collect()))
}

/// Appends every row group of an input. A column it lacks is null.
fn append(
    output: &mut SerializedFileWriter<Sink>,
    input: &Input,
    options: PageOptions,
) -> Result<(), StorageError> {
    let damaged = |detail: &str| StorageError::Corrupt {
        path: input.path.clone(),
        offset: 0,
        detail: detail.to_owned(),
    };
    let bounds = input.footer.column_index().ok_or_else(|| damaged("no column index"))?;
    let pages = input.footer.offset_index().ok_or_else(|| damaged("no offset index"))?;
    for ((group, bounds), pages) in input.footer.row_groups().iter().zip(bounds).zip(pages) {
        let leaves = output.schema_descr().columns().to_vec();
        let mut copied = output.next_row_group()?;
        let mut own = group.columns().iter().zip(bounds).zip(pages).peekable();
        for leaf in leaves {
            let next = own.next_if(|((column, _), _)| column.column_path() == leaf.path());
            let Some(((column, bounds), pages)) = next else {
                let rows = usize::try_from(group.num_rows()).unwrap_or_default();
                let (bytes, close) = labels::nulls(&leaf, rows, options)?;
                copied.append_column(&bytes, close)?;
                continue;
            };
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
