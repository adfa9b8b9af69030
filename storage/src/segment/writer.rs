//! Writing one segment from rows that are in segment order already.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, AsArray as _, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, SchemaRef};
use arrow::error::ArrowError;
use headrope_model::DataSet;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;

use super::{paths, properties::properties};
use crate::error::StorageError;
use crate::files::{self, io};
use crate::live::time_bounds;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndexBuilder;

/// Services listed in the catalog at most; with more, the list is left out.
const MAX_SERVICES: usize = 256;

/// A segment being written.
pub(super) struct SegmentWriter {
    dir: PathBuf,
    path: PathBuf,
    meta: SegmentMeta,
    parquet: ArrowWriter<File>,
    index: Option<TextIndexBuilder>,
    services: Option<BTreeSet<String>>,
}

impl SegmentWriter {
    pub(super) fn create(
        dir: &Path,
        data_set: DataSet,
        level: u32,
        schema: SchemaRef,
    ) -> Result<Self, StorageError> {
        let id = ulid::Ulid::new().to_string();
        let (path, index_path) = paths(dir, data_set, &id);
        let temporary = files::temporary(&path);
        let file = File::create(&temporary).map_err(io("create", &temporary))?;
        // Without the embedded Arrow schema, readers see plain Parquet types: dictionaries are how
        // rows are written, not what they are.
        let options = ArrowWriterOptions::new()
            .with_properties(properties(data_set, level))
            .with_skip_arrow_metadata(true);
        let parquet = ArrowWriter::try_new_with_options(file, schema, options)?;
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
        };
        let dir = dir.to_owned();
        Ok(Self { dir, path, meta, parquet, index, services: Some(BTreeSet::new()) })
    }

    /// Appends rows.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        let (min_time, max_time) = time_bounds(self.meta.data_set, batch);
        self.meta.min_time = self.meta.min_time.min(min_time);
        self.meta.max_time = self.meta.max_time.max(max_time);
        self.meta.rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        self.note_services(batch);
        if let Some(index) = &mut self.index {
            push_text(index, batch)?;
        }
        Ok(self.parquet.write(batch)?)
    }

    fn note_services(&mut self, batch: &RecordBatch) {
        let Some(services) = &mut self.services else { return };
        let Some(column) = batch.column_by_name("service_name") else {
            self.services = None;
            return;
        };
        if let Some(labels) = column.as_dictionary_opt::<Int32Type>() {
            if let Some(values) = labels.values().as_string_opt::<i32>() {
                let keys: BTreeSet<i32> = labels.keys().values().iter().copied().collect();
                let used = keys.iter().filter_map(|key| usize::try_from(*key).ok());
                services.extend(
                    used.filter(|key| *key < values.len()).map(|key| values.value(key).to_owned()),
                );
            }
        } else if let Some(values) = column.as_string_opt::<i32>() {
            for value in values.iter().flatten() {
                if !services.contains(value) {
                    services.insert(value.to_owned());
                }
            }
        }
        if services.len() > MAX_SERVICES {
            self.services = None;
        }
    }

    /// Completes, syncs and names the files.
    pub(super) fn finish(mut self) -> Result<SegmentMeta, StorageError> {
        let temporary = files::temporary(&self.path);
        let file = self.parquet.into_inner()?;
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

/// Indexes body and attributes of a batch of logs, row by row.
fn push_text(index: &mut TextIndexBuilder, batch: &RecordBatch) -> Result<(), StorageError> {
    let missing = || ArrowError::SchemaError("logs have no body or attributes".to_owned());
    let body = batch.column_by_name("body").and_then(|c| c.as_string_opt::<i32>());
    let attributes = batch.column_by_name("attributes").and_then(|c| c.as_map_opt());
    let (body, attributes) = (body.ok_or_else(missing)?, attributes.ok_or_else(missing)?);
    if *attributes.keys().data_type() != DataType::Utf8 {
        return Err(missing().into());
    }
    let keys: &StringArray = attributes.keys().as_string();
    let values: &StringArray = attributes.values().as_string();
    let offsets = attributes.value_offsets();
    let offset = |at: usize| offsets.get(at).and_then(|o| usize::try_from(*o).ok());
    for row in 0..batch.num_rows() {
        let text = if body.is_null(row) { "" } else { body.value(row) };
        let from = offset(row).unwrap_or_default();
        let to = offset(row + 1).unwrap_or(from);
        index.push(text, (from..to).map(|at| (keys.value(at), values.value(at))))?;
    }
    Ok(())
}
