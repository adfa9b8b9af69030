//! Merging small segments into larger ones, level by level. Inputs of one merge lie in the same day,
//! so retention can drop whole segments; output and inputs change over in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use headrope_model::DataSet;
use headrope_model::time::NANOS_PER_HOUR;

use crate::config::StorageConfig;
use crate::error::StorageError;
use crate::shared::Shared;
use crate::snapshot::SegmentMeta;
use crate::text::TextIndex;
use crate::{failpoint, segment};

/// Length of the windows that merges do not cross.
const WINDOW_NS: i64 = 24 * NANOS_PER_HOUR;

/// The same for roll-ups: little data, kept for long.
const ROLLUP_WINDOW_NS: i64 = 10 * WINDOW_NS;
/// Segments of roll-ups of one level that are merged, at most. Small, as a question reads all of them: each
/// merge makes rows fewer.
const ROLLUP_FAN_IN: usize = 4;

const fn window_ns(data_set: DataSet) -> i64 {
    if data_set.is_rollup() { ROLLUP_WINDOW_NS } else { WINDOW_NS }
}

/// How much a merge gives way to other threads (as `nice`): nobody waits for it.
const NICENESS: i32 = 15;

/// The segments to merge next, oldest first; empty when no merge is due. Pure.
pub(crate) fn plan(config: &StorageConfig, segments: &[SegmentMeta]) -> Vec<SegmentMeta> {
    let mut groups: BTreeMap<_, Vec<&SegmentMeta>> = BTreeMap::new();
    for meta in segments {
        let window = meta.min_time.div_euclid(window_ns(meta.data_set));
        // Spans that a roll-up counts and spans that it does not count stay apart: of a segment it
        // counts all or none.
        groups.entry((meta.level, window, meta.rollups)).or_default().push(meta);
    }
    for group in groups.values() {
        let rollup = group.first().is_some_and(|m| m.data_set.is_rollup());
        let fan_in = config.compact_fan_in.max(2);
        let fan_in = if rollup { fan_in.min(ROLLUP_FAN_IN) } else { fan_in };
        let mut rows = 0;
        let fitting: Vec<SegmentMeta> = group
            .iter()
            .take_while(|meta| {
                rows += meta.rows;
                rows <= config.compact_max_rows
            })
            .take(fan_in * 2)
            .map(|meta| (*meta).clone())
            .collect();
        if fitting.len() >= fan_in {
            return fitting;
        }
    }
    Vec::new()
}

/// What is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What is due, and what is left over where nothing has come for long.
    Due,
    /// What is left over, too, however new it is.
    All,
}

/// Times that a segment is larger than all smaller ones, beyond which they are not worth writing it again.
const GROWTH: u64 = 4;
/// Rows that are always worth writing again.
const FEW_ROWS: u64 = 64 << 10;

/// Segments to merge where none is due: those of a window in which no segment was written since it settled
/// (`is_settled`, by their ids), the smallest first. Log records that were never merged are written anew
/// even if they are alone, since a merge compresses them better. Pure.
pub(crate) fn left_over(
    config: &StorageConfig,
    segments: &[SegmentMeta],
    is_settled: impl Fn(&str) -> bool,
) -> Vec<SegmentMeta> {
    let mut groups: BTreeMap<_, Vec<&SegmentMeta>> = BTreeMap::new();
    for meta in segments {
        let window = meta.min_time.div_euclid(window_ns(meta.data_set));
        groups.entry((window, meta.rollups)).or_default().push(meta);
    }
    let settled = |group: &Vec<&SegmentMeta>| group.iter().all(|meta| is_settled(&meta.id));
    for mut group in groups.into_values().filter(settled) {
        group.sort_by_key(|meta| meta.rows);
        for first in 0..group.len() {
            let mut rows = 0;
            let fits = |meta: &&&SegmentMeta| {
                let worth = rows == 0 || meta.rows <= FEW_ROWS.max(rows * GROWTH);
                rows += meta.rows;
                worth && rows <= config.compact_max_rows
            };
            let chosen: Vec<&SegmentMeta> =
                group.iter().skip(first).take_while(fits).copied().collect();
            let alone = chosen.first().is_some_and(|m| m.level == 0 && m.data_set == DataSet::Logs);
            if chosen.len() > 1 || alone {
                return chosen.into_iter().cloned().collect();
            }
        }
    }
    Vec::new()
}

/// Milliseconds since the Unix epoch before which a segment must have been written to count as settled.
fn settled_at(config: &StorageConfig) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(config.compact_settled).as_millis()).unwrap_or_default()
}

/// Whether a segment was written by then, in milliseconds since the Unix epoch.
fn made_by(id: &str, then: u64) -> bool {
    ulid::Ulid::from_string(id).is_ok_and(|id| id.timestamp_ms() <= then)
}

/// Merges until nothing is left to merge.
pub(crate) async fn run(shared: &Arc<Shared>, extent: Extent) -> Result<(), StorageError> {
    let _one_at_a_time = shared.maintaining.lock().await;
    for data_set in DataSet::ALL {
        loop {
            let metas: Vec<SegmentMeta> = {
                let state = shared.state.lock();
                state.segments(data_set).iter().map(|s| s.meta.clone()).collect()
            };
            let mut inputs = plan(&shared.config, &metas);
            if inputs.is_empty() {
                let settled = settled_at(&shared.config);
                let is_settled = |id: &str| extent == Extent::All || made_by(id, settled);
                inputs = left_over(&shared.config, &metas, is_settled);
            }
            if inputs.is_empty() && data_set == DataSet::Logs {
                inputs = without_index(shared, metas).await?;
            }
            if inputs.is_empty() {
                break;
            }
            merge(shared, data_set, inputs).await?;
        }
    }
    Ok(())
}

