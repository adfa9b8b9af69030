//! Copies of a data directory: taken while the engine runs or is stopped, verified, and restored.
//!
//! A backup is a data directory of its own: the catalog at one moment, the segments it lists, and the
//! log from its watermark on, so everything acknowledged before it began. `BACKUP` is written last;
//! without it a backup is not complete. Segments never change, so on the same file system they are
//! linked, not copied: such a backup protects from mistakes, and from a broken disk only once it is
//! somewhere else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::disk;
use crate::engine::Engine;
use crate::error::StorageError;
use crate::files::{self, io};
use crate::segment;
use crate::snapshot::SegmentMeta;
use crate::{log, recover};

const MANIFEST: &str = "BACKUP";
const CATALOG: &str = "catalog.sqlite";
/// Version of the manifest.
const VERSION: u32 = 1;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Version of this description.
    pub version: u32,
    /// Last log entry whose rows are in segments.
    pub watermark: u64,
    /// Files, relative to the directory, with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// What was found in a data directory.
#[derive(Debug, Default)]
pub struct Verified {
    /// Segments whose files are as they were written.
    pub segments: usize,
    /// Rows in them.
    pub rows: u64,
    /// Segments of an older version, which have no checksums; only their sizes were compared.
    pub unchecked: usize,
    /// Entries in the log that are not in segments.
    pub entries: u64,
    /// What is wrong.
    pub faults: Vec<StorageError>,
}

/// Reads every byte of a data directory, or of a backup, and compares it with its checksums. Changes
/// nothing, but that the tables of an older catalog are brought to the current version.
///
/// # Errors
/// When the directory is in use or its catalog cannot be read; other damage is in the answer.
pub async fn verify(dir: &Path) -> Result<Verified, StorageError> {
    let _lock = files::lock(dir)?;
    let (watermark, metas) = load(dir).await?;
    let mut found = Verified::default();
    let segments_dir = dir.join("segments");
    for meta in &metas {
        match segment::verify::whole(&segments_dir, meta) {
            Ok(()) => {
                found.segments += 1;
                found.rows += meta.rows;
                found.unchecked += usize::from(meta.checksum.is_none());
            }
            Err(error) => found.faults.push(error),
        }
    }
    match log::inspect(&dir.join("log"), watermark) {
        Ok(replay) => found.entries = replay.entries,
        Err(error) => found.faults.push(error),
    }
    Ok(found)
}

/// Backs a data directory up that no engine uses.
///
/// # Errors
/// When it is in use or damaged, or `to` is not empty or cannot be written.
pub async fn backup(dir: &Path, to: &Path) -> Result<Backup, StorageError> {
    let _lock = files::lock(dir)?;
    prepare(to)?;
    let catalog = Catalog::open(&dir.join(CATALOG), true).await?;
    let (watermark, metas, _) = catalog.load().await?;
    catalog.copy_to(&to.join(CATALOG)).await?;
    catalog.close().await;
    let segments_dir = dir.join("segments");
    copy_log(&dir.join("log"), to)?;
    copy_segments(&segments_dir, &metas, to)?;
    finish(to, watermark)
}

impl Engine {
    /// Backs up everything acknowledged so far into an empty or new directory, while requests are
    /// taken and questions answered. Flushes wait while the log is copied.
    ///
    /// # Errors
    /// When `to` is not empty or cannot be written.
    pub async fn backup(&self, to: &Path) -> Result<Backup, StorageError> {
        let shared = self.shared();
        prepare(to)?;
        let (watermark, snapshot) = {
            // No segment is published or dropped and no log file trimmed in between.
            let _no_merge = shared.maintaining.lock().await;
            let _no_flush = shared.flushing.lock().await;
            shared.check_watermark().await?;
            let (watermark, snapshot) = {
                let mut state = shared.state.lock();
                (state.watermark(), state.snapshot())
            };
            shared.catalog.copy_to(&to.join(CATALOG)).await?;
            let (log_dir, to) = (shared.log_dir.clone(), to.to_owned());
            shared.blocking("backup", move || copy_log(&log_dir, &to)).await?;
            (watermark, snapshot)
        };
        let (dir, to) = (shared.segments_dir.clone(), to.to_owned());
        let copy = move || {
            // The snapshot keeps the files until they are copied.
            let all = headrope_model::DataSet::ALL.into_iter();
            let metas = all.flat_map(|data_set| snapshot.segments(data_set));
            let metas: Vec<_> = metas.map(|segment| segment.meta().clone()).collect();
            copy_segments(&dir, &metas, &to)?;
            finish(&to, watermark)
        };
        shared.blocking("backup", copy).await
    }
}

