//! The engine against a naive oracle of what was acknowledged, on a disk that fails at any operation.
//!
//! An acknowledged record is there exactly once, until retention drops its segment. A record whose
//! request failed is there once or not at all: an error says that nothing is promised, and after a
//! crash a write that was reported as failed may prove to have taken place. Nothing else is there.
//! An error leaves the engine usable; after a crash or a power cut it opens again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use headrope_model::DataSet;
use headrope_storage::{Engine, Snapshot, StorageError, Submission};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::config;
use crate::disk::{Fault, FaultDisk};
use crate::flips::copy;
use crate::rows::{self, Kind, Record};

#[derive(Debug, Clone)]
enum Step {
    Append {
        kind: Kind,
        count: u64,
        old: bool,
    },
    Flush,
    Compact,
    Expire,
    /// The process dies between two operations; the page cache stays.
    Kill,
    /// The power goes between two operations.
    PowerCut,
    /// The process dies, and the catalog is lost.
    LoseCatalog,
    Restart,
}

/// A step, and what goes wrong at which of its operations.
type Planned = (Step, Option<(usize, Fault)>);

fn step() -> impl Strategy<Value = Planned> {
    let append = (prop_oneof![Just(Kind::Span), Just(Kind::Log)], 1_u64..5, any::<bool>())
        .prop_map(|(kind, count, old)| Step::Append { kind, count, old });
    let step = prop_oneof![
        10 => append,
        4 => Just(Step::Flush),
        3 => Just(Step::Compact),
        1 => Just(Step::Expire),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
        1 => Just(Step::LoseCatalog),
        1 => Just(Step::Restart),
    ];
    let fault = prop_oneof![
        Just(Fault::Error),
        Just(Fault::Burst),
        Just(Fault::Late),
        Just(Fault::Short),
        Just(Fault::Kill),
        Just(Fault::PowerCut),
    ];
    // Most steps meet few operations, a flush some thirty.
    let at = prop_oneof![0_usize..4, 0_usize..40];
    (step, prop::option::of((at, fault)))
}

struct Model {
    root: tempfile::TempDir,
    seed: u64,
    /// Directories used so far.
    dirs: usize,
    dir: PathBuf,
    disk: Arc<FaultDisk>,
    engine: Arc<Engine>,
    next: u64,
    /// Acknowledged, and not dropped.
    acknowledged: BTreeSet<Record>,
    /// Nothing is promised of these.
    unknown: BTreeSet<Record>,
    /// Dropped by retention.
    dropped: BTreeSet<Record>,
    dice: ChaCha8Rng,
}

