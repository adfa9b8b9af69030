//! Appending frames.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use headrope_model::time::now_ns;

use super::file_name;
use super::frame::{FILE_HEADER, file_header};
use crate::config::Durability;
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
    file: Option<(File, PathBuf, u64)>,
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

    /// Writes a frame and makes it durable. On an error nothing of it counts: the file is cut back
    /// or, after a failed sync, given up (its pages may be lost: fsync(2), "Bugs"), and the next
    /// append starts a new file.
    pub(crate) fn append(&mut self, first_seq: u64, frame: &[u8]) -> Result<(), StorageError> {
        failpoint::hit("log.before_write");
        if self.file.as_ref().is_none_or(|(_, _, len)| *len >= ROTATE_BYTES) {
            self.file = Some(self.start(first_seq)?);
        }
        let Some((file, path, len)) = self.file.as_mut() else {
            return Err(StorageError::TaskGone("log writer"));
        };
        if let Err(error) = file.write_all(frame) {
            let failure = io("append to", path)(error);
            let back = *len;
            let cut = file.set_len(back).and_then(|()| file.seek(SeekFrom::Start(back)));
            if cut.is_err() {
                self.abandon(first_seq);
            }
            return Err(failure);
        }
        failpoint::hit("log.after_write");
        if self.durability == Durability::Fsync
            && let Err(error) = file.sync_data()
        {
            let failure = io("sync", path)(error);
            self.abandon(first_seq);
            return Err(failure);
        }
        failpoint::hit("log.after_sync");
        *len += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn start(&self, first_seq: u64) -> Result<(File, PathBuf, u64), StorageError> {
        let path = file_name(&self.dir, first_seq);
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&path)
            .map_err(io("create", &path))?;
        file.write_all(&file_header(first_seq, now_ns())).map_err(io("write", &path))?;
        if self.durability == Durability::Fsync {
            file.sync_all().map_err(io("sync", &path))?;
            files::sync_dir(&self.dir)?;
        }
        Ok((file, path, u64::try_from(FILE_HEADER).unwrap_or_default()))
    }

    /// Leaves a file that may hold a frame which was never acknowledged. The frame must not be
    /// replayed beside its successor with the same number, so the file is cut at its last good byte
    /// through a new handle; if even that fails, the next start finds the damage and says so.
    fn abandon(&mut self, first_seq: u64) {
        if let Some((_, path, len)) = self.file.take() {
            let cut = File::options().write(true).open(&path).and_then(|file| {
                file.set_len(len)?;
                file.sync_all()
            });
            if let Err(error) = cut {
                tracing::error!(path = %path.display(), first_seq, %error, "cannot cut the log back");
            }
        }
    }
}
