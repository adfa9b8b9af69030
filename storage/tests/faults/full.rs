//! A full disk: writes are refused, questions answered, and all goes on when there is room again.

use headrope_model::RefuseReason;
use headrope_storage::{AppendError, Engine};

use crate::config;
use crate::disk::FaultDisk;
use crate::rows::{self, Kind, Record};

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
    let files = || std::fs::read_dir(dir.join("segments")).unwrap().count();
    let flushed = files();
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
        assert_eq!(files(), flushed, "a failed flush leaves nothing behind");
        engine.check_disk();
    }
    disk.set_full(false);
    engine.check_disk();
    assert_eq!(engine.ready(), Ok(()));
    stored.push(append(&engine, 5).await.unwrap());
    engine.flush().await.unwrap();
    let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        stored.iter().map(|r| (*r, 1)).collect::<Vec<_>>()
    );
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_reserve_nothing_is_taken() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("0");
    std::fs::create_dir_all(&dir).unwrap();
    let disk = FaultDisk::under(&dir, root.path().join("1"), 1);
    let mut config = config(&dir);
    config.min_free_bytes = 1000;
    disk.set_free(999);
    let engine = Engine::open(config).await.unwrap();
    assert_eq!(engine.ready(), Err(RefuseReason::DiskFull), "known from the start");
    append(&engine, 0).await.unwrap_err();
    disk.set_free(1000);
    engine.check_disk();
    let stored = append(&engine, 1).await.unwrap();
    disk.set_free(10);
    engine.check_disk();
    append(&engine, 2).await.unwrap_err();
    // The reserve is for this.
    engine.flush().await.unwrap();
    let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [stored]);
}

/// A file system of its own, taken down at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where it may not be mounted.
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        mounted.is_ok_and(|done| done.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Scenario: a real file system fills up, under the log, the segments and the catalog alike. Guarantee:
/// requests are refused, what was acknowledged is answered, and all goes on when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_disk_fills_up() {
    let Some(small) = SmallDisk::mount(6 << 20) else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let filler = small.0.path().join("filler");
    let dir = small.0.path().join("data");
    let engine = Engine::open(config(&dir)).await.unwrap();
    let (mut stored, mut id) = (Vec::new(), 0);
    for round in 0..4 {
        std::fs::write(&filler, vec![0; 1 << 20]).unwrap();
        // From here on to the last byte, in steps that leave different room in every round.
        let mut room = Vec::new();
        for at in 0.. {
            let path = small.0.path().join(format!("filler-{at}"));
            let full = std::fs::write(&path, vec![0; 4096 * (round + 1)]).is_err();
            room.push(path);
            if full {
                break;
            }
        }
        std::fs::remove_file(room.pop().unwrap()).unwrap();
        let mut refusals = 0;
        while refusals < 3 {
            match append(&engine, id).await {
                Ok(record) => stored.push(record),
                Err(AppendError::Retry { reason: RefuseReason::DiskFull, .. }) => {
                    refusals += 1;
                    // It fails or, where a little room is left, does not; nothing is lost either way.
                    let _ = engine.flush().await;
                    let _ = engine.compact().await;
                    engine.check_disk();
                }
                Err(other) => panic!("{other}"),
            }
            id += 1;
            assert!(id < 1_000_000, "the disk never filled up");
        }
        let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), once(&stored), "round {round}");
        for path in room.into_iter().chain([filler.clone()]) {
            std::fs::remove_file(path).unwrap();
        }
        engine.check_disk();
        engine.flush().await.unwrap();
        stored.push(append(&engine, id).await.unwrap());
        id += 1;
    }
    engine.release_lock();
    let engine = Engine::open(config(&dir)).await.unwrap();
    let seen = rows::seen(&engine.snapshot().await.unwrap()).unwrap();
    // A request whose answer was an error may have come to be stored only if the process died then.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), once(&stored));
    engine.shutdown().await.unwrap();
}

fn once(records: &[Record]) -> Vec<(Record, usize)> {
    records.iter().map(|record| (*record, 1)).collect()
}
