//! Who explains what was added.
//!
//! Every line of the ledger that is worse than chance explains harms the service whose work it is, or one of the
//! two ends of a way: a slow way may be the fault of either. An end is the likelier one the more of the ways it has
//! are worse. Ways are given to the end that explains most, one end after the other, so that a way counts once.
//! Beside time, a service is harmed by failures that begin in it and by spans that do other things than before; a
//! handler that ends right after another service answered is that service's harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ledger::{
    EarlyEnd, Ledger, Line, Operation, Part, Profile, ShapeChange, Wait, early_ends,
};

/// A service, or something that sends no spans.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// `service.name`.
    Service(Arc<str>),
    /// [`crate::ledger::Peer::name`].
    Peer(Arc<str>),
}

/// A node and the harm it explains. Harm is the share of what affected requests took in the reference that was added to
/// them, less what chance explains (two standard errors); a failed request counts as [`FAILED`], a request with another
/// shape as [`RESHAPED`].
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Who.
    pub node: Node,
    /// Sum of what follows.
    pub harm: f64,
    /// By its own work.
    pub work: f64,
    /// By the ways it explains.
    pub way: f64,
    /// By calling more often.
    pub calls: f64,
    /// By requests that fail in it.
    pub failure: f64,
    /// By spans of another shape.
    pub shape: f64,
    /// Share of its ways that are worse, 0 to 1.
    pub coherence: f64,
    /// Share of the ways to it that are worse, 0 to 1; 1 with fewer than two: what it does itself, all who call it feel.
    pub inward: f64,
    /// Of a service's own operations that are on the path, or a store's statements, the share that takes longer, 0 to 1: what starves a process
    /// slows most of what it does, a slow way none of it.
    pub slower: f64,
    /// The part with most of its time, or the parent of most other shapes.
    pub part: Option<Part>,
    /// Nanoseconds it added to the mean request.
    pub added_ns: f64,
    /// Of a store, the share of its harm that its worst statement has.
    pub statement_share: f64,
    /// Whether it is a database, cache or queue.
    pub is_store: bool,
    /// Standard errors by which the surest of what it explains exceeds the reference.
    pub z: f64,
}

/// A failed request is as bad as one that takes so many times as long again.
pub const FAILED: f64 = 5.0;
/// A request that no longer does what it did is as bad as one that takes so many times as long again.
pub const RESHAPED: f64 = 2.0;
/// Standard errors that are chance.
const CHANCE: f64 = 2.0;
/// A way is worse if a typical call takes so many times as long.
const WORSE: f64 = 1.28;
/// Fewest calls that tell of a way.
const LEAST_CALLS: u64 = 10;
/// Least difference of the share of spans, and largest p-value, of another shape.
const RESHAPED_SHARE: f64 = 0.05;
const RESHAPED_P: f64 = 1e-5;
/// An operation is slower if its mean work takes so many times as long.
const SLOWER: f64 = 1.4;
/// Standard errors that many comparisons do not reach by chance: 1 in 30,000.
pub const SURE: f64 = 4.0;
/// Least rise of the share of spans that end early.
const EARLY_SHARE: f64 = 0.1;
/// Harm below this is nothing.
const LEAST_HARM: f64 = 0.005;

/// A way, or a call of a peer.
#[derive(Debug, Default, Clone)]
struct Edge {
    harm: f64,
    added: f64,
    log: f64,
    weight: f64,
    worst: Option<(f64, Part)>,
    z: f64,
}

impl Edge {
    fn is_worse(&self) -> bool {
        self.harm > 0.0 && self.weight > 0.0 && (self.log / self.weight).exp() >= WORSE
    }
}

/// What a line harms, less what chance explains.
fn harm(line: &Line) -> f64 {
    let z = line.z.max(line.z_each);
    let known = line.by_time_ns > 0.0 && z > CHANCE;
    if known { line.harm * (1.0 - CHANCE / z) } else { 0.0 }
}

/// What more calls of a part harm, as a share of what requests took.
fn harm_of_calls(line: &Line, ledger: &Ledger) -> f64 {
    let (before, after) = (line.reference.0 as f64, line.window.0 as f64);
    let known =
        before.min(after) >= LEAST_CALLS as f64 && line.z > CHANCE && ledger.reference_ns > 0.0;
    let share = line.by_count_ns / ledger.reference_ns;
    if known && share > 0.0 { share * (1.0 - CHANCE / line.z) } else { 0.0 }
}

