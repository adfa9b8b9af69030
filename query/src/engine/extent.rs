//! Spans that begin in a range, read without a plan and as they are stored: labels as codes, ids as bytes.
//!
//! A plan presents texts and hex and copies every row some times; who folds tens of thousands of spans into sums needs
//! neither. Rows of a service follow each other by time, so that a page holds one service's rows of many seconds: when they
//! began is decoded first, the other columns only where a row is wanted.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::TimestampNanosecondType as Timestamp;
use datafusion::common::exec_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use futures::{StreamExt as _, stream};
use headrope_model::{DataSet, TimeRange};
use headrope_storage::{Segment, Snapshot};
use parquet::errors::ParquetError;

use crate::error::QueryError;
use crate::segment::{Footer, Footers, Positioned, each_batch, pages_within};

/// Row groups that are read ahead of the one that is folded.
const AHEAD: usize = 2;
/// Rows that are decoded rather than skipped: skipping costs as much for each column.
const GAP: usize = 64;

/// Why not all batches were handed out.
#[derive(Debug)]
pub(super) enum Stopped {
    /// A file cannot be read or is damaged.
    Engine(DataFusionError),
    /// Who takes them failed.
    Each(QueryError),
}

impl From<DataFusionError> for Stopped {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

/// Rows of a row group.
struct Group {
    segment: Arc<Segment>,
    footer: Arc<Footer>,
    number: usize,
    rows: Vec<Range<usize>>,
}

/// Hands batches with columns of the stored schema to `each`. They have all spans that begin in the range, and may have
/// others. A column that a file lacks is not in its batches.
///
/// # Errors
/// When a file cannot be read or is damaged, and those of `each`.
pub(super) async fn spans_within(
    footers: &Arc<Footers>,
    snapshot: &Arc<Snapshot>,
    range: TimeRange,
    columns: &'static [&'static str],
    mut each: impl FnMut(&RecordBatch) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let last = range.to().saturating_sub(1);
    let (of, over) = (Arc::clone(footers), Arc::clone(snapshot));
    let groups = tokio::task::spawn_blocking(move || groups(&of, &over, range)).await;
    let groups = groups.map_err(|e| exec_datafusion_err!("{e}"))??;
    let read = |group: Group| tokio::task::spawn_blocking(move || group.read(range, columns));
    let mut batches = stream::iter(groups).map(read).buffered(AHEAD);
    while let Some(group) = batches.next().await {
        for batch in group.map_err(|e| exec_datafusion_err!("{e}"))?? {
            each(&batch)?;
        }
    }
    let live = snapshot.live(DataSet::Spans).iter();
    for live in live.filter(|l| l.min_time <= last && l.max_time >= range.from()) {
        each(&live.batch)?;
    }
    Ok(())
}

/// The row groups with pages that may hold spans of a range. Blocks on the disk.
fn groups(footers: &Footers, snapshot: &Snapshot, range: TimeRange) -> Result<Vec<Group>> {
    let mut found = Vec::new();
    let last = range.to().saturating_sub(1);
    let overlaps = |segment: &&Arc<Segment>| {
        segment.meta().min_time <= last && segment.meta().max_time >= range.from()
    };
    for segment in snapshot.segments(DataSet::Spans).iter().filter(overlaps) {
        let footer = footers.of(segment)?;
        let pages = pages_within(&footer, range.from(), last);
        for of_group in pages.chunk_by(|a, b| a.group == b.group) {
            let Some(first) = of_group.first() else { continue };
            found.push(Group {
                segment: Arc::clone(segment),
                footer: Arc::clone(&footer),
                number: first.group,
                rows: of_group.iter().map(|page| page.rows.clone()).collect(),
            });
        }
    }
    Ok(found)
}

impl Group {
    /// Blocks on the disk.
    fn read(self, range: TimeRange, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let file = Positioned::of(&self.segment)?;
        let wanted = self.begun_in(&file, range)?;
        let mut batches = Vec::new();
        each_batch(&self.footer, &file, self.number, wanted.into_iter(), columns, |batch| {
            batches.push(batch.clone());
            Ok(())
        })?;
        Ok(batches)
    }

    /// Rows of its pages that begin in a range, as runs; a run has short gaps of others.
    fn begun_in(&self, file: &Positioned, range: TimeRange) -> Result<Vec<Range<usize>>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut rows = self.rows.iter().cloned().flatten();
        let pages = self.rows.iter().cloned();
        each_batch(&self.footer, file, self.number, pages, &["start_time"], |batch| {
            let starts = batch.columns().first().and_then(|c| c.as_primitive_opt::<Timestamp>());
            let wrong = || ParquetError::General("start_time holds no times".to_owned());
            for (start, row) in starts.ok_or_else(wrong)?.values().iter().zip(&mut rows) {
                if !range.contains(*start) {
                    continue;
                }
                match runs.last_mut() {
                    Some(last) if row - last.end <= GAP => last.end = row + 1,
                    _ => runs.push(row..row + 1),
                }
            }
            Ok(())
        })?;
        Ok(runs)
    }
}
