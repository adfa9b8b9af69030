//! Each fault with a place and a strength changes what the real fault would, in all three signals,
//! and leaves alone what it would leave alone.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::view::{
    Measured, Seen, flat, mean, metrics, metrics_of, numbers, quantile, range, spans, spans_of,
};
use super::{Incident, Shop, ShopConfig, config};
use crate::catalogue::statements::Stmt;
use crate::fault::{Fault, Place};
use crate::oracle::body_text;

type Tags = BTreeMap<String, String>;

/// Seconds that are looked at; faults last for the first 80.
const FROM: i64 = 30;
const TO: i64 = 70;

/// The same requests without and with the fault.
struct Pair {
    before: Vec<Seen>,
    after: Vec<Seen>,
    healthy: Vec<Measured>,
    faulty: Vec<Measured>,
    lines: Vec<(Tags, String)>,
}

fn shop(faults: Vec<Fault>) -> Shop {
    Shop::with_config(ShopConfig {
        orphans_ppm: 0,
        clock_skew_ns: 0,
        optional_metrics: true,
        own_streams: true,
        faults,
        ..config(40.0)
    })
}

fn pair(incident: Incident, place: Place, strength: f64) -> Pair {
    let fault = Fault::new(incident, place, strength, range(0, 80));
    let faulty = shop(vec![fault]).slice(range(FROM, TO));
    let healthy = shop(Vec::new()).slice(range(FROM, TO));
    Pair {
        before: spans_of(healthy.traces),
        after: spans_of(faulty.traces),
        healthy: metrics_of(healthy.metrics),
        faulty: metrics_of(faulty.metrics),
        lines: lines(faulty.logs),
    }
}

/// Every log record: resource and body.
fn lines(requests: Vec<ExportLogsServiceRequest>) -> Vec<(Tags, String)> {
    let mut all = Vec::new();
    for resource in requests.into_iter().flat_map(|r| r.resource_logs) {
        let tags = flat(&resource.resource.unwrap_or_default().attributes);
        for record in resource.scope_logs.into_iter().flat_map(|s| s.log_records) {
            all.push((tags.clone(), record.body.as_ref().map(body_text).unwrap_or_default()));
        }
    }
    all
}

fn median(all: &[Seen], keep: impl Fn(&Seen) -> bool) -> f64 {
    quantile(all.iter().filter(|s| keep(s)).map(Seen::ns), 0.5) / 1e6
}

fn average(all: &[Seen], keep: impl Fn(&Seen) -> bool) -> f64 {
    mean(all.iter().filter(|s| keep(s)).map(|s| s.ns() as f64 / 1e6))
}

fn failing(all: &[Seen], keep: impl Fn(&Seen) -> bool) -> f64 {
    mean(all.iter().filter(|s| keep(s)).map(|s| f64::from(u8::from(s.failed()))))
}

fn statement<'a>(summary: &'a str) -> impl Fn(&Seen) -> bool + 'a {
    move |s| s.attributes.get("db.query.summary").is_some_and(|t| t == summary)
}

impl Pair {
    /// Mean of a metric's points that are kept, without and with the fault.
    fn metric(&self, name: &str, keep: impl Fn(&Tags, &Tags) -> bool) -> (f64, f64) {
        let of = |all: &[Measured]| {
            mean(numbers(all, name).filter(|(r, a, _)| keep(r, a)).map(|(_, _, value)| value))
        };
        (of(&self.healthy), of(&self.faulty))
    }

    /// Growth of a counter over the range, without and with the fault.
    fn growth(&self, name: &str, keep: impl Fn(&Tags, &Tags) -> bool) -> (f64, f64) {
        let of = |all: &[Measured]| {
            let mut series: BTreeMap<String, (f64, f64)> = BTreeMap::new();
            for (r, a, value) in numbers(all, name).filter(|(r, a, _)| keep(r, a)) {
                series.entry(format!("{r:?} {a:?}")).or_insert((value, value)).1 = value;
            }
            series.values().map(|(first, last)| last - first).sum()
        };
        (of(&self.healthy), of(&self.faulty))
    }

