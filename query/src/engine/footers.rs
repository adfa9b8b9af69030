//! Footers of segments, kept within a budget: what a direct read of a few rows needs to know.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use headrope_storage::Segment;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::Result;
use parquet::file::metadata::PageIndexPolicy;

/// Keeps the footers that were used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Footers {
    budget: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    clock: u64,
    bytes: usize,
    by_segment: HashMap<String, (u64, ArrowReaderMetadata)>,
}

impl Footers {
    pub(crate) fn new(budget: usize) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// The open file of a segment, with its footer and where its pages are. Blocks on the disk.
    pub(crate) fn open(&self, segment: &Segment) -> Result<(File, ArrowReaderMetadata)> {
        let file = File::open(segment.path())?;
        let id = &segment.meta().id;
        if let Some(known) = self.get(id) {
            return Ok((file, known));
        }
        let options = ArrowReaderOptions::new()
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_column_index_policy(PageIndexPolicy::Skip);
        let footer = ArrowReaderMetadata::load(&file, options)?;
        self.put(id, footer.clone());
        Ok((file, footer))
    }

    fn get(&self, id: &str) -> Option<ArrowReaderMetadata> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let (used, footer) = kept.by_segment.get_mut(id)?;
        *used = now;
        Some(footer.clone())
    }

    fn put(&self, id: &str, footer: ArrowReaderMetadata) {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += footer.metadata().memory_size();
        if let Some((_, old)) = kept.by_segment.insert(id.to_owned(), (now, footer)) {
            kept.bytes -= old.metadata().memory_size();
        }
        while kept.bytes > self.budget && kept.by_segment.len() > 1 {
            let oldest = kept.by_segment.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            if let Some((_, old)) = kept.by_segment.remove(&oldest) {
                kept.bytes -= Arc::clone(old.metadata()).memory_size();
            }
        }
    }
}
