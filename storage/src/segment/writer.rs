//! Writing one segment from rows picked in segment order.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use headrope_model::{DataSet, RollupSet, schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnDescPtr;

use super::unify::{Pick, Unified};
use super::{labels, paths, properties};
use crate::error::StorageError;
use crate::files::{self, io};
use crate::live::{range_of, time_columns};
use crate::snapshot::SegmentMeta;
use crate::text::TextIndexBuilder;

/// Services listed in the catalog at most; with more, the list is left out.
pub(super) const MAX_SERVICES: usize = 256;

/// A segment being written.
pub(super) struct SegmentWriter {
    dir: PathBuf,
    path: PathBuf,
    meta: SegmentMeta,
    schema: SchemaRef,
    file: SerializedFileWriter<File>,
    writers: ArrowRowGroupWriterFactory,
    /// The leaf columns of the file.
    leaves: Vec<ColumnDescPtr>,
    index: Option<TextIndexBuilder>,
    services: Option<BTreeSet<String>>,
}

impl SegmentWriter {
    pub(super) fn create(dir: &Path, data_set: DataSet, level: u32) -> Result<Self, StorageError> {
        let id = ulid::Ulid::new().to_string();
        let (path, index_path) = paths(dir, data_set, &id);
        let temporary = files::temporary(&path);
        let file = File::create(&temporary).map_err(io("create", &temporary))?;
        // Without the embedded Arrow schema, readers see plain Parquet types: dictionaries are how
        // rows are written, not what they are.
        let options = ArrowWriterOptions::new()
            .with_properties(properties::properties(data_set, level))
            .with_skip_arrow_metadata(true);
        let schema = schema::stored(data_set);
        let (file, writers) =
            ArrowWriter::try_new_with_options(file, SchemaRef::clone(&schema), options)?
                .into_serialized_writer()?;
        let leaves = file.schema_descr().columns().to_vec();
        let index = match data_set {
            DataSet::Logs => Some(TextIndexBuilder::create(&index_path)?),
            _ => None,
        };
        let meta = SegmentMeta {
            id,
            data_set,
            level,
            rows: 0,
            bytes: 0,
            min_time: i64::MAX,
            max_time: i64::MIN,
            services: None,
            index_bytes: None,
            rollups: RollupSet::default(),
        };
        let dir = dir.to_owned();
        let services = Some(BTreeSet::new());
        Ok(Self { dir, path, meta, schema, file, writers, leaves, index, services })
    }

    /// Appends the picked rows of batches in the stored schema as one row group.
    pub(super) fn push(
        &mut self,
        batches: &[&RecordBatch],
        picks: &[Pick],
    ) -> Result<(), StorageError> {
        let number = self.file.flushed_row_groups().len();
        let general = self.writers.create_column_writers(number)?;
        let mut writers = self.leaves.iter().cloned().zip(general).peekable();
        let options = properties::pages(self.meta.data_set, self.meta.level);
        let mut group = self.file.next_row_group()?;
        let mut text = Text::default();
        for (at, field) in self.schema.fields().iter().enumerate() {
            let is_label = matches!(field.data_type(), DataType::Dictionary(..));
            if is_label && let Some((leaf, _)) = writers.peek() {
                let column = Unified::of(batches, at)?;
                let codes = column.gather(picks);
                if field.name() == "service_name" {
                    note_services(&mut self.services, &column, &codes);
                }
                if let Some((bytes, close)) = labels::write(leaf, &codes, column.sorted(), options)?
                {
                    group.append_column(&bytes, close)?;
                    // The general writer of this column is not needed.
                    drop(writers.next());
                    continue;
                }
            }
            let arrays = batches.iter().map(|b| column(b, at)).collect::<Result<Vec<_>, _>>()?;
            let array = interleave(&arrays, picks)?;
            write_array(&mut group, &mut writers, field, &array)?;
            self.meta.note(field.name(), &array);
            text.note(field.name(), array);
        }
        group.close()?;
        self.meta.rows += u64::try_from(picks.len()).unwrap_or(u64::MAX);
        if let Some(index) = &mut self.index {
            text.index(index)?;
        }
        Ok(())
    }

