//! Metrics of the databases, the cache, the broker and the gateway, as the collector's receivers
//! name them.

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics};

use super::points::{Point, counted, of, whole};
use super::{Interval, optional};
use crate::attrs::Attrs;
use crate::catalogue::services::{REPLICAS, Svc};
use crate::catalogue::statements::Store;
use crate::config::Incident;
use crate::plan::spot::Spot;
use crate::simulate::Home;

const MIB: f64 = 1_048_576.0;
/// Part of the user requests that place an order.
const ORDERS_PER_REQUEST: f64 = 0.11;

pub(super) fn metrics(interval: &Interval<'_>) -> Vec<ResourceMetrics> {
    let resources = &interval.world.resources;
    let mut all = vec![
        of(resources.store(Store::Orders.index()), "postgresqlreceiver", postgresql(interval)),
        of(resources.store(Store::Catalog.index()), "mysqlreceiver", mysql(interval)),
        of(resources.store(Store::Cache.index()), "redisreceiver", redis(interval)),
        of(resources.broker(), "kafkametricsreceiver", kafka(interval)),
    ];
    for replica in 0..REPLICAS {
        let instance = Svc::EdgeGateway.instance(replica);
        let home = Home { instance, generation: interval.moment.generation[instance.index()] };
        all.push(of(resources.instance(home), "nginxreceiver", nginx(interval, replica)));
    }
    all
}

fn one(value: f64) -> Vec<Point> {
    vec![(Vec::new(), whole(value))]
}

/// Statements under way at once, on average over the interval.
fn concurrency(interval: &Interval<'_>, store: Store) -> f64 {
    interval.stats.stores[store.index()].busy_ns as f64 / 1e9 / interval.seconds()
}

fn postgresql(interval: &Interval<'_>) -> Vec<Metric> {
    let db = "postgresql.database.name";
    // What a sample at the busiest instant sees: two standard deviations of a Poisson count.
    let mean = concurrency(interval, Store::Orders);
    let active = mean + 2.0 * mean.sqrt();
    // By name alone, the incident comes with a blocked index build.
    let slow = interval.moment.usual(Incident::SlowSql);
    let requests = interval.requests_since_start();
    let locks = [
        ("AccessShareLock", active * 3.0 + 2.0),
        ("RowExclusiveLock", active * 0.8 + 1.0),
        ("ShareLock", if slow { 9.0 + active } else { optional::blocked(interval) }),
    ];
    let locks = locks.iter().map(|(mode, count)| counted("mode", mode, *count)).collect();
    let states = if interval.world.config.optional_metrics {
        optional::activity(interval, active.ceil())
    } else {
        vec![
            counted("state", "active", active.ceil()),
            counted("state", "idle", 300.0 - active.ceil()),
        ]
    };
    let scanned = interval.world.plan.scanned(Store::Orders, interval.to) * 85.0 * 128.0;
    let blocks = vec![
        counted("source", "heap_read", requests * 0.6 + scanned),
        counted("source", "heap_hit", requests * 41.0 + scanned * 0.1),
    ];
    let mut all = vec![
        interval.total("postgresql.backends", "1", false, vec![counted(db, "orders", 300.0)]),
        interval.gauge("pg_stat_activity_count", "1", states),
        interval.gauge("postgresql.connection.max", "{connection}", one(500.0)),
        interval.total(
            "postgresql.commits",
            "1",
            true,
            vec![counted(db, "orders", requests * 0.9)],
        ),
        interval.total(
            "postgresql.rollbacks",
            "1",
            true,
            vec![counted(db, "orders", requests * 0.004)],
        ),
        interval.delta(
            "postgresql.deadlocks",
            "{deadlock}",
            vec![counted(db, "orders", interval.stats.deadlocks as f64)],
        ),
        interval.gauge("postgresql.database.locks", "{lock}", locks),
        interval.total("postgresql.blocks_read", "1", true, blocks),
        interval.total(
            "postgresql.db_size",
            "By",
            false,
            vec![counted(db, "orders", 41e9 + requests * 310.0)],
        ),
    ];
    if interval.world.config.optional_metrics {
        all.push(optional::oldest_transaction(interval));
    }
    all
}

