//! Merging small segments into larger ones, level by level. Inputs of one merge lie in the same day,
//! so retention can drop whole segments; output and inputs change over in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Merges until no merge is due.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<(), StorageError> {
    let _one_at_a_time = shared.maintaining.lock().await;
    for data_set in DataSet::ALL {
        loop {
            let metas: Vec<SegmentMeta> = {
                let state = shared.state.lock();
                state.segments(data_set).iter().map(|s| s.meta.clone()).collect()
            };
            let mut inputs = plan(&shared.config, &metas);
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
    let level = if inputs.len() > 1 { level + 1 } else { level };
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
}
