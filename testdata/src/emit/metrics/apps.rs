//! Metrics of the instances: requests, process, container, runtime, connection pools, business.

use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as ExemplarValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
    Histogram, HistogramDataPoint, Metric, ResourceMetrics, Summary, SummaryDataPoint,
};

use super::points::{counted, metric, of, tagged, whole};
use super::{Interval, NANOS, hosts, optional, pools};
use crate::attrs::Attrs;
use crate::catalogue::graph::Proto;
use crate::catalogue::mishaps::grpc_name;
use crate::catalogue::services::{
    CONTAINER_CORES, Instance, Language, REPLICAS, Svc, memory_limit,
};
use crate::config::Incident;
use crate::emit::unix;
use crate::plan::spot::Spot;
use crate::plan::{Leak, PAUSE_PERIOD_NS, Pause};
use crate::simulate::Home;
use crate::stats::{BOUNDS, Durations, Series};

const MIB: f64 = 1_048_576.0;
/// Memory of a container relative to its process.
const CONTAINER_OVERHEAD: f64 = 1.07;

pub(super) fn metrics(interval: &Interval<'_>) -> Vec<ResourceMetrics> {
    let there = |i: &Instance| {
        let killed = interval.moment.leak[i.index()] == Some(Leak::Refusing);
        !killed && !interval.moment.absent[i.index()]
    };
    Instance::all().filter(there).map(|instance| instance_metrics(interval, instance)).collect()
}

fn instance_metrics(interval: &Interval<'_>, instance: Instance) -> ResourceMetrics {
    let home = Home { instance, generation: interval.moment.generation[instance.index()] };
    let language = instance.service().language;
    let mut all = Vec::with_capacity(16);
    all.extend(requests(interval, instance, true));
    all.extend(requests(interval, instance, false));
    process(interval, instance, &mut all);
    pools::metrics(interval, instance, &mut all);
    match language {
        Language::Java => jvm(interval, instance, &mut all),
        Language::Go => go(interval, instance, &mut all),
        Language::Node => {
            let p99 = 0.011 + 0.004 * interval.noise(0xe1 + instance.index() as u64);
            let point = vec![(Vec::new(), Value::AsDouble(p99 * slowness(interval, instance)))];
            all.push(interval.gauge("nodejs.eventloop.delay.p99", "s", point));
        }
        _ => {}
    }
    if instance == Svc::Checkout.instance(0) {
        business(interval, &mut all);
    }
    if interval.world.config.optional_metrics {
        optional::of_instance(interval, instance, &mut all);
    }
    let library = language.runtime().server_scope;
    of(interval.world.resources.instance(home), library, all)
}

fn slowness(interval: &Interval<'_>, instance: Instance) -> f64 {
    let host = Spot::Host(instance.host());
    let strained = |incident| interval.moment.strength(incident, host).is_some();
    if strained(Incident::Cpu) {
        9.0
    } else if strained(Incident::NoisyNeighbour) {
        5.0
    } else {
        1.0
    }
}

/// The instance's pauses that began in the interval.
fn pauses(interval: &Interval<'_>, instance: Instance) -> Vec<Pause> {
    let (from, to) = (interval.from * NANOS, interval.to * NANOS);
    (from.div_euclid(PAUSE_PERIOD_NS)..=to.div_euclid(PAUSE_PERIOD_NS))
        .filter_map(|period| interval.world.plan.pause(instance, period))
        .filter(|pause| from <= pause.from_ns && pause.from_ns < to)
        .collect()
}

/// Seconds of stop-the-world pauses that began in the interval.
pub(super) fn pause_seconds(interval: &Interval<'_>, instance: Instance) -> f64 {
    pauses(interval, instance).iter().map(|p| (p.to_ns - p.from_ns) as f64 / 1e9).sum()
}

/// Resident memory of an instance, bytes.
pub(super) fn memory(interval: &Interval<'_>, instance: Instance) -> f64 {
    let noise = 0.96 + 0.08 * interval.noise(0x3e + instance.index() as u64);
    let quiet = instance.service().memory * noise;
    match interval.moment.leak[instance.index()] {
        Some(Leak::Growing(part)) => {
            quiet + (memory_limit(instance.service()) / CONTAINER_OVERHEAD - quiet) * part
        }
        _ => quiet,
    }
}

