//! Making the catalog anew from what segments say of themselves.
//!
//! A segment names the log entries it covers, and one of level 0 the data sets of its flush. The files
//! of a data directory may be more than a catalog would list:
//!
//! - a merge beside inputs that are not removed yet, or that it never replaced: it holds all their rows,
//!   so of two segments of which one covers the other, the larger counts;
//! - a flush that was not published, whole or in part. If it is whole, it holds exactly the rows of its
//!   entries and counts. In part, it is left out, and its entries come from the log;
//! - a flush of which retention removed a part looks the same. But then its entries were published, so
//!   they are not in the log any more, or a merge or a whole later flush proves it;
//! - segments that retention dropped and that are not removed yet come back, until it drops them again.
//!
//! Nothing that was merged or is missing in the log can be unpublished, since merges read the catalog and
//! the log is trimmed after the commit. That gives the watermark.

use std::path::{Path, PathBuf};

use headrope_model::time::NANOS_PER_HOUR;
use headrope_model::{DataSet, RollupSet};
use parquet::file::metadata::ParquetMetaDataReader;

use crate::catalog::Catalog;
use crate::checksum::Checksums;
use crate::covers::Covers;
use crate::disk;
use crate::error::StorageError;
use crate::files::{self, io};
use crate::segment::{self, Label};
use crate::snapshot::SegmentMeta;
use crate::text::TextIndex;
use crate::{log, recover};

/// What a new catalog was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// Segments it lists.
    pub listed: usize,
    /// Segment files left out; the next start removes them.
    pub left_out: Vec<PathBuf>,
    /// Last log entry whose rows are in segments.
    pub watermark: u64,
    /// Where the old catalog was moved to, if there was one.
    pub old: Option<PathBuf>,
}

/// A segment file, with the data sets of the flush that wrote it.
#[derive(Debug, Clone)]
struct Found {
    meta: SegmentMeta,
    covers: Covers,
    flush: Vec<DataSet>,
}

/// Makes the catalog of a data directory anew. The old one is kept beside it. Every byte of every
/// segment is checked.
///
/// # Errors
/// When the directory is in use, a segment is damaged or was written by a version that did not say what
/// it covers, or two segments cannot both be right. The old catalog is then where it was.
pub async fn rebuild_catalog(dir: &Path) -> Result<Rebuilt, StorageError> {
    let _lock = files::lock(dir)?;
    let segments_dir = dir.join("segments");
    let log_dir = dir.join("log");
    let mut found = Vec::new();
    for path in files::list(&segments_dir, "parquet")? {
        found.push(read(&path)?);
    }
    let logs = files::list(&log_dir, log::EXTENSION)?;
    let log_first = logs.first().and_then(|path| log::first_seq(path));
    let (watermark, kept, left_out) = choose(found, log_first).map_err(|refused| {
        let (meta, detail) = *refused;
        let (path, _) = segment::paths(&segments_dir, meta.data_set, &meta.id);
        StorageError::Corrupt { path, offset: 0, detail }
    })?;
    let metas = kept.into_iter().map(|found| with_index(&segments_dir, found.meta));
    let metas: Vec<_> = metas.collect();
    let new = dir.join("catalog.new.sqlite");
    remove_catalog(&new)?;
    let catalog = Catalog::open(&new, false).await?;
    catalog.publish(&metas, watermark).await?;
    catalog.expire(&[], &horizons(&metas)).await?;
    catalog.close().await;
    let old = move_away(dir)?;
    let path = dir.join("catalog.sqlite");
    disk::rename(&new, &path).map_err(io("rename to", &path))?;
    files::sync_dir(dir)?;
    recover::check_segments(&segments_dir, &metas)?;
    let left_out =
        left_out.iter().map(|f| segment::paths(&segments_dir, f.meta.data_set, &f.meta.id).0);
    Ok(Rebuilt { listed: metas.len(), left_out: left_out.collect(), watermark, old })
}

/// Up to when roll-ups may count spans that are gone: retention drops spans before their roll-ups, and
/// only the lost catalog knew up to when. Pure.
fn horizons(metas: &[SegmentMeta]) -> Vec<(DataSet, i64)> {
    let spans = metas.iter().filter(|meta| meta.data_set == DataSet::Spans);
    let spans = Covers::union(spans.filter_map(|meta| meta.covers.clone()));
    let sums = || metas.iter().filter(|meta| meta.data_set.is_rollup());
    let gone = |meta: &SegmentMeta| meta.covers.as_ref().is_none_or(|c| !spans.contains(c));
    if !sums().any(gone) {
        return Vec::new();
    }
    // The longest step that begins at the latest time ends a day later.
    let day = 24 * NANOS_PER_HOUR;
    let latest = sums().map(|meta| meta.max_time.saturating_add(day)).max();
    latest.map(|time| (DataSet::Spans, time)).into_iter().collect()
}