    /// Mean of a histogram's points that are kept, without and with the fault.
    fn histogram(&self, name: &str, keep: impl Fn(&Tags, &Tags) -> bool) -> (f64, f64) {
        let of = |all: &[Measured]| {
            let (mut sum, mut count) = (0.0, 0u64);
            for measured in all.iter().filter(|m| m.metric.name == name) {
                let Some(Data::Histogram(data)) = &measured.metric.data else { continue };
                for p in &data.data_points {
                    if keep(&measured.resource, &flat(&p.attributes)) {
                        sum += p.sum.unwrap_or_default();
                        count += p.count;
                    }
                }
            }
            sum / count as f64
        };
        (of(&self.healthy), of(&self.faulty))
    }

    fn says(&self, text: &str) -> usize {
        self.lines.iter().filter(|(_, body)| body.contains(text)).count()
    }

    /// Nothing of the host has changed: neither CPU nor disk.
    fn host_is_calm(&self, host: &str) {
        let idle = |r: &Tags, a: &Tags| r["host.name"] == host && a["cpu.mode"] == "idle";
        let (before, after) = self.metric("system.cpu.utilization", idle);
        assert!((before - after).abs() < 0.03, "{before} {after}");
        let io = |r: &Tags, _: &Tags| r["host.name"] == host;
        let (before, after) = self.growth("system.disk.io", io);
        assert!((after / before - 1.0).abs() < 0.05, "{before} {after}");
    }
}

fn of_service<'a>(name: &'a str) -> impl Fn(&Tags, &Tags) -> bool + 'a {
    move |r, _| r.get("service.name").is_some_and(|n| n == name)
}

#[test]
fn a_lock_makes_one_statement_wait_without_io() {
    let pair =
        pair(Incident::Lock, Place::Statement(Stmt::StockReserve.facts().text.into()), 1000.0);
    let locked = statement("UPDATE stock");
    assert!(average(&pair.after, &locked) > 400.0 + average(&pair.before, &locked));
    for other in ["INSERT orders", "SELECT stock", "SELECT users"] {
        let (before, after) =
            (median(&pair.before, statement(other)), median(&pair.after, statement(other)));
        assert!((after / before - 1.0).abs() < 0.05, "{other} {before} {after}");
    }
    pair.host_is_calm("shop-node-5");
    let share = |_: &Tags, a: &Tags| a.get("mode").is_some_and(|m| m == "ShareLock");
    let (before, after) = pair.metric("postgresql.database.locks", share);
    assert!(before == 0.0 && after >= 2.0, "{before} {after}");
    let waits = |_: &Tags, a: &Tags| a["wait_event_type"] == "Lock";
    let (before, after) = pair.metric("pg_stat_activity_count", waits);
    assert!(before == 0.0 && after >= 1.0, "{before} {after}");
    let holder = |_: &Tags, a: &Tags| a["state"] == "idle in transaction";
    let (before, after) = pair.metric("pg_stat_activity_max_tx_duration", holder);
    assert!(before < 0.1 && after > 1.0, "{before} {after}");
    assert!(pair.says("still waiting for ShareLock") > 5);
    assert_eq!(pair.says("still waiting for ShareLock"), pair.says("acquired ShareLock"));
}

#[test]
fn a_slow_statement_of_the_other_database_reads_from_its_host() {
    let text = Stmt::ProductsFeatured.facts().text;
    let pair = pair(Incident::SlowSql, Place::Statement(text.into()), 60.0);
    let list = |s: &Seen| s.attributes.get("db.query.text").is_some_and(|t| t == text);
    assert!(median(&pair.after, list) > 40.0 * median(&pair.before, list));
    pair.host_is_calm("shop-node-5");
    let reads =
        |r: &Tags, a: &Tags| r["host.name"] == "shop-node-6" && a["disk.io.direction"] == "read";
    let (before, after) = pair.growth("system.disk.io", reads);
    assert!(after > 100.0 * before, "{before} {after}");
    let next = |_: &Tags, a: &Tags| a["kind"] == "read_rnd_next";
    let (before, after) = pair.growth("mysql.handlers", next);
    assert!(after > 10.0 * before, "{before} {after}");
    assert!(pair.says("Query_time: ") > 10 && pair.says("waiting for ShareLock") == 0);
}

