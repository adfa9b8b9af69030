//! Dropping whole segments that are past their signal's age, and the oldest ones of a signal that takes
//! more room than it may.
//!
//! The catalog drops them first; the files go when no snapshot refers to them any more. A crash in
//! between leaves files the catalog does not list, which the next start removes. Readers are in this
//! process, so no grace period is needed: a snapshot is one.

use std::sync::Arc;
use std::time::Duration;

use headrope_model::DataSet;
use headrope_model::time::{NANOS_PER_MINUTE, now_ns};

use crate::config::StorageConfig;
use crate::error::StorageError;
use crate::failpoint;
use crate::shared::Shared;
use crate::snapshot::SegmentMeta;

fn age(config: &StorageConfig, data_set: DataSet) -> Option<Duration> {
    match data_set {
        DataSet::Spans | DataSet::TraceParts => config.retain_traces,
        DataSet::Logs => config.retain_logs,
        DataSet::Metrics => config.retain_metrics,
        DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => config.retain_rollups,
    }
}

/// Data sets that share a limit in bytes.
const SHARES: [&[DataSet]; 3] =
    [&[DataSet::Spans, DataSet::TraceParts], &[DataSet::Logs], &[DataSet::Metrics]];

const fn room(config: &StorageConfig, data_set: DataSet) -> Option<u64> {
    match data_set {
        DataSet::Spans | DataSet::TraceParts => config.retain_traces_bytes,
        DataSet::Logs => config.retain_logs_bytes,
        DataSet::Metrics => config.retain_metrics_bytes,
        DataSet::OperationRollup
        | DataSet::ServiceRollup
        | DataSet::StatementRollup
        | DataSet::EdgeRollup => None,
    }
}

/// The segments to drop: whose newest row is older than the limit, and of what is left the oldest, until
/// each signal has the room it may take. Pure.
pub(crate) fn plan<'a>(
    config: &StorageConfig,
    now: i64,
    segments: &'a [SegmentMeta],
) -> Vec<&'a SegmentMeta> {
    let mut dropped = too_old(config, now, segments);
    for data_sets in SHARES {
        let limit = data_sets.first().and_then(|data_set| room(config, *data_set));
        let Some(limit) = limit else { continue };
        let of_signal = |meta: &&SegmentMeta| {
            data_sets.contains(&meta.data_set) && !dropped.iter().any(|d| d.id == meta.id)
        };
        let mut kept: Vec<_> = segments.iter().filter(of_signal).collect();
        kept.sort_by_key(|meta| (meta.max_time, &meta.id));
        let size = |meta: &SegmentMeta| meta.bytes + meta.index_bytes.unwrap_or(0);
        let mut total: u64 = kept.iter().map(|meta| size(meta)).sum();
        for meta in kept {
            if total <= limit {
                break;
            }
            total -= size(meta);
            dropped.push(meta);
        }
    }
    dropped
}

fn too_old<'a>(
    config: &StorageConfig,
    now: i64,
    segments: &'a [SegmentMeta],
) -> Vec<&'a SegmentMeta> {
    let expired = |meta: &&SegmentMeta| {
        age(config, meta.data_set).is_some_and(|age| {
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            meta.max_time < now.saturating_sub(age)
        })
    };
    segments.iter().filter(expired).collect()
}

/// The latest time of a row that goes, for each data set of which some do. Pure.
fn horizons(expired: &[&SegmentMeta]) -> Vec<(DataSet, i64)> {
    let mut all = Vec::new();
    for data_set in DataSet::ALL {
        // A roll-up's time is the start of a step: of its shortest, or there would be a later one.
        let length = if data_set.is_rollup() { NANOS_PER_MINUTE - 1 } else { 0 };
        let of = expired.iter().filter(|m| m.data_set == data_set).map(|m| m.max_time);
        all.extend(of.max().map(|time| (data_set, time.saturating_add(length))));
    }
    all
}

/// Drops expired segments; returns how many.
pub(crate) async fn run(shared: &Arc<Shared>) -> Result<usize, StorageError> {
    let _one_at_a_time = shared.maintaining.lock().await;
    let metas: Vec<SegmentMeta> = {
        let state = shared.state.lock();
        DataSet::ALL
            .iter()
            .flat_map(|d| state.segments(*d).iter().map(|s| s.meta.clone()))
            .collect()
    };
    let metas = plan(&shared.config, now_ns(), &metas);
    let horizons = horizons(&metas);
    let expired: Vec<String> = metas.into_iter().map(|m| m.id.clone()).collect();
    if expired.is_empty() {
        return Ok(0);
    }
    shared.catalog.expire(&expired, &horizons).await?;
    failpoint::hit("retention.after_commit");
    shared.state.lock().expire(&shared.segments_dir, &expired, &horizons);
    shared.counts.expired_segments.add(u64::try_from(expired.len()).unwrap_or_default());
    tracing::info!(segments = expired.len(), "retention dropped segments");
    Ok(expired.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wholly_past_the_age_goes() {
        let mut config = StorageConfig::new(std::path::PathBuf::new());
        config.retain_logs = Some(Duration::from_nanos(10));
        config.retain_traces = None;
        let meta = |id: &str, data_set, max_time| SegmentMeta {
            id: id.to_owned(),
            data_set,
            level: 0,
            rows: 1,
            bytes: 0,
            min_time: 0,
            max_time,
            services: None,
            index_bytes: None,
            checksum: None,
            covers: None,
            rollups: Default::default(),
        };
        let all = [
            meta("old", DataSet::Logs, 89),
            meta("edge", DataSet::Logs, 90),
            meta("kept", DataSet::Spans, 0),
        ];
        let gone = plan(&config, 100, &all);
        assert_eq!(gone.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["old"]);
        assert_eq!(horizons(&gone), [(DataSet::Logs, 89)]);
    }

    #[test]
    fn the_oldest_of_a_signal_go_until_there_is_room() {
        let mut config = StorageConfig::new(std::path::PathBuf::new());
        config.retain_logs = Some(Duration::from_nanos(10));
        config.retain_traces = None;
        let meta = |id: &str, data_set, max_time, bytes| SegmentMeta {
            id: id.to_owned(),
            data_set,
            level: 0,
            rows: 1,
            bytes,
            min_time: 0,
            max_time,
            services: None,
            index_bytes: (data_set == DataSet::Logs).then_some(5),
            checksum: None,
            covers: None,
            rollups: Default::default(),
        };
        let all = [
            meta("l0", DataSet::Logs, 50, 100),
            meta("l1", DataSet::Logs, 91, 5),
            meta("l2", DataSet::Logs, 92, 5),
            meta("l3", DataSet::Logs, 93, 5),
            meta("s1", DataSet::Spans, 2, 70),
            meta("p1", DataSet::TraceParts, 1, 20),
            meta("s2", DataSet::Spans, 3, 20),
        ];
        let ids = |config: &StorageConfig| -> Vec<&str> {
            plan(config, 100, &all).into_iter().map(|m| m.id.as_str()).collect()
        };
        assert_eq!(ids(&config), ["l0"]);
        config.retain_logs_bytes = Some(20);
        config.retain_traces_bytes = Some(100);
        assert_eq!(ids(&config), ["l0", "p1", "l1"]);
    }
}