/// Names of a catalog's files besides its own.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn remove_catalog(path: &Path) -> Result<(), StorageError> {
    files::remove(path)?;
    BESIDE.iter().try_for_each(|suffix| files::remove(&beside(path, suffix)))
}

/// Moves the old catalog to a free name.
fn move_away(dir: &Path) -> Result<Option<PathBuf>, StorageError> {
    let path = dir.join("catalog.sqlite");
    let names = (1..).map(|n| dir.join(format!("catalog.old-{n}.sqlite")));
    let mut free = names.filter(|name| !name.exists());
    let Some(old) = free.next().filter(|_| path.exists()) else {
        return remove_catalog(&path).map(|()| None);
    };
    for suffix in BESIDE.into_iter().chain([""]) {
        let (from, to) = (beside(&path, suffix), beside(&old, suffix));
        if from.exists() {
            disk::rename(&from, &to).map_err(io("rename to", &to))?;
        }
    }
    Ok(Some(old))
}

/// Reads what a segment says of itself, and checks all of it.
fn read(path: &Path) -> Result<Found, StorageError> {
    let corrupt =
        |detail: String| StorageError::Corrupt { path: path.to_owned(), offset: 0, detail };
    let older = || {
        corrupt("an older version wrote it without saying which log entries it covers, so a catalog cannot be made from it".to_owned())
    };
    let file = disk::open(path).map_err(io("open", path))?;
    let bytes = file.metadata().map_err(io("stat", path))?.len();
    let sums = Checksums::open(&file, path, bytes)?.ok_or_else(older)?;
    sums.scrub(&file, path)?;
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let pairs = footer.file_metadata().key_value_metadata();
    let label = pairs.into_iter().flatten().find(|pair| pair.key == segment::LABEL_KEY);
    let label = label.and_then(|pair| pair.value.as_deref()).ok_or_else(older)?;
    let label: Label = serde_json::from_str(label)
        .map_err(|e| corrupt(format!("its label is unreadable: {e}")))?;
    let data_set = |name: &str| {
        let unknown = || corrupt(format!("unknown data set {name:?}"));
        DataSet::from_name(name).ok_or_else(unknown)
    };
    let meta = SegmentMeta {
        data_set: data_set(&label.data_set)?,
        id: label.id,
        level: label.level,
        rows: label.rows,
        bytes,
        min_time: label.min_time,
        max_time: label.max_time,
        services: label.services,
        index_bytes: None,
        checksum: Some(sums.crc()),
        covers: label.covers.clone(),
        rollups: RollupSet::from_bits(label.rollups),
    };
    let dir = path.parent().unwrap_or(Path::new("."));
    if segment::paths(dir, meta.data_set, &meta.id).0 != path {
        return Err(corrupt(format!("it is segment {} of {}", meta.id, meta.data_set)));
    }
    let covers = label.covers.ok_or_else(older)?;
    let flush = label.flush.iter().map(|name| data_set(name)).collect::<Result<_, _>>()?;
    Ok(Found { meta, covers, flush })
}

/// A text index that is not whole is left out: a segment without one is searched row by row.
fn with_index(dir: &Path, mut meta: SegmentMeta) -> SegmentMeta {
    let (_, path) = segment::paths(dir, meta.data_set, &meta.id);
    if path.exists() {
        match TextIndex::open(&path) {
            Ok(index) if u64::from(index.rows()) == meta.rows => {
                meta.index_bytes = std::fs::metadata(&path).ok().map(|file| file.len());
            }
            Ok(_) => tracing::warn!(path = %path.display(), "left out: another segment's index"),
            Err(error) => tracing::warn!(%error, "left out"),
        }
    }
    meta
}

type Chosen = (u64, Vec<Found>, Vec<Found>);

