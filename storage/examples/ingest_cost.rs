//! CPU cost of ingest by stage over the seeded shop: `cargo run --release -p headrope-storage
//! --example ingest_cost [SPANS]`. Prints process CPU seconds, background work included.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a tool read from top to bottom, that stops at the first failure"
)]

use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use headrope_model::{DataSet, Signal};
use headrope_storage::{Engine, StorageConfig, Submission};
use headrope_testdata::Shop;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

/// User and system CPU time of this process in seconds (`/proc/self/stat`, 100 ticks a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn spans_in(request: &ExportTraceServiceRequest) -> u64 {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.map(|s| s.spans.len() as u64).sum()
}

fn main() {
    let spans: u64 = std::env::args().nth(1).map_or(300_000, |n| n.parse().unwrap());
    let shop = Shop::new(7);
    let (mut traces, mut logs) = (Vec::new(), Vec::new());
    for slice in shop.exactly(1_736_121_600_000_000_000, spans, spans / 2) {
        traces.extend(slice.traces.iter().map(|r| bytes::Bytes::from(r.encode_to_vec())));
        logs.extend(slice.logs.iter().map(|r| bytes::Bytes::from(r.encode_to_vec())));
    }
    let size = |all: &[bytes::Bytes]| all.iter().map(bytes::Bytes::len).sum::<usize>();
    println!(
        "{} trace requests, {:.0} B/span raw",
        traces.len(),
        size(&traces) as f64 / spans as f64
    );
    println!(
        "{} log requests, {:.0} B/line raw",
        logs.len(),
        size(&logs) as f64 / (spans / 2) as f64
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let mut config = StorageConfig::new(dir.path().to_owned());
    config.flush_bytes = usize::MAX;
    config.memory_budget_bytes = usize::MAX;
    let per = |cpu: f64, n: u64| cpu * 1e6 / n as f64;
    runtime.block_on(async {
        let engine = Engine::open(config).await.unwrap();
        let started = cpu();
        let decoded: Vec<_> =
            traces.iter().map(|b| ExportTraceServiceRequest::decode(b.clone()).unwrap()).collect();
        println!("prost decode   {:.2} µs/span", per(cpu() - started, spans));
        for level in [-7, -3, -1, 1] {
            let (started, mut packed) = (cpu(), 0);
            let mut compressor = zstd::bulk::Compressor::new(level).unwrap();
            for payload in &traces {
                packed += compressor.compress(payload).unwrap().len();
            }
            println!(
                "zstd {level:2}        {:.2} µs/span, {:.1} B/span",
                per(cpu() - started, spans),
                packed as f64 / spans as f64
            );
        }
        let started = (cpu(), Instant::now());
        for (request, payload) in decoded.into_iter().zip(&traces) {
            let permit = engine.admit(payload.len()).unwrap();
            let (signal, records) = (Signal::Traces, spans_in(&request));
            let submission = Submission::Plain { signal, records, payload: payload.clone() };
            engine.append(permit, submission).await.unwrap();
        }
        engine.snapshot().await.unwrap();
        println!(
            "append spans   {:.2} µs/span (zstd, log, sync, rows), {:.2?}",
            per(cpu() - started.0, spans),
            started.1.elapsed()
        );
        let live: usize = engine
            .snapshot()
            .await
            .unwrap()
            .live(DataSet::Spans)
            .iter()
            .map(|b| b.batch.get_array_memory_size())
            .sum();
        println!("live           {:.0} B/span", live as f64 / spans as f64);
        let started = (cpu(), Instant::now());
        engine.flush().await.unwrap();
        println!(
            "flush spans    {:.2} µs/span, {:.2?}",
            per(cpu() - started.0, spans),
            started.1.elapsed()
        );
        for segment in engine.snapshot().await.unwrap().segments(DataSet::Spans) {
            println!(
                "               {:.1} B/span on disk",
                segment.meta().bytes as f64 / segment.meta().rows as f64
            );
        }
        let lines = spans / 2;
        let started = cpu();
        for payload in &logs {
            let permit = engine.admit(payload.len()).unwrap();
            let (signal, records) = (Signal::Logs, 1);
            let submission = Submission::Plain { signal, records, payload: payload.clone() };
            engine.append(permit, submission).await.unwrap();
        }
        engine.snapshot().await.unwrap();
        println!("append logs    {:.2} µs/line", per(cpu() - started, lines));
        let started = cpu();
        engine.flush().await.unwrap();
        println!("flush logs     {:.2} µs/line", per(cpu() - started, lines));
        for segment in engine.snapshot().await.unwrap().segments(DataSet::Logs) {
            let meta = segment.meta();
            println!(
                "               {:.1} B/line data, {:.1} B/line index",
                meta.bytes as f64 / meta.rows as f64,
                meta.index_bytes.unwrap_or(0) as f64 / meta.rows as f64
            );
        }
        engine.shutdown().await.unwrap();
    });
}
