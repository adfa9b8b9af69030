//! Backups: taken while requests come in, restored, and opened.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use headrope_storage::Engine;

use crate::config;
use crate::rows::{self, Kind, Record};

async fn append(engine: &Engine, kind: Kind, id: u64) {
    let submission = rows::request(kind, &[id], false);
    let permit = engine.admit(submission.payload().len()).unwrap();
    engine.append(permit, submission).await.unwrap();
}

async fn content(dir: &Path) -> BTreeSet<Record> {
    let engine = Engine::open(config(dir)).await.unwrap();
    let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    engine.shutdown().await.unwrap();
    seen.into_keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_has_everything_acknowledged_before() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let engine = Engine::open(config(&dir)).await.unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (engine, acknowledged, stop) =
            (Arc::clone(&engine), Arc::clone(&acknowledged), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut id = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let kind = if id.is_multiple_of(3) { Kind::Log } else { Kind::Span };
                append(&engine, kind, id).await;
                id += 1;
                acknowledged.store(id, Ordering::Release);
                match id % 20 {
                    0 => engine.flush().await.unwrap(),
                    10 => engine.compact().await.unwrap(),
                    _ => {}
                }
            }
            id
        })
    };
    let mut backups = Vec::new();
    for number in 0..3 {
        while acknowledged.load(Ordering::Acquire) < 50 * (number + 1) {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::Acquire);
        let to = root.path().join(format!("backup-{number}"));
        engine.backup(&to).await.unwrap();
        backups.push((before, to));
    }
    stop.store(true, Ordering::Relaxed);
    let sent = load.await.unwrap();
    engine.shutdown().await.unwrap();
    for (before, from) in backups {
        let checked = headrope_storage::verify(&from).await.unwrap();
        assert!(checked.faults.is_empty() && checked.segments > 0, "{checked:?}");
        let to = from.with_extension("restored");
        headrope_storage::restore(&from, &to).await.unwrap();
        let found = content(&to).await;
        let record = |id: u64| (if id.is_multiple_of(3) { Kind::Log } else { Kind::Span }, id);
        assert!((0..before).all(|id| found.contains(&record(id))), "{before} {found:?}");
        assert!(found.iter().all(|(kind, id)| *id < sent && record(*id) == (*kind, *id)));
        // The catalog of a backup can be lost, too.
        std::fs::remove_file(from.join("catalog.sqlite")).unwrap();
        headrope_storage::rebuild_catalog(&from).await.unwrap();
        assert_eq!(content(&from).await, found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_stopped_node_is_checked_when_it_is_restored() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let engine = Engine::open(config(&dir)).await.unwrap();
    for id in 0..10 {
        append(&engine, Kind::Log, id).await;
    }
    engine.flush().await.unwrap();
    let to = root.path().join("backup");
    let busy = headrope_storage::backup(&dir, &to).await.unwrap_err().to_string();
    assert!(busy.contains("in use by another headrope process"), "{busy}");
    engine.shutdown().await.unwrap();
    drop(engine);
    headrope_storage::backup(&dir, &to).await.unwrap();
    let taken = headrope_storage::backup(&dir, &to).await.unwrap_err().to_string();
    assert!(taken.contains("backup"), "{taken}");
    let over = headrope_storage::restore(&to, &dir).await.unwrap_err().to_string();
    assert!(over.contains("data"), "{over}");
    let segments = std::fs::read_dir(to.join("segments")).unwrap();
    for file in segments.map(|f| f.unwrap().path()) {
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 3] ^= 4;
        // A link would change the original, too.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bad).unwrap();
        let target = root.path().join("restored");
        let error = headrope_storage::restore(&to, &target).await.unwrap_err().to_string();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(error.contains(name) && error.contains("damaged"), "{error}");
        assert!(!target.exists());
        let found = headrope_storage::verify(&to).await.unwrap();
        assert_eq!(found.faults.len(), 1);
        std::fs::write(&file, good).unwrap();
    }
    std::fs::remove_file(to.join("BACKUP")).unwrap();
    let missing = headrope_storage::restore(&to, &root.path().join("r")).await.unwrap_err();
    assert!(missing.to_string().contains("BACKUP"), "{missing}");
    assert_eq!(content(&dir).await.len(), 10);
}