/// Server request durations over HTTP, or over gRPC.
fn requests(interval: &Interval<'_>, instance: Instance, http: bool) -> Option<Metric> {
    let data_points: Vec<HistogramDataPoint> = interval
        .stats
        .served
        .iter()
        .filter(|(series, _)| series.home.instance == instance)
        .filter(|(series, _)| matches!(series.op.facts().proto, Proto::Http(..)) == http)
        .map(|(series, durations)| duration_point(interval, series, durations))
        .collect();
    if data_points.is_empty() {
        return None;
    }
    let name = if http { "http.server.request.duration" } else { "rpc.server.call.duration" };
    let aggregation_temporality = AggregationTemporality::Delta as i32;
    Some(metric(name, "s", Data::Histogram(Histogram { data_points, aggregation_temporality })))
}

fn duration_point(interval: &Interval<'_>, series: &Series, d: &Durations) -> HistogramDataPoint {
    let mut attrs = Attrs::with_capacity(3);
    match series.op.facts().proto {
        Proto::Http(method, route) => {
            attrs.text("http.request.method", method).text("http.route", route);
            attrs.int("http.response.status_code", i64::from(series.status));
        }
        Proto::Grpc(method) => {
            attrs.text("rpc.system.name", "grpc").text("rpc.method", method);
            attrs.text("rpc.response.status_code", grpc_name(series.status));
        }
        Proto::Internal | Proto::Consumer(_) => {}
    }
    let seconds = |ns: i64| ns as f64 / 1e9;
    let (trace_id, span_id, at) = d.slowest;
    HistogramDataPoint {
        attributes: attrs.take(),
        start_time_unix_nano: interval.start_ns(),
        time_unix_nano: interval.end_ns(),
        count: d.count,
        sum: Some(seconds(d.sum_ns)),
        bucket_counts: d.buckets.to_vec(),
        explicit_bounds: BOUNDS.to_vec(),
        exemplars: vec![Exemplar {
            filtered_attributes: Vec::new(),
            time_unix_nano: unix(at),
            span_id: span_id.to_be_bytes().to_vec(),
            trace_id: trace_id.to_vec(),
            value: Some(ExemplarValue::AsDouble(seconds(d.max_ns))),
        }],
        flags: 0,
        min: Some(seconds(d.min_ns)),
        max: Some(seconds(d.max_ns)),
    }
}

fn process(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let used = hosts::cores_used(interval, instance);
    let part = used / CONTAINER_CORES;
    let cpu =
        vec![tagged("cpu.mode", "user", part * 0.85), tagged("cpu.mode", "system", part * 0.15)];
    all.push(interval.gauge("process.cpu.utilization", "1", cpu));
    let memory = memory(interval, instance);
    let one = |v: f64| vec![(Vec::new(), whole(v))];
    all.push(interval.total("process.memory.usage", "By", false, one(memory)));
    all.push(interval.total(
        "container.memory.usage",
        "By",
        false,
        one(memory * CONTAINER_OVERHEAD),
    ));
    // A container is throttled for a small part of the time it works, and for most of the
    // incident's when its host is saturated.
    let world = interval.world;
    let expected = world.cpu_per_request[instance.index()] / 1e9 * world.cpu_scale;
    let mut throttled = interval.requests_since_start() * expected * 0.004;
    let host = Spot::Host(instance.host());
    throttled +=
        0.45 * world.plan.elapsed(interval.to, |t| t.incident == Incident::Cpu && t.spot == host);
    throttled += at_limit(interval, instance, expected);
    let point = one(throttled * 1e9);
    all.push(interval.total("container.cpu.throttled_time", "ns", true, point));
}

/// Seconds for which surges have throttled an instance whose work is more than its container may do;
/// `expected` is the CPU time of a user request in it, seconds.
fn at_limit(interval: &Interval<'_>, instance: Instance, expected: f64) -> f64 {
    let world = interval.world;
    let surges = world.plan.surges().map(|surge| {
        let ratio = world.ratios(&surge.arrivals())[instance.index() / REPLICAS];
        let wanted = expected * world.config.traces_per_second * ratio / CONTAINER_CORES;
        let seconds = (interval.to.min(surge.to) - surge.from).max(0) as f64;
        seconds * (wanted - 1.0).clamp(0.0, 0.9)
    });
    surges.sum()
}