/// Copies a backup to where there is no data directory yet, and verifies the copy.
///
/// # Errors
/// When the backup is not complete or damaged, or `dir` exists and is not empty.
pub async fn restore(from: &Path, dir: &Path) -> Result<Backup, StorageError> {
    let path = from.join(MANIFEST);
    let text = disk::read(&path).map_err(io("read", &path))?;
    let corrupt = |path: &Path, detail: String| StorageError::Corrupt {
        path: path.to_owned(),
        offset: 0,
        detail,
    };
    let backup: Backup =
        serde_json::from_slice(&text).map_err(|e| corrupt(&path, e.to_string()))?;
    if backup.version > VERSION {
        let found = backup.version;
        return Err(StorageError::TooNew { path, found, supported: VERSION });
    }
    check_empty(dir)?;
    let mut unfinished = dir.as_os_str().to_owned();
    unfinished.push(".restoring");
    let unfinished = PathBuf::from(unfinished);
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
    }
    for part in ["log", "segments"] {
        files::create_dir(&unfinished.join(part))?;
    }
    for (file, bytes) in &backup.files {
        let source = from.join(file);
        if file.components().any(|c| !matches!(c, std::path::Component::Normal(_))) {
            return Err(corrupt(&path, format!("{} leads out of it", file.display())));
        }
        let found = copy(&source, &unfinished.join(file))?;
        if found != *bytes {
            return Err(corrupt(&source, format!("{found} bytes long, backed up with {bytes}")));
        }
    }
    if let Some(error) = verify(&unfinished).await?.faults.into_iter().next() {
        return Err(error);
    }
    for part in [unfinished.join("log"), unfinished.join("segments"), unfinished.clone()] {
        files::sync_dir(&part)?;
    }
    disk::rename(&unfinished, dir).map_err(io("rename to", dir))?;
    files::sync_parent(dir)?;
    Ok(backup)
}

async fn load(dir: &Path) -> Result<(u64, Vec<SegmentMeta>), StorageError> {
    let catalog = Catalog::open(&dir.join(CATALOG), true).await?;
    let loaded = catalog.load().await;
    catalog.close().await;
    let (watermark, metas, _) = loaded?;
    Ok((watermark, metas))
}

fn check_empty(dir: &Path) -> Result<(), StorageError> {
    if dir.exists() && std::fs::read_dir(dir).map_err(io("list", dir))?.next().is_some() {
        let source = std::io::ErrorKind::DirectoryNotEmpty.into();
        return Err(io("write to", dir)(source));
    }
    Ok(())
}

fn prepare(to: &Path) -> Result<(), StorageError> {
    check_empty(to)?;
    files::create_dir(&to.join("log"))?;
    files::create_dir(&to.join("segments"))
}

/// Copies a file and makes the copy durable; returns its size.
fn copy(from: &Path, to: &Path) -> Result<u64, StorageError> {
    let bytes = std::fs::copy(from, to).map_err(io("copy to", to))?;
    sync(to)?;
    Ok(bytes)
}

fn sync(path: &Path) -> Result<(), StorageError> {
    disk::File::open(path).and_then(|file| file.sync_data()).map_err(io("sync", path))
}

/// Copies the log files there are. The last one may be written to meanwhile: what is not whole is cut
/// off when it is read, and was not acknowledged when the backup began.
fn copy_log(log_dir: &Path, to: &Path) -> Result<(), StorageError> {
    for path in files::list(log_dir, log::EXTENSION)? {
        if let Some(name) = path.file_name() {
            copy(&path, &to.join("log").join(name))?;
        }
    }
    Ok(())
}

fn copy_segments(dir: &Path, metas: &[SegmentMeta], to: &Path) -> Result<(), StorageError> {
    recover::check_segments(dir, metas)?;
    for meta in metas {
        let (path, index_path) = segment::paths(dir, meta.data_set, &meta.id);
        let (to, index_to) = segment::paths(&to.join("segments"), meta.data_set, &meta.id);
        link(&path, &to)?;
        if meta.index_bytes.is_some() {
            link(&index_path, &index_to)?;
        }
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<(), StorageError> {
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => copy(from, to).map(drop),
    }
}

/// Makes the backup durable and says that it is complete.
fn finish(to: &Path, watermark: u64) -> Result<Backup, StorageError> {
    sync(&to.join(CATALOG))?;
    let mut listed = Vec::new();
    for (part, extension) in
        [("", "sqlite"), ("segments", "parquet"), ("segments", "idx"), ("log", log::EXTENSION)]
    {
        for path in files::list(&to.join(part), extension)? {
            let bytes = std::fs::metadata(&path).map_err(io("stat", &path))?.len();
            listed.extend(path.strip_prefix(to).ok().map(|name| (name.to_owned(), bytes)));
        }
    }
    for part in ["segments", "log"] {
        files::sync_dir(&to.join(part))?;
    }
    let backup = Backup { version: VERSION, watermark, files: listed };
    let path = to.join(MANIFEST);
    let mut file = files::Temporary::create(&path)?;
    serde_json::to_writer_pretty(&mut file, &backup)
        .map_err(|e| io("write", &path)(std::io::Error::other(e)))?;
    file.publish()?;
    files::sync_dir(to)?;
    files::sync_parent(to)?;
    Ok(backup)
}
