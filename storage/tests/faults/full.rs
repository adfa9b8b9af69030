//! A full disk: writes are refused, questions answered, and all goes on when there is room again.

use headrope_model::RefuseReason;
use headrope_storage::{AppendError, Engine};

use crate::disk::FaultDisk;
use crate::rows::{self, Kind, Record};
use crate::config;

async fn append(engine: &Engine, id: u64) -> Result<Record, AppendError> {
    let submission = rows::request(Kind::Span, &[id], false);
    let permit = engine.admit(submission.payload().len())?;
    engine.append(permit, submission).await.map(|_| (Kind::Span, id))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_recovers() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("0");
    std::fs::create_dir_all(&dir).unwrap();
    let disk = FaultDisk::under(&dir, root.path().join("1"), 1);
    let engine = Engine::open(config(&dir)).await.unwrap();
    let mut stored = vec![append(&engine, 0).await.unwrap()];
    engine.flush().await.unwrap();
    stored.push(append(&engine, 1).await.unwrap());
    disk.set_full(true);
    for id in 2..5 {
        let refused = append(&engine, id).await.unwrap_err();
        assert!(matches!(refused, AppendError::Retry { reason: RefuseReason::DiskFull, .. }));
        assert_eq!(engine.ready(), Err(RefuseReason::DiskFull));
        // What is asked meanwhile is answered.
        let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), stored);
        engine.flush().await.unwrap_err();
        let parts = std::fs::read_dir(dir.join("segments")).unwrap().count();
        assert_eq!(parts, 2, "a failed flush leaves nothing behind");
        engine.check_disk();
    }
    disk.set_full(false);
    engine.check_disk();
    assert_eq!(engine.ready(), Ok(()));
    stored.push(append(&engine, 5).await.unwrap());
    engine.flush().await.unwrap();
    let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), stored.iter().map(|r| (*r, 1)).collect::<Vec<_>>());
    engine.shutdown().await.unwrap();
}
