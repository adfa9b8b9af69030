//! Writing one segment from rows picked in segment order.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::ColumnDescPtr;

use super::chunk::PageOptions;
use super::ids::{self, IdOptions, Ids};
use super::labels::{self, Sorted};
use super::output::{self, Origin, Sink};
use super::templates::{self, Apart};
use super::unify::{Pick, Unified};
use super::{cluster, paths, properties, texts};
use crate::bodies::{BODY, TEMPLATE};
use crate::dense::names::{Names, level_of};
use crate::dense::{self, Cells, Census, Split, Tally, WHOLE};
use crate::error::StorageError;
use crate::files;
use crate::joined::fields_of;
use crate::live::{range_of, time_columns};
use crate::offsets;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndexBuilder;

/// Services listed in the catalog at most; with more, the list is left out.
pub(super) const MAX_SERVICES: usize = 256;

/// A segment being written.
pub(super) struct SegmentWriter {
    dir: PathBuf,
    meta: SegmentMeta,
    origin: Origin,
    /// The columns of batches.
    stored: SchemaRef,
    /// Attribute keys with columns of their own, sorted.
    dense: Vec<String>,
    tally: Tally,
    names: Names,
    file: SerializedFileWriter<Sink>,
    writers: ArrowRowGroupWriterFactory,
    /// The leaf columns of the file.
    leaves: Vec<ColumnDescPtr>,
    index: Option<TextIndexBuilder>,
    services: Option<BTreeSet<String>>,
}

