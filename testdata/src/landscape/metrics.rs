//! Metrics of a random system, each service in its own dialect.

mod stores;
mod write;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use super::plan::{CORES, IDLE_LOAD, Leak, Plan, Spot};
use super::resources;
use super::run::{Records, What};
use super::system::{Dialect, Runtime};
use crate::attrs::Attrs;
use crate::config::Incident;
use crate::dice::{mix, unit};
use crate::landscape::plan::Harmless;
use write::Writer;

/// Cores that a container may use.
const LIMIT: f64 = 4.0;
/// Connections of a pool.
const POOL: f64 = 16.0;

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Totals {
    boot: i64,
    cpu_s: BTreeMap<(usize, usize), f64>,
    gc_s: BTreeMap<(usize, usize), (f64, f64)>,
    throttled_s: BTreeMap<(usize, usize), f64>,
    hosts: BTreeMap<usize, [f64; 4]>,
    stores: BTreeMap<usize, [f64; 4]>,
    faults: BTreeMap<(usize, usize), f64>,
    retransmitted: BTreeMap<usize, f64>,
}

impl Totals {
    pub(super) fn new(plan: &Plan, _first: i64) -> Self {
        Self { boot: plan.boot, ..Self::default() }
    }
}

/// What the spans of an interval say of an instance.
#[derive(Debug, Default, Clone, Copy)]
struct Use {
    cpu_ns: f64,
    /// Connections held, and waited for, nanoseconds.
    held_ns: f64,
    waited_ns: f64,
}

/// An interval of the metrics.
struct Interval<'a> {
    plan: &'a Plan,
    from: i64,
    to: i64,
    uses: BTreeMap<(usize, usize), Use>,
}

impl Interval<'_> {
    fn seconds(&self) -> f64 {
        (self.to - self.from) as f64
    }

    /// Noise in `[0, 1)` that depends on the interval alone.
    fn noise(&self, what: u64) -> f64 {
        unit(mix(mix(self.plan.seed, what), self.to as u64))
    }

    fn used(&self, service: usize, replica: usize) -> Use {
        self.uses.get(&(service, replica)).copied().unwrap_or_default()
    }

    /// Cores that an instance uses, collections included.
    fn cores(&self, service: usize, replica: usize) -> f64 {
        let work = self.used(service, replica).cpu_ns / 1e9 / self.seconds() * self.plan.cpu_scale;
        let paused = self.plan.paused(service, replica, self.from, self.to) / self.seconds();
        (work + 0.01 + 2.0 * paused).min(LIMIT)
    }

    fn strength(&self, kind: Incident, spot: Spot) -> Option<f64> {
        self.plan.strength(self.to - 1, kind, spot)
    }

    /// Resident memory of an instance, bytes, and its limit.
    fn memory(&self, service: usize, replica: usize) -> (f64, f64) {
        let quiet = self.plan.system.services[service].memory;
        let limit = 1.7 * quiet;
        let noise = 0.97 + 0.06 * self.noise(0x3e + (service * 16 + replica) as u64);
        match self.plan.leak(self.to - 1, service, replica) {
            Some((Leak::Growing(part), _)) => (quiet + (limit - quiet) * part, limit),
            _ => (quiet * noise, limit),
        }
    }
}

/// The metrics of the interval that the records began in.
pub(super) fn of(
    plan: &Plan,
    records: &Records,
    range: (i64, i64),
    totals: &mut Totals,
) -> Vec<ResourceMetrics> {
    let mut uses: BTreeMap<(usize, usize), Use> = BTreeMap::new();
    for span in &records.spans {
        let of_instance = uses.entry((span.service, span.replica)).or_default();
        of_instance.cpu_ns += span.cpu_ns;
        if let What::Query(one) = span.what
            && Some(plan.system.statements[one].store) == plan.system.services[span.service].pool
        {
            of_instance.held_ns += (span.to - span.from) as f64;
            of_instance.waited_ns += span.waited_ns as f64;
        }
    }
    let interval = Interval { plan, from: range.0, to: range.1, uses };
    let mut all = Vec::new();
    for (service, facts) in plan.system.services.iter().enumerate() {
        for replica in 0..facts.hosts.len() {
            instance(&interval, service, replica, totals, &mut all);
        }
    }
    for host in 0..plan.system.hosts.len() {
        self::host(&interval, host, totals, &mut all);
    }
    stores::all(&interval, records, totals, &mut all);
    all
}

