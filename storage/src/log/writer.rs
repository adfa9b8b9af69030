//! Appending frames.

use std::path::{Path, PathBuf};

use headrope_model::time::now_ns;

use super::file_name;
use super::frame::{FILE_HEADER, FrameBuilder, file_header};
use crate::config::Durability;
use crate::disk;
use crate::error::StorageError;
use crate::failpoint;
use crate::files::{self, io};

/// Size at which a new file is started.
const ROTATE_BYTES: u64 = 64 << 20;

/// The end of the log. One writer exists per log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    dir: PathBuf,
    durability: Durability,
    /// The file that is appended to, and the length of what counts in it.
    file: Option<(disk::File, u64)>,
}

impl LogWriter {
    /// Continues after recovery; the first append starts a new file.
    pub(crate) fn new(dir: &Path, durability: Durability) -> Self {
        Self { dir: dir.to_owned(), durability, file: None }
    }

    /// Ends the current file, so that it can be trimmed once its entries are in segments.
    pub(crate) fn rotate(&mut self) {
        self.file = None;
    }

    /// Writes a frame and makes it durable. On an error nothing of it counts, the file is given up,
    /// and the next append starts a new one under the number that is due, which tells a reader that the
    /// old file ends there. A failed file is never synced again to acknowledge anything: the kernel
    /// reports a failed write-back once and may have dropped the pages (Rebello et al., "Can
    /// Applications Recover from fsync Failures?", USENIX ATC 2020).
    pub(crate) fn append(&mut self, first_seq: u64, frame: &[u8]) -> Result<(), StorageError> {
        failpoint::hit("log.before_write");
        if self.file.as_ref().is_none_or(|(_, len)| *len >= ROTATE_BYTES) {
            self.file = None;
            self.file = Some((self.start(first_seq)?, FILE_HEADER as u64));
        }
        let Some((file, len)) = self.file.as_mut() else {
            return Err(StorageError::TaskGone("log writer"));
        };
        if let Err(error) = file.write_all_at(frame, *len) {
            let failure = io("append to", file.path())(error);
            self.abandon();
            return Err(failure);
        }
        failpoint::hit("log.after_write");
        if self.durability == Durability::Fsync
            && let Err(error) = file.sync_data()
        {
            let failure = io("sync", file.path())(error);
            self.abandon();
            return Err(failure);
        }
        failpoint::hit("log.after_sync");
        *len += frame.len() as u64;
        Ok(())
    }

    /// Marks that everything before `next_seq` is as durable as it will be: an empty frame behind the last one,
    /// where the next one will be written over it. Damage to the last frame is then told from a write
    /// that did not come to its end. The mark is not synced and may be missing.
    pub(crate) fn mark(&mut self, next_seq: u64) {
        let Some((file, len)) = &self.file else { return };
        if file.write_all_at(&FrameBuilder::new(next_seq).finish(), *len).is_err() {
            self.abandon();
        }
    }

    /// A file of this name can only be one whose header was not written or that holds no entry that
    /// counts. It is removed first: the new one must not share pages with it whose write-back failed.
    fn start(&self, first_seq: u64) -> Result<disk::File, StorageError> {
        let path = file_name(&self.dir, first_seq);
        files::remove(&path)?;
        let file = disk::File::create(&path).map_err(io("create", &path))?;
        file.write_all_at(&file_header(first_seq, now_ns()), 0).map_err(io("write", &path))?;
        if self.durability == Durability::Fsync {
            file.sync_data().map_err(io("sync", &path))?;
            files::sync_dir(&self.dir)?;
        }
        Ok(file)
    }

    /// Leaves a file that may hold a frame which was never acknowledged, and cuts that off, so that
    /// a restart before the next append does not find it. It may be found all the same, if the cut
    /// fails or the power does: then its requests are stored though they were refused.
    fn abandon(&mut self) {
        let Some((file, len)) = self.file.take() else { return };
        if let Err(error) = file.set_len(len).and_then(|()| file.sync_data()) {
            tracing::error!(path = %file.path().display(), %error, "cannot cut the ingest log back");
        }
    }
}
