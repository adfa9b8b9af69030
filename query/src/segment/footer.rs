//! What segment files say of themselves, parsed once and kept in memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use headrope_model::DataSet;
use headrope_model::schema;
use headrope_storage::Segment;
use headrope_storage::joined::with_dictionaries;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::file::Positioned;

/// Footer and page index of a segment.
#[derive(Debug)]
pub(crate) struct Footer {
    data_set: DataSet,
    metadata: Arc<ParquetMetaData>,
    /// Place of the first leaf column of each column.
    leaves: HashMap<String, usize>,
    /// The file for readers that want labels as dictionaries.
    codes: OnceLock<ArrowReaderMetadata>,
    bytes: u64,
}

impl Footer {
    fn read(segment: &Segment) -> Result<Self> {
        let meta = segment.meta();
        // The footer and the page index that belongs to it.
        segment.check(&[]).map_err(|e| ParquetError::External(Box::new(e)))?;
        Self::parse(meta.data_set, &Positioned::open(segment.path(), meta.bytes)?)
    }

    /// Of a file that was checked.
    pub(super) fn parse(data_set: DataSet, file: &Positioned) -> Result<Self> {
        let metadata = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Optional)
            .parse_and_finish(file)?;
        let mut leaves = HashMap::new();
        for (at, leaf) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
            if let Some(column) = leaf.path().parts().first() {
                leaves.entry(column.clone()).or_insert(at);
            }
        }
        let bytes = metadata.memory_size() as u64;
        Ok(Self { data_set, metadata: Arc::new(metadata), leaves, codes: OnceLock::new(), bytes })
    }

    /// Footer and page index as they are.
    pub(crate) const fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    pub(crate) const fn data_set(&self) -> DataSet {
        self.data_set
    }

    /// A value of the file's key-value metadata.
    pub(crate) fn key_value(&self, key: &str) -> Option<&str> {
        let all = self.metadata.file_metadata().key_value_metadata()?;
        all.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// The first leaf column of a column; `None` if the file lacks it.
    pub(crate) fn leaf(&self, column: &str) -> Option<usize> {
        self.leaves.get(column).copied()
    }

    /// The file for a reader that yields labels as the dictionaries they are stored with.
    ///
    /// # Errors
    /// When the file's columns cannot be read as Arrow.
    pub(crate) fn codes(&self) -> Result<ArrowReaderMetadata> {
        if let Some(codes) = self.codes.get() {
            return Ok(codes.clone());
        }
        let codes = with_dictionaries(&self.metadata, &schema::stored(self.data_set))?;
        Ok(self.codes.get_or_init(|| codes).clone())
    }
}

/// Keeps the footers that were used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Footers {
    budget: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    clock: u64,
    bytes: u64,
    by_segment: HashMap<String, (u64, Arc<Footer>)>,
}

impl Footers {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// The footer of a segment if it is in memory.
    pub(crate) fn kept(&self, id: &str) -> Option<Arc<Footer>> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let (used, footer) = kept.by_segment.get_mut(id)?;
        *used = now;
        Some(Arc::clone(footer))
    }

    /// The footer of a segment. Blocks on the disk when it is not in memory.
    ///
    /// # Errors
    /// When the file cannot be read or is not a segment.
    pub(crate) fn of(&self, segment: &Segment) -> Result<Arc<Footer>> {
        let id = &segment.meta().id;
        if let Some(footer) = self.kept(id) {
            return Ok(footer);
        }
        let read = Footer::read(segment).map_err(|e| {
            ParquetError::General(format!("cannot read {}: {e}", segment.path().display()))
        })?;
        let footer = Arc::new(read);
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += footer.bytes;
        let old = kept.by_segment.insert(id.clone(), (now, Arc::clone(&footer)));
        kept.bytes -= old.map_or(0, |(_, old)| old.bytes);
        while kept.bytes > self.budget && kept.by_segment.len() > 1 {
            let oldest = kept.by_segment.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            kept.bytes -= kept.by_segment.remove(&oldest).map_or(0, |(_, old)| old.bytes);
        }
        drop(kept);
        Ok(footer)
    }
}
