//! Requests folded into sums, by numbers instead of names.
//!
//! A window has tens of thousands of spans and some hundred operations: every name is looked up once for each span,
//! and what is counted is counted under small numbers.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use super::profile::{origin, overcome};
use super::{EntryProfile, Operation, Part, PartSum, Peer, Profile, Wait, WorkSum};
use crate::critical_path::{critical_path, time_on_path};
use crate::trace::{CallChain, Node, SpanKind, SpanStatus};

/// Gives things numbers in the order they are met.
#[derive(Debug)]
struct Numbers<T> {
    by_value: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_value: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn of(&mut self, value: T) -> u32 {
        if let Some(number) = self.by_value.get(&value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.values.push(value.clone());
        self.by_value.insert(value, number);
        number
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }
}

/// [`Wait`] by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WaitNumber {
    Work,
    Way(u32),
    Remote(u32),
}

#[derive(Debug, Default)]
struct EntrySums {
    sums: EntryProfile,
    parts: HashMap<u32, PartSum>,
    work: HashMap<Arc<str>, WorkSum>,
    failures: HashMap<u32, u64>,
    overcome: HashMap<u32, u64>,
}

/// A node by numbers; `None` for a span that was not received.
#[derive(Debug, Clone, Copy)]
struct Known {
    operation: u32,
    part: u32,
    /// The node that serves it, if it is a call of a service.
    served: Option<usize>,
}

/// Gathers a [`Profile`].
#[derive(Debug, Default)]
pub struct ProfileBuilder {
    operations: Numbers<Operation>,
    services: Numbers<Arc<str>>,
    peers: Numbers<Peer>,
    parts: Numbers<(u32, WaitNumber)>,
    instances: Numbers<Arc<str>>,
    entries: HashMap<u32, EntrySums>,
    visits: HashMap<u32, u64>,
    failed: HashMap<u32, u64>,
    children: HashMap<(u32, u32), (u64, u64)>,
    last: HashMap<(u32, Option<u32>), u64>,
    places: HashMap<(u32, u32), PartSum>,
    rootless: u64,
}

impl ProfileBuilder {
    /// Adds the request of a call chain; false if its root was not received. `remote` names what a span calls that
    /// sends no spans: a database with its statement, a queue, a peer; `None` if the span calls nothing. `place` says
    /// which instance of its service a span ran in, if that is known.
    pub fn add(
        &mut self,
        chain: &CallChain,
        remote: impl Fn(&Node) -> Option<Peer>,
        place: impl Fn(&Node) -> Option<Arc<str>>,
    ) -> bool {
        let Some(root) = chain.main_root() else { return false };
        self.add_from(chain, root, remote, place)
    }

    /// As [`ProfileBuilder::add`], of what one span of the chain waited for: a request as one of the services on its
    /// way sees it.
    pub fn add_from(
        &mut self,
        chain: &CallChain,
        root: usize,
        remote: impl Fn(&Node) -> Option<Peer>,
        place: impl Fn(&Node) -> Option<Arc<str>>,
    ) -> bool {
        let Some(first) = chain.nodes.get(root).filter(|node| !node.is_synthetic) else {
            self.rootless += 1;
            return false;
        };
        let within = root..root + first.subtree_size;
        let known: Vec<Option<Known>> = (0..chain.nodes.len())
            .map(|at| if within.contains(&at) { self.known(chain, at, &remote) } else { None })
            .collect();
        let times = time_on_path(chain, &critical_path(chain, root));
        let own = own_sums(&within, &known, &times);
        let work = self.work(&own);
        let Some(Some(entry)) = known.get(root) else { return false };
        let entry = self.entries.entry(entry.operation).or_default();
        let duration = first.duration_ns as f64;
        entry.sums.requests += 1;
        entry.sums.time_ns += duration;
        entry.sums.square_ns += duration * duration;
        for (service, time) in work {
            entry.work.entry(service).or_default().observe(time);
        }
        for (part, mut sum) in own {
            sum.square_ns = sum.time_ns * sum.time_ns;
            sum.requests = 1;
            sum.request_ns = duration;
            entry.parts.entry(part).or_default().merge(&sum);
        }
        if first.status == SpanStatus::Error {
            entry.sums.failed += 1;
            if let Some(Some(begins)) = known.get(origin(chain, root)) {
                *entry.failures.entry(begins.part).or_default() += 1;
            }
        } else {
            let begins = overcome(chain, within.clone()).into_iter();
            let parts: BTreeSet<u32> =
                begins.filter_map(|at| known.get(at).copied().flatten()).map(|k| k.part).collect();
            for part in parts {
                *entry.overcome.entry(part).or_default() += 1;
            }
        }
        self.count_shapes(chain, &within, &known);
        self.count_places(chain, &known, &times, place);
        true
    }

