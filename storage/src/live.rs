//! The live buffer: acknowledged rows that are not in a segment yet.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
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
        self.bytes += batch.get_array_memory_size();
        self.batches.push(Arc::new(LiveBatch { batch, min_time, max_time }));
    }

    fn drop_last(&mut self) {
        if let Some(last) = self.batches.pop() {
            self.bytes = self.bytes.saturating_sub(last.batch.get_array_memory_size());
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
            self.bytes = self.bytes.saturating_sub(batch.batch.get_array_memory_size());
        }
        self.frozen = 0;
        before - self.bytes
    }
}

/// Least and greatest value of the time column (for trace parts, the greatest end).
pub(crate) fn time_bounds(data_set: DataSet, batch: &RecordBatch) -> (i64, i64) {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .and_then(|c| c.as_primitive_opt::<TimestampNanosecondType>().cloned())
    };
    let start = column(schema::time_column(data_set));
    let min = start.as_ref().and_then(arrow::compute::min);
    let last = if data_set == DataSet::TraceParts { column("end_time") } else { start };
    let max = last.as_ref().filter(|c| !c.is_empty()).and_then(arrow::compute::max);
    (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX))
}
