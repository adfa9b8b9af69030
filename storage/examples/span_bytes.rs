//! What spans cost at rest and to store: bytes of each data set and of each column of spans after
//! flushes and after merging, and CPU time of the flushes, over a workload.
//!
//! ```text
//! cargo run --release -p headrope-storage --example span_bytes -- shop|jaeger|wide [SPANS] [DIR]
//! ```
#![allow(clippy::unwrap_used, reason = "a tool that stops at the first failure")]

use std::collections::BTreeMap;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use headrope_model::{DataSet, Signal};
use headrope_storage::{Engine, Snapshot, StorageConfig, Submission};
use headrope_testdata::Shop;
use headrope_testdata::workload::{Schedule, jaeger, wide};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use prost::Message as _;

/// When the first span starts, Unix nanoseconds.
const FROM_NS: i64 = 1_748_844_000_000_000_000;
/// Spans of a request.
const BATCH: u64 = 1000;
/// Spans of a flush.
const FLUSH: u64 = 300_000;

/// User CPU time of this process in seconds (`/proc/self/stat`, 100 ticks a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() / 100.0
}

fn requests(name: &str, spans: u64) -> Box<dyn Iterator<Item = ExportTraceServiceRequest>> {
    let schedule = |step_ns| Schedule { seed: 1, from_ns: FROM_NS, step_ns, records: BATCH };
    let numbers = 0..spans.div_ceil(BATCH);
    match name {
        "jaeger" => Box::new(numbers.map(move |n| jaeger::request(&schedule(86_400_000), n))),
        "wide" => Box::new(numbers.map(move |n| wide::request(&schedule(200_000_000), n))),
        _ => {
            let slices: Vec<_> = Shop::new(1).exactly(FROM_NS, spans, 0).collect();
            Box::new(slices.into_iter().flat_map(|slice| slice.traces))
        }
    }
}

fn report(snapshot: &Snapshot, spans: u64) {
    let each = |bytes: u64| bytes as f64 / spans as f64;
    let mut all = 0;
    for data_set in DataSet::ALL {
        let segments = snapshot.segments(data_set);
        let bytes: u64 = segments.iter().map(|s| s.meta().bytes).sum();
        all += bytes;
        if bytes > 0 {
            println!("  {data_set}: {} segments, {:.2} B a span", segments.len(), each(bytes));
        }
    }
    println!("  all: {:.2} B a span", each(all));
    let mut columns: BTreeMap<String, u64> = BTreeMap::new();
    let mut groups = 0;
    for segment in snapshot.segments(DataSet::Spans) {
        let file = std::fs::File::open(segment.path()).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        for group in reader.metadata().row_groups() {
            groups += 1;
            for column in group.columns() {
                let bytes = u64::try_from(column.compressed_size()).unwrap();
                *columns.entry(column.column_path().string()).or_default() += bytes;
            }
        }
    }
    let pages: u64 = columns.values().sum();
    println!("  {groups} row groups of spans, {:.2} B a span in pages", each(pages));
    let mut columns: Vec<_> = columns.into_iter().collect();
    columns.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    for (column, bytes) in columns.iter().take(45) {
        println!("    {column} {:.2}", each(*bytes));
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "shop".to_owned());
    let spans: u64 = args.next().map_or(1_000_000, |n| n.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let dir = args.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let mut config = StorageConfig::new(dir);
    config.flush_bytes = usize::MAX;
    config.memory_budget_bytes = usize::MAX;
    config.compact_fan_in = 2;
    config.retain_traces = None;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Engine::open(config).await.unwrap();
        let (mut stored, mut since, mut flushes) = (0, 0, 0.0);
        for request in requests(&name, spans) {
            let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
            let records = scopes.map(|s| s.spans.len() as u64).sum();
            let payload: bytes::Bytes = request.encode_to_vec().into();
            let permit = engine.admit(payload.len()).unwrap();
            let submission = Submission::Plain { signal: Signal::Traces, records, payload };
            engine.append(permit, submission).await.unwrap();
            (stored, since) = (stored + records, since + records);
            if since >= FLUSH || stored >= spans {
                engine.snapshot().await.unwrap();
                let began = cpu();
                engine.flush().await.unwrap();
                flushes += cpu() - began;
                since = 0;
            }
        }
        println!("{name}: {stored} spans, flushes {:.2} µs a span", flushes * 1e6 / stored as f64);
        report(&engine.snapshot().await.unwrap(), stored);
        let began = cpu();
        engine.compact().await.unwrap();
        println!("merged, {:.2} µs a span", (cpu() - began) * 1e6 / stored as f64);
        report(&engine.snapshot().await.unwrap(), stored);
        engine.shutdown().await.unwrap();
    });
}
