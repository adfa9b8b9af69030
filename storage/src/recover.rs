//! Starting: check what the catalog lists, remove what it does not, replay the log.

use std::collections::HashSet;
use std::path::Path;

use headrope_model::Signal;

use crate::backlog;
use crate::entry::{Content, Entry};
use crate::error::StorageError;
use crate::files;
use crate::log::{self, Replay};
use crate::segment;
use crate::shared::Shared;
use crate::snapshot::SegmentMeta;

/// Every listed segment must exist with the size it was published with. Content is checked when it
/// is read.
pub(crate) fn check_segments(dir: &Path, metas: &[SegmentMeta]) -> Result<(), StorageError> {
    metas.iter().try_for_each(|meta| segment::verify::sizes(dir, meta))
}

/// Removes files of segments that were never published or are no longer listed.
pub(crate) fn sweep(dir: &Path, metas: &[SegmentMeta]) -> Result<usize, StorageError> {
    let listed: HashSet<_> = metas
        .iter()
        .flat_map(|meta| {
            let (path, index) = segment::paths(dir, meta.data_set, &meta.id);
            [path, index]
        })
        .collect();
    let mut removed = 0;
    for extension in ["parquet", "idx", "tmp"] {
        for path in files::list(dir, extension)? {
            if !listed.contains(&path) {
                files::remove(&path)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// Replays log entries above the watermark into the live buffer.
pub(crate) fn replay(shared: &Shared) -> Result<Replay, StorageError> {
    let watermark = shared.state.lock().watermark();
    let replay = log::recover(&shared.log_dir, watermark, |entry| {
        let signal = Signal::from_code(entry.signal).ok_or_else(|| StorageError::Corrupt {
            path: log::file_name(&shared.log_dir, entry.seq),
            offset: 0,
            detail: format!("entry {}: unknown signal {}", entry.seq, entry.signal),
        })?;
        let due = {
            let mut state = shared.state.lock();
            let content = Content::Payload(signal, entry.payload.into());
            state.receive(Entry { seq: entry.seq, content });
            state.backlog_due()
        };
        if due { backlog::catch_up(shared) } else { Ok(()) }
    })?;
    backlog::catch_up(shared)?;
    Ok(replay)
}
