//! Metrics of the connection pools.

use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::Interval;
use super::points::{histogram_point, tag, whole};
use crate::attrs::Attrs;
use crate::catalogue::services::{Instance, POOL_SIZE};
use crate::catalogue::statements::{STORES, Store};
use crate::config::Incident;
use crate::plan::spot::Spot;
use crate::stats::BOUNDS;

/// An ordinary wait for a connection that is idle, seconds.
const AT_ONCE_S: f64 = 0.000_03;
const POOL: &str = "db.client.connection.pool.name";

/// Connections in use and wanted; with optional metrics also the waits.
pub(super) fn metrics(interval: &Interval<'_>, instance: Instance, all: &mut Vec<Metric>) {
    let svc = instance.service().svc;
    let Some(store) = svc.pool() else { return };
    let busy_ns = interval.stats.pool_ns[instance.index()][store.index()];
    let wanted = busy_ns as f64 / 1e9 / interval.seconds();
    let exhausted =
        interval.moment.strength(Incident::PoolExhaustion, Spot::Service(svc)).is_some();
    let used = if exhausted { POOL_SIZE } else { wanted.ceil().min(POOL_SIZE) };
    let name = STORES[store.index()].namespace;
    let mut connections = Vec::new();
    for (state, count) in [("used", used), ("idle", POOL_SIZE - used)] {
        let mut attrs = Attrs::with_capacity(2);
        attrs.text(POOL, name).text("db.client.connection.state", state);
        connections.push((attrs.take(), whole(count)));
    }
    // By Little's law as many wait as the waits take together.
    let waited = interval.stats.pools[instance.index()].waited_ns as f64 / 1e9;
    let waiting = ((wanted - POOL_SIZE).max(0.0) + waited / interval.seconds()).ceil();
    all.push(interval.total("db.client.connection.count", "{connection}", false, connections));
    let pending = vec![(tag(POOL, name), whole(waiting))];
    all.push(interval.total("db.client.connection.pending_requests", "{request}", false, pending));
    if interval.world.config.optional_metrics {
        waits(interval, instance, store, all);
    }
}

fn waits(interval: &Interval<'_>, instance: Instance, store: Store, all: &mut Vec<Metric>) {
    let pool = &interval.stats.pools[instance.index()];
    let name = || tag(POOL, STORES[store.index()].namespace);
    let mut buckets = pool.waits;
    let waits: u64 = buckets.iter().sum();
    let at_once = pool.taken.saturating_sub(waits);
    buckets[0] += at_once;
    let waited = pool.waited_ns as f64 / 1e9 + at_once as f64 * AT_ONCE_S;
    let point = histogram_point(interval, name(), waited, &buckets, &BOUNDS);
    all.push(interval.histogram("db.client.connection.wait_time", "s", vec![point]));
    let timeouts = vec![(name(), whole(pool.timeouts as f64))];
    all.push(interval.delta("db.client.connection.timeouts", "{timeout}", timeouts));
    let most = vec![(name(), whole(POOL_SIZE))];
    all.push(interval.total("db.client.connection.max", "{connection}", false, most));
}