#[test]
fn a_delayed_edge_grows_clients_and_not_servers() {
    let place = Place::Edge("checkout".into(), "payment".into());
    let pair = pair(Incident::NetworkDelay, place, 80.0);
    let client = |s: &Seen| {
        s.service() == "checkout"
            && s.attributes.get("service.peer.name").is_some_and(|n| n == "payment")
    };
    let grown = median(&pair.after, client) - median(&pair.before, client);
    assert!((60.0..110.0).contains(&grown), "{grown}");
    let server = |s: &Seen| s.is("payment", "POST /payments");
    assert!((average(&pair.after, server) / average(&pair.before, server) - 1.0).abs() < 0.02);
    let other = |s: &Seen| s.service() == "checkout" && s.span.kind == 3 && !client(s);
    assert!((median(&pair.after, other) / median(&pair.before, other) - 1.0).abs() < 0.02);
    let edge = |r: &Tags, a: &Tags| {
        r["service.name"] == "checkout" && a["k8s.dst.owner.name"] == "payment"
    };
    let (before, after) = pair.histogram("obi.stat.tcp.rtt", edge);
    assert!(before < 0.001 && (0.06..0.1).contains(&after), "{before} {after}");
    let beside =
        |r: &Tags, a: &Tags| r["service.name"] == "checkout" && a["k8s.dst.owner.name"] == "cart";
    let (before, after) = pair.histogram("obi.stat.tcp.rtt", beside);
    assert!((after / before - 1.0).abs() < 1e-9, "{before} {after}");
    let (before, after) = pair.growth("node_netstat_Tcp_RetransSegs", |_, _| true);
    assert!(after > 5.0 * before, "{before} {after}");
}

#[test]
fn an_exhausted_pool_waits_before_the_statement() {
    let pair = pair(Incident::PoolExhaustion, Place::Service("orders".into()), 300.0);
    let server = |s: &Seen| s.is("orders", "GET /orders");
    assert!(average(&pair.after, server) > 250.0 + average(&pair.before, server));
    for summary in ["INSERT orders", "SELECT orders order_items"] {
        let (before, after) =
            (median(&pair.before, statement(summary)), median(&pair.after, statement(summary)));
        assert!((after / before - 1.0).abs() < 0.02, "{summary} {before} {after}");
    }
    let used = |r: &Tags, a: &Tags| {
        r["service.name"] == "orders" && a["db.client.connection.state"] == "used"
    };
    let (before, after) = pair.metric("db.client.connection.count", used);
    assert!(before < 3.0 && after == 20.0, "{before} {after}");
    let name = "db.client.connection.pending_requests";
    let (before, after) = pair.metric(name, of_service("orders"));
    assert!(before == 0.0 && after >= 1.0, "{before} {after}");
    let (before, after) = pair.metric(name, of_service("payment"));
    assert!(before == after, "{before} {after}");
    let (before, after) = pair.histogram("db.client.connection.wait_time", of_service("orders"));
    assert!(before < 0.001 && (0.2..0.45).contains(&after), "{before} {after}");
    assert!(pair.says("connection is not available") > 0);
    pair.host_is_calm("shop-node-5");
}

#[test]
fn a_surge_queues_where_the_requests_go_and_breaks_nothing() {
    let pair = pair(Incident::TrafficSurge, Place::Entry("GET /search".into()), 4.0);
    let calls =
        |all: &[Seen], name: &str| all.iter().filter(|s| s.is("edge-gateway", name)).count() as f64;
    let grown = |name| calls(&pair.after, name) / calls(&pair.before, name);
    assert!((3.5..4.5).contains(&grown("GET /search")), "{}", grown("GET /search"));
    assert!((0.85..1.15).contains(&grown("GET /")), "{}", grown("GET /"));
    let work = |s: &Seen| s.is("search", "execute query");
    let slower = median(&pair.after, work) / median(&pair.before, work);
    assert!((3.0..14.0).contains(&slower), "{slower}");
    let login = |s: &Seen| s.is("user-auth", "bcrypt compare");
    let slower = median(&pair.after, login) / median(&pair.before, login);
    // Its hosts are busier, and that is all.
    assert!((0.9..1.5).contains(&slower), "{slower}");
    let (before, after) = pair.metric("process.cpu.utilization", of_service("search"));
    assert!(after > 2.5 * before, "{before} {after}");
    let (before, after) = pair.growth("container.cpu.throttled_time", of_service("search"));
    assert!(after > 10.0 * before, "at the container's limit: {before} {after}");
    let root = |s: &Seen| s.service() == "edge-gateway";
    assert!(failing(&pair.after, root) < failing(&pair.before, root) + 0.01);
}

