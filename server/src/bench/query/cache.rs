//! Making the kernel forget what it has read.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{Advice, fadvise, sync};

use super::super::disk;

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dropped {
    /// The whole page cache, the program's own pages included (`/proc/sys/vm/drop_caches`).
    PageCache,
    /// The pages of the files in the data directory (`posix_fadvise`).
    DataFiles,
}

impl Dropped {
    /// What a report says.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::PageCache => "page cache dropped (drop_caches)",
            Self::DataFiles => "pages of the data files dropped (posix_fadvise)",
        }
    }
}

/// Drops what the kernel keeps of a data directory that no process uses.
///
/// # Errors
/// When the files cannot be read.
pub(super) fn drop_pages(data_dir: &Path) -> anyhow::Result<Dropped> {
    // Only pages that are on disk can be dropped.
    sync();
    if std::fs::write("/proc/sys/vm/drop_caches", "3\n").is_ok() {
        return Ok(Dropped::PageCache);
    }
    for (path, _) in disk::files(data_dir)? {
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        fadvise(&file, 0, None, Advice::DontNeed)
            .with_context(|| format!("cannot drop the pages of {}", path.display()))?;
    }
    Ok(Dropped::DataFiles)
}
