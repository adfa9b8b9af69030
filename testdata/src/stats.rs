//! What the metrics of an interval count, taken from the very spans that began in it.

use std::collections::BTreeMap;

use crate::catalogue::graph::Proto;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::OpId;
use crate::catalogue::services::{INSTANCES, Svc};
use crate::catalogue::statements::Store;
use crate::simulate::{Awaited, Home, Mark, Shape, SpanRecord, TraceRecord, WaitRecord, Window};

/// Bucket bounds in seconds that the semantic conventions advise for request durations.
pub(crate) const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A histogram of durations with the slowest request as its exemplar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durations {
    pub(crate) count: u64,
    pub(crate) sum_ns: i64,
    pub(crate) min_ns: i64,
    pub(crate) max_ns: i64,
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// Trace id, span id and end of the slowest request.
    pub(crate) slowest: ([u8; 16], u64, i64),
}

impl Durations {
    fn add(&mut self, trace: &TraceRecord, span: &SpanRecord) {
        let ns = span.end_ns - span.start_ns;
        let seconds = ns as f64 / 1e9;
        // Upper bounds are inclusive.
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket] += 1;
        if self.count == 0 || ns < self.min_ns {
            self.min_ns = ns;
        }
        if self.count == 0 || ns > self.max_ns {
            self.max_ns = ns;
            self.slowest = (trace.id, span.id, span.end_ns);
        }
        self.count += 1;
        self.sum_ns += ns;
    }
}

/// Calls of one kind that share a histogram series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) home: Home,
    pub(crate) op: OpId,
    pub(crate) status: u16,
}

/// Use of a store.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreUse {
    pub(crate) calls: u64,
    /// Sum of the statements' durations, nanoseconds.
    pub(crate) busy_ns: i64,
    /// Statements above the slow threshold of one second.
    pub(crate) slow: u64,
    pub(crate) hits: u64,
    /// Time that statements waited for locked rows, nanoseconds; and the longest wait.
    pub(crate) locked_ns: i64,
    pub(crate) longest_lock_ns: i64,
}

/// Waits for connections of a pool.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PoolUse {
    /// Connections taken.
    pub(crate) taken: u64,
    /// Waits of more than the ordinary moment, by the bucket of [`BOUNDS`].
    pub(crate) waits: [u64; BOUNDS.len() + 1],
    pub(crate) waited_ns: i64,
    pub(crate) timeouts: u64,
}

/// Everything counted in an interval.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) served: BTreeMap<Series, Durations>,
    /// CPU time used, before scaling, nanoseconds.
    pub(crate) cpu_ns: [i64; INSTANCES],
    /// Time the instance's connections to each store were in use, nanoseconds.
    pub(crate) pool_ns: [[i64; 3]; INSTANCES],
    /// Waits of each instance for its pool.
    pub(crate) pools: [PoolUse; INSTANCES],
    /// Time requests were under way in each instance, nanoseconds.
    pub(crate) served_ns: [i64; INSTANCES],
    /// Calls of each service to each other one with a client span.
    pub(crate) calls: BTreeMap<(Svc, Svc), u64>,
    pub(crate) stores: [StoreUse; 3],
    pub(crate) deadlocks: u64,
    pub(crate) published: u64,
    pub(crate) orders: u64,
    pub(crate) revenue_cents: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            served: BTreeMap::new(),
            cpu_ns: [0; INSTANCES],
            pool_ns: [[0; 3]; INSTANCES],
            pools: [PoolUse::default(); INSTANCES],
            served_ns: [0; INSTANCES],
            calls: BTreeMap::new(),
            stores: [StoreUse::default(); 3],
            deadlocks: 0,
            published: 0,
            orders: 0,
            revenue_cents: 0,
        }
    }
}

impl Stats {
    /// Counts what the window holds from the mark on.
    pub(crate) fn add(&mut self, window: &Window, mark: Mark) {
        let first = mark.spans;
        for wait in &window.waits[mark.waits..] {
            self.waited(wait);
        }
        for span in &window.spans[first..] {
            let instance = span.home.instance.index();
            let trace = &window.traces[span.trace as usize];
            self.cpu_ns[instance] += span.cpu_ns;
            match span.shape {
                Shape::Answer(op) => self.answered(op, trace, span),
                Shape::Query(stmt) => {
                    let store = stmt.facts().store;
                    let busy = span.end_ns - span.start_ns;
                    self.pool_ns[instance][store.index()] += busy;
                    self.pools[instance].taken +=
                        u64::from(span.home.instance.service().svc.pool() == Some(store));
                    let used = &mut self.stores[store.index()];
                    used.calls += 1;
                    used.busy_ns += busy;
                    used.slow += u64::from(busy > 1_000_000_000);
                    used.hits += u64::from(store == Store::Cache && span.draws % 10 < 8);
                }
                Shape::Publish => self.published += u64::from(span.mishap.is_none()),
                Shape::Ask(op) => {
                    let edge = (span.home.instance.service().svc, op.facts().service);
                    *self.calls.entry(edge).or_default() += 1;
                }
                Shape::Charge(_) => {}
            }
        }
    }

    fn waited(&mut self, wait: &WaitRecord) {
        let pool = &mut self.pools[wait.instance.index()];
        let used = &mut self.stores[wait.store.index()];
        match wait.what {
            Awaited::Connection => {
                let seconds = wait.ns as f64 / 1e9;
                pool.waits[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
                pool.waited_ns += wait.ns;
            }
            Awaited::NoConnection => {
                pool.timeouts += 1;
                pool.waited_ns += wait.ns;
            }
            Awaited::Lock => {
                used.locked_ns += wait.ns;
                used.longest_lock_ns = used.longest_lock_ns.max(wait.ns);
            }
        }
    }

    fn answered(&mut self, op: OpId, trace: &TraceRecord, span: &SpanRecord) {
        if matches!(op.facts().proto, Proto::Http(..) | Proto::Grpc(_)) {
            self.served_ns[span.home.instance.index()] += span.end_ns - span.start_ns;
            let series = Series { home: span.home, op, status: span.status };
            self.served.entry(series).or_default().add(trace, span);
        }
        self.deadlocks += u64::from(span.origin && span.mishap == Some(Mishap::Deadlock));
        if op == OpId::PlaceOrder && span.mishap.is_none() {
            self.orders += 1;
            self.revenue_cents += trace.cents();
        }
    }
}
