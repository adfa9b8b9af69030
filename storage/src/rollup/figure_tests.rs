//! What summing up costs, printed: `cargo test --release -p headrope-storage --lib -- --ignored --nocapture
//! --test-threads 1 rollup::figure_tests`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampNanosecondType};
use headrope_analysis::{SpanKind, SpanRecord, SpanStatus, assemble, critical_path, time_on_path};
use headrope_model::{DataSet, SpanId};
use headrope_testdata::{Shop, workload};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::build;
use super::tests::nowhere;
use crate::encode::encode;
use crate::export::Export;
use crate::segment;

const BEGIN_NS: i64 = 1_736_121_600_000_000_000;
const SPANS: u64 = 200_000;

/// User and system CPU time of this process in seconds (`/proc/self/stat`, 100 ticks a second).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn shop() -> Vec<ExportTraceServiceRequest> {
    let shop = Shop::new(1);
    shop.exactly(BEGIN_NS, SPANS, 0).flat_map(|s| s.traces).collect()
}

/// Batches as the backlog makes them: of many requests.
fn batches(requests: &[ExportTraceServiceRequest]) -> Vec<RecordBatch> {
    let batch = |some: &[ExportTraceServiceRequest]| {
        let resource_spans = some.iter().flat_map(|r| r.resource_spans.clone()).collect();
        encode(&Export::Traces(ExportTraceServiceRequest { resource_spans })).unwrap()
    };
    requests.chunks(16).map(batch).collect()
}

#[test]
#[ignore = "prints figures"]
fn what_a_flush_pays() {
    let schedule =
        workload::Schedule { seed: 1, from_ns: BEGIN_NS, step_ns: 43_200_000, records: 1000 };
    let jaeger = (0..200).map(|n| workload::jaeger::request(&schedule, n));
    for (name, requests) in [("shop", shop()), ("jaeger", jaeger.collect())] {
        let batches = batches(&requests);
        let spans: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let dir = tempfile::tempdir().unwrap();
        for rollup in DataSet::ROLLUPS {
            const ROUNDS: usize = 40;
            let began = cpu();
            for _ in 0..ROUNDS {
                build(rollup, &batches).unwrap().unwrap();
            }
            let built = cpu();
            let rows = build(rollup, &batches).unwrap().unwrap();
            if rows.num_rows() == 0 {
                continue;
            }
            let mut bytes = 0;
            for _ in 0..ROUNDS {
                bytes =
                    segment::write(dir.path(), rollup, &[&rows], nowhere()).unwrap().unwrap().bytes;
            }
            let written = cpu();
            let each = |seconds: f64| seconds * 1e9 / (spans * ROUNDS) as f64;
            println!(
                "{name} {rollup}: {spans} spans, {} rows, {:.2} B/span, built in {:.0} ns/span, written in {:.0}",
                rows.num_rows(),
                bytes as f64 / spans as f64,
                each(built - began),
                each(written - built),
            );
        }
    }
}

/// The spans of a batch by trace.
fn gather(batch: &RecordBatch, traces: &mut HashMap<Vec<u8>, Vec<SpanRecord>>) {
    let column = |name: &str| -> &ArrayRef { batch.column_by_name(name).unwrap() };
    let texts = |name: &str| cast(column(name), &DataType::Utf8).unwrap();
    let (service, name, kind) = (texts("service_name"), texts("name"), texts("kind"));
    let (service, name) = (service.as_string::<i32>(), name.as_string::<i32>());
    let mut known: HashMap<String, Arc<str>> = HashMap::new();
    let mut shared = |text: &str| match known.get(text) {
        Some(known) => Arc::clone(known),
        None => Arc::clone(known.entry(text.to_owned()).or_insert_with(|| text.into())),
    };
    let id = |name: &str, row: usize| {
        let ids = column(name).as_fixed_size_binary();
        ids.is_valid(row).then(|| SpanId::from_bytes(ids.value(row))).flatten()
    };
    for row in 0..batch.num_rows() {
        let record = SpanRecord {
            span_id: id("span_id", row).unwrap(),
            parent_span_id: id("parent_span_id", row),
            kind: SpanKind::from_name(kind.as_string::<i32>().value(row)),
            status: SpanStatus::default(),
            service: shared(service.value(row)),
            host: shared(""),
            name: shared(name.value(row)),
            start_ns: column("start_time").as_primitive::<TimestampNanosecondType>().value(row),
            duration_ns: column("duration_ns").as_primitive::<Int64Type>().value(row),
            source: 0,
        };
        let trace = column("trace_id").as_fixed_size_binary().value(row).to_vec();
        traces.entry(trace).or_default().push(record);
    }
}

/// Critical paths at a flush: what they would take, and how many traces a flush has whole where each service exports what
/// ended up to five seconds later (the SDKs' default).
#[test]
#[ignore = "prints figures"]
fn what_critical_paths_would_cost() {
    const ROUNDS: usize = 10;
    let batches = batches(&shop());
    let spans: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let (mut began, mut steps) = (cpu(), [0.0; 2]);
    let mut traces = HashMap::new();
    for _ in 0..ROUNDS {
        traces = HashMap::new();
        batches.iter().for_each(|batch| gather(batch, &mut traces));
        let gathered = cpu();
        let mut sums: HashMap<[Arc<str>; 3], i64> = HashMap::new();
        for records in traces.values() {
            let chain = assemble(records.clone());
            let Some(root) = chain.main_root() else { continue };
            let times = time_on_path(&chain, &critical_path(&chain, root));
            let entry = &chain.nodes[root];
            for (node, ns) in chain.nodes.iter().zip(&times).filter(|(_, ns)| **ns > 0) {
                let key = [&entry.service, &entry.name, &node.service];
                *sums.entry(key.map(Arc::clone)).or_default() += ns;
            }
        }
        steps = [steps[0] + gathered - began, steps[1] + cpu() - gathered];
        began = cpu();
    }
    let each = |seconds: f64| seconds * 1e9 / (spans * ROUNDS) as f64;
    println!(
        "{spans} spans of {} traces: by trace {:.0} ns/span, paths {:.0}",
        traces.len(),
        each(steps[0]),
        each(steps[1])
    );
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut unit = || random.random_range(0.0..1.0);
    for rate in [1_000.0_f64, 10_000.0, 40_000.0, 100_000.0] {
        // A flush has 128 MiB of rows of 607 bytes, or those of two minutes.
        let length: f64 = (128.0 * 1024.0 * 1024.0 / 607.0 / rate).min(120.0);
        let mut whole = 0;
        for records in traces.values() {
            let begin = unit() * length;
            let mut flushes: HashMap<&str, i64> = HashMap::new();
            for record in records {
                let flush = || ((begin + unit() * 5.0) / length) as i64;
                flushes.entry(&record.service).or_insert_with(flush);
            }
            let mut flushes = flushes.values();
            let first = flushes.next();
            whole += usize::from(flushes.all(|flush| Some(flush) == first));
        }
        println!(
            "{rate} spans/s: {:.1} % of the traces whole",
            100.0 * whole as f64 / traces.len() as f64
        );
    }
}
