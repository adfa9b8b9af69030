//! What databases and caches say of themselves.

use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;

use super::write::Writer;
use super::{Interval, Totals};
use crate::config::Incident;
use crate::landscape::plan::Spot;
use crate::landscape::resources;
use crate::landscape::run::{Failure, Records, What};
use crate::landscape::system::Engine;

/// Whether a statement of the store reads far more than it should.
pub(super) fn scans(interval: &Interval<'_>, store: usize) -> bool {
    let system = &interval.plan.system;
    let slow = |one: &usize| {
        system.statements[*one].store == store
            && interval.strength(Incident::SlowSql, Spot::Statement(*one)).is_some()
    };
    (0..system.statements.len()).any(|one| slow(&one))
}

/// What the spans of an interval say of a store.
#[derive(Debug, Default, Clone, Copy)]
struct Use {
    calls: f64,
    failed: f64,
    busy_ns: f64,
    locked_ns: f64,
    longest_ns: f64,
    slow: f64,
}

pub(super) fn all(
    interval: &Interval<'_>,
    records: &Records,
    totals: &mut Totals,
    to: &mut Vec<ResourceMetrics>,
) {
    let system = &interval.plan.system;
    let mut uses = vec![Use::default(); system.stores.len()];
    for span in &records.spans {
        if let What::Query(one) = span.what {
            let of = &mut uses[system.statements[one].store];
            of.calls += 1.0;
            of.failed += f64::from(u8::from(span.failure == Some(Failure::StoreDown)));
            of.busy_ns += (span.to - span.from) as f64;
            of.locked_ns += span.locked_ns as f64;
            of.longest_ns = of.longest_ns.max(span.locked_ns as f64);
            of.slow += f64::from(u8::from(span.to - span.from > 150_000_000));
        }
    }
    for (store, of) in uses.into_iter().enumerate() {
        let sums = totals.stores.entry(store).or_default();
        let scanned = if scans(interval, store) { 2e5 } else { 0.0 };
        sums[0] += of.calls;
        sums[1] += of.calls * 30.0 + scanned * interval.seconds();
        sums[2] += of.slow;
        sums[3] += of.locked_ns / 1e9;
        let sums = *sums;
        let mut writer = Writer::new(resources::store(interval.plan, store), interval, totals.boot);
        let engine = system.stores[store].engine;
        match (engine, system.exporters) {
            (Engine::Postgres, _) => postgres(interval, of, sums, &mut writer),
            (Engine::Mysql, exporter) => mysql(interval, of, sums, exporter, &mut writer),
            (Engine::Redis, exporter) => redis(interval, of, sums, exporter, &mut writer),
        }
        to.extend(writer.take());
    }
}

fn mean(interval: &Interval<'_>, ns: f64) -> f64 {
    ns / 1e9 / interval.seconds()
}

fn postgres(interval: &Interval<'_>, of: Use, sums: [f64; 4], to: &mut Writer) {
    let (busy, locked) = (mean(interval, of.busy_ns), mean(interval, of.locked_ns));
    let blocked = (locked + 2.0 * locked.sqrt()).ceil();
    let active = (busy + 2.0 * busy.sqrt()).ceil().max(blocked);
    if interval.plan.system.exporters {
        to.gauge("pg_locks_count", blocked, &[("mode", "sharelock")]);
        to.gauge("pg_locks_count", active * 2.0, &[("mode", "accesssharelock")]);
        to.count("pg_stat_database_tup_returned", sums[1], &[]);
        to.count("pg_stat_database_xact_commit", sums[0], &[]);
    } else {
        to.gauge("postgresql.database.locks", blocked, &[("mode", "ShareLock")]);
        to.gauge("postgresql.database.locks", active * 2.0, &[("mode", "AccessShareLock")]);
        to.count("postgresql.blocks_read", sums[1], &[("source", "heap_read")]);
        to.count("postgresql.commits", sums[0], &[]);
    }
    let waiting = [("state", "active"), ("wait_event_type", "Lock")];
    to.gauge("pg_stat_activity_count", blocked, &waiting);
    to.gauge(
        "pg_stat_activity_count",
        active - blocked,
        &[("state", "active"), ("wait_event_type", "")],
    );
    let oldest = 0.02 + 1.1 * of.longest_ns / 1e9;
    to.gauge("pg_stat_activity_max_tx_duration", oldest, &[("state", "idle in transaction")]);
}

fn mysql(interval: &Interval<'_>, of: Use, sums: [f64; 4], exporter: bool, to: &mut Writer) {
    let locked = mean(interval, of.locked_ns);
    let running = mean(interval, of.busy_ns).ceil() + 1.0;
    if exporter {
        to.gauge("mysql_global_status_threads_running", running, &[]);
        to.gauge("mysql_global_status_innodb_row_lock_current_waits", locked.ceil(), &[]);
        to.count("mysql_global_status_innodb_row_lock_time", sums[3] * 1e3, &[]);
        to.count("mysql_global_status_handlers_total", sums[1], &[("handler", "read_rnd_next")]);
        to.count("mysql_global_status_slow_queries", sums[2], &[]);
    } else {
        to.level("mysql.threads", running, &[("kind", "running")]);
        to.count("mysql.row_locks", sums[3] * 1e3, &[("kind", "time")]);
        to.count("mysql.handlers", sums[1], &[("kind", "read_rnd_next")]);
        to.count("mysql.query.slow.count", sums[2], &[]);
    }
}

fn redis(interval: &Interval<'_>, of: Use, sums: [f64; 4], exporter: bool, to: &mut Writer) {
    let clients = 60.0 * (1.0 - of.failed / of.calls.max(1.0));
    let rate = (of.calls - of.failed) / interval.seconds();
    if exporter {
        to.gauge("redis_connected_clients", clients, &[]);
        to.count("redis_commands_processed_total", sums[0], &[]);
    } else {
        to.level("redis.clients.connected", clients, &[]);
        to.gauge("redis.commands", rate, &[]);
    }
}
