//! Calls of many call chains, summed up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use headrope_analysis::dependency::graph::{TimedEdge, critical_chain};
use headrope_analysis::dependency::{Moments, Outcomes};
use headrope_analysis::{Sketch, SpanStatus, critical_path, time_on_path};
use headrope_model::{TimeRange, TraceId};

use super::calls::{Call, Calls, calls, serving};
use crate::answer::map::{ChainRow, NodeKind};
use crate::ask::chains::Chain;
use crate::ask::measure::Measure;

/// Entries whose critical chain is told.
const MOST_CHAINS: usize = 20;

/// Who calls and what, or a service and its operation.
type Pair = (Arc<str>, Arc<str>);

/// How many calls, how many failed, how long they took.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) calls: f64,
    pub(super) errors: f64,
    pub(super) sketch: Sketch,
}

impl From<Measure> for Sums {
    fn from(of: Measure) -> Self {
        Self { calls: of.calls as f64, errors: of.errors as f64, sketch: of.sketch }
    }
}

impl Sums {
    fn add(&mut self, duration_ns: i64, failed: bool) {
        self.calls += 1.0;
        self.errors += f64::from(u8::from(failed));
        self.sketch.insert(duration_ns);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.sketch.merge(&other.sketch);
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) sums: Sums,
    pub(super) is_entry: bool,
}

#[derive(Debug, Default)]
pub(super) struct Edge {
    pub(super) sums: Sums,
    pub(super) outcomes: Outcomes,
    pub(super) moments: Moments,
    pub(super) example: Option<TraceId>,
    pub(super) kinds: BTreeMap<Arc<str>, u64>,
}

impl Edge {
    /// How most of its calls are made.
    pub(super) fn kind(&self) -> &str {
        let most =
            self.kinds.iter().max_by(|(a_name, a), (b_name, b)| a.cmp(b).then(b_name.cmp(a_name)));
        most.map_or("other", |(name, _)| name)
    }

    fn merge(&mut self, other: Self) {
        self.sums.merge(&other.sums);
        self.outcomes.merge(&other.outcomes);
        self.moments.merge(&other.moments);
        self.example = self.example.or(other.example);
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
    }
}

/// Time on the critical paths of an entry's requests, by the caller and the callee whose work it is.
#[derive(Debug, Default)]
struct Entry {
    requests: u64,
    edges: BTreeMap<Pair, i64>,
}

#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) nodes: BTreeMap<Arc<str>, Node>,
    pub(super) edges: BTreeMap<Pair, Edge>,
    entries: BTreeMap<Pair, Entry>,
    /// Services that answer, by the caller and what it says it calls.
    pub(super) served: BTreeMap<Pair, BTreeSet<Arc<str>>>,
}

impl Gathered {
    /// Adds the calls of a chain that begin in a stretch, and the request, if that does.
    pub(super) fn add(&mut self, chain: &Chain, stretch: TimeRange) {
        let Calls { all, served } = calls(chain);
        for [caller, peer, server] in served {
            self.served.entry((caller, peer)).or_default().insert(server);
        }
        self.add_nodes(chain, stretch);
        // Each request that a service serves counts once for a callee, however often it calls it.
        let mut outcomes: HashMap<(usize, Arc<str>), (bool, i64)> = HashMap::new();
        for call in all.iter().filter(|call| stretch.contains(call.start_ns)) {
            self.add_call(chain.id, call);
            if !call.is_async {
                let seen = outcomes.entry((call.within, Arc::clone(&call.callee))).or_default();
                *seen = (seen.0 || call.failed, seen.1.saturating_add(call.duration_ns));
            }
        }
        for ((within, callee), (failed, duration_ns)) in outcomes {
            let Some(caller) = chain.chain.nodes.get(within) else { continue };
            let key = (Arc::clone(&caller.service), callee);
            if let Some(edge) = self.edges.get_mut(&key) {
                edge.outcomes.observe(failed, caller.status == SpanStatus::Error);
                edge.moments.observe(duration_ns, caller.duration_ns);
            }
        }
        if let Some(root) = chain.request_in(stretch) {
            self.add_request(chain, root, &all);
        }
    }

    /// The requests that services serve: spans whose parent is another service's, or nobody's.
    fn add_nodes(&mut self, chain: &Chain, stretch: TimeRange) {
        let spans = chain.chain.nodes.iter().enumerate();
        let spans = spans.filter(|(_, node)| !node.is_synthetic && stretch.contains(node.start_ns));
        for (at, node) in spans {
            let served = self.node(&node.service, NodeKind::Service);
            if serving(&chain.chain, at) == at {
                served.sums.add(node.duration_ns, node.status == SpanStatus::Error);
                served.is_entry |= node.parent.is_none();
            }
        }
    }

    pub(super) fn node(&mut self, id: &Arc<str>, kind: NodeKind) -> &mut Node {
        let new = || Node { kind, sums: Sums::default(), is_entry: false };
        self.nodes.entry(Arc::clone(id)).or_insert_with(new)
    }

    fn add_call(&mut self, id: TraceId, call: &Call) {
        if call.callee_kind != NodeKind::Service {
            let node = self.node(&call.callee, call.callee_kind);
            node.sums.add(call.duration_ns, call.failed);
        }
        if call.caller_kind != NodeKind::Service {
            self.node(&call.caller, call.caller_kind);
        }
        let key = (Arc::clone(&call.caller), Arc::clone(&call.callee));
        let edge = self.edges.entry(key).or_default();
        edge.sums.add(call.duration_ns, call.failed);
        edge.example.get_or_insert(id);
        *edge.kinds.entry(Arc::clone(&call.kind)).or_default() += 1;
    }