fn instance(
    interval: &Interval<'_>,
    service: usize,
    replica: usize,
    totals: &mut Totals,
    all: &mut Vec<ResourceMetrics>,
) {
    let plan = interval.plan;
    let facts = &plan.system.services[service];
    let release = plan.release(interval.to - 1, service, replica).0;
    let key = (service, replica);
    let cores = interval.cores(service, replica);
    *totals.cpu_s.entry(key).or_default() += cores * interval.seconds();
    let host = Spot::Host(facts.hosts[replica]);
    // A container at its limit is throttled; a saturated host alone does not throttle.
    let starved = interval.strength(Incident::NoisyNeighbour, host).map_or(0.0, |_| 0.5)
        + interval.strength(Incident::Cpu, host).map_or(0.0, |_| 0.6);
    let over = (cores / LIMIT - 0.9).max(0.0) * 5.0;
    *totals.throttled_s.entry(key).or_default() += interval.seconds() * over.min(0.9);
    *totals.faults.entry(key).or_default() += interval.seconds() * (0.004 + starved);
    let mut process =
        Writer::new(resources::instance(plan, service, replica, release), interval, totals.boot);
    let mut container =
        Writer::new(resources::container(plan, service, replica, release), interval, totals.boot);
    let (memory, limit) = interval.memory(service, replica);
    match facts.dialect {
        Dialect::Stable => {
            process.gauge("process.cpu.utilization", cores / LIMIT, &[("cpu.mode", "user")]);
            process.level("process.memory.usage", memory, &[]);
            process.level("container.memory.usage", memory * 1.05, &[]);
            process.gauge("k8s.container.memory_limit", limit, &[]);
            process.count("container.cpu.throttled_time", totals.throttled_s[&key] * 1e9, &[]);
        }
        Dialect::Old => {
            let name = if facts.runtime == Runtime::Java {
                "process.runtime.jvm.cpu.utilization"
            } else {
                "process.runtime.cpu.utilization"
            };
            process.gauge(name, cores / LIMIT, &[]);
            process.level("process.memory.usage", memory, &[]);
        }
        Dialect::Prometheus => {
            process.count("process_cpu_seconds_total", totals.cpu_s[&key], &[]);
            process.gauge("process_resident_memory_bytes", memory, &[]);
            container.count("container_cpu_usage_seconds_total", totals.cpu_s[&key], &[]);
            let throttled = totals.throttled_s[&key];
            container.count("container_cpu_cfs_throttled_seconds_total", throttled, &[]);
            container.gauge("container_memory_working_set_bytes", memory * 1.05, &[]);
            container.gauge("container_spec_memory_limit_bytes", limit, &[]);
        }
        Dialect::Kubelet => {
            container.gauge("k8s.pod.cpu.usage", cores, &[]);
            container.gauge("k8s.container.cpu_limit_utilization", cores / LIMIT, &[]);
            container.level("k8s.pod.memory.usage", memory, &[]);
            container.gauge("k8s.container.memory_limit_utilization", memory / limit, &[]);
        }
    }
    if matches!(facts.dialect, Dialect::Stable | Dialect::Prometheus | Dialect::Kubelet) {
        let waiting = totals.faults[&key];
        container.count("container_pressure_cpu_waiting_seconds_total", waiting, &[]);
        let restarts = plan.restarts(interval.to - 1, service, replica) as f64;
        container.gauge("k8s.container.restarts", restarts, &[]);
    }
    if facts.dialect != Dialect::Kubelet {
        runtime(interval, service, replica, totals, &mut process);
        pool(interval, service, replica, &mut process);
    }
    all.extend([process, container].into_iter().filter_map(Writer::take));
}