/// A log segment whose text index is missing or of an older format: it is written anew, alone.
async fn without_index(
    shared: &Arc<Shared>,
    metas: Vec<SegmentMeta>,
) -> Result<Vec<SegmentMeta>, StorageError> {
    let dir = shared.segments_dir.clone();
    let find = move || {
        for meta in metas {
            let (_, index) = segment::paths(&dir, meta.data_set, &meta.id);
            if meta.index_bytes.is_none() || !TextIndex::is_current(&index)? {
                return Ok(vec![meta]);
            }
        }
        Ok(Vec::new())
    };
    shared.aside("compaction", NICENESS, find).await
}

async fn merge(
    shared: &Arc<Shared>,
    data_set: DataSet,
    inputs: Vec<SegmentMeta>,
) -> Result<(), StorageError> {
    let old: Vec<String> = inputs.iter().map(|m| m.id.clone()).collect();
    let level = inputs.iter().map(|m| m.level).max().unwrap_or_default();
    // One that lacks its index, or was never merged, is written anew.
    let level = if inputs.len() > 1 { level + 1 } else { level.max(1) };
    let dir = shared.segments_dir.clone();
    let output = shared
        .aside("compaction", NICENESS, move || segment::merge(&dir, data_set, level, &inputs))
        .await?;
    failpoint::hit("compact.before_commit");
    let rows = output.rows;
    if let Err(error) = shared.catalog.replace(&old, std::slice::from_ref(&output)).await {
        // The commit may have taken place in spite of the error.
        match shared.catalog.lists(&output.id).await {
            Ok(true) => {}
            Ok(false) => {
                segment::discard(&shared.segments_dir, data_set, &output.id);
                return Err(error);
            }
            // Both files stay. If it did take place, merging the inputs again fails, since the
            // catalog lists them no more, until a restart reads the truth.
            Err(_) => return Err(error),
        }
    }
    failpoint::hit("compact.after_commit");
    shared.state.lock().replace(&shared.segments_dir, &old, vec![output]);
    shared.counts.merges.add(1);
    shared.counts.merged_rows.add(rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use headrope_model::RollupSet;

    fn meta(id: u32, level: u32, rows: u64, min_time: i64) -> SegmentMeta {
        SegmentMeta {
            id: id.to_string(),
            data_set: DataSet::Spans,
            level,
            rows,
            bytes: 0,
            min_time,
            max_time: min_time,
            services: None,
            index_bytes: None,
            checksum: None,
            covers: None,
            rollups: RollupSet::default(),
        }
    }

    #[test]
    fn merges_stay_inside_level_window_and_size() {
        let mut config = StorageConfig::new(PathBuf::new());
        config.compact_fan_in = 3;
        config.compact_max_rows = 100;
        let few =
            [meta(1, 0, 10, 0), meta(2, 0, 10, 1), meta(3, 1, 10, 2), meta(4, 0, 10, WINDOW_NS)];
        assert!(plan(&config, &few).is_empty());
        let due = [meta(1, 0, 40, 0), meta(2, 0, 30, 1), meta(3, 0, 30, 2), meta(4, 0, 30, 3)];
        let ids: Vec<_> = plan(&config, &due).into_iter().map(|m| m.id).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        let counted = |m: SegmentMeta| SegmentMeta {
            rollups: RollupSet::default().with(DataSet::ServiceRollup),
            ..m
        };
        let mixed = [meta(1, 0, 10, 0), counted(meta(2, 0, 10, 1)), meta(3, 0, 10, 2)];
        assert!(plan(&config, &mixed).is_empty());
        let full = [meta(1, 2, 90, 0), meta(2, 2, 90, 1), meta(3, 2, 90, 2)];
        assert!(plan(&config, &full).is_empty());
    }

    #[test]
    fn what_is_left_over_is_merged_once_its_window_has_settled() {
        let mut config = StorageConfig::new(PathBuf::new());
        (config.compact_fan_in, config.compact_max_rows) = (3, 1 << 20);
        let ids = |metas: &[SegmentMeta], settled: &dyn Fn(&str) -> bool| {
            let found = left_over(&config, metas, settled);
            found.into_iter().map(|m| m.id).collect::<Vec<_>>()
        };
        let small = 60_000;
        let day = [meta(1, 1, small * 5, 0), meta(2, 0, small, 1), meta(3, 0, 10, 2)];
        assert_eq!(ids(&day, &|_| true), ["3", "2"]);
        assert!(ids(&day, &|id| id != "1").is_empty());
        // The large one is worth it once the others are no longer small beside it.
        let day = [meta(1, 1, small * 5, 0), meta(2, 0, small, 1), meta(3, 0, small, 2)];
        assert_eq!(ids(&day, &|_| true), ["2", "3", "1"]);
        let full = [meta(1, 2, 1 << 20, 0), meta(2, 1, 1 << 19, 1)];
        assert!(ids(&full, &|_| true).is_empty());
        let apart = [meta(1, 0, 10, 0), meta(2, 0, 10, WINDOW_NS)];
        assert!(ids(&apart, &|_| true).is_empty());
        let logs = |level| SegmentMeta { data_set: DataSet::Logs, ..meta(1, level, 10, 0) };
        assert_eq!(ids(&[logs(0)], &|_| true), ["1"]);
        assert!(ids(&[logs(1)], &|_| true).is_empty());
    }

    #[test]
    fn the_age_of_a_segment_is_in_its_id() {
        let id = ulid::Ulid::from_parts(5000, 1).to_string();
        assert!(made_by(&id, 5000) && !made_by(&id, 4999));
        assert!(!made_by("1", u64::MAX));
    }
}