impl Model {
    async fn new(seed: u64) -> Self {
        let base = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let root = tempfile::tempdir_in(base).unwrap();
        let dir = root.path().join("0");
        std::fs::create_dir_all(&dir).unwrap();
        let disk = FaultDisk::under(&dir, root.path().join("1"), seed);
        let engine = Engine::open(config(&dir)).await.unwrap();
        Self {
            root,
            seed,
            dirs: 1,
            dir,
            disk,
            engine,
            next: 0,
            acknowledged: BTreeSet::new(),
            unknown: BTreeSet::new(),
            dropped: BTreeSet::new(),
            dice: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    async fn play(&mut self, (step, fault): Planned) {
        let doomed = match step {
            Step::Expire => doomed(&self.engine.snapshot().await.unwrap()),
            _ => BTreeSet::new(),
        };
        if let Some((skip, fault)) = fault {
            self.disk.arm(skip, fault);
        }
        match step {
            Step::Append { kind, count, old } => self.append(kind, count, old).await,
            Step::Flush => self.note(self.engine.flush().await),
            Step::Compact => self.note(self.engine.compact().await),
            Step::Expire => self.expire(&doomed).await,
            Step::Kill => self.reopen().await,
            Step::PowerCut => {
                self.disk.cut_power();
                self.power_on().await;
            }
            Step::LoseCatalog => {
                self.disk.disarm();
                let left = self.root.path().join(self.dirs.to_string());
                copy(&self.dir, &left);
                self.engine.release_lock();
                self.dir = left;
                self.dirs += 1;
                self.rebuild().await;
                let image = self.root.path().join(self.dirs.to_string());
                self.disk = FaultDisk::under(&self.dir, image, self.seed ^ self.dirs as u64);
                self.engine = Engine::open(config(&self.dir)).await.unwrap();
            }
            Step::Restart => {
                self.note(self.engine.shutdown().await);
                self.reopen().await;
            }
        }
        self.disk.disarm();
        if self.disk.is_dead() {
            self.after_death().await;
        }
        self.engine.check_disk();
        self.check().await;
    }

    /// An error is allowed if something went wrong.
    fn note(&self, result: Result<(), StorageError>) {
        if let Err(error) = result {
            assert!(!self.disk.fired().is_empty(), "{error}");
        }
    }

    async fn append(&mut self, kind: Kind, count: u64, old: bool) {
        let ids: Vec<u64> = (self.next..self.next + count).collect();
        self.next += count;
        let records = ids.iter().map(|id| (kind, *id));
        let submission: Submission = rows::request(kind, &ids, old);
        let Ok(permit) = self.engine.admit(submission.payload().len()) else {
            return;
        };
        match self.engine.append(permit, submission).await {
            Ok(_) => self.acknowledged.extend(records),
            Err(error) => {
                assert!(!self.disk.fired().is_empty(), "{error}");
                self.unknown.extend(records);
            }
        }
    }

    async fn expire(&mut self, doomed: &BTreeSet<Record>) {
        for record in doomed {
            self.acknowledged.remove(record);
        }
        match self.engine.expire().await {
            Ok(_) => self.unknown.retain(|record| !doomed.contains(record)),
            Err(_) => self.unknown.extend(doomed.iter().copied()),
        }
        self.dropped.extend(doomed);
    }

    async fn after_death(&mut self) {
        if self.root.path().join(self.dirs.to_string()).exists() {
            self.power_on().await;
        } else {
            self.disk.revive();
            self.reopen().await;
        }
    }

    /// Opens the same directory again, without a proper end; what goes wrong on the way is an error
    /// or another death.
    async fn reopen(&mut self) {
        match open(&self.engine, &self.dir).await {
            Ok(engine) => self.engine = engine,
            Err(error) => {
                assert!(!self.disk.fired().is_empty(), "{error}");
                self.disk.disarm();
                if self.disk.is_dead() {
                    return Box::pin(self.after_death()).await;
                }
                self.engine = open(&self.engine, &self.dir).await.unwrap();
            }
        }
    }

    /// Opens what the power cut left.
    async fn power_on(&mut self) {
        self.dir = self.root.path().join(self.dirs.to_string());
        self.dirs += 1;
        let image = self.root.path().join(self.dirs.to_string());
        self.disk = FaultDisk::under(&self.dir, image, self.seed ^ self.dirs as u64);
        if self.dice.random_ratio(1, 3) {
            self.rebuild().await;
        }
        self.engine = Engine::open(config(&self.dir)).await.unwrap();
    }

    /// The catalog is lost, and made anew. What retention dropped may come back.
    async fn rebuild(&mut self) {
        for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
            let path = self.dir.join(name);
            if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
        headrope_storage::rebuild_catalog(&self.dir).await.unwrap();
        self.unknown.append(&mut self.dropped.clone());
    }

    async fn check(&self) {
        let snapshot = self.engine.snapshot().await.unwrap();
        let seen = rows::seen(&snapshot).unwrap();
        let fired = self.disk.fired();
        for (record, count) in &seen {
            let known = self.acknowledged.contains(record) || self.unknown.contains(record);
            assert!(known && *count == 1, "{record:?} is there {count} times; {fired:?}");
        }
        for record in &self.acknowledged {
            assert!(seen.contains_key(record), "{record:?} is lost; {fired:?}");
        }
        if self.dropped.is_empty() {
            let spans = seen.keys().filter(|(kind, _)| *kind == Kind::Span).count();
            assert_eq!(rows::part_spans(&snapshot).unwrap(), spans as i64, "{fired:?}");
        }
    }
}

/// A second process would have to wait for the first one's lock.
async fn open(old: &Arc<Engine>, dir: &std::path::Path) -> Result<Arc<Engine>, StorageError> {
    old.release_lock();
    Engine::open(config(dir)).await
}

/// Records of the segments that are past every age.
fn doomed(snapshot: &Snapshot) -> BTreeSet<Record> {
    let mut doomed = BTreeSet::new();
    for data_set in [DataSet::Spans, DataSet::Logs] {
        for segment in snapshot.segments(data_set) {
            if segment.meta().max_time.cast_unsigned() < rows::OLD_NS + 1_000_000_000 {
                let batches = rows::of_segment(segment).unwrap();
                doomed.extend(rows::records(data_set, &batches));
            }
        }
    }
    doomed
}

fn cases() -> u32 {
    std::env::var("HEADROPE_FAULT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        rng_seed: RngSeed::Fixed(1),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Scenario: any order of appends, flushes, merges, retention, crashes, power cuts and restarts,
    /// with any fault at any file operation on the way. Guarantee: see the module.
    #[test]
    fn what_is_acknowledged_is_there_once(
        steps in prop::collection::vec(step(), 1..24),
        seed: u64,
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let mut model = Model::new(seed).await;
            for step in steps {
                model.play(step).await;
            }
        });
    }
}

/// Scenario: the log's sync fails once. Guarantee: the request is refused, and the next one goes to
/// another file, whatever became of the pages of the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_sync_failed_is_not_appended_to() {
    let mut model = Model::new(7).await;
    model.append(Kind::Span, 3, false).await;
    let log_dir = model.dir.join("log");
    let files = || {
        let names = std::fs::read_dir(&log_dir).unwrap();
        names.map(|f| f.unwrap().file_name()).collect::<BTreeSet<_>>()
    };
    let before = files();
    assert_eq!(before.len(), 1);
    // The mark of the first append, if it is not written yet, is one operation more; then the write.
    let mut refused = None;
    for id in 100..110 {
        model.disk.arm(1, Fault::Error);
        let submission = rows::request(Kind::Log, &[id], false);
        let permit = model.engine.admit(100).unwrap();
        let result = model.engine.append(permit, submission).await;
        model.disk.disarm();
        if result.is_err() {
            refused = Some(id);
            break;
        }
        model.acknowledged.insert((Kind::Log, id));
    }
    let refused = refused.unwrap();
    assert!(model.engine.ready().is_err(), "not ready while the log refuses writes");
    model.unknown.insert((Kind::Log, refused));
    model.engine.check_disk();
    assert!(model.engine.ready().is_ok());
    let sync = model.disk.fired().last().unwrap().starts_with("Error at sync");
    model.append(Kind::Span, 2, false).await;
    assert!(!sync || files().len() > before.len(), "{:?}", model.disk.fired());
    let seen: BTreeMap<Record, usize> =
        rows::seen(&model.engine.snapshot().await.unwrap()).unwrap();
    assert!(!seen.contains_key(&(Kind::Log, refused)), "a refused request is not shown");
    model.play((Step::PowerCut, None)).await;
}