/// Collections.
fn runtime(
    interval: &Interval<'_>,
    service: usize,
    replica: usize,
    totals: &mut Totals,
    to: &mut Writer,
) {
    let facts = &interval.plan.system.services[service];
    let paused = interval.plan.paused(service, replica, interval.from, interval.to);
    let full = paused > 0.4;
    let sum = totals.gc_s.entry((service, replica)).or_default();
    *sum = (sum.0 + paused, sum.1 + interval.seconds() / 5.0);
    match (facts.runtime, facts.dialect) {
        (Runtime::Java, Dialect::Prometheus) => {
            to.summary("jvm_gc_pause_seconds", sum.0, sum.1);
            to.gauge("jvm_memory_max_bytes", facts.memory, &[("area", "heap")]);
            let used = facts.memory * if full { 0.96 } else { 0.5 };
            to.gauge("jvm_memory_used_bytes", used, &[("area", "heap")]);
        }
        (Runtime::Java, Dialect::Old) => {
            to.histogram(
                "process.runtime.jvm.gc.duration",
                "ms",
                paused * 1e3,
                interval.seconds() / 5.0,
            );
            let used = facts.memory * if full { 0.96 } else { 0.5 };
            to.level("process.runtime.jvm.memory.usage", used, &[("type", "heap")]);
            to.level("process.runtime.jvm.memory.limit", facts.memory, &[("type", "heap")]);
        }
        (Runtime::Java, _) => {
            to.histogram("jvm.gc.duration", "s", paused, interval.seconds() / 5.0);
            let used = facts.memory * if full { 0.96 } else { 0.5 };
            to.level("jvm.memory.used", used, &[("jvm.memory.type", "heap")]);
            to.level("jvm.memory.limit", facts.memory, &[("jvm.memory.type", "heap")]);
        }
        (Runtime::Go, _) => to.summary("go_gc_duration_seconds", 0.0001 * sum.1, sum.1),
        (Runtime::Node, Dialect::Stable) => {
            to.gauge(
                "nodejs.eventloop.delay.p99",
                0.012 + 0.003 * interval.noise(service as u64),
                &[],
            );
        }
        _ => {}
    }
}

/// Connections of the pool.
fn pool(interval: &Interval<'_>, service: usize, replica: usize, to: &mut Writer) {
    let facts = &interval.plan.system.services[service];
    let Some(store) = facts.pool else { return };
    let used = interval.used(service, replica);
    let exhausted = interval.strength(Incident::PoolExhaustion, Spot::Service(service)).is_some();
    let held = (used.held_ns / 1e9 / interval.seconds()).ceil().min(POOL);
    let held = if exhausted { POOL } else { held };
    let pending = (used.waited_ns / 1e9 / interval.seconds()).ceil();
    let name = interval.plan.system.stores[store].namespace.clone();
    match facts.dialect {
        Dialect::Prometheus => {
            let tag = [("pool", name.as_str())];
            to.gauge("hikaricp_connections_active", held, &tag);
            to.gauge("hikaricp_connections_max", POOL, &tag);
            to.gauge("hikaricp_connections_pending", pending, &tag);
        }
        Dialect::Old => {
            let used = [("pool.name", name.as_str()), ("state", "used")];
            to.level("db.client.connections.usage", held, &used);
            to.level("db.client.connections.max", POOL, &used[..1]);
            to.level("db.client.connections.pending_requests", pending, &used[..1]);
        }
        _ => {
            let tag = ("db.client.connection.pool.name", name.as_str());
            let used = [tag, ("db.client.connection.state", "used")];
            to.level("db.client.connection.count", held, &used);
            to.level("db.client.connection.max", POOL, &[tag]);
            to.level("db.client.connection.pending_requests", pending, &[tag]);
        }
    }
}

