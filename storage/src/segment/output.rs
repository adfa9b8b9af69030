//! The Parquet file of a segment being written: temporary, summed up, and at its end what the
//! catalog knows of it, so that the catalog can be made anew from the files.

use std::path::Path;

use headrope_model::{DataSet, RollupSet};
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use serde::{Deserialize, Serialize};

use super::paths;
use crate::checksum::ChecksumWriter;
use crate::covers::Covers;
use crate::error::StorageError;
use crate::files::{self, Temporary};
use crate::snapshot::SegmentMeta;

/// Where a segment's bytes go.
pub(super) type Sink = ChecksumWriter<Temporary>;

/// Key of what a segment says of itself.
pub(crate) const KEY: &str = "headrope.segment";

/// What a segment's rows are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Entries of the ingest log; unknown where an older version wrote the inputs.
    pub(crate) covers: Option<Covers>,
    /// Every data set of the flush that wrote it: the flush is complete when all have a segment.
    /// Empty after a merge.
    pub(crate) data_sets: Vec<DataSet>,
    /// Of spans, the roll-ups that count all of them.
    pub(crate) rollups: RollupSet,
}

impl Origin {
    /// Of the output of a merge.
    pub(crate) fn merged(inputs: &[SegmentMeta]) -> Self {
        let all = inputs.iter().map(|meta| meta.covers.clone());
        let covers = all.collect::<Option<Vec<_>>>().map(Covers::union);
        let rollups = inputs.iter().map(|meta| meta.rollups).reduce(RollupSet::and);
        Self { covers, data_sets: Vec::new(), rollups: rollups.unwrap_or_default() }
    }
}

/// What a segment says of itself in its key-value metadata, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) id: String,
    pub(crate) data_set: String,
    pub(crate) level: u32,
    pub(crate) rows: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) services: Option<Vec<String>>,
    pub(crate) covers: Option<Covers>,
    /// See [`Origin::data_sets`].
    pub(crate) flush: Vec<String>,
    /// Bits of [`Origin::rollups`].
    #[serde(default)]
    pub(crate) rollups: u32,
}

/// Starts the file of a segment.
pub(super) fn create(path: &Path) -> Result<Sink, StorageError> {
    Ok(ChecksumWriter::new(Temporary::create(path)?))
}

/// Completes the file, syncs and names it; the directory is to be synced afterwards. Returns the meta
/// with size and checksum.
pub(super) fn finish(
    mut file: SerializedFileWriter<Sink>,
    mut meta: SegmentMeta,
    origin: &Origin,
) -> Result<SegmentMeta, StorageError> {
    meta.covers.clone_from(&origin.covers);
    meta.rollups = origin.rollups;
    let label = Label {
        id: meta.id.clone(),
        data_set: meta.data_set.name().to_owned(),
        level: meta.level,
        rows: meta.rows,
        min_time: meta.min_time,
        max_time: meta.max_time,
        services: meta.services.clone(),
        covers: meta.covers.clone(),
        flush: origin.data_sets.iter().map(|d| d.name().to_owned()).collect(),
        rollups: meta.rollups.bits(),
    };
    let label = serde_json::to_string(&label).unwrap_or_default();
    file.append_key_value_metadata(KeyValue::new(KEY.to_owned(), label));
    file.inner_mut().hold();
    let path = |source| StorageError::Io {
        action: "write the footer of segment",
        path: meta.id.clone().into(),
        source,
    };
    let (temporary, crc) = file.into_inner()?.finish().map_err(path)?;
    meta.bytes = temporary.publish()?;
    meta.checksum = Some(crc);
    Ok(meta)
}

/// Removes the files of a segment that nothing refers to.
pub(crate) fn discard(dir: &Path, data_set: DataSet, id: &str) {
    let (path, index_path) = paths(dir, data_set, id);
    files::discard(&path);
    files::discard(&index_path);
}
