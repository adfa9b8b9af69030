//! Every byte of a stored data directory is flipped, one at a time: the outcome is the right rows or
//! an error that names the file, never other rows and never a panic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use headrope_model::DataSet;
use headrope_storage::text::{TextIndex, TextQuery};
use headrope_storage::{Engine, StorageError};

use crate::config;
use crate::rows::{self, Kind, Record};

async fn append(engine: &Engine, kind: Kind, ids: std::ops::Range<u64>) {
    let ids: Vec<u64> = ids.collect();
    let submission = rows::request(kind, &ids, false);
    let permit = engine.admit(submission.payload().len()).unwrap();
    engine.append(permit, submission).await.unwrap();
}

/// A directory with flushed, merged and logged rows, as a crash leaves it.
async fn directory(root: &Path) -> PathBuf {
    let live = root.join("live");
    let engine = Engine::open(config(&live)).await.unwrap();
    for from in [0, 10] {
        append(&engine, Kind::Span, from..from + 5).await;
        append(&engine, Kind::Log, from..from + 5).await;
        engine.flush().await.unwrap();
    }
    engine.compact().await.unwrap();
    append(&engine, Kind::Span, 20..25).await;
    append(&engine, Kind::Log, 20..25).await;
    engine.flush().await.unwrap();
    append(&engine, Kind::Span, 30..33).await;
    append(&engine, Kind::Log, 30..33).await;
    let left = root.join("left");
    copy(&live, &left);
    left
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_none_or(|e| e != "sqlite-shm") {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

type Content = (BTreeMap<Record, usize>, i64, Vec<(&'static str, Vec<Record>)>);

/// Everything a reader can get out of a directory.
async fn content(dir: &Path) -> Result<Content, StorageError> {
    let engine = Engine::open(config(dir)).await?;
    let snapshot = engine.snapshot().await?;
    let mut found = Vec::new();
    for word in ["line", "3", "21", "absent"] {
        let is_hit = |(_, id): &Record| word == "line" || id.to_string() == word;
        let mut hits = Vec::new();
        for segment in snapshot.segments(DataSet::Logs) {
            let all = rows::records(DataSet::Logs, &rows::of_segment(segment)?);
            let index = TextIndex::open(segment.index_path().unwrap())?;
            let candidates = index.candidates(&TextQuery::parse(word).unwrap())?;
            let numbered = (0_u32..).zip(all);
            let at =
                numbered.filter(|(at, _)| candidates.as_ref().is_none_or(|c| c.rows.contains(*at)));
            hits.extend(at.map(|(_, record)| record).filter(is_hit));
        }
        let live: Vec<_> = snapshot.live(DataSet::Logs).iter().map(|l| l.batch.clone()).collect();
        hits.extend(rows::records(DataSet::Logs, &live).into_iter().filter(is_hit));
        hits.sort_unstable();
        found.push((word, hits));
    }
    for rollup in DataSet::ROLLUPS {
        for segment in snapshot.segments(rollup) {
            rows::of_segment(segment)?;
        }
    }
    let all = (rows::seen(&snapshot)?, rows::part_spans(&snapshot)?, found);
    engine.release_lock();
    Ok(all)
}

/// Places to flip: all of small files, of large ones the ends and a sample, or all of them too with
/// `HEADROPE_FLIPS=all`.
fn places(len: usize) -> Vec<usize> {
    let all = std::env::var("HEADROPE_FLIPS").is_ok_and(|v| v == "all");
    let edge = 40.min(len);
    let step = if all || len <= 200 { 1 } else { len / 50 + 1 };
    let mut places: Vec<usize> = (0..edge).chain((0..len).step_by(step)).collect();
    places.extend(len - edge..len);
    places.sort_unstable();
    places.dedup();
    places
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.file_name().is_some_and(|n| n != "LOCK") {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_found_or_harmless() {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let root = tempfile::tempdir_in(base).unwrap();
    let pristine = directory(root.path()).await;
    let want = content(&copied(&pristine, root.path(), 0)).await.unwrap();
    let (mut flips, mut harmless) = (0, BTreeMap::<String, usize>::new());
    for path in files(&pristine) {
        let bytes = std::fs::read(&path).unwrap();
        let kind = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        for at in places(bytes.len()) {
            flips += 1;
            let dir = copied(&pristine, root.path(), flips);
            let target = dir.join(path.strip_prefix(&pristine).unwrap());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&target, flipped).unwrap();
            match content(&dir).await {
                Ok(found) => {
                    assert_eq!(found, want, "{} byte {at}", path.display());
                    *harmless.entry(kind.clone()).or_default() += 1;
                }
                Err(error) => assert_named(&error.to_string(), &path, at),
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
    println!("{flips} flips; read right in spite of one, by kind of file: {harmless:?}");
    for kind in ["parquet", "idx"] {
        assert_eq!(harmless.get(kind), None, "every byte of a segment is under a checksum");
    }
}

/// The error says which file.
fn assert_named(error: &str, path: &Path, at: usize) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let named = error.contains(name) || (name.starts_with("catalog") && error.contains("catalog"));
    // A write-ahead log with a flipped bit ends there: the catalog is then an older one, which the
    // segments or the ingest log give away.
    let older = name.ends_with("-wal");
    assert!(named || older, "{name} byte {at}: {error}");
}

/// A fresh copy to work on. Each has its own name: `SQLite` may still be closing the last one's files.
fn copied(pristine: &Path, root: &Path, number: usize) -> PathBuf {
    let dir = root.join(number.to_string());
    copy(pristine, &dir);
    dir
}
