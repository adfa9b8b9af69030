//! From live rows to segments. The order is the promise: seal → write and sync segments → commit
//! segments and watermark together → change over → trim the log. A crash anywhere leaves either the
//! log entries or the published segments, never neither and never both.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use headrope_model::{DataSet, RollupSet};

use crate::covers::Covers;
use crate::error::StorageError;
use crate::segment::Origin;
use crate::shared::Shared;
use crate::snapshot::SegmentMeta;
use crate::state::Cut;
use crate::{backlog, failpoint, files, log, rollup, segment};

/// How much a flush gives way to other threads (as `nice`). It must keep up with what comes in, or
/// the memory budget refuses requests, so it gives way less than a merge.
const NICENESS: i32 = 5;

/// Writes every row that is live now into segments.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<(), StorageError> {
    let _one_at_a_time = shared.flushing.lock().await;
    shared.check_watermark().await?;
    let all = Arc::clone(shared);
    shared.blocking("encoding", move || backlog::catch_up(&all)).await?;
    let (cut, frozen_bytes) = {
        let mut state = shared.state.lock();
        let Some(cut) = state.seal() else { return Ok(()) };
        (cut, state.live_bytes())
    };
    // Sorting copies the rows once; until the copy is gone, less may come in.
    let _copy = shared.budget.hold(frozen_bytes);
    shared.request_rotation();
    let started = Instant::now();
    let seq = cut.seq;
    let metas = match write(shared, cut).await {
        Ok(metas) => metas,
        Err(error) => {
            shared.state.lock().unseal();
            return Err(error);
        }
    };
    failpoint::hit("flush.before_commit");
    if let Err(error) = shared.catalog.publish(&metas, seq).await {
        // The answer may have been lost after the commit took place: ask before undoing anything. If
        // that cannot be told either, the files stay, and `check_watermark` guards the next flush.
        let stored = shared.catalog.watermark().await.ok();
        if stored != Some(seq) {
            shared.state.lock().unseal();
            if stored.is_some() {
                discard(&shared.segments_dir, &metas);
            }
            return Err(error);
        }
    }
    failpoint::hit("flush.after_commit");
    let rows: u64 = metas.iter().map(|m| m.rows).sum();
    let live_bytes = {
        let mut state = shared.state.lock();
        state.install(&shared.segments_dir, seq, metas);
        state.live_bytes()
    };
    shared.budget.set_live(live_bytes);
    shared.counts.flush_seconds.observe(started.elapsed());
    shared.counts.flushed_rows.add(rows);
    trim(shared, seq)?;
    failpoint::hit("flush.after_trim");
    tracing::debug!(rows, seq, elapsed = ?started.elapsed(), "flushed");
    Ok(())
}

/// Writes one segment per data set that has rows, and the roll-ups of spans.
async fn write(shared: &Arc<Shared>, cut: Cut) -> Result<Vec<SegmentMeta>, StorageError> {
    failpoint::hit("flush.before_segments");
    let dir = shared.segments_dir.clone();
    shared
        .aside("flush", NICENESS, move || {
            let mut metas = Vec::new();
            match write_all(&dir, &cut, &mut metas) {
                Ok(()) => Ok(metas),
                Err(error) => {
                    // On a full disk the next attempt needs the room.
                    discard(&dir, &metas);
                    Err(error)
                }
            }
        })
        .await
}

fn write_all(dir: &Path, cut: &Cut, metas: &mut Vec<SegmentMeta>) -> Result<(), StorageError> {
    let spans = cut.batches.iter().filter(|(data_set, _)| *data_set == DataSet::Spans);
    let spans: Vec<_> = spans.flat_map(|(_, batches)| batches).map(|b| &b.batch).collect();
    let rollups = rollups(&spans)?;
    let with_rows = cut.batches.iter().filter(|(_, batches)| !batches.is_empty());
    let sums = rollups.iter().filter(|(_, rows)| rows.num_rows() > 0);
    let data_sets = with_rows.map(|(d, _)| *d).chain(sums.map(|(rollup, _)| *rollup)).collect();
    let covers = Some(Covers::range(cut.first_seq, cut.seq));
    let origin = Origin { covers, data_sets, rollups: RollupSet::default() };
    let counted = rollups.iter().fold(RollupSet::default(), |all, (rollup, _)| all.with(*rollup));
    for (data_set, batches) in &cut.batches {
        let batches: Vec<_> = batches.iter().map(|b| &b.batch).collect();
        let mut origin = origin.clone();
        if *data_set == DataSet::Spans {
            origin.rollups = counted;
        }
        metas.extend(segment::write(dir, *data_set, &batches, origin)?);
        if *data_set == DataSet::Spans {
            failpoint::hit("flush.after_spans");
        }
    }
    for (rollup, rows) in rollups {
        metas.extend(segment::write(dir, rollup, &[&rows], origin.clone())?);
        failpoint::hit("flush.after_rollup");
    }
    Ok(())
}

/// The roll-ups of spans. One that cannot be made is left out: questions then read the spans.
fn rollups(spans: &[&RecordBatch]) -> Result<Vec<(DataSet, RecordBatch)>, StorageError> {
    let mut all = Vec::new();
    if spans.is_empty() {
        return Ok(all);
    }
    for rollup in DataSet::ROLLUPS {
        match rollup::build(rollup, spans)? {
            Some(rows) => all.push((rollup, rows)),
            None => {
                tracing::info!(%rollup, "too many groups to sum up: the spans are not rolled up");
            }
        }
    }
    Ok(all)
}

/// Removes segments that were written but not published.
fn discard(dir: &Path, metas: &[SegmentMeta]) {
    for meta in metas {
        segment::discard(dir, meta.data_set, &meta.id);
    }
}

/// Removes log files whose entries are all in segments.
pub(crate) fn trim(shared: &Shared, watermark: u64) -> Result<(), StorageError> {
    let paths = files::list(&shared.log_dir, log::EXTENSION)?;
    for pair in paths.windows(2) {
        let [path, next] = pair else { continue };
        if log::first_seq(next).is_some_and(|first| first <= watermark + 1) {
            files::remove(path)?;
        }
    }
    Ok(())
}
