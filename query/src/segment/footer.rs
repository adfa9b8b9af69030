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
use super::index::{ChunkIndex, PageIndex};

/// Footers grow while they are used: the budget is looked at after so many uses.
const USES: u64 = 64;

/// Footer and page index of a segment.
#[derive(Debug)]
pub(crate) struct Footer {
    data_set: DataSet,
    /// Without the page index.
    metadata: Arc<ParquetMetaData>,
    metadata_bytes: u64,
    index: PageIndex,
    /// With the page index, for readers that want all of it.
    whole: OnceLock<(Arc<ParquetMetaData>, u64)>,
    /// Place of the first leaf column of each column.
    leaves: HashMap<String, usize>,
    /// The file for readers that want labels as dictionaries.
    codes: OnceLock<ArrowReaderMetadata>,
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
            .with_page_index_policy(PageIndexPolicy::Skip)
            .parse_and_finish(file)?;
        let mut leaves = HashMap::new();
        for (at, leaf) in metadata.file_metadata().schema_descr().columns().iter().enumerate() {
            if let Some(column) = leaf.path().parts().first() {
                leaves.entry(column.clone()).or_insert(at);
            }
        }
        let index = PageIndex::read(&metadata, file)?;
        let (whole, codes) = (OnceLock::new(), OnceLock::new());
        let (metadata_bytes, metadata) = (metadata.memory_size() as u64, Arc::new(metadata));
        Ok(Self { data_set, metadata, metadata_bytes, index, whole, leaves, codes })
    }

    /// Memory it takes by now.
    fn bytes(&self) -> u64 {
        let whole = self.whole.get().map_or(0, |(_, bytes)| *bytes);
        self.metadata_bytes + whole + self.index.bytes()
    }

    /// What the page index says of a leaf column in a row group, if it says anything.
    pub(super) fn index(&self, group: usize, leaf: usize) -> Option<&ChunkIndex> {
        self.index.chunk(&self.metadata, group, leaf)
    }

    /// Footer and page index, if all of it was decoded.
    pub(crate) fn decoded(&self) -> Option<Arc<ParquetMetaData>> {
        self.whole.get().map(|(whole, _)| Arc::clone(whole))
    }

    /// Footer and page index, which takes milliseconds to decode.
    ///
    /// # Errors
    /// When the page index is damaged.
    pub(crate) fn whole(&self) -> Result<Arc<ParquetMetaData>> {
        if let Some(whole) = self.decoded() {
            return Ok(whole);
        }
        let whole = self.index.whole(&self.metadata)?;
        let bytes = whole.memory_size() as u64;
        let (whole, _) = self.whole.get_or_init(|| (Arc::new(whole), bytes));
        Ok(Arc::clone(whole))
    }

    /// The footer as it is, without the page index.
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
        let footer = Arc::clone(footer);
        if now.is_multiple_of(USES) {
            kept.shrink(self.budget);
        }
        Some(footer)
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
        kept.by_segment.insert(id.clone(), (now, Arc::clone(&footer)));
        kept.shrink(self.budget);
        drop(kept);
        Ok(footer)
    }
}

impl Kept {
    /// Lets go of those that were not used for longest, until the rest is within the budget.
    fn shrink(&mut self, budget: u64) {
        let mut bytes: u64 = self.by_segment.values().map(|(_, footer)| footer.bytes()).sum();
        while bytes > budget && self.by_segment.len() > 1 {
            let oldest = self.by_segment.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            let gone = self.by_segment.remove(&oldest);
            bytes = bytes.saturating_sub(gone.map_or(0, |(_, footer)| footer.bytes()));
        }
    }
}
