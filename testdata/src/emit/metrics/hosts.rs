//! Host metrics, as the collector's host receiver names them.

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Interval;
use super::points::{counted, of, tagged, whole};
use crate::attrs::Attrs;
use crate::catalogue::services::{
    BUSY_HOST, CONTAINER_CORES, CORES, DATABASE_HOST, HOST_MEMORY, HOSTS, Instance,
};
use crate::config::Incident;
use crate::world::{BUSY_LOAD, IDLE_LOAD};

const LIBRARY: &str =
    "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver";
const MIB: f64 = 1_048_576.0;

pub(super) fn metrics(interval: &Interval<'_>) -> Vec<ResourceMetrics> {
    let mut all: Vec<ResourceMetrics> = (0..HOSTS)
        .map(|host| of(interval.world.resources.host(host), LIBRARY, host_metrics(interval, host)))
        .collect();
    if interval.moment.busy_host {
        all.push(runaway(interval));
    }
    all
}

/// Cores used by an instance in the interval, from its spans and its collections.
pub(super) fn cores_used(interval: &Interval<'_>, instance: Instance) -> f64 {
    let from_spans = interval.stats.cpu_ns[instance.index()] as f64 / 1e9 / interval.seconds()
        * interval.world.cpu_scale;
    let idle = 0.005 + 0.003 * interval.noise(0x1d1e + instance.index() as u64);
    // A collector's threads use about two cores while they stop the world.
    let pauses = super::apps::pause_seconds(interval, instance) / interval.seconds();
    (from_spans + idle + 2.0 * pauses).min(CONTAINER_CORES)
}

fn load(interval: &Interval<'_>, host: usize) -> f64 {
    if host == BUSY_HOST && interval.moment.busy_host {
        return BUSY_LOAD + 0.01 * interval.noise(0xb5);
    }
    let cores: f64 =
        Instance::all().filter(|i| i.host() == host).map(|i| cores_used(interval, i)).sum();
    (IDLE_LOAD * (0.8 + 0.4 * interval.noise(host as u64)) + cores / CORES).min(1.0)
}

fn host_metrics(interval: &Interval<'_>, host: usize) -> Vec<Metric> {
    let load = load(interval, host);
    let database = host == DATABASE_HOST;
    let slow_sql = database && interval.moment.slow_sql;
    let iowait =
        if slow_sql { 0.11 } else { 0.004 } * (0.7 + 0.6 * interval.noise(0x10 + host as u64));
    let iowait = iowait.min(1.0 - load);
    let cpu = [
        ("user", load * 0.78),
        ("system", load * 0.2),
        ("interrupt", load * 0.015),
        ("steal", load * 0.005),
        ("iowait", iowait),
        ("idle", (1.0 - load - iowait).max(0.0)),
    ];
    let runnable = if load > 0.95 { 41.0 + 6.0 * interval.noise(0x11) } else { load * CORES * 1.1 };
    let used = memory(interval, host);
    let cached = 0.31;
    let memory = [
        ("used", used),
        ("cached", cached),
        ("buffers", 0.02),
        ("free", (1.0 - used - cached - 0.02).max(0.0)),
    ];
    let points = |key, parts: &[(&str, f64)]| parts.iter().map(|p| tagged(key, p.0, p.1)).collect();
    let mut all = vec![
        interval.gauge("system.cpu.utilization", "1", points("cpu.mode", &cpu)),
        interval.gauge(
            "system.cpu.load_average.1m",
            "{thread}",
            vec![(Vec::new(), Value::AsDouble(runnable))],
        ),
        interval.gauge("system.memory.utilization", "1", points("system.memory.state", &memory)),
        disk(interval, host),
        network(interval, host),
    ];
    // File systems fill slowly: one point a minute is enough.
    if interval.to % 60 < interval.to - interval.from {
        all.push(filesystem(interval, host));
    }
    all
}

fn memory(interval: &Interval<'_>, host: usize) -> f64 {
    let instances: f64 = Instance::all()
        .filter(|i| i.host() == host)
        .map(|i| super::apps::memory(interval, i))
        .sum();
    (0.12 + instances / HOST_MEMORY).min(0.66)
}

fn disk(interval: &Interval<'_>, host: usize) -> Metric {
    let requests = interval.requests_since_start();
    // The database host writes every order and reads what its cache does not hold.
    let (read, write) = if host == DATABASE_HOST { (5_200.0, 14_000.0) } else { (220.0, 900.0) };
    let share = 1.0 + 0.07 * host as f64;
    let scans = if host == DATABASE_HOST { slow_sql_seconds(interval) * 85.0 * MIB } else { 0.0 };
    let idle = interval.uptime() * 40_000.0;
    let points = vec![
        counted("disk.io.direction", "read", requests * read * share + scans + idle * 0.2),
        counted("disk.io.direction", "write", requests * write * share + idle),
    ];
    interval.total("system.disk.io", "By", true, points)
}

fn slow_sql_seconds(interval: &Interval<'_>) -> f64 {
    interval.world.plan.elapsed(Incident::SlowSql, interval.to)
}

fn network(interval: &Interval<'_>, host: usize) -> Metric {
    let per_host = interval.requests_since_start() / HOSTS as f64;
    let points = ["receive", "transmit"].iter().zip([31_000.0, 38_000.0]).map(|(way, bytes)| {
        let mut attrs = Attrs::with_capacity(2);
        attrs.text("network.io.direction", *way).text("network.interface.name", "eth0");
        (attrs.take(), whole(per_host * (bytes + 400.0 * host as f64) + interval.uptime() * 900.0))
    });
    interval.total("system.network.io", "By", true, points.collect())
}

fn filesystem(interval: &Interval<'_>, host: usize) -> Metric {
    // Data volumes grow by about 0.4 points a day at the mean rate.
    let days = interval.uptime() / 86_400.0;
    let data = (0.41 + 0.05 * host as f64 / HOSTS as f64 + 0.004 * days).min(0.99);
    let points = [("/", "/dev/nvme0n1p2", 0.37), ("/var/lib/data", "/dev/nvme1n1", data)];
    let points = points.iter().map(|(mount, device, used)| {
        let mut attrs = Attrs::with_capacity(3);
        attrs.text("system.filesystem.mountpoint", *mount).text("system.device", *device);
        attrs.text("system.filesystem.type", "ext4");
        (attrs.take(), Value::AsDouble(*used))
    });
    interval.gauge("system.filesystem.utilization", "1", points.collect())
}

/// The runaway process of the cpu incident: it belongs to no service.
fn runaway(interval: &Interval<'_>) -> ResourceMetrics {
    let host = interval.world.resources.host(BUSY_HOST);
    let mut attrs = Attrs::with_capacity(4);
    attrs.int("process.pid", 31_337).text("process.executable.name", "log-compactor");
    attrs.text("process.command", "/usr/local/bin/log-compactor");
    attrs.text("process.owner", "root");
    let mut attributes = host.attributes.clone();
    attributes.extend(attrs.take());
    let resource = Resource { attributes, ..host.clone() };
    let cores = CORES * 0.72 + interval.noise(0x9a);
    let points = vec![
        tagged("cpu.mode", "user", cores * 0.93 / CORES),
        tagged("cpu.mode", "system", cores * 0.07 / CORES),
    ];
    of(&resource, LIBRARY, vec![interval.gauge("process.cpu.utilization", "1", points)])
}