/// Ranks who explains the difference, the most harm first, then by name.
#[must_use]
pub fn suspects(
    reference: &Profile,
    window: &Profile,
    ledger: &Ledger,
    shapes: &[ShapeChange],
) -> Vec<Suspect> {
    let mut found = Found::of(ledger);
    found.give_ways();
    found.add_failures(reference, window);
    found.add_shapes(reference, window, shapes);
    let mut all: Vec<Suspect> = found
        .suspects
        .into_values()
        .map(|mut s| {
            s.harm = s.work + s.way + s.calls + s.failure + s.shape;
            s
        })
        .filter(|s| s.harm >= LEAST_HARM)
        .collect();
    all.sort_by(|a, b| b.harm.total_cmp(&a.harm).then(a.node.cmp(&b.node)));
    all
}

#[derive(Default)]
struct Found {
    edges: BTreeMap<(Node, Node), Edge>,
    suspects: BTreeMap<Node, Suspect>,
    /// The time of each suspect's part so far.
    worst: BTreeMap<Node, f64>,
    /// Own operations of each service: slower ones, and all.
    operations: BTreeMap<Node, (usize, usize)>,
    /// Harm by the work of an operation, and by calling a part more often.
    work: BTreeMap<Operation, f64>,
    calls: BTreeMap<Part, f64>,
}

impl Found {
    fn of(ledger: &Ledger) -> Self {
        let mut found = Self::default();
        for line in &ledger.lines {
            let caller = Node::Service(line.part.operation.service.clone());
            let (callee, is_store) = match &line.part.wait {
                Wait::Work => {
                    let harm = harm(line);
                    found.count_slower(&caller, line);
                    *found.work.entry(line.part.operation.clone()).or_default() += harm;
                    let suspect = found.at(&caller);
                    suspect.work += harm;
                    if harm > 0.0 {
                        suspect.added_ns += line.by_time_ns;
                        suspect.z = suspect.z.max(line.z.max(line.z_each));
                        found.note(&caller, line.by_time_ns, &line.part);
                    }
                    continue;
                }
                Wait::Way(service) => (Node::Service(service.clone()), false),
                Wait::Remote(peer) => (Node::Peer(peer.name.clone()), peer.is_store),
            };
            found.at(&callee).is_store |= is_store;
            if is_store {
                found.count_slower(&callee, line);
            }
            let more = harm_of_calls(line, ledger);
            *found.calls.entry(line.part.clone()).or_default() += more;
            let suspect = found.at(&caller);
            suspect.calls += more;
            if more > 0.0 {
                suspect.z = suspect.z.max(line.z);
                suspect.added_ns += line.by_count_ns;
                found.note(&caller, line.by_count_ns, &line.part);
            }
            let edge = found.edges.entry((caller, callee)).or_default();
            let calls = line.reference.0.min(line.window.0) as f64;
            let harm = harm(line);
            edge.harm += harm;
            edge.weight += calls;
            edge.log += calls * line.ratio.max(f64::MIN_POSITIVE).ln();
            if harm > 0.0 {
                edge.z = edge.z.max(line.z.max(line.z_each));
                edge.added += line.by_time_ns;
                if edge.worst.as_ref().is_none_or(|(worst, _)| *worst < harm) {
                    edge.worst = Some((harm, line.part.clone()));
                }
            }
        }
        found
    }

    fn at(&mut self, node: &Node) -> &mut Suspect {
        self.suspects.entry(node.clone()).or_insert_with(|| Suspect {
            node: node.clone(),
            harm: 0.0,
            work: 0.0,
            way: 0.0,
            calls: 0.0,
            failure: 0.0,
            shape: 0.0,
            coherence: 0.0,
            inward: 1.0,
            slower: 0.0,
            part: None,
            added_ns: 0.0,
            statement_share: 0.0,
            is_store: false,
            z: 0.0,
        })
    }

    fn count_slower(&mut self, node: &Node, line: &Line) {
        if line.reference.0.min(line.window.0) < LEAST_CALLS || line.reference.1 <= 0.0 {
            return;
        }
        let (slower, all) = self.operations.entry(node.clone()).or_default();
        *all += 1;
        *slower += usize::from(line.window.1 / line.reference.1 >= SLOWER);
        let share = *slower as f64 / *all as f64;
        self.at(node).slower = share;
    }

    fn note(&mut self, node: &Node, size: f64, part: &Part) {
        let worst = self.worst.entry(node.clone()).or_default();
        if size > *worst {
            *worst = size;
            self.at(node).part = Some(part.clone());
        }
    }

    /// The share of a node's ways that are worse, and how many these are.
    fn coherence(&self, node: &Node) -> (f64, usize) {
        let of = |(ends, edge): &(&(Node, Node), &Edge)| {
            (ends.0 == *node || ends.1 == *node) && edge.weight >= LEAST_CALLS as f64
        };
        let own: Vec<_> = self.edges.iter().filter(of).collect();
        let worse = own.iter().filter(|(_, edge)| edge.is_worse()).count();
        (worse as f64 / (own.len() as f64).max(1.0), worse)
    }

