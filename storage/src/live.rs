//! The live buffer: acknowledged rows that are not in a segment yet.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampNanosecondType;
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema};

use crate::snapshot::LiveBatch;

/// Small neighbours are merged up to this many rows, so that one-span requests do not leave a batch
/// of sixty arrays each.
const MERGE_ROWS: usize = 8192;

/// Live rows of one data set.
#[derive(Debug)]
pub(crate) struct Live {
    data_set: DataSet,
    batches: Vec<Arc<LiveBatch>>,
    /// Batches at the front that a flush is writing; they must stay as they are.
    frozen: usize,
    bytes: usize,
}

impl Live {
    pub(crate) fn new(data_set: DataSet) -> Self {
        Self { data_set, batches: Vec::new(), frozen: 0, bytes: 0 }
    }

    /// Memory held, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batches, oldest first.
    pub(crate) fn batches(&self) -> &[Arc<LiveBatch>] {
        &self.batches
    }

    /// Appends rows in the stored schema.
    pub(crate) fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() == 0 {
            return;
        }
        self.append(batch);
        while let [.., a, b] = &self.batches[self.frozen.min(self.batches.len())..] {
            let (left, right) = (a.batch.num_rows(), b.batch.num_rows());
            // Merging neighbours of similar size only keeps the total work at rows × log(rows).
            if left + right > MERGE_ROWS || right * 2 < left {
                break;
            }
            let Ok(merged) = self.concat([&a.batch, &b.batch]) else { break };
            self.drop_last();
            self.drop_last();
            self.append(merged);
        }
    }

    fn concat<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a RecordBatch>,
    ) -> Result<RecordBatch, ArrowError> {
        concat_batches(&schema::stored(self.data_set), batches)
    }

    fn append(&mut self, batch: RecordBatch) {
        let (min_time, max_time) = time_bounds(self.data_set, &batch);
        self.bytes += memory(&batch);
        self.batches.push(Arc::new(LiveBatch { batch, min_time, max_time }));
    }

    fn drop_last(&mut self) {
        if let Some(last) = self.batches.pop() {
            self.bytes = self.bytes.saturating_sub(memory(&last.batch));
        }
    }

    /// Marks every batch as being flushed and returns them.
    pub(crate) fn freeze(&mut self) -> Vec<Arc<LiveBatch>> {
        self.frozen = self.batches.len();
        self.batches.clone()
    }

    /// Gives the frozen batches up: they are in a published segment. Returns the bytes freed.
    pub(crate) fn release(&mut self) -> usize {
        let before = self.bytes;
        for batch in self.batches.drain(..self.frozen) {
            self.bytes = self.bytes.saturating_sub(memory(&batch.batch));
        }
        self.frozen = 0;
        before - self.bytes
    }
}

/// Memory a batch holds; a column that stands for several counts once.
pub(crate) fn memory(batch: &RecordBatch) -> usize {
    let mut seen = HashSet::new();
    let columns = batch.columns().iter();
    let own = columns.filter(|c| seen.insert(Arc::as_ptr(c).addr()));
    own.map(|c| c.get_array_memory_size()).sum()
}

/// The columns whose least and greatest values bound a data set in time: where records begin, and for
/// trace parts where they end.
pub(crate) const fn time_columns(data_set: DataSet) -> (&'static str, &'static str) {
    let first = schema::time_column(data_set);
    (first, if matches!(data_set, DataSet::TraceParts) { "end_time" } else { first })
}

/// Least and greatest value of a time column; everything, if there is none.
pub(crate) fn range_of(times: &ArrayRef) -> (i64, i64) {
    let times = times.as_primitive_opt::<TimestampNanosecondType>();
    let (min, max) = (times.and_then(arrow::compute::min), times.and_then(arrow::compute::max));
    (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX))
}

fn time_bounds(data_set: DataSet, batch: &RecordBatch) -> (i64, i64) {
    let (first, last) = time_columns(data_set);
    let range = |name| batch.column_by_name(name).map_or((i64::MIN, i64::MAX), range_of);
    (range(first).0, range(last).1)
}