/// The watermark, the segments that count, and those that do not. Pure; `log_first` is the first entry
/// that may be in the log.
fn choose(found: Vec<Found>, log_first: Option<u64>) -> Result<Chosen, Box<(SegmentMeta, String)>> {
    let last = |f: &Found| f.covers.last().unwrap_or_default();
    let merged = found.iter().filter(|f| f.meta.level > 0).map(last).max().unwrap_or_default();
    // Without a log there is nothing a flush could be waiting for.
    let mut published = merged.max(log_first.map_or(u64::MAX, |first| first.saturating_sub(1)));
    let mut flushes: Vec<&Found> = found.iter().filter(|f| f.meta.level == 0).collect();
    flushes.sort_by_key(|f| (f.covers.first(), last(f)));
    for flush in &flushes {
        if flush.covers.first().is_some_and(|first| first <= published) {
            published = published.max(last(flush));
        }
    }
    let covered = |data_set, covers: &Covers| {
        found.iter().any(|f| f.meta.data_set == data_set && f.covers.contains(covers))
    };
    let whole = |f: &&&Found| f.flush.iter().all(|data_set| covered(*data_set, &f.covers));
    let whole = flushes.iter().filter(whole).map(|f| last(f)).max().unwrap_or_default();
    let limit = published.max(whole);
    let watermark = found.iter().map(last).filter(|last| *last <= limit).max().unwrap_or_default();
    let watermark = watermark.max(log_first.map_or(0, |first| first.saturating_sub(1)));
    let (candidates, mut left_out): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|f| last(f) <= watermark);
    let mut kept: Vec<Found> = Vec::new();
    // What covers more comes first; of equals the later merge, then the later file.
    let mut candidates = candidates;
    let size = |f: &Found| f.covers.ranges().iter().map(|(a, b)| b - a + 1).sum::<u64>();
    candidates.sort_by(|a, b| {
        (size(b), b.meta.level, &b.meta.id).cmp(&(size(a), a.meta.level, &a.meta.id))
    });
    for one in candidates {
        let same = |k: &&Found| k.meta.data_set == one.meta.data_set;
        match kept.iter().filter(same).find(|k| k.covers.overlaps(&one.covers)) {
            None => kept.push(one),
            Some(other) if other.covers.contains(&one.covers) => left_out.push(one),
            Some(other) => {
                let detail = format!(
                    "it covers the log entries {}, and segment {} covers {}: neither holds all rows of the other",
                    one.covers, other.meta.id, other.covers
                );
                return Err(Box::new((one.meta, detail)));
            }
        }
    }
    Ok((watermark, kept, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str, data_set: DataSet, level: u32, covers: &str, flush: &[DataSet]) -> Found {
        let covers: Covers = covers.parse().unwrap();
        let meta = SegmentMeta {
            id: id.to_owned(),
            data_set,
            level,
            rows: 1,
            bytes: 0,
            min_time: 0,
            max_time: 0,
            services: None,
            index_bytes: None,
            checksum: None,
            covers: Some(covers.clone()),
            rollups: RollupSet::default(),
        };
        Found { meta, covers, flush: flush.to_vec() }
    }

    fn chosen(all: Vec<Found>, log_first: Option<u64>) -> (u64, Vec<String>) {
        let (watermark, kept, _) = choose(all, log_first).unwrap();
        let mut ids: Vec<_> = kept.into_iter().map(|f| f.meta.id).collect();
        ids.sort();
        (watermark, ids)
    }

    const BOTH: &[DataSet] = &[DataSet::Spans, DataSet::Logs];

    #[test]
    fn a_merge_counts_and_its_inputs_do_not() {
        let all = vec![
            found("a", DataSet::Spans, 0, "1-3", &[DataSet::Spans]),
            found("b", DataSet::Spans, 0, "7-9", &[DataSet::Spans]),
            found("c", DataSet::Spans, 0, "4-6", &[DataSet::Spans]),
            found("m", DataSet::Spans, 1, "1-3,7-9", &[]),
        ];
        assert_eq!(chosen(all, Some(1)), (9, vec!["c".to_owned(), "m".to_owned()]));
    }

    #[test]
    fn a_flush_in_part_comes_from_the_log() {
        let first = found("a", DataSet::Spans, 0, "1-3", &[DataSet::Spans]);
        let part = found("b", DataSet::Spans, 0, "4-6", BOTH);
        let other = found("c", DataSet::Logs, 0, "4-6", BOTH);
        let one = vec![first.clone(), part.clone()];
        assert_eq!(chosen(one.clone(), Some(1)), (3, vec!["a".to_owned()]));
        // Its entries are gone from the log, or there is no log: it was published.
        assert_eq!(chosen(one.clone(), Some(6)).0, 6);
        assert_eq!(chosen(one, None).0, 6);
        let both = vec![first.clone(), part.clone(), other];
        assert_eq!(chosen(both, Some(1)).0, 6);
        // A later one that is whole proves it.
        let later = found("d", DataSet::Spans, 0, "7-7", &[DataSet::Spans]);
        assert_eq!(chosen(vec![first, part, later], Some(1)).1.len(), 3);
    }

    #[test]
    fn of_two_attempts_at_a_flush_one_counts() {
        let all = vec![
            found("a", DataSet::Spans, 0, "1-3", &[DataSet::Spans]),
            found("b", DataSet::Spans, 0, "1-5", BOTH),
        ];
        assert_eq!(chosen(all.clone(), Some(1)), (3, vec!["a".to_owned()]));
        let logs = found("c", DataSet::Logs, 0, "1-5", BOTH);
        let all = all.into_iter().chain([logs]).collect();
        assert_eq!(chosen(all, Some(1)), (5, vec!["b".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn what_cannot_both_be_right_is_refused() {
        let all = vec![
            found("a", DataSet::Spans, 1, "1-4", &[]),
            found("b", DataSet::Spans, 1, "3-6", &[]),
        ];
        assert!(choose(all, None).is_err());
    }
}