fn jvm(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let pauses = pauses(interval, instance);
    if !pauses.is_empty() {
        let data_points =
            [false, true].iter().filter_map(|full| collections(interval, &pauses, *full)).collect();
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        let histogram = ExponentialHistogram { data_points, aggregation_temporality };
        all.push(metric("jvm.gc.duration", "s", Data::ExponentialHistogram(histogram)));
    }
    let limit = instance.service().memory * 1.2;
    let full = pauses.iter().any(|p| p.full);
    let level = match interval.moment.leak[instance.index()] {
        Some(Leak::Growing(part)) => 0.45 + 0.5 * part,
        _ if full => 0.95,
        _ => 0.45,
    };
    let old = level + 0.04 * interval.noise(0x6c + instance.index() as u64);
    let eden = 0.1 + 0.15 * interval.noise(0x6d + instance.index() as u64);
    let pools =
        [("G1 Old Gen", limit * old), ("G1 Eden Space", limit * eden), ("Metaspace", 118.0 * MIB)];
    let used = pools.iter().map(|(pool, v)| counted("jvm.memory.pool.name", pool, *v)).collect();
    all.push(interval.total("jvm.memory.used", "By", false, used));
    let limits = vec![counted("jvm.memory.pool.name", "G1 Old Gen", limit)];
    all.push(interval.total("jvm.memory.limit", "By", false, limits));
    let threads = 60.0 + 12.0 * interval.noise(0x7d + instance.index() as u64);
    let states = vec![
        counted("jvm.thread.state", "runnable", threads * 0.3),
        counted("jvm.thread.state", "waiting", threads * 0.7),
    ];
    all.push(interval.total("jvm.thread.count", "{thread}", false, states));
}

/// The pauses of one kind as an exponential histogram of scale 0: bucket i holds (2^i, 2^(i+1)] s.
fn collections(
    interval: &Interval<'_>,
    pauses: &[Pause],
    full: bool,
) -> Option<ExponentialHistogramDataPoint> {
    let seconds: Vec<f64> = pauses
        .iter()
        .filter(|p| p.full == full)
        .map(|p| (p.to_ns - p.from_ns) as f64 / 1e9)
        .collect();
    let max = seconds.iter().copied().reduce(f64::max)?;
    let min = seconds.iter().copied().reduce(f64::min)?;
    const LOWEST: i32 = -10;
    let mut counts = vec![0u64; 13];
    for value in &seconds {
        let mut bucket = 0;
        let mut upper = 1.0 / 512.0;
        while upper < *value && bucket < counts.len() - 1 {
            upper *= 2.0;
            bucket += 1;
        }
        counts[bucket] += 1;
    }
    let (name, action) = if full {
        ("G1 Old Generation", "end of major GC")
    } else {
        ("G1 Young Generation", "end of minor GC")
    };
    let mut attrs = Attrs::with_capacity(2);
    attrs.text("jvm.gc.name", name).text("jvm.gc.action", action);
    Some(ExponentialHistogramDataPoint {
        attributes: attrs.take(),
        start_time_unix_nano: interval.start_ns(),
        time_unix_nano: interval.end_ns(),
        count: seconds.len() as u64,
        sum: Some(seconds.iter().sum()),
        scale: 0,
        zero_count: 0,
        positive: Some(Buckets { offset: LOWEST, bucket_counts: counts }),
        negative: None,
        flags: 0,
        exemplars: Vec::new(),
        min: Some(min),
        max: Some(max),
        zero_threshold: 0.0,
    })
}

fn go(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let goroutines = 40.0 + 30.0 * interval.noise(0x90 + instance.index() as u64);
    let point = vec![(Vec::new(), whole(goroutines))];
    all.push(interval.total("go.goroutine.count", "{goroutine}", false, point));
    // What the Prometheus client of Go has always exported: a summary since the start.
    let count = interval.uptime() / 9.0;
    let base = 0.000_08 + 0.000_05 * interval.noise(0x91 + instance.index() as u64);
    let quantiles = [(0.0, 0.4), (0.25, 0.7), (0.5, 1.0), (0.75, 1.6), (1.0, 6.0)];
    let quantile_values = quantiles
        .iter()
        .map(|(quantile, factor)| ValueAtQuantile { quantile: *quantile, value: base * factor })
        .collect();
    let point = SummaryDataPoint {
        attributes: Vec::new(),
        start_time_unix_nano: interval.boot_ns(),
        time_unix_nano: interval.end_ns(),
        count: count as u64,
        sum: count.floor() * 0.000_105,
        quantile_values,
        flags: 0,
    };
    let summary = Summary { data_points: vec![point] };
    all.push(metric("go_gc_duration_seconds", "s", Data::Summary(summary)));
}

fn business(interval: &Interval<'_>, all: &mut Vec<Metric>) {
    let stats = interval.stats;
    let orders = vec![counted("app.currency", "EUR", stats.orders as f64)];
    all.push(interval.delta("shop.orders.placed", "{order}", orders));
    let revenue = vec![tagged("app.currency", "EUR", stats.revenue_cents as f64 / 100.0)];
    all.push(interval.delta("shop.revenue", "{EUR}", revenue));
}