    /// The share of the ways to a node that are worse; 1 with fewer than two.
    fn inward(&self, node: &Node) -> f64 {
        let of = |(ends, edge): &(&(Node, Node), &Edge)| {
            ends.1 == *node && edge.weight >= LEAST_CALLS as f64
        };
        let own: Vec<_> = self.edges.iter().filter(of).collect();
        let worse = own.iter().filter(|(_, edge)| edge.is_worse()).count();
        if own.len() < 2 { 1.0 } else { worse as f64 / own.len() as f64 }
    }

    fn give_ways(&mut self) {
        let mut nodes: BTreeMap<Node, (f64, usize)> =
            self.suspects.keys().map(|node| (node.clone(), self.coherence(node))).collect();
        let mut left: BTreeMap<(Node, Node), Edge> = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.is_worse())
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        while !left.is_empty() && !nodes.is_empty() {
            // A single way says nothing against who calls: it is put to who is called.
            let is_end = |node: &Node, ends: &(Node, Node), (coherence, worse): (f64, usize)| {
                ends.1 == *node || ends.0 == *node && worse > 1 && coherence > 0.5
            };
            let explained = |node: &Node, known: (f64, usize)| {
                let own = left.iter().filter(|(ends, _)| is_end(node, ends, known));
                known.0 * own.map(|(_, edge)| edge.harm).sum::<f64>()
            };
            let work = |node: &Node| self.suspects.get(node).map_or(0.0, |s| s.work);
            let Some((node, known)) = nodes
                .iter()
                .map(|(node, known)| (explained(node, *known), node, *known))
                .filter(|(explained, ..)| *explained > 0.0)
                .max_by(|a, b| {
                    let whole = |(explained, node): (f64, &Node)| explained + work(node);
                    whole((a.0, a.1)).total_cmp(&whole((b.0, b.1))).then(b.1.cmp(a.1))
                })
                .map(|(_, node, known)| (node.clone(), known))
            else {
                return;
            };
            nodes.remove(&node);
            let own: Vec<(Node, Node)> =
                left.keys().filter(|ends| is_end(&node, ends, known)).cloned().collect();
            let (mut sum, mut worst) = (0.0, 0.0_f64);
            for ends in own {
                let Some(edge) = left.remove(&ends) else { continue };
                sum += edge.harm;
                let suspect = self.at(&node);
                suspect.way += edge.harm;
                suspect.added_ns += edge.added;
                suspect.z = suspect.z.max(edge.z);
                if let Some((size, part)) = edge.worst {
                    worst = worst.max(size);
                    self.note(&node, edge.added, &part);
                }
            }
            let inward = self.inward(&node);
            let suspect = self.at(&node);
            (suspect.coherence, suspect.inward) = (known.0, inward);
            suspect.statement_share = if sum > 0.0 { worst / sum } else { 0.0 };
        }
    }

    /// Who made spans end: whoever answered last, if its own spans end early or those of all who call it do after it
    /// answered; otherwise who ended.
    fn ended_by(&self, end: &EarlyEnd, all: &[EarlyEnd]) -> Node {
        let parent = Node::Service(end.parent.service.clone());
        let Some(last) = end.last.as_ref().filter(|last| last.wait != Wait::Work) else {
            return parent;
        };
        let callee = blamed(last);
        if all.iter().any(|other| Node::Service(other.parent.service.clone()) == callee) {
            return callee;
        }
        let of = |(ends, edge): &(&(Node, Node), &Edge)| {
            ends.1 == callee && edge.weight >= LEAST_CALLS as f64
        };
        let callers: BTreeSet<&Node> =
            self.edges.iter().filter(of).map(|(ends, _)| &ends.0).collect();
        let after =
            |other: &&EarlyEnd| other.last.as_ref().is_some_and(|last| blamed(last) == callee);
        let with_end: BTreeSet<Node> = all
            .iter()
            .filter(after)
            .map(|other| Node::Service(other.parent.service.clone()))
            .collect();
        match with_end.len() > 1
            && callers.iter().filter(|c| !with_end.contains(c)).count() * 2 <= callers.len()
        {
            true => callee,
            false => parent,
        }
    }

    /// Requests that fail more often than before, where their failures begin.
    fn add_failures(&mut self, reference: &Profile, window: &Profile) {
        let rates = |profile: &Profile| {
            let all = profile.requests().max(1) as f64;
            let mut rates: BTreeMap<Part, f64> = BTreeMap::new();
            for (part, count) in profile.entries.values().flat_map(|entry| &entry.failures) {
                *rates.entry(part.clone()).or_default() += *count as f64 / all;
            }
            (rates, all)
        };
        let ((before, n), (after, m)) = (rates(reference), rates(window));
        for (part, rate) in after {
            let usual = before.get(&part).copied().unwrap_or_default();
            // With a failure more on either side (rule of succession): none that was seen is not none there is.
            let error = ((usual * n + 1.0) / (n * n) + (rate * m + 1.0) / (m * m)).sqrt();
            let sure = rate - usual - CHANCE * error;
            if sure > 0.0 {
                let node = blamed(&part);
                let suspect = self.at(&node);
                suspect.failure += FAILED * sure;
                suspect.z = suspect.z.max((rate - usual) / error);
                self.note(&node, f64::MIN_POSITIVE, &part);
                self.give_retries(window, &node, &part);
            }
        }
    }

    /// Whoever fails is harmful by what its callers do about it: further attempts, and waiting between them.
    fn give_retries(&mut self, window: &Profile, node: &Node, part: &Part) {
        let caller = Node::Service(part.operation.service.clone());
        if *node == caller {
            return;
        }
        let again = self.calls.remove(part).unwrap_or_default();
        let parents = window.children.keys().filter(|(_, child)| *child == part.operation);
        let parents =
            parents.map(|(parent, _)| parent).filter(|p| p.service == part.operation.service);
        let waiting: f64 = parents.filter_map(|parent| self.work.remove(parent)).sum();
        let from = self.at(&caller);
        from.calls = (from.calls - again).max(0.0);
        from.work = (from.work - waiting).max(0.0);
        self.at(node).way += again + waiting;
    }

    fn add_shapes(&mut self, reference: &Profile, window: &Profile, shapes: &[ShapeChange]) {
        let requests = window.requests().max(1) as f64;
        let large = |change: &&ShapeChange| {
            (change.window - change.reference).abs() > RESHAPED_SHARE && change.p_value < RESHAPED_P
        };
        let mut harms: BTreeMap<Operation, f64> = BTreeMap::new();
        for change in shapes.iter().filter(large) {
            let share = (change.spans.1 as f64 / requests).min(1.0);
            let by_failures = left_out(reference, window, change);
            let other = (change.window - change.reference).abs() - by_failures;
            let harm = RESHAPED * share * other.max(0.0);
            let worst = harms.entry(change.parent.clone()).or_default();
            *worst = worst.max(harm);
        }
        let mut of_node: BTreeMap<Node, (f64, Operation)> = BTreeMap::new();
        let mut note = |node: Node, harm: f64, parent: &Operation| {
            let worst = of_node.entry(node).or_insert_with(|| (0.0, parent.clone()));
            if harm > worst.0 {
                *worst = (harm, parent.clone());
            }
        };
        let early_ends: Vec<EarlyEnd> = early_ends(reference, window)
            .into_iter()
            .filter(|end| end.window - end.reference >= EARLY_SHARE)
            .collect();
        for (parent, harm) in harms.into_iter().filter(|(_, harm)| *harm > 0.0) {
            note(Node::Service(parent.service.clone()), harm, &parent);
        }
        for end in early_ends.iter().filter(|end| end.is_sure) {
            let harm = RESHAPED * (end.window - end.reference);
            note(self.ended_by(end, &early_ends), harm, &end.parent);
        }
        for (node, (harm, operation)) in of_node {
            let suspect = self.at(&node);
            suspect.shape += harm;
            suspect.z = suspect.z.max(SURE);
            if suspect.part.is_none() {
                suspect.part = Some(Part { operation, wait: Wait::Work });
            }
        }
    }
}

/// By how much the share of spans with a child changes at most because more of the operation's spans fail, which are left
/// out: if all that fail would have had the child, or none of them.
fn left_out(reference: &Profile, window: &Profile, change: &ShapeChange) -> f64 {
    let failed = |profile: &Profile| {
        let failed = profile.failed.get(&change.parent).copied().unwrap_or_default() as f64;
        let fine = profile.visits.get(&change.parent).copied().unwrap_or_default() as f64;
        failed / (failed + fine).max(1.0)
    };
    let more = (failed(window) - failed(reference)).max(0.0);
    more * change.reference.max(1.0 - change.reference) / (1.0 - more).max(f64::MIN_POSITIVE)
}

/// Who is harmed by a part: whoever does the work.
fn blamed(part: &Part) -> Node {
    match &part.wait {
        Wait::Work => Node::Service(part.operation.service.clone()),
        Wait::Way(service) => Node::Service(service.clone()),
        Wait::Remote(peer) => Node::Peer(peer.name.clone()),
    }
}
