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

use super::points::{counted, metric, of, tag, tagged, whole};
use super::{Interval, NANOS, hosts};
use crate::attrs::Attrs;
use crate::catalogue::graph::Proto;
use crate::catalogue::mishaps::grpc_name;
use crate::catalogue::services::{BUSY_HOST, CONTAINER_CORES, Instance, Language, Svc};
use crate::catalogue::statements::{STORES, Store};
use crate::config::Incident;
use crate::emit::unix;
use crate::plan::{PAUSE_PERIOD_NS, Pause};
use crate::simulate::Home;
use crate::stats::{BOUNDS, Durations, Series};

const MIB: f64 = 1_048_576.0;
/// Connections of each instance's pool to a store.
const POOL_SIZE: f64 = 20.0;

pub(super) fn metrics(interval: &Interval<'_>) -> Vec<ResourceMetrics> {
    Instance::all().map(|instance| instance_metrics(interval, instance)).collect()
}

fn instance_metrics(interval: &Interval<'_>, instance: Instance) -> ResourceMetrics {
    let home = Home { instance, generation: interval.moment.generation[instance.index()] };
    let language = instance.service().language;
    let mut all = Vec::with_capacity(16);
    all.extend(requests(interval, instance, true));
    all.extend(requests(interval, instance, false));
    process(interval, instance, &mut all);
    pools(interval, instance, &mut all);
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
    let library = language.runtime().server_scope;
    of(interval.world.resources.instance(home), library, all)
}

fn slowness(interval: &Interval<'_>, instance: Instance) -> f64 {
    if interval.moment.busy_host && instance.host() == BUSY_HOST { 9.0 } else { 1.0 }
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
    instance.service().memory * noise
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
    all.push(interval.total("container.memory.usage", "By", false, one(memory * 1.07)));
    // A container is throttled for a small part of the time it works, and for most of the
    // incident's when its host is saturated.
    let world = interval.world;
    let expected = world.cpu_per_request[instance.index()] / 1e9 * world.cpu_scale;
    let mut throttled = interval.requests_since_start() * expected * 0.004;
    if instance.host() == BUSY_HOST {
        throttled += world.plan.elapsed(Incident::Cpu, interval.to) * 0.45;
    }
    let point = one(throttled * 1e9);
    all.push(interval.total("container.cpu.throttled_time", "ns", true, point));
}

fn pools(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let mut connections = Vec::new();
    let mut pending = Vec::new();
    for store in [Store::Orders, Store::Catalog] {
        let busy_ns = interval.stats.pool_ns[instance.index()][store.index()];
        if !uses(instance.service().svc, store) {
            continue;
        }
        let wanted = busy_ns as f64 / 1e9 / interval.seconds();
        let used = wanted.ceil().min(POOL_SIZE);
        let name = STORES[store.index()].namespace;
        for (state, count) in [("used", used), ("idle", POOL_SIZE - used)] {
            let mut attrs = Attrs::with_capacity(2);
            attrs.text("db.client.connection.pool.name", name);
            attrs.text("db.client.connection.state", state);
            connections.push((attrs.take(), whole(count)));
        }
        let waiting = (wanted - POOL_SIZE).max(0.0).ceil();
        pending.push((tag("db.client.connection.pool.name", name), whole(waiting)));
    }
    if !connections.is_empty() {
        all.push(interval.total("db.client.connection.count", "{connection}", false, connections));
        let name = "db.client.connection.pending_requests";
        all.push(interval.total(name, "{request}", false, pending));
    }
}

const fn uses(svc: Svc, store: Store) -> bool {
    match store {
        Store::Orders => matches!(
            svc,
            Svc::Orders | Svc::Inventory | Svc::Payment | Svc::UserAuth | Svc::Shipping
        ),
        Store::Catalog => matches!(svc, Svc::Catalog | Svc::Search | Svc::Pricing),
        Store::Cache => false,
    }
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
    let old =
        if full { 0.95 } else { 0.45 } + 0.04 * interval.noise(0x6c + instance.index() as u64);
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