    /// Completes, syncs and names the files.
    pub(super) fn finish(mut self) -> Result<SegmentMeta, StorageError> {
        let temporary = files::temporary(&self.path);
        let file = self.file.into_inner()?;
        file.sync_all().map_err(io("sync", &temporary))?;
        self.meta.bytes = file.metadata().map_err(io("stat", &temporary))?.len();
        files::publish(&self.path)?;
        if let Some(index) = self.index {
            self.meta.index_bytes = Some(index.finish()?);
        }
        files::sync_dir(&self.dir)?;
        self.meta.services = self.services.map(|names| names.into_iter().collect());
        Ok(self.meta)
    }
}

fn column(batch: &RecordBatch, at: usize) -> Result<&dyn Array, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("a batch has no column {at}"));
    batch.columns().get(at).map(AsRef::as_ref).ok_or_else(missing)
}

/// Writes an array with the general writers, one per leaf column.
fn write_array(
    group: &mut SerializedRowGroupWriter<'_, File>,
    writers: &mut impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>,
    field: &Field,
    array: &ArrayRef,
) -> Result<(), StorageError> {
    for leaf in compute_leaves(field, array)? {
        let missing = || ArrowError::SchemaError(format!("no writer for {}", field.name()));
        let (_, mut writer) = writers.next().ok_or_else(missing)?;
        writer.write(&leaf)?;
        writer.close()?.append_to_row_group(group)?;
    }
    Ok(())
}

impl SegmentMeta {
    /// Widens the range in time by a column of the segment, if it is one that bounds it.
    fn note(&mut self, column: &str, array: &ArrayRef) {
        let (first, last) = time_columns(self.data_set);
        if column == first || column == last {
            let (min, max) = range_of(array);
            self.min_time = self.min_time.min(if column == first { min } else { i64::MAX });
            self.max_time = self.max_time.max(if column == last { max } else { i64::MIN });
        }
    }
}

fn note_services(services: &mut Option<BTreeSet<String>>, column: &Unified<'_>, codes: &[u32]) {
    let Some(names) = services else { return };
    // Where rows are sorted by service these are few runs.
    let runs = codes.chunk_by(|a, b| a == b).filter_map(|run| run.first().copied());
    let distinct: BTreeSet<u32> = runs.collect();
    let texts = distinct.into_iter().filter_map(|code| column.sorted().get(code));
    names.extend(texts.map(str::to_owned));
    if names.len() > MAX_SERVICES {
        *services = None;
    }
}

/// The columns of a row group of logs that are searched as text.
#[derive(Default)]
struct Text {
    body: Option<ArrayRef>,
    attributes: Option<ArrayRef>,
}

impl Text {
    fn note(&mut self, column: &str, array: ArrayRef) {
        match column {
            "body" => self.body = Some(array),
            "attributes" => self.attributes = Some(array),
            _ => {}
        }
    }

    /// Indexes body and attributes, row by row.
    fn index(&self, index: &mut TextIndexBuilder) -> Result<(), StorageError> {
        let missing = || ArrowError::SchemaError("logs have no body or attributes".to_owned());
        let body = self.body.as_ref().and_then(|c| c.as_string_opt::<i32>());
        let attributes = self.attributes.as_ref().and_then(|c| c.as_map_opt());
        let (body, attributes) = (body.ok_or_else(missing)?, attributes.ok_or_else(missing)?);
        let text = |array: &'_ ArrayRef| array.as_string_opt::<i32>().cloned().ok_or_else(missing);
        let (keys, values) = (text(attributes.keys())?, text(attributes.values())?);
        let offsets = attributes.value_offsets();
        let offset = |at: usize| offsets.get(at).and_then(|o| usize::try_from(*o).ok());
        for row in 0..body.len() {
            let line = if body.is_null(row) { "" } else { body.value(row) };
            let from = offset(row).unwrap_or_default();
            let to = offset(row + 1).unwrap_or(from);
            index.push(line, (from..to).map(|at| (keys.value(at), values.value(at))))?;
        }
        Ok(())
    }
}
