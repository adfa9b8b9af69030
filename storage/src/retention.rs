//! Dropping whole segments that are past their signal's age.

use std::sync::Arc;
use std::time::Duration;

use headrope_model::DataSet;
use headrope_model::time::now_ns;

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
    }
}

/// The segments whose newest row is older than the limit. Pure.
pub(crate) fn plan(config: &StorageConfig, now: i64, segments: &[SegmentMeta]) -> Vec<String> {
    let expired = |meta: &&SegmentMeta| {
        age(config, meta.data_set).is_some_and(|age| {
            let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
            meta.max_time < now.saturating_sub(age)
        })
    };
    segments.iter().filter(expired).map(|meta| meta.id.clone()).collect()
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
    let expired = plan(&shared.config, now_ns(), &metas);
    if expired.is_empty() {
        return Ok(0);
    }
    shared.catalog.replace(&expired, &[]).await?;
    failpoint::hit("retention.after_commit");
    shared.state.lock().replace(&shared.segments_dir, &expired, Vec::new());
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
        };
        let all = [
            meta("old", DataSet::Logs, 89),
            meta("edge", DataSet::Logs, 90),
            meta("kept", DataSet::Spans, 0),
        ];
        assert_eq!(plan(&config, 100, &all), ["old"]);
    }
}
