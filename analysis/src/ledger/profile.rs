//! What requests come to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Operation, Part};
use crate::trace::{CallChain, SpanStatus};

/// Where a request enters: the operation of its root.
pub type Entry = Operation;

/// What a part comes to over the requests of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PartSum {
    /// Time on the critical path, nanoseconds.
    pub time_ns: f64,
    /// Sum of the squares of its time in each request, square nanoseconds.
    pub square_ns: f64,
    /// Spans that are this part, on the path or not.
    pub visits: u64,
    /// Of these, those that were on the path.
    pub on_path: u64,
    /// Sum of the natural logarithms of their times on it in nanoseconds: times of one kind of work are spread
    /// evenly on that scale, and a few slow ones do not hide what happened to the others.
    pub log_sum: f64,
    /// Sum of the squares of these logarithms.
    pub log_square: f64,
    /// Requests with such a span.
    pub requests: u64,
    /// Sum of the durations of these requests, nanoseconds.
    pub request_ns: f64,
}

impl PartSum {
    /// Counts a span that was on the path for so many nanoseconds, one at least.
    pub(super) fn observe(&mut self, time_ns: i64) {
        let time = time_ns as f64;
        let log = time.ln();
        self.visits += 1;
        self.on_path += 1;
        self.time_ns += time;
        self.log_sum += log;
        self.log_square += log * log;
    }

    /// Time on the path beyond what its spans would take if each took the typical (geometric mean) time, nanoseconds.
    pub(super) fn above_typical(&self) -> f64 {
        let n = self.on_path as f64;
        if n > 0.0 { (self.time_ns - n * (self.log_sum / n).exp()).max(0.0) } else { 0.0 }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.time_ns += other.time_ns;
        self.square_ns += other.square_ns;
        self.visits += other.visits;
        self.on_path += other.on_path;
        self.log_sum += other.log_sum;
        self.log_square += other.log_square;
        self.requests += other.requests;
        self.request_ns += other.request_ns;
    }
}

/// What a service's own work comes to over the requests of an entry, all its operations together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WorkSum {
    /// Time on the critical path, nanoseconds.
    pub time_ns: f64,
    /// Sum of the squares of its time in each request, square nanoseconds: operations of one request are not
    /// independent, so that their squares do not tell how much their sum varies.
    pub square_ns: f64,
}

impl WorkSum {
    /// Counts a request that the service worked on for so many nanoseconds on its path.
    pub(super) fn observe(&mut self, time_ns: f64) {
        self.time_ns += time_ns;
        self.square_ns += time_ns * time_ns;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.time_ns += other.time_ns;
        self.square_ns += other.square_ns;
    }
}

/// The requests of one entry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EntryProfile {
    /// How many.
    pub requests: u64,
    /// How many failed: the root has the status error.
    pub failed: u64,
    /// Sum of their durations, nanoseconds.
    pub time_ns: f64,
    /// Sum of the squares of their durations, square nanoseconds.
    pub square_ns: f64,
    /// Their parts. The times of all parts add up to `time_ns`.
    pub parts: BTreeMap<Part, PartSum>,
    /// The own work of each service on the path.
    pub work: BTreeMap<Arc<str>, WorkSum>,
    /// Where failures of requests began: the last of the spans with the status error that lead down from the root.
    pub failures: BTreeMap<Part, u64>,
    /// Requests that did not fail though something on their way did, by where that began: once a request and part.
    pub overcome: BTreeMap<Part, u64>,
}

/// Requests of one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// By where they enter.
    pub entries: BTreeMap<Entry, EntryProfile>,
    /// Spans of each operation.
    pub visits: BTreeMap<Operation, u64>,
    /// Further spans of each operation, which are counted in none of the shapes because they, or children of theirs, failed.
    pub failed: BTreeMap<Operation, u64>,
    /// Of an operation's spans, those with at least one child of another operation, and the number of such
    /// children.
    pub children: BTreeMap<(Operation, Operation), (u64, u64)>,
    /// Of an operation's spans, by what the last of their children is; spans without any under `None`.
    pub last: BTreeMap<(Operation, Option<Part>), u64>,
    /// Times on the path of an operation's spans by the instance they ran in, of calls by the one that served them; of sums
    /// by request there are none.
    pub places: BTreeMap<(Operation, Arc<str>), PartSum>,
    /// Call chains that were left out because their root was not received.
    pub rootless: u64,
}

impl Profile {
    /// Requests of all entries.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.entries.values().map(|entry| entry.requests).sum()
    }

    /// Adds what another profile counted.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.entries {
            let entry = self.entries.entry(name.clone()).or_default();
            entry.requests += theirs.requests;
            entry.failed += theirs.failed;
            entry.time_ns += theirs.time_ns;
            entry.square_ns += theirs.square_ns;
            for (part, sum) in &theirs.parts {
                entry.parts.entry(part.clone()).or_default().merge(sum);
            }
            for (service, sum) in &theirs.work {
                entry.work.entry(service.clone()).or_default().merge(sum);
            }
            for (part, count) in &theirs.failures {
                *entry.failures.entry(part.clone()).or_default() += count;
            }
            for (part, count) in &theirs.overcome {
                *entry.overcome.entry(part.clone()).or_default() += count;
            }
        }
        for (operation, visits) in &other.visits {
            *self.visits.entry(operation.clone()).or_default() += visits;
        }
        for (operation, failed) in &other.failed {
            *self.failed.entry(operation.clone()).or_default() += failed;
        }
        for (pair, sum) in &other.places {
            self.places.entry(pair.clone()).or_default().merge(sum);
        }
        for (pair, count) in &other.last {
            *self.last.entry(pair.clone()).or_default() += count;
        }
        for (pair, (with, count)) in &other.children {
            let sum = self.children.entry(pair.clone()).or_default();
            *sum = (sum.0 + with, sum.1 + count);
        }
        self.rootless += other.rootless;
    }
}

/// The last span with the status error on the way down from a root that failed: of several children that failed,
/// the one that ended last decided.
pub(super) fn origin(chain: &CallChain, root: usize) -> usize {
    let mut at = root;
    loop {
        let failed = chain.children(at).filter_map(|child| {
            let node = chain.nodes.get(child)?;
            (node.status == SpanStatus::Error).then_some((node.end_ns(), child))
        });
        match failed.max() {
            Some((_, child)) => at = child,
            None => return at,
        }
    }
}

/// Where what did not make the request fail began: the origin of each failed span whose parent did not fail.
pub(super) fn overcome(chain: &CallChain, within: Range<usize>) -> Vec<usize> {
    let failed =
        |at: usize| chain.nodes.get(at).is_some_and(|node| node.status == SpanStatus::Error);
    let ends = |at: &usize| {
        let parent = chain.nodes.get(*at).and_then(|node| node.parent);
        failed(*at) && !parent.is_some_and(failed)
    };
    within.filter(ends).map(|at| origin(chain, at)).collect()
}
