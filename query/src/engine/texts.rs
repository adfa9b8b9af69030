//! Open text indexes of log segments, kept within a budget.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use headrope_storage::text::{Candidates, TextIndex, TextQuery};
use headrope_storage::{Segment, StorageError};
use parking_lot::Mutex;

/// Keeps the text indexes that were used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct TextIndexes {
    budget: u64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    clock: u64,
    bytes: u64,
    by_segment: HashMap<String, (u64, Arc<TextIndex>)>,
    /// Segments whose index an older version wrote, which serves as none.
    outdated: HashSet<String>,
}

impl TextIndexes {
    pub(crate) fn new(budget: u64) -> Self {
        Self { budget, kept: Mutex::default() }
    }

    /// Rows of a segment that may match, and which are known to; `None`: any row may. Blocks on the
    /// disk.
    pub(crate) fn candidates(
        &self,
        segment: &Segment,
        query: &TextQuery,
    ) -> Result<Option<Candidates>, StorageError> {
        let Some(path) = segment.index_path() else { return Ok(None) };
        let id = &segment.meta().id;
        let index = match self.get(id) {
            Some(index) => index,
            None if self.kept.lock().outdated.contains(id) => return Ok(None),
            None if TextIndex::is_current(path)? => self.put(id, Arc::new(TextIndex::open(path)?)),
            None => {
                self.kept.lock().outdated.insert(id.clone());
                return Ok(None);
            }
        };
        index.candidates(query)
    }

    fn get(&self, id: &str) -> Option<Arc<TextIndex>> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        let (used, index) = kept.by_segment.get_mut(id)?;
        *used = now;
        Some(Arc::clone(index))
    }

    fn put(&self, id: &str, index: Arc<TextIndex>) -> Arc<TextIndex> {
        let mut kept = self.kept.lock();
        kept.clock += 1;
        let now = kept.clock;
        kept.bytes += index.bytes();
        if let Some((_, old)) = kept.by_segment.insert(id.to_owned(), (now, Arc::clone(&index))) {
            kept.bytes -= old.bytes();
        }
        while kept.bytes > self.budget && kept.by_segment.len() > 1 {
            let oldest = kept.by_segment.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else { break };
            if let Some((_, old)) = kept.by_segment.remove(&oldest) {
                kept.bytes -= old.bytes();
            }
        }
        index
    }
}
