//! Metrics that receivers and exporters leave out unless asked: what faults of memory, CPU
//! competition, locks and the network show in.

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use super::points::{Point, counted, histogram_point, tag, tagged, whole};
use super::{Interval, NANOS, hosts};
use crate::attrs::Attrs;
use crate::catalogue::graph::Proto;
use crate::catalogue::ops::OPS;
use crate::catalogue::services::{Instance, REPLICAS, memory_limit};
use crate::catalogue::statements::Store;
use crate::config::Incident;
use crate::plan::Leak;
use crate::plan::spot::Spot;

/// Bounds of the round-trip histogram, seconds.
const ROUND_TRIP_BOUNDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];
/// An ordinary round trip between two hosts, seconds: twice the median of the simulated way.
const ROUND_TRIP_S: f64 = 0.000_28;

/// Limits, restarts, pressure and requests under way of an instance.
pub(super) fn of_instance(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let one = |value: f64| vec![(Vec::new(), whole(value))];
    let moment = &interval.moment;
    let lives = interval.world.plan.lives(instance);
    let generation = usize::from(moment.generation[instance.index()]);
    let life = lives[generation.min(lives.len() - 1)];
    let started = life.from.max(interval.world.config.start_ns.div_euclid(NANOS));
    let uptime = (interval.to - started).max(0) as f64;
    let same_pod = lives.iter().take(generation).filter(|before| before.pod == life.pod);
    let limit = memory_limit(instance.service());
    let cores = vec![(Vec::new(), Value::AsDouble(hosts::cores_used(interval, instance)))];
    all.push(interval.gauge("container.cpu.usage", "{cpu}", cores));
    all.push(interval.gauge("k8s.container.memory_limit", "By", one(limit)));
    let restarts = same_pod.count() as f64;
    all.push(interval.gauge("k8s.container.restarts", "{restart}", one(restarts)));
    all.push(interval.gauge("process.uptime", "s", vec![(Vec::new(), Value::AsDouble(uptime))]));
    let beyond = match moment.leak[instance.index()] {
        Some(Leak::Growing(part)) if instance.service().svc.stalls() => (part - 0.5).max(0.0),
        _ => 0.0,
    };
    let faults = uptime * 0.02 + 240_000.0 * beyond * beyond;
    all.push(interval.gauge("container.memory.major_page_faults", "1", one(faults)));
    // Seconds in which some thread of the container was ready and had no CPU (PSI, cAdvisor).
    let host = Spot::Host(instance.host());
    let contended = |incident| {
        interval.world.plan.elapsed(interval.to, |t| t.incident == incident && t.spot == host)
    };
    let waiting = interval.uptime() * 0.004
        + contended(Incident::Cpu) * 0.7
        + contended(Incident::NoisyNeighbour) * 0.55;
    let name = "container_pressure_cpu_waiting_seconds_total";
    all.push(interval.total(name, "s", true, vec![(Vec::new(), Value::AsDouble(waiting))]));
    let svc = instance.service().svc;
    if OPS.iter().any(|op| op.service == svc && matches!(op.proto, Proto::Http(..))) {
        let under_way = interval.stats.served_ns[instance.index()] as f64 / 1e9;
        let under_way = one((under_way / interval.seconds()).ceil());
        let name = "http.server.active_requests";
        all.push(interval.total(name, "{request}", false, under_way));
    }
    all.extend(round_trips(interval, instance));
}

/// Smoothed round-trip times of the instance's connections to the services it calls, as eBPF
/// instrumentation measures them in the kernel.
fn round_trips(interval: &Interval<'_>, instance: Instance) -> Option<Metric> {
    let svc = instance.service().svc;
    let of_caller = interval.stats.calls.iter().filter(|((caller, _), _)| *caller == svc);
    let points: Vec<_> = of_caller
        .map(|((_, callee), calls)| {
            let edge = Spot::Edge(svc, *callee);
            let added = interval.moment.strength(Incident::NetworkDelay, edge).unwrap_or(0.0);
            let noise = 0.9 + 0.2 * interval.noise(0x277 + *callee as u64 + 64 * svc as u64);
            let trip = (ROUND_TRIP_S + added / 1000.0) * noise;
            let mut buckets = [0; ROUND_TRIP_BOUNDS.len() + 1];
            let count = calls.div_ceil(REPLICAS as u64);
            buckets[ROUND_TRIP_BOUNDS.partition_point(|bound| *bound < trip)] = count;
            let mut attrs = Attrs::with_capacity(2);
            attrs.text("k8s.src.owner.name", instance.service().name);
            attrs.text("k8s.dst.owner.name", callee.facts().name);
            let sum = trip * count as f64;
            histogram_point(interval, attrs.take(), sum, &buckets, &ROUND_TRIP_BOUNDS)
        })
        .collect();
    (!points.is_empty()).then(|| interval.histogram("obi.stat.tcp.rtt", "s", points))
}

/// Backends of orders-db that wait for a lock, on average over the interval.
fn waiting(interval: &Interval<'_>) -> f64 {
    interval.stats.stores[Store::Orders.index()].locked_ns as f64 / 1e9 / interval.seconds()
}

/// Locks on transactions that are asked for and not granted; what the busiest instant shows.
pub(super) fn blocked(interval: &Interval<'_>) -> f64 {
    let mean = waiting(interval);
    (mean + 2.0 * mean.sqrt()).ceil()
}

/// Backends by state and kind of wait, as the PostgreSQL exporter counts them.
pub(super) fn activity(interval: &Interval<'_>, active: f64) -> Vec<Point> {
    let blocked = blocked(interval).min(active);
    let io = if interval.moment.scans(Store::Orders) { (active - blocked) * 0.7 } else { 0.0 };
    let (blocked, io) = (blocked.floor(), io.floor());
    let parts = [
        ("active", "", active - blocked - io),
        ("active", "Lock", blocked),
        ("active", "IO", io),
        ("idle", "Client", 300.0 - active),
    ];
    let points = parts.iter().map(|(state, wait, count)| {
        let mut attrs = Attrs::with_capacity(2);
        attrs.text("state", *state).text("wait_event_type", *wait);
        (attrs.take(), whole(*count))
    });
    points.collect()
}

/// Age of the oldest transaction of orders-db by state, seconds, as the PostgreSQL exporter has it.
pub(super) fn oldest_transaction(interval: &Interval<'_>) -> Metric {
    let longest = interval.stats.stores[Store::Orders.index()].longest_lock_ns as f64 / 1e9;
    let noise = interval.noise(0x7a);
    let points = vec![
        tagged("state", "active", 0.02 + 0.06 * noise),
        // Who holds the lock has held it for longer than anyone has waited.
        tagged("state", "idle in transaction", 0.01 + 0.02 * noise + 1.1 * longest),
    ];
    interval.gauge("pg_stat_activity_max_tx_duration", "s", points)
}

/// Requests of MySQL to read rows: by key, and the next row of a scan.
pub(super) fn handlers(interval: &Interval<'_>) -> Metric {
    let requests = interval.requests_since_start();
    let scanned = interval.world.plan.scanned(Store::Catalog, interval.to);
    let points = vec![
        counted("kind", "read_key", requests * 9.0),
        counted("kind", "read_rnd_next", requests * 14.0 + scanned * 3e6),
        (tag("kind", "commit"), whole(requests * 0.2)),
    ];
    interval.total("mysql.handlers", "1", true, points)
}