#[test]
fn a_noisy_neighbour_takes_a_host_and_leaves_the_work_as_it_was() {
    let pair = pair(Incident::NoisyNeighbour, Place::Host("shop-node-1".into()), 10.0);
    let internal = |on: bool| {
        move |s: &Seen| s.span.kind == 1 && (s.resource["host.name"] == "shop-node-1") == on
    };
    let slower = median(&pair.after, internal(true)) / median(&pair.before, internal(true));
    assert!((2.5..6.0).contains(&slower), "{slower}");
    let elsewhere = median(&pair.after, internal(false)) / median(&pair.before, internal(false));
    assert!((elsewhere - 1.0).abs() < 0.02, "{elsewhere}");
    let here = |r: &Tags, _: &Tags| {
        r.get("host.name").is_some_and(|h| h == "shop-node-1") && r.contains_key("service.name")
    };
    let (before, after) = pair.metric("process.cpu.utilization", here);
    assert!((after / before - 1.0).abs() < 0.02, "the same work: {before} {after}");
    let (before, after) = pair.growth("container.cpu.throttled_time", here);
    assert!((after / before - 1.0).abs() < 0.02, "no quota is met: {before} {after}");
    let (before, after) = pair.growth("container_pressure_cpu_waiting_seconds_total", here);
    assert!(after > 50.0 * before, "{before} {after}");
    let batch = |all: &[Measured]| -> Vec<f64> {
        let points = numbers(all, "container.cpu.usage");
        points.filter(|p| p.0["k8s.namespace.name"] == "batch").map(|p| p.2).collect()
    };
    let cores = batch(&pair.faulty);
    assert!(!cores.is_empty() && cores.iter().all(|c| (9.5..10.5).contains(c)), "{cores:?}");
    assert!(batch(&pair.healthy).is_empty());
}

#[test]
fn a_leak_fills_an_instance_until_it_is_killed() {
    let place = Place::Instance("recommendation".into(), 1);
    let faulty = shop(vec![Fault::new(Incident::MemoryLeak, place, 1000.0, range(0, 80))]);
    // The memory is full after 13 twentieths of the fault: at second 52.
    let host = "shop-node-2";
    let usage = |from: i64, to: i64| {
        let all = metrics(&faulty, from, to);
        let here = |r: &Tags| r["service.name"] == "recommendation" && r["host.name"] == host;
        mean(numbers(&all, "container.memory.usage").filter(|p| here(p.0)).map(|p| p.2))
    };
    assert!(usage(40, 50) > 1.35 * usage(0, 10), "{} {}", usage(0, 10), usage(40, 50));
    assert!(usage(60, 70) < 0.85 * usage(40, 50));
    let serving = |on: bool| {
        move |s: &Seen| {
            s.service() == "recommendation"
                && s.span.kind == 2
                && (s.resource["host.name"] == host) == on
        }
    };
    let (early, late) = (spans(&faulty, 0, 20), spans(&faulty, 42, 52));
    assert!(median(&late, serving(true)) > 200.0 + median(&early, serving(true)));
    assert!(median(&late, serving(false)) < 1.3 * median(&early, serving(false)));
    let killed = spans(&faulty, 52, 60);
    assert_eq!(killed.iter().filter(|s| serving(true)(s)).count(), 0);
    let refused = |s: &Seen| s.attributes.get("error.type").is_some_and(|t| t == "ECONNREFUSED");
    assert!(killed.iter().any(refused));
    let ids = |from, to| -> std::collections::BTreeSet<(String, String)> {
        let all = spans(&faulty, from, to);
        let id = |s: &Seen, key: &str| s.resource[key].clone();
        all.iter()
            .filter(|s| serving(true)(s))
            .map(|s| (id(s, "k8s.pod.uid"), id(s, "container.id")))
            .collect()
    };
    let (before, after) = (ids(0, 50), ids(60, 80));
    let (before, after) = (before.first().unwrap(), after.first().unwrap());
    assert!(before.0 == after.0 && before.1 != after.1, "the same pod, another container");
    let all = metrics(&faulty, 60, 80);
    let restarts: f64 = numbers(&all, "k8s.container.restarts").map(|p| p.2).fold(0.0, f64::max);
    assert_eq!(restarts, 1.0);
    let said = lines(faulty.slice(range(FROM, TO)).logs);
    let kernel = said.iter().find(|(_, body)| body.contains("Memory cgroup out of memory"));
    assert_eq!(kernel.map(|(tags, _)| tags["host.name"].as_str()), Some(host));
    assert!(said.iter().any(|(_, body)| body.starts_with("recommendation 0.31.5 started")));
}