fn mysql(interval: &Interval<'_>) -> Vec<Metric> {
    let used = &interval.stats.stores[Store::Catalog.index()];
    let running = concurrency(interval, Store::Catalog);
    let threads = vec![
        counted("kind", "connected", 180.0),
        counted("kind", "running", running.ceil() + 1.0),
        counted("kind", "cached", 12.0),
        counted("kind", "created", 204.0),
    ];
    let pages = vec![counted("status", "clean", 7.1e9), counted("status", "dirty", 2.2e8)];
    let mut all = vec![
        interval.total("mysql.threads", "1", false, threads),
        interval.delta("mysql.query.count", "1", one(used.calls as f64)),
        interval.delta("mysql.query.slow.count", "1", one(used.slow as f64)),
        interval.total("mysql.buffer_pool.usage", "By", false, pages),
        interval.total("mysql.uptime", "s", true, one(interval.uptime())),
    ];
    if interval.world.config.optional_metrics {
        all.push(optional::handlers(interval));
    }
    all
}

fn redis(interval: &Interval<'_>) -> Vec<Metric> {
    let used = &interval.stats.stores[Store::Cache.index()];
    let memory = 900.0 * MIB + 40.0 * MIB * interval.noise(0x4ed);
    let down = interval.moment.strength(Incident::DependencyErrors, Spot::Store(Store::Cache));
    let clients = 214.0 * (1.0 - down.unwrap_or(0.0).min(1.0));
    vec![
        interval.total("redis.clients.connected", "{client}", false, one(clients)),
        interval.gauge("redis.memory.used", "By", one(memory)),
        interval.gauge(
            "redis.commands",
            "{ops}/s",
            vec![(Vec::new(), Value::AsDouble(used.calls as f64 / interval.seconds()))],
        ),
        interval.delta("redis.keyspace.hits", "{hit}", one(used.hits as f64)),
        interval.delta(
            "redis.keyspace.misses",
            "{miss}",
            one(used.calls.saturating_sub(used.hits) as f64),
        ),
    ]
}

fn kafka(interval: &Interval<'_>) -> Vec<Metric> {
    let published = interval.stats.published as f64;
    let rate = published / interval.seconds();
    let mut lag = Vec::new();
    let mut offsets = Vec::new();
    for (number, group) in ["shipping", "notification"].into_iter().enumerate() {
        for partition in 0..3u64 {
            let mut attrs = Attrs::with_capacity(3);
            attrs.text("group", group).text("topic", "orders").int("partition", partition as i64);
            // About what arrives in the mean consumer delay.
            let noise = interval.noise(0xaf + partition + 8 * number as u64);
            lag.push((attrs.take(), whole(rate / 3.0 * 0.05 + 2.0 * noise)));
        }
    }
    for partition in 0..3i64 {
        let offset = interval.requests_since_start() * ORDERS_PER_REQUEST / 3.0 + partition as f64;
        let mut attrs = Attrs::with_capacity(2);
        attrs.text("topic", "orders").int("partition", partition);
        offsets.push((attrs.take(), whole(offset)));
    }
    vec![
        interval.gauge("kafka.consumer_group.lag", "{message}", lag),
        interval.gauge("kafka.partition.current_offset", "{offset}", offsets),
        interval.total("kafka.brokers", "{broker}", false, one(3.0)),
        interval.delta(
            "kafka.message.count",
            "{message}",
            vec![counted("topic", "orders", published)],
        ),
    ]
}

fn nginx(interval: &Interval<'_>, replica: usize) -> Vec<Metric> {
    let requests = (interval.requests_since_start() / REPLICAS as f64).floor();
    let active = 20.0 + 30.0 * interval.noise(0x61 + replica as u64);
    let states = ["active", "reading", "writing", "waiting"];
    let parts = [1.0, 0.05, 0.25, 0.7];
    let states = states.iter().zip(parts).map(|(s, p)| counted("state", s, active * p)).collect();
    vec![
        interval.total("nginx.requests", "requests", true, one(requests)),
        interval.total("nginx.connections_handled", "connections", true, one(requests * 0.12)),
        interval.total("nginx.connections_current", "connections", false, states),
    ]
}