    fn add_request(&mut self, chain: &Chain, root: usize, all: &[Call]) {
        let nodes = &chain.chain.nodes;
        let Some(first) = nodes.get(root) else { return };
        let times = time_on_path(&chain.chain, &critical_path(&chain.chain, root));
        let key = (Arc::clone(&first.service), Arc::clone(&first.name));
        let entry = self.entries.entry(key).or_default();
        entry.requests += 1;
        let remote: BTreeSet<&Arc<str>> = all
            .iter()
            .filter(|call| call.callee_kind != NodeKind::Service)
            .map(|call| &call.callee)
            .collect();
        for (at, time) in times.iter().enumerate().filter(|(_, time)| **time > 0) {
            let Some(node) = nodes.get(at) else { continue };
            let peer =
                chain.remote(node).map(|peer| peer.name).filter(|name| remote.contains(name));
            let edge = match peer {
                Some(peer) => Some((Arc::clone(&node.service), peer)),
                None => {
                    let caller = nodes.get(serving(&chain.chain, at)).and_then(|s| s.parent);
                    let caller = caller.and_then(|parent| nodes.get(parent));
                    let caller = caller.filter(|parent| !parent.is_synthetic);
                    caller.map(|parent| (Arc::clone(&parent.service), Arc::clone(&node.service)))
                }
            };
            if let Some(edge) = edge {
                let sum = entry.edges.entry(edge).or_default();
                *sum = sum.saturating_add(*time);
            }
        }
    }

    /// Brings together what has two names.
    pub(super) fn settle(&mut self) {
        self.settle_queues();
        self.settle_services();
    }

    /// A queue that only hands messages on is the one of that system and destination that they are sent to, if there is one:
    /// who takes messages over may name another broker than who sends them, or none.
    fn settle_queues(&mut self) {
        let is_queue = |(_, node): &(&Arc<str>, &Node)| node.kind == NodeKind::Messaging;
        let queues = self.nodes.iter().filter(is_queue).map(|(id, _)| Arc::clone(id));
        let is_sent_to = |id: &Arc<str>| self.edges.keys().any(|(_, callee)| callee == id);
        let (sent_to, others): (Vec<_>, Vec<_>) = queues.partition(is_sent_to);
        for id in others {
            let named = |queue: &&Arc<str>| topic(queue) == topic(&id);
            let mut same = sent_to.iter().filter(named);
            if let (Some(queue), None) = (same.next(), same.next()) {
                self.nodes.remove(&id);
                let own: Vec<Pair> =
                    self.edges.keys().filter(|(caller, _)| *caller == id).cloned().collect();
                for key in own {
                    if let Some(edge) = self.edges.remove(&key) {
                        self.edges.entry((Arc::clone(queue), key.1)).or_default().merge(edge);
                    }
                }
            }
        }
    }

    /// What is called by a name or address that is a service's is that service: its span was not received.
    fn settle_services(&mut self) {
        let services: BTreeSet<Arc<str>> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == NodeKind::Service)
            .map(|(id, _)| Arc::clone(id))
            .collect();
        let service = |id: &Arc<str>| {
            let host = id.split(':').next().unwrap_or_default();
            let first = host.split('.').next().unwrap_or_default();
            [&**id, host, first].into_iter().find_map(|name| services.get(name)).cloned()
        };
        let outside: Vec<Pair> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.kind == NodeKind::External)
            .filter_map(|(id, _)| Some((Arc::clone(id), service(id)?)))
            .collect();
        for (id, service) in outside {
            self.nodes.remove(&id);
            let callers: Vec<Arc<str>> = self
                .edges
                .keys()
                .filter(|(_, callee)| *callee == id)
                .map(|(a, _)| Arc::clone(a))
                .collect();
            for caller in callers {
                let Some(edge) = self.edges.remove(&(Arc::clone(&caller), Arc::clone(&id))) else {
                    continue;
                };
                if caller != service {
                    self.edges.entry((caller, Arc::clone(&service))).or_default().merge(edge);
                }
            }
        }
    }

    /// Of the entries with most requests, the calls that most of their time goes through.
    pub(super) fn critical_chains(&self) -> Vec<ChainRow> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by(|(a_name, a), (b_name, b)| {
            b.requests.cmp(&a.requests).then(a_name.cmp(b_name))
        });
        entries.into_iter().take(MOST_CHAINS).map(|(name, entry)| entry.chain(name)).collect()
    }
}

/// System and destination, the first words of a queue's name.
fn topic(queue: &str) -> Vec<&str> {
    queue.split(' ').take(2).collect()
}

impl Entry {
    fn chain(&self, (service, operation): &Pair) -> ChainRow {
        let ends = self.edges.keys().flat_map(|(a, b)| [a, b]).chain([service]);
        let names: BTreeSet<&Arc<str>> = ends.collect();
        let names: Vec<&Arc<str>> = names.into_iter().collect();
        let number = |name: &Arc<str>| {
            let at = names.binary_search(&name).unwrap_or_default();
            u32::try_from(at).unwrap_or(u32::MAX)
        };
        let edge = |((caller, callee), ns): (&Pair, &i64)| TimedEdge {
            caller: number(caller),
            callee: number(callee),
            critical_ns: *ns,
        };
        let edges: Vec<TimedEdge> = self.edges.iter().map(edge).collect();
        let chain = critical_chain(number(service), &edges);
        let name = |at: &u32| names.get(*at as usize).map(|name| name.to_string());
        let all = chain.reachable_ns as f64;
        ChainRow {
            service: service.to_string(),
            operation: operation.to_string(),
            requests: self.requests,
            nodes: chain.nodes.iter().filter_map(name).collect(),
            share: if all > 0.0 { chain.critical_ns as f64 / all } else { 0.0 },
        }
    }
}