    /// The numbers of a span. What time on the path of it is: its own work unless it is a call. Where no kind was sent,
    /// a span without other children than one of another service is taken for the call that service answers.
    fn known(
        &mut self,
        chain: &CallChain,
        at: usize,
        remote: &impl Fn(&Node) -> Option<Peer>,
    ) -> Option<Known> {
        let node = chain.nodes.get(at).filter(|node| !node.is_synthetic)?;
        let child = |at: usize| Some((at, chain.nodes.get(at)?));
        let mut children = chain.children(at).filter_map(child);
        let served = match node.kind {
            SpanKind::Client | SpanKind::Producer => {
                children.find(|(_, child)| !child.is_synthetic && child.service != node.service)
            }
            SpanKind::Unspecified => match (children.next(), children.next()) {
                (Some(only), None) if only.1.service != node.service => Some(only),
                _ => None,
            },
            _ => None,
        };
        let wait = match served {
            Some((_, child)) => WaitNumber::Way(self.services.of(child.service.clone())),
            None => match remote(node) {
                Some(peer) => WaitNumber::Remote(self.peers.of(peer)),
                None => WaitNumber::Work,
            },
        };
        let operation = self.operations.of(operation(node));
        let served = served.map(|(at, _)| at);
        Some(Known { operation, part: self.parts.of((operation, wait)), served })
    }

    /// What each service worked on one request, nanoseconds.
    fn work(&self, own: &[(u32, PartSum)]) -> Vec<(Arc<str>, f64)> {
        let mut work: Vec<(Arc<str>, f64)> = Vec::new();
        for (part, sum) in own {
            let Some((operation, WaitNumber::Work)) = self.parts.get(*part) else { continue };
            let Some(Operation { service, .. }) = self.operations.get(*operation) else { continue };
            match work.iter_mut().find(|(other, _)| other == service) {
                Some((_, time)) => *time += sum.time_ns,
                None => work.push((service.clone(), sum.time_ns)),
            }
        }
        work
    }

    fn count_places(
        &mut self,
        chain: &CallChain,
        known: &[Option<Known>],
        times: &[i64],
        place: impl Fn(&Node) -> Option<Arc<str>>,
    ) {
        for ((node, known), time) in chain.nodes.iter().zip(known).zip(times) {
            let (Some(known), true) = (known, *time > 0) else { continue };
            let place = match known.served {
                Some(server) => chain.nodes.get(server).and_then(&place),
                None => place(node),
            };
            let Some(place) = place else { continue };
            let place = self.instances.of(place);
            self.places.entry((known.operation, place)).or_default().observe(*time);
        }
    }