#[test]
fn a_full_volume_fails_writes_and_not_reads() {
    let pair = pair(Incident::DiskFull, Place::Peer("orders-db.shop.svc".into()), 0.8);
    let of = |write: bool| {
        move |s: &Seen| {
            let reads = |t: &String| t.starts_with("SELECT");
            s.attributes.get("db.query.summary").is_some_and(|t| reads(t) != write)
        }
    };
    let writes = failing(&pair.after, of(true));
    assert!((0.7..0.9).contains(&writes), "{writes}");
    assert!(failing(&pair.after, of(false)) < 0.001);
    assert!(failing(&pair.before, of(true)) < 0.001);
    let data = |r: &Tags, a: &Tags| {
        r["host.name"] == "shop-node-5" && a["system.filesystem.mountpoint"] == "/var/lib/data"
    };
    let (before, after) = pair.metric("system.filesystem.utilization", data);
    assert!(before < 0.6 && after == 1.0, "{before} {after}");
    let other = |r: &Tags, _: &Tags| r["host.name"] != "shop-node-5";
    let (before, after) = pair.metric("system.filesystem.utilization", other);
    assert!(before == after);
    let database = pair.lines.iter().filter(|(_, body)| body.contains("could not extend file"));
    assert!(database.clone().count() > 10);
    assert!(
        database
            .clone()
            .any(|(tags, _)| tags.get("server.address").is_some_and(|a| a == "orders-db.shop.svc"))
    );
}

#[test]
fn old_incidents_happen_where_they_are_told_to() {
    let cpu = pair(Incident::Cpu, Place::Host("shop-node-4".into()), 0.95);
    let internal = |on: bool| {
        move |s: &Seen| s.span.kind == 1 && (s.resource["host.name"] == "shop-node-4") == on
    };
    let slower = median(&cpu.after, internal(true)) / median(&cpu.before, internal(true));
    assert!((3.0..5.5).contains(&slower), "{slower}");
    assert!(median(&cpu.after, internal(false)) < 1.02 * median(&cpu.before, internal(false)));

    let gc = pair(Incident::Gc, Place::Instance("catalog".into(), 2), 1.5);
    let paused = |all: &[Seen], host: &str| {
        let on = |s: &&Seen| {
            s.service() == "catalog" && s.span.kind == 2 && s.resource["host.name"] == host
        };
        quantile(all.iter().filter(on).map(Seen::ns), 0.95) / 1e6
    };
    assert!(paused(&gc.after, "shop-node-2") > 500.0);
    assert!(paused(&gc.after, "shop-node-5") < 200.0);

    let deploy = pair(Incident::BadDeploy, Place::Service("pricing".into()), 1.0);
    let new = |s: &Seen| {
        s.service() == "pricing" && s.span.kind == 2 && s.resource["service.version"] == "1.5.0"
    };
    assert!(failing(&deploy.after, new) > 0.2);
    assert!(median(&deploy.after, new) > 40.0);

    let cache = pair(Incident::DependencyErrors, Place::Peer("cart-cache.shop.svc".into()), 0.5);
    let asked =
        |s: &Seen| s.attributes.get("server.address").is_some_and(|a| a == "cart-cache.shop.svc");
    assert!((0.4..0.6).contains(&failing(&cache.after, asked)));

    let list = pair(Incident::NPlusOne, Place::Service("orders".into()), 2.0);
    let lines = |all: &[Seen]| all.iter().filter(|s| statement("SELECT order_items")(s)).count();
    assert!(lines(&list.after) > 10 * lines(&list.before));
}
