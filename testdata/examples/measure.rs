//! Prints what the shop's data looks like and how fast it is made:
//! `cargo run --release -p headrope-testdata --example measure [TRACES_PER_SECOND [SECONDS]]`.
#![allow(clippy::print_stdout, reason = "standard output is what this program is for")]

use std::collections::HashMap;
use std::time::Instant;

use headrope_model::TimeRange;
use headrope_testdata::oracle::Kinds;
use headrope_testdata::{Oracle, Shop, ShopConfig};
use prost::Message as _;

const NANOS: i64 = 1_000_000_000;

fn main() {
    let argument = |at: usize, default: f64| -> f64 {
        std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let traces_per_second = argument(1, 200.0);
    let seconds = argument(2, 120.0) as i64;
    let shop = Shop::with_config(ShopConfig { traces_per_second, ..ShopConfig::default() });
    let from = shop.config().start_ns;
    let Some(range) = TimeRange::new(from, from + seconds * NANOS) else { return };

    let started = Instant::now();
    let mut bytes = [0usize; 3];
    let mut requests = [0usize; 3];
    let mut buffer = Vec::new();
    let mut generating = 0.0;
    let mut slices = shop.slices(range, 1);
    loop {
        let before = Instant::now();
        let Some(slice) = slices.next() else { break };
        generating += before.elapsed().as_secs_f64();
        let mut count = |kind: usize, encode: &mut dyn FnMut(&mut Vec<u8>)| {
            buffer.clear();
            encode(&mut buffer);
            bytes[kind] += buffer.len();
            requests[kind] += 1;
        };
        slice.traces.iter().for_each(|r| count(0, &mut |b| b.extend(r.encode_to_vec())));
        slice.logs.iter().for_each(|r| count(1, &mut |b| b.extend(r.encode_to_vec())));
        slice.metrics.iter().for_each(|r| count(2, &mut |b| b.extend(r.encode_to_vec())));
    }
    let elapsed = started.elapsed().as_secs_f64();

    let mut oracle = Oracle::new();
    let folding = Instant::now();
    let mut folded = 0.0;
    for slice in shop.slices(range, 1) {
        let before = Instant::now();
        oracle.fold(&slice);
        folded += before.elapsed().as_secs_f64();
    }
    let _ = folding;
    report(&oracle, elapsed, generating, folded, bytes, requests);
}

fn report(
    oracle: &Oracle,
    elapsed: f64,
    generating: f64,
    folded: f64,
    bytes: [usize; 3],
    requests: [usize; 3],
) {
    let (spans, logs, points) = (oracle.span_count(), oracle.log_count(), oracle.point_count());
    let per = |total: usize, count: u64| total as f64 / count.max(1) as f64;
    println!("spans {spans}, logs {logs}, points {points}, requests {requests:?}");
    println!(
        "spans/s {:.0} generated and encoded ({:.2} s of {elapsed:.2} s generating), oracle {:.0} spans/s",
        spans as f64 / elapsed,
        generating,
        spans as f64 / folded
    );
    println!(
        "bytes per span {:.1}, per log {:.1}, per point {:.1}; logs per span {:.3}",
        per(bytes[0], spans),
        per(bytes[1], logs),
        per(bytes[2], points),
        logs as f64 / spans as f64
    );
    println!(
        "traces {}, errors {:.2} %",
        oracle.trace_count(),
        100.0 * oracle.error_count() as f64 / spans as f64
    );
    let mut sizes: Vec<usize> = Vec::new();
    let mut by_root: HashMap<String, Vec<usize>> = HashMap::new();
    for id in oracle.trace_ids() {
        let trace = oracle.trace(&id);
        sizes.push(trace.len());
        if let Some(root) = trace.iter().find(|s| s.parent.is_none()) {
            by_root.entry(root.name.clone()).or_default().push(trace.len());
        }
    }
    sizes.sort_unstable();
    let at = |q: f64| sizes.get((sizes.len() as f64 * q) as usize).copied().unwrap_or_default();
    println!(
        "trace size mean {:.1}, p50 {}, p90 {}, max {}",
        spans as f64 / sizes.len() as f64,
        at(0.5),
        at(0.9),
        sizes.last().copied().unwrap_or_default()
    );
    let mut roots: Vec<_> = by_root.into_iter().collect();
    roots.sort();
    for (root, sizes) in roots {
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        println!("  {root:<24} {:>7} traces, {mean:>5.1} spans", sizes.len());
    }
    for (service, stats) in oracle.services(Kinds::Entry) {
        println!(
            "  {service:<16} calls {:>8} errors {:>5} p50 {:>8} µs p99 {:>8} µs",
            stats.count,
            stats.errors,
            stats.quantile_ns(0.5).unwrap_or_default() / 1000,
            stats.quantile_ns(0.99).unwrap_or_default() / 1000
        );
    }
}