    fn count_shapes(&mut self, chain: &CallChain, within: &Range<usize>, known: &[Option<Known>]) {
        let number = |at: usize| known.get(at).copied().flatten();
        let mut children: Vec<u32> = Vec::new();
        for at in within.clone() {
            let (Some(own), Some(node)) = (number(at), chain.nodes.get(at)) else { continue };
            // Who answers a call is no shape of it: a name may stand for calls of many.
            if matches!(node.kind, SpanKind::Client | SpanKind::Producer) {
                continue;
            }
            // What a span does or leaves because something failed is a failure, which is counted as such.
            let failed = |node: &Node| node.status == SpanStatus::Error;
            let mut below = chain.children(at).filter_map(|child| chain.nodes.get(child));
            if failed(node) || below.any(failed) {
                *self.failed.entry(own.operation).or_default() += 1;
                continue;
            }
            children.clear();
            let mut last: Option<(i64, usize)> = None;
            for child in chain.children(at) {
                let Some(node) = chain.nodes.get(child) else { continue };
                children.extend(number(child).map(|known| known.operation));
                last = last.max(Some((node.end_ns(), child)));
            }
            children.sort_unstable();
            for same in children.chunk_by(|a, b| a == b) {
                let Some(child) = same.first() else { continue };
                let sum = self.children.entry((own.operation, *child)).or_default();
                *sum = (sum.0 + 1, sum.1 + same.len() as u64);
            }
            let last = last.and_then(|(_, child)| number(child)).map(|known| known.part);
            *self.last.entry((own.operation, last)).or_default() += 1;
            *self.visits.entry(own.operation).or_default() += 1;
        }
    }

    /// The profile of all requests that were added.
    #[must_use]
    pub fn finish(self) -> Profile {
        let operation = |number: u32| self.operations.get(number).cloned();
        let part = |number: u32| {
            let (of, wait) = self.parts.get(number)?;
            let wait = match wait {
                WaitNumber::Work => Wait::Work,
                WaitNumber::Way(service) => Wait::Way(self.services.get(*service)?.clone()),
                WaitNumber::Remote(peer) => Wait::Remote(self.peers.get(*peer)?.clone()),
            };
            Some(Part { operation: operation(*of)?, wait })
        };
        let entry = |(number, sums): (u32, EntrySums)| {
            let mut profile = sums.sums;
            profile.parts =
                sums.parts.into_iter().filter_map(|(p, sum)| Some((part(p)?, sum))).collect();
            profile.work = sums.work.into_iter().collect();
            profile.failures =
                sums.failures.into_iter().filter_map(|(p, n)| Some((part(p)?, n))).collect();
            profile.overcome =
                sums.overcome.into_iter().filter_map(|(p, n)| Some((part(p)?, n))).collect();
            Some((operation(number)?, profile))
        };
        let pair = |((a, b), sum)| Some(((operation(a)?, operation(b)?), sum));
        let last = |((of, last), count): ((u32, Option<u32>), u64)| {
            Some(((operation(of)?, last.and_then(part)), count))
        };
        let place =
            |((of, at), sum)| Some(((operation(of)?, self.instances.get(at)?.clone()), sum));
        let visits = |(of, count)| Some((operation(of)?, count));
        Profile {
            entries: self.entries.into_iter().filter_map(entry).collect(),
            visits: self.visits.into_iter().filter_map(visits).collect(),
            failed: self.failed.into_iter().filter_map(visits).collect(),
            children: self.children.into_iter().filter_map(pair).collect(),
            last: self.last.into_iter().filter_map(last).collect(),
            places: self.places.into_iter().filter_map(place).collect(),
            rootless: self.rootless,
        }
    }
}

/// What the parts of one request come to, in the order they are met.
fn own_sums(within: &Range<usize>, known: &[Option<Known>], times: &[i64]) -> Vec<(u32, PartSum)> {
    let mut sums: Vec<(u32, PartSum)> = Vec::new();
    let mut places: HashMap<u32, usize> = HashMap::new();
    for at in within.clone() {
        let (Some(Some(known)), Some(time)) = (known.get(at), times.get(at)) else { continue };
        let place = *places.entry(known.part).or_insert_with(|| {
            sums.push((known.part, PartSum::default()));
            sums.len() - 1
        });
        let Some((_, sum)) = sums.get_mut(place) else { continue };
        match *time > 0 {
            true => sum.observe(*time),
            false => sum.visits += 1,
        }
    }
    sums
}

fn operation(node: &Node) -> Operation {
    Operation { service: node.service.clone(), name: node.name.clone() }
}
