//! Host metrics, as the collector's host receiver names them.

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Interval;
use super::points::{counted, of, tagged, whole};
use crate::attrs::Attrs;
use crate::catalogue::services::{
    BROKER_HOST, CONTAINER_CORES, CORES, DATABASE_HOST, HOST_MEMORY, HOSTS, Instance,
};
use crate::catalogue::statements::Store;
use crate::config::Incident;
use crate::plan::spot::{Harmless, Spot, Trouble};
use crate::world::{IDLE_LOAD, NEIGHBOUR_LOAD};

const LIBRARY: &str =
    "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver";
const MIB: f64 = 1_048_576.0;

pub(super) fn metrics(interval: &Interval<'_>) -> Vec<ResourceMetrics> {
    let mut all: Vec<ResourceMetrics> = (0..HOSTS)
        .map(|host| of(interval.world.resources.host(host), LIBRARY, host_metrics(interval, host)))
        .collect();
    all.extend(interval.moment.of(Incident::Cpu).filter_map(|t| runaway(interval, t)));
    all.extend(interval.moment.of(Incident::NoisyNeighbour).filter_map(|t| neighbour(interval, t)));
    for what in interval.moment.shifts() {
        if let Harmless::Batch(host, cores) = what {
            all.push(process(interval, host, "restic", cores));
        }
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
    let moment = &interval.moment;
    if let Some(load) = moment.strength(Incident::Cpu, Spot::Host(host)) {
        return (load + 0.01 * interval.noise(0xb5)).min(1.0);
    }
    let mut cores: f64 =
        Instance::all().filter(|i| i.host() == host).map(|i| cores_used(interval, i)).sum();
    for what in moment.shifts() {
        if let Harmless::Batch(at, extra) = what {
            cores += if at == host { extra } else { 0.0 };
        }
    }
    let own = (IDLE_LOAD * (0.8 + 0.4 * interval.noise(host as u64)) + cores / CORES).min(1.0);
    match moment.strength(Incident::NoisyNeighbour, Spot::Host(host)) {
        Some(cores) => own.max((own + cores / CORES).min(NEIGHBOUR_LOAD)),
        None => own,
    }
}

/// Threads that run or want to, averaged over a minute.
fn runnable(interval: &Interval<'_>, host: usize, load: f64) -> f64 {
    if let Some(cores) = interval.moment.strength(Incident::NoisyNeighbour, Spot::Host(host)) {
        // The neighbour's threads and those that wait for it.
        return load * CORES * 1.1 + cores * 0.9 + 3.0 * interval.noise(0x11);
    }
    if load > 0.95 { 41.0 + 6.0 * interval.noise(0x11) } else { load * CORES * 1.1 }
}

fn host_metrics(interval: &Interval<'_>, host: usize) -> Vec<Metric> {
    let load = load(interval, host);
    let scans = |s: &Store| s.facts().host == host && interval.moment.scans(*s);
    let slow_sql = [Store::Orders, Store::Catalog].iter().any(scans);
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
    let runnable = runnable(interval, host, load);
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
    if interval.world.config.optional_metrics {
        all.push(retransmissions(interval, host));
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
    let scans = scanned(interval, host) * 85.0 * MIB;
    let idle = interval.uptime() * 40_000.0;
    let points = vec![
        counted("disk.io.direction", "read", requests * read * share + scans + idle * 0.2),
        counted("disk.io.direction", "write", requests * write * share + idle),
    ];
    interval.total("system.disk.io", "By", true, points)
}

/// Seconds in which a database of the host scanned what it should not.
fn scanned(interval: &Interval<'_>, host: usize) -> f64 {
    let stores = [Store::Orders, Store::Catalog].into_iter().filter(|s| s.facts().host == host);
    stores.map(|store| interval.world.plan.scanned(store, interval.to)).sum()
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
    let full = |spot, used: f64| {
        let part = interval.world.plan.filled(spot, interval.to - 1).unwrap_or(0.0);
        used + (1.0 - used) * part
    };
    let data = match host {
        DATABASE_HOST => full(Spot::Store(Store::Orders), data),
        BROKER_HOST => full(Spot::Broker, data),
        _ => data,
    };
    let mut points = vec![("/", "/dev/nvme0n1p2", 0.37), ("/var/lib/data", "/dev/nvme1n1", data)];
    if interval.world.config.optional_metrics && host == DATABASE_HOST {
        let cache = full(Spot::Store(Store::Cache), 0.29);
        points.push(("/var/lib/redis", "/dev/nvme2n1", cache));
    }
    let points = points.iter().map(|(mount, device, used)| {
        let mut attrs = Attrs::with_capacity(3);
        attrs.text("system.filesystem.mountpoint", *mount).text("system.device", *device);
        attrs.text("system.filesystem.type", "ext4");
        (attrs.take(), Value::AsDouble(*used))
    });
    interval.gauge("system.filesystem.utilization", "1", points.collect())
}

/// Segments that TCP sent again, as the node exporter counts them: few, and many on the hosts at both
/// ends of a delayed edge.
fn retransmissions(interval: &Interval<'_>, host: usize) -> Metric {
    let touches = |svc| Instance::all().any(|i| i.host() == host && i.service().svc == svc);
    let faulty = interval.world.plan.elapsed(interval.to, |t| match t.spot {
        Spot::Edge(caller, callee) => touches(caller) || touches(callee),
        _ => false,
    });
    let segments = interval.uptime() * 0.4 + faulty * 25.0;
    let points = vec![(Vec::new(), whole(segments))];
    interval.total("node_netstat_Tcp_RetransSegs", "1", true, points)
}

/// The runaway process of the cpu incident: it belongs to no service.
fn runaway(interval: &Interval<'_>, trouble: &Trouble) -> Option<ResourceMetrics> {
    let Spot::Host(host) = trouble.spot else { return None };
    // The shop's own processes leave the rest.
    let cores = (CORES * (trouble.strength - 0.265) + interval.noise(0x9a)).max(0.1);
    Some(process(interval, host, "log-compactor", cores))
}

/// A process of the host outside any container.
fn process(interval: &Interval<'_>, host: usize, name: &str, cores: f64) -> ResourceMetrics {
    let host = interval.world.resources.host(host);
    let mut attrs = Attrs::with_capacity(4);
    attrs.int("process.pid", 31_337).text("process.executable.name", name);
    attrs.text("process.command", format!("/usr/local/bin/{name}"));
    attrs.text("process.owner", "root");
    let mut attributes = host.attributes.clone();
    attributes.extend(attrs.take());
    let resource = Resource { attributes, ..host.clone() };
    let points = vec![
        tagged("cpu.mode", "user", cores * 0.93 / CORES),
        tagged("cpu.mode", "system", cores * 0.07 / CORES),
    ];
    of(&resource, LIBRARY, vec![interval.gauge("process.cpu.utilization", "1", points)])
}

/// The batch container of the noisy-neighbour incident, as the kubelet reports it.
fn neighbour(interval: &Interval<'_>, trouble: &Trouble) -> Option<ResourceMetrics> {
    let Spot::Host(host) = trouble.spot else { return None };
    let host = interval.world.resources.host(host);
    let mut attrs = Attrs::with_capacity(4);
    attrs.text("k8s.namespace.name", "batch").text("k8s.job.name", "report-builder");
    attrs.text("k8s.pod.name", "report-builder-29104-x7k2p");
    attrs.text("k8s.container.name", "report-builder");
    let mut attributes = host.attributes.clone();
    attributes.extend(attrs.take());
    let resource = Resource { attributes, ..host.clone() };
    let cores = trouble.strength * (0.97 + 0.06 * interval.noise(0x9b));
    let metrics = vec![
        interval.gauge("container.cpu.usage", "{cpu}", vec![(Vec::new(), Value::AsDouble(cores))]),
        interval.total(
            "container.memory.usage",
            "By",
            false,
            vec![(Vec::new(), whole(2_600.0 * MIB))],
        ),
    ];
    Some(of(&resource, "kubeletstatsreceiver", metrics))
}
