//! Who explains what was added.
//!
//! Every line of the ledger that is worse than chance explains harms the service whose work it is, or one of the
//! two ends of a way: a slow way may be the fault of either. An end is the likelier one the more of the ways it has
//! are worse. Ways are given to the end that explains most, one end after the other, so that a way counts once.
//! Beside time, a service is harmed by failures that begin in it and by spans that do other things than before; a
//! handler that ends right after another service answered is that service's harm.
//!
//! Reading order: [`suspects`], `ways` (which end of a way), `failures` (failures and other shapes).

mod failures;
mod ways;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use failures::failing;

use crate::ledger::{Ledger, Line, Operation, Part, Profile, ShapeChange, Wait};

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
/// shape, or one that got over a failure, as [`RESHAPED`].
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
    /// By requests that fail in it, or get over its failures.
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
    /// Standard errors by which the surest of what it explains, or all its work together, exceeds the reference.
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
/// An operation is slower if its mean work takes so many times as long.
const SLOWER: f64 = 1.4;
/// Standard errors that many comparisons do not reach by chance: 1 in 30,000.
pub const SURE: f64 = 4.0;
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

/// Which share of the time that was added to spans the typical (geometric mean) one does not have: what few spans take much
/// longer for.
fn seldom(line: &Line) -> f64 {
    let (added, usual) = (line.window.1 - line.reference.1, line.reference.1);
    if added > 0.0 { (1.0 - usual * (line.ratio - 1.0) / added).clamp(0.0, 1.0) } else { 0.0 }
}

/// What more calls of a part harm, as a share of what requests took.
fn harm_of_calls(line: &Line, ledger: &Ledger) -> f64 {
    let (before, after) = (line.reference.0 as f64, line.window.0 as f64);
    let known =
        before.min(after) >= LEAST_CALLS as f64 && line.z > CHANCE && ledger.reference_ns > 0.0;
    // More in each request that has any harms these requests; more requests that have some harm all.
    let more_often = (line.by_count_ns - line.by_each_count_ns) / ledger.reference_ns;
    let share = line.harm_of_count.max(0.0) + more_often;
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
    /// Harm by the work of an operation, with the share of it that most of its spans do not have; and by calling a part
    /// more often.
    work: BTreeMap<Operation, (f64, f64)>,
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
                    let work = found.work.entry(line.part.operation.clone()).or_default();
                    *work = (work.0 + harm, seldom(line));
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
        for (service, z) in &ledger.work_z {
            let known = found.suspects.get_mut(&Node::Service(service.clone()));
            if let Some(suspect) = known.filter(|suspect| suspect.work > 0.0) {
                suspect.z = suspect.z.max(*z);
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
}
