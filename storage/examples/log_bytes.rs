//! What log lines cost at rest and to store: bytes of each column and of the text index after a flush
//! and after merging, and CPU time, over the `logs` workload.
//!
//! ```text
//! cargo run --release -p headrope-storage --example log_bytes -- [LINES [DIR]]
//! ```
//!
//! In `DIR`, which must be empty or missing, the files stay.
#![allow(clippy::unwrap_used, reason = "a tool that stops at the first failure")]

use std::collections::BTreeMap;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use headrope_model::{DataSet, Signal};
use headrope_storage::text::{TextIndex, TextQuery};
use headrope_storage::{Engine, Snapshot, StorageConfig, Submission};
use headrope_testdata::workload::{Schedule, logs};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use prost::Message as _;

/// User and system CPU time of this process in seconds (`/proc/self/stat`, 100 ticks a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn report(snapshot: &Snapshot, lines: u64) {
    let each = |bytes: u64| bytes as f64 / lines as f64;
    let mut columns: BTreeMap<String, u64> = BTreeMap::new();
    let (mut data, mut index) = (0, 0);
    for segment in snapshot.segments(DataSet::Logs) {
        data += segment.meta().bytes;
        index += segment.meta().index_bytes.unwrap_or(0);
        let file = std::fs::File::open(segment.path()).unwrap();
        for group in SerializedFileReader::new(file).unwrap().metadata().row_groups() {
            for column in group.columns() {
                let bytes = u64::try_from(column.compressed_size()).unwrap();
                *columns.entry(column.column_path().string()).or_default() += bytes;
            }
        }
    }
    let segments = snapshot.segments(DataSet::Logs).len();
    println!("  {segments} segments: {:.1} B data, {:.1} B index a line", each(data), each(index));
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (column, bytes) in columns.iter().take(14) {
        println!("    {column} {:.2}", each(*bytes));
    }
}

/// Lookups of some words in every index: segments with candidates, and their rows.
fn look_up(snapshot: &Snapshot) {
    let indexes: Vec<_> = snapshot
        .segments(DataSet::Logs)
        .iter()
        .map(|s| TextIndex::open(s.index_path().unwrap()).unwrap())
        .collect();
    let words = [logs::rare_term(1, 0, 3), logs::COMMON_TERM.to_owned(), logs::absent_term(1, 1)];
    for word in words {
        let query = TextQuery::parse(&word).unwrap();
        let (mut rows, mut exact, began) = (0, true, cpu());
        for _ in 0..100 {
            rows = 0;
            for index in &indexes {
                let found = index.candidates(&query).unwrap().unwrap();
                rows += found.rows.len();
                exact &= found.is_exact();
            }
        }
        let micros = (cpu() - began) * 1e4;
        println!("  {word}: {rows} candidates, exact {exact}, {micros:.0} µs of CPU time");
    }
}

fn main() {
    let lines: u64 = std::env::args().nth(1).map_or(400_000, |n| n.parse().unwrap());
    let schedule = Schedule {
        seed: 1,
        from_ns: 1_748_844_000_000_000_000,
        step_ns: 10_000_000,
        records: 1000,
    };
    let requests: Vec<bytes::Bytes> =
        (0..lines / 1000).map(|n| logs::request(&schedule, n).encode_to_vec().into()).collect();
    let raw: usize = requests.iter().map(bytes::Bytes::len).sum();
    println!("{lines} lines, {:.1} B of OTLP a line", raw as f64 / lines as f64);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    runtime.block_on(async {
        let kept = std::env::args().nth(2).map(std::path::PathBuf::from);
        let mut config = StorageConfig::new(kept.unwrap_or_else(|| dir.path().to_owned()));
        config.maintenance_interval = std::time::Duration::from_secs(3600);
        config.retain_logs = None;
        config.memory_budget_bytes = usize::MAX;
        config.compact_fan_in = 2;
        let engine = Engine::open(config).await.unwrap();
        let began = cpu();
        for payload in requests {
            let permit = engine.admit(payload.len()).unwrap();
            let submission = Submission::Plain { signal: Signal::Logs, records: 1000, payload };
            engine.append(permit, submission).await.unwrap();
        }
        engine.flush().await.unwrap();
        println!(
            "append and flush: {:.2} µs of CPU time a line",
            (cpu() - began) * 1e6 / lines as f64
        );
        report(&engine.snapshot().await.unwrap(), lines);
        let began = cpu();
        engine.compact().await.unwrap();
        println!("merge: {:.2} µs of CPU time a line", (cpu() - began) * 1e6 / lines as f64);
        let snapshot = engine.snapshot().await.unwrap();
        report(&snapshot, lines);
        look_up(&snapshot);
        engine.shutdown().await.unwrap();
    });
}