fn host(interval: &Interval<'_>, host: usize, totals: &mut Totals, all: &mut Vec<ResourceMetrics>) {
    let plan = interval.plan;
    let mut cores: f64 = IDLE_LOAD * CORES;
    for (service, facts) in plan.system.services.iter().enumerate() {
        let here = (0..facts.hosts.len()).filter(|replica| facts.hosts[*replica] == host);
        cores += here.map(|replica| interval.cores(service, replica)).sum::<f64>();
    }
    for what in plan.harmless(interval.to - 1) {
        cores += if let Harmless::Batch(at, more) = what {
            if at == host { more } else { 0.0 }
        } else {
            0.0
        };
    }
    let own = (cores / CORES).min(0.97);
    let runaway = interval.strength(Incident::Cpu, Spot::Host(host));
    let neighbour = interval.strength(Incident::NoisyNeighbour, Spot::Host(host));
    let load = match (runaway, neighbour) {
        (Some(load), _) => own.max(load),
        (None, Some(cores)) => (own + cores / CORES).min(0.965).max(own),
        _ => own,
    };
    let reads =
        |store: usize| plan.system.stores[store].host == host && stores::scans(interval, store);
    let waiting = if (0..plan.system.stores.len()).any(reads) { 0.1 } else { 0.005 };
    let waiting = waiting * (0.8 + 0.4 * interval.noise(0x10 + host as u64));
    let modes = [load * 0.8, load * 0.2, waiting, (1.0 - load - waiting).max(0.0)];
    let sums = totals.hosts.entry(host).or_default();
    for (sum, mode) in sums.iter_mut().zip(modes) {
        *sum += mode * CORES * interval.seconds();
    }
    let sums = *sums;
    let sent = retransmitted(interval, host, totals);
    let runnable = load * CORES * if load > 0.93 { 2.5 } else { 1.1 };
    let filled = (0..plan.system.stores.len())
        .filter(|store| plan.system.stores[*store].host == host)
        .map(|store| (store, 0.42 + 0.58 * plan.filled(interval.to - 1, store)));
    let mut to = Writer::new(resources::host(plan, host), interval, totals.boot);
    let names = ["user", "system", "iowait", "idle"];
    if plan.system.exporters {
        for (name, sum) in names.iter().zip(sums) {
            to.count("node_cpu_seconds_total", sum, &[("mode", name)]);
        }
        to.gauge("node_load1", runnable, &[]);
        to.count("node_netstat_Tcp_RetransSegs", sent, &[]);
        for (store, used) in filled {
            let mount = format!("/data/{store}");
            let size = 2e11;
            to.gauge("node_filesystem_size_bytes", size, &[("mountpoint", &mount)]);
            to.gauge("node_filesystem_avail_bytes", size * (1.0 - used), &[("mountpoint", &mount)]);
        }
    } else {
        for (name, mode) in names.iter().zip(modes) {
            to.gauge("system.cpu.utilization", mode, &[("cpu.mode", name)]);
        }
        to.gauge("system.cpu.load_average.1m", runnable, &[]);
        for (store, used) in filled {
            let mount = format!("/data/{store}");
            let tag = [("system.filesystem.mountpoint", mount.as_str())];
            to.gauge("system.filesystem.utilization", used, &tag);
        }
    }
    all.extend(to.take());
    all.extend(
        runaway.and_then(|load| other(interval, host, "indexer", (load - own).max(0.1) * CORES)),
    );
    all.extend(neighbour.and_then(|cores| batch(interval, host, cores, totals.boot)));
}

/// Segments that TCP has sent again: many at both ends of a delayed edge.
fn retransmitted(interval: &Interval<'_>, host: usize, totals: &mut Totals) -> f64 {
    let plan = interval.plan;
    let here = |service: &usize| plan.system.services[*service].hosts.contains(&host);
    let touches = |spot| matches!(spot, Spot::Edge(a, b) if here(&a) || here(&b));
    let lossy = plan.during(interval.to - 1) && plan.faults.iter().any(|t| touches(t.spot));
    let sent = totals.retransmitted.entry(host).or_default();
    *sent += interval.seconds() * if lossy { 25.0 } else { 0.4 };
    *sent
}

/// A process of the host that belongs to no service.
fn other(interval: &Interval<'_>, host: usize, name: &str, cores: f64) -> Option<ResourceMetrics> {
    let mut attrs = Attrs::with_capacity(4);
    let named = interval.plan.system.hosts[host].clone();
    attrs.text("host.name", named.clone()).text("k8s.node.name", named);
    attrs.int("process.pid", 4242).text("process.executable.name", name);
    let mut to = Writer::new(resources::resource(attrs), interval, interval.plan.boot);
    to.gauge("process.cpu.utilization", cores / CORES, &[("cpu.mode", "user")]);
    to.take()
}

/// A container of somebody else.
fn batch(interval: &Interval<'_>, host: usize, cores: f64, boot: i64) -> Option<ResourceMetrics> {
    let mut attrs = Attrs::with_capacity(4);
    attrs.text("k8s.namespace.name", "analytics").text("k8s.pod.name", "rebuild-cube-8871-abcde");
    attrs.text("k8s.container.name", "rebuild-cube");
    attrs.text("k8s.node.name", interval.plan.system.hosts[host].clone());
    let mut to = Writer::new(resources::resource(attrs), interval, boot);
    to.gauge("container.cpu.usage", cores, &[]);
    to.gauge("k8s.pod.cpu.usage", cores, &[]);
    to.count(
        "container_cpu_usage_seconds_total",
        cores * (interval.to - interval.plan.from) as f64,
        &[],
    );
    to.take()
}