impl SegmentWriter {
    /// `dense` are the attribute keys that get columns of their own, sorted.
    pub(super) fn create(
        dir: &Path,
        data_set: DataSet,
        level: u32,
        dense: Vec<String>,
        origin: Origin,
    ) -> Result<Self, StorageError> {
        let id = ulid::Ulid::new().to_string();
        let (path, index_path) = paths(dir, data_set, &id);
        let file = output::create(&path)?;
        // Without the embedded Arrow schema, readers see plain Parquet types: dictionaries are how
        // rows are written, not what they are.
        let options = ArrowWriterOptions::new()
            .with_properties(properties::properties(data_set, level, &dense))
            .with_skip_arrow_metadata(true);
        let stored = schema::stored(data_set);
        let (file, writers) =
            ArrowWriter::try_new_with_options(file, file_schema(&stored, &dense), options)?
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
            checksum: None,
            covers: None,
            rollups: origin.rollups,
        };
        let dir = dir.to_owned();
        let services = Some(BTreeSet::new());
        let (tally, names) = (Tally::new(), Names::default());
        Ok(Self {
            dir,
            meta,
            origin,
            stored,
            dense,
            tally,
            names,
            file,
            writers,
            leaves,
            index,
            services,
        })
    }

    /// Appends the picked rows of batches in the stored schema as one row group. `census` is of the
    /// same batches, if they have attributes.
    pub(super) fn push<'a>(
        &mut self,
        batches: &[&'a RecordBatch],
        census: Option<&Census<'a>>,
        picks: &[Pick],
    ) -> Result<(), StorageError> {
        let clustered = cluster::order(self.meta.data_set, batches, picks)?;
        let picks = clustered.as_deref().unwrap_or(picks);
        let promoted = dense::promoted(self.meta.data_set);
        let split = census.map(|c| dense::split(c, batches, picks, &self.dense, promoted));
        let mut split = split.transpose()?;
        let number = self.file.flushed_row_groups().len();
        let general = self.writers.create_column_writers(number)?;
        let mut writers = self.leaves.iter().cloned().zip(general).peekable();
        let options = properties::pages(self.meta.data_set, self.meta.level);
        let mut group = self.file.next_row_group()?;
        let (mut time, mut body) = (None, None);
        for (at, field) in self.stored.fields().iter().enumerate() {
            if field.name() == WHOLE
                && let Some(split) = &split
            {
                let rest: ArrayRef = Arc::new(split.rest.clone());
                write_array(&mut group, &mut writers, &rest_field(), &rest)?;
                continue;
            }
            let is_label = matches!(field.data_type(), DataType::Dictionary(..));
            if is_label {
                let column = Unified::of(batches, at)?;
                let codes = column.gather(picks);
                note_labels(&mut self.services, &mut self.names, field.name(), &column, &codes);
                if write_codes(&mut group, &mut writers, &codes, column.sorted(), options)? {
                    continue;
                }
            }
            let ids = properties::ids(self.meta.data_set, self.meta.level, field.name());
            if let Some(options) = ids
                && let Some(ids) = Ids::gather(batches, at, picks)?
            {
                write_ids(&mut group, &mut writers, &ids, options)?;
                continue;
            }
            let arrays = batches.iter().map(|b| column(b, at)).collect::<Result<Vec<_>, _>>()?;
            let array = interleave(&arrays, picks)?;
            let offset = offsets::offset_of(field.name());
            self.meta.note(field.name(), &array);
            if let Some((name, time)) = offset.zip(time.as_ref()) {
                let array = offsets::apart(time, &array)?;
                write_array(&mut group, &mut writers, &offsets::field(name), &array)?;
            } else if field.name() == BODY {
                let values = properties::values(self.meta.level);
                write_body(&mut group, &mut writers, &array, options, values)?;
                body = Some(array);
            } else {
                write_array(&mut group, &mut writers, field, &array)?;
                if field.name() == offsets::TIME {
                    time = Some(array);
                }
            }
        }
        for cells in split.iter_mut().flat_map(|split| &mut split.dense) {
            write_dense(&mut group, &mut writers, cells, options)?;
        }
        group.close()?;
        if let Some(Split { tally, names, .. }) = split {
            self.tally.add(&tally);
            self.names.add(names);
        }
        self.meta.rows += u64::try_from(picks.len()).unwrap_or(u64::MAX);
        if let Some(index) = &mut self.index {
            index_body(body.as_ref(), index)?;
        }
        Ok(())
    }

    /// Completes, syncs and names the files; the index first, so that a segment with a name has it.
    /// After an error neither stays.
    pub(super) fn finish(mut self) -> Result<SegmentMeta, StorageError> {
        let (dir, data_set, id) = (self.dir.clone(), self.meta.data_set, self.meta.id.clone());
        let names = std::mem::take(&mut self.names);
        let names = self.stored.column_with_name(WHOLE).and_then(|_| names.write());
        for entry in self.tally.write().into_iter().chain(names) {
            self.file.append_key_value_metadata(entry);
        }
        let named = || {
            if let Some(index) = self.index {
                self.meta.index_bytes = Some(index.finish()?);
            }
            self.meta.services = self.services.map(|names| names.into_iter().collect());
            let meta = output::finish(self.file, self.meta, &self.origin)?;
            files::sync_dir(&self.dir)?;
            Ok(meta)
        };
        named().inspect_err(|_| output::discard(&dir, data_set, &id))
    }
}

/// The columns of a file: those of batches, with the attributes taken apart and some as others.
fn file_schema(stored: &Schema, dense: &[String]) -> SchemaRef {
    let whole = stored.fields().iter().flat_map(|field| match fields_of(field.name()) {
        Some(others) => others,
        None if field.name() == WHOLE => vec![Arc::new(rest_field())],
        None => vec![Arc::clone(field)],
    });
    let column = |key: &String| Arc::new(Field::new(dense::column_name(key), DataType::Utf8, true));
    Arc::new(Schema::new(whole.chain(dense.iter().map(column)).collect::<Vec<_>>()))
}

fn rest_field() -> Field {
    Field::new(dense::REST, DataType::Utf8, true)
}

/// Writes a column of ids, without its general writer.
fn write_ids(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    writers: &mut impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>,
    ids: &Ids,
    options: IdOptions,
) -> Result<(), StorageError> {
    let missing = || ArrowError::SchemaError("no writer for a column of ids".to_owned());
    let (leaf, _) = writers.next().ok_or_else(missing)?;
    let (bytes, close) = ids::write(&leaf, ids, options)?;
    Ok(group.append_column(&bytes, close)?)
}

/// Writes a dense column: with a dictionary if one pays.
fn write_dense(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    writers: &mut Peekable<impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>>,
    cells: &mut Cells<'_>,
    options: PageOptions,
) -> Result<(), StorageError> {
    if cells.repeats() {
        cells.sort();
        let values = Sorted(std::mem::take(&mut cells.values));
        let written = write_codes(group, writers, &cells.codes, &values, options)?;
        cells.values = values.0;
        if written {
            return Ok(());
        }
    }
    let array: ArrayRef = Arc::new(cells.array());
    write_array(group, writers, &Field::new("", DataType::Utf8, true), &array)
}

/// Writes bodies as templates and values.
fn write_body(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    writers: &mut Peekable<impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>>,
    bodies: &ArrayRef,
    options: PageOptions,
    values_options: PageOptions,
) -> Result<(), StorageError> {
    let wrong = || ArrowError::SchemaError("bodies of logs are no text".to_owned());
    let Apart { templates, codes, values } =
        templates::apart(bodies.as_string_opt::<i32>().ok_or_else(wrong)?);
    let sorted = Sorted(templates.iter().map(String::as_str).collect());
    if !write_codes(group, writers, &codes, &sorted, options)? {
        let texts: StringArray = codes.iter().map(|code| sorted.get(*code)).collect();
        let texts: ArrayRef = Arc::new(texts);
        write_array(group, writers, &Field::new(TEMPLATE, DataType::Utf8, true), &texts)?;
    }
    for place in values {
        let missing = || ArrowError::SchemaError("no writer for values of bodies".to_owned());
        let (leaf, _) = writers.next().ok_or_else(missing)?;
        let (bytes, close) = texts::write(&leaf, &place, values_options)?;
        group.append_column(&bytes, close)?;
    }
    Ok(())
}

/// Writes a column of codes with a dictionary, without its general writer; false if a dictionary does
/// not pay, and nothing was written.
fn write_codes(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
    writers: &mut Peekable<impl Iterator<Item = (ColumnDescPtr, ArrowColumnWriter)>>,
    codes: &[u32],
    sorted: &Sorted<'_>,
    options: PageOptions,
) -> Result<bool, StorageError> {
    let Some((leaf, _)) = writers.peek() else { return Ok(false) };
    let Some((bytes, close)) = labels::write(leaf, codes, sorted, options)? else {
        return Ok(false);
    };
    group.append_column(&bytes, close)?;
    drop(writers.next());
    Ok(true)
}

fn column(batch: &RecordBatch, at: usize) -> Result<&dyn Array, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("a batch has no column {at}"));
    batch.columns().get(at).map(AsRef::as_ref).ok_or_else(missing)
}

/// Writes an array with the general writers, one per leaf column.
fn write_array(
    group: &mut SerializedRowGroupWriter<'_, Sink>,
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

/// Notes what a label column says of the file.
fn note_labels(
    services: &mut Option<BTreeSet<String>>,
    names: &mut Names,
    name: &str,
    column: &Unified<'_>,
    codes: &[u32],
) {
    if name == "service_name" {
        note_services(services, column, codes);
    }
    if let Some(level) = level_of(name) {
        let text = |code| column.texts().get(code).copied();
        let codes = codes.iter().filter_map(|code| usize::try_from(*code).ok());
        names.count_objects(level, column.texts().len(), text, codes);
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

/// Indexes the bodies of a row group of logs.
fn index_body(body: Option<&ArrayRef>, index: &mut TextIndexBuilder) -> Result<(), StorageError> {
    let missing = || ArrowError::SchemaError("logs have no body".to_owned());
    let body = body.and_then(|c| c.as_string_opt::<i32>()).ok_or_else(missing)?;
    body.iter().try_for_each(|line| index.push(line.unwrap_or_default()))
}
