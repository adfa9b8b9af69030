//! The verdict over both windows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cause::{Action, Cause, cause};
use super::reading::{Owner, Reading, Release};
use super::suspect::{Node, SURE, Suspect, suspects};
use crate::dependency::Outcomes;
use crate::ledger::{Ledger, Part, Profile, ShapeChange, Wait, ledger, shapes};

/// Harm from which on a suspect is blamed: requests took a tenth longer beyond chance, or one in fifty more fails.
const BLAMED: f64 = 0.1;
/// Standard errors that are enough of a suspect whose cause a reading proves: that a signal of the same suspect is raised
/// in the same window by chance, too, is far less likely than either.
const SURE_PROVEN: f64 = 3.0;
/// Fewest requests of a window that a verdict is given on.
const LEAST_REQUESTS: u64 = 30;
/// Culprits named at most.
const MOST_CULPRITS: usize = 10;

/// What is known of two windows.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Requests of the reference.
    pub reference: Profile,
    /// The same by when they began, some slices of the reference in a row; empty: how much it varies by itself is not
    /// looked at.
    pub slices: Vec<Profile>,
    /// Requests of the window.
    pub window: Profile,
    /// What machines and middleware say.
    pub readings: Vec<Reading>,
    /// New versions.
    pub releases: Vec<Release>,
    /// Hosts that instances of a service run on; of a store, its own.
    pub hosts: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Of what is called, requests in which every call of it failed, and whether they failed, too.
    pub failing: BTreeMap<Arc<str>, Outcomes>,
    /// Requests a second in the window over those in the reference, of the entry with most more; 1 if unknown.
    pub load: f64,
}

/// A suspect with a cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Culprit {
    /// Who, and what it explains.
    pub suspect: Suspect,
    /// Why.
    pub cause: Cause,
    /// What to do.
    pub action: Action,
    /// Share of the harm of all suspects, 0 to 1.
    pub share: f64,
    /// How sure that is, 0 to 1: how much of the harm it explains, with all that lack the CPU of the same host if it does, and
    /// by how much that exceeds what is needed to be blamed; less without a proven cause.
    pub confidence: f64,
    /// The instance or host that has it alone, if one does.
    pub instance: Option<Arc<str>>,
    /// Places of the readings that prove the cause.
    pub readings: Vec<usize>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What was added, part by part.
    pub ledger: Ledger,
    /// Who is to blame, the likeliest first; those below the first that are not blamed are listed, too.
    pub culprits: Vec<Culprit>,
    /// Whether the first culprit is blamed.
    pub is_confident: bool,
    /// What to do.
    pub action: Action,
    /// Other shapes.
    pub shapes: Vec<ShapeChange>,
    /// Why the verdict abstains, if it does.
    pub abstains: Option<&'static str>,
}

/// Judges a window against a reference.
#[must_use]
pub fn judge(inputs: &Inputs) -> Judgement {
    let found = ledger(&inputs.reference, &inputs.window);
    let shapes = shapes(&inputs.reference, &inputs.window);
    let ranked = suspects(&inputs.reference, &inputs.window, &found, &shapes);
    let all: f64 = ranked.iter().map(|s| s.harm).sum();
    let mut culprits: Vec<Culprit> =
        ranked.into_iter().take(MOST_CULPRITS).map(|s| culprit(s, inputs, all)).collect();
    if culprits.first().is_some_and(|first| first.cause == Cause::Load) {
        // Of all that have too much to do, the one that most time is lost in comes first.
        let rank = |c: &Culprit| (c.cause == Cause::Load).then_some(c.suspect.added_ns);
        let loss = |c: &Culprit| rank(c).unwrap_or(f64::NEG_INFINITY);
        culprits.sort_by(|a, b| loss(b).total_cmp(&loss(a)));
    }
    let weight = by_host(&mut culprits, inputs, all);
    let noise = noise(&inputs.slices);
    let few = inputs.window.requests().min(inputs.reference.requests()) < LEAST_REQUESTS;
    let first = culprits.first();
    let is_confident = !few
        && first.is_some_and(|c| {
            let usual = |c: &Culprit| noise.get(&c.suspect.node).copied().unwrap_or_default();
            let host = shared_host(c, inputs);
            let same = |other: &&Culprit| host.is_some() && shared_host(other, inputs) == host;
            let others: f64 = culprits.iter().skip(1).filter(same).map(usual).sum();
            weight >= BLAMED.max(usual(c) + others) && c.suspect.z >= c.sure()
        });
    let abstains = match first {
        _ if few => Some("too few requests in one of the windows"),
        None => None,
        Some(_) if !is_confident => Some("no suspect adds a tenth to requests beyond chance"),
        Some(c) if c.cause == Cause::Unknown => Some("no reading proves a cause"),
        Some(_) => None,
    };
    let action = match first {
        Some(c) if is_confident => c.action,
        _ if few => Action::Unknown,
        _ => Action::None,
    };
    Judgement { ledger: found, culprits, is_confident, action, shapes, abstains }
}

impl Culprit {
    /// Standard errors that are needed to blame it.
    fn sure(&self) -> f64 {
        let proven = self.cause != Cause::Unknown && !self.readings.is_empty();
        if proven { SURE_PROVEN } else { SURE }
    }

    /// How sure it is by harm of which it is a part, and that of all suspects; see [`Culprit::confidence`].
    fn confidence(&self, weight: f64, all: f64) -> f64 {
        let share = if all > 0.0 { weight / all } else { 0.0 };
        let sure = (weight / BLAMED).min(1.0) * (self.suspect.z / self.sure()).min(1.0) * share;
        // CPU without a reading is what is left where all else is ruled out.
        let guessed = self.cause == Cause::Cpu && self.readings.is_empty();
        if self.cause == Cause::Unknown || guessed { sure / 2.0 } else { sure }
    }
}

/// The host that a culprit lacks CPU of.
fn shared_host(culprit: &Culprit, inputs: &Inputs) -> Option<Arc<str>> {
    if !matches!(culprit.cause, Cause::Cpu | Cause::NoisyNeighbour) {
        return None;
    }
    let owners = culprit.readings.iter().filter_map(|at| inputs.readings.get(*at));
    owners.map(|reading| &reading.owner).find_map(|owner| match owner {
        Owner::Host(host) => Some(host.clone()),
        _ => None,
    })
}

/// Puts those first that lack the CPU of one host, if together they explain more than anybody else: what a host lacks harms
/// all that run on it. Returns what the first explains together with those, and says how sure each is; `all` is the harm of
/// all suspects.
fn by_host(culprits: &mut [Culprit], inputs: &Inputs, all: f64) -> f64 {
    let mut of_host: BTreeMap<Arc<str>, f64> = BTreeMap::new();
    for culprit in culprits.iter() {
        if let Some(host) = shared_host(culprit, inputs) {
            *of_host.entry(host).or_default() += culprit.suspect.harm;
        }
    }
    let weight = |culprit: &Culprit| {
        let host = shared_host(culprit, inputs);
        host.and_then(|host| of_host.get(&host).copied()).unwrap_or(culprit.suspect.harm)
    };
    if culprits.first().is_some_and(|first| first.cause != Cause::Load) {
        culprits.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    }
    for culprit in culprits.iter_mut() {
        culprit.confidence = culprit.confidence(weight(culprit), all);
    }
    culprits.first().map_or(0.0, weight)
}

/// The most that each node harms one slice of the reference against the others: what happens without a fault. A slice has
/// fewer requests than a window, so that chance is larger in it.
fn noise(slices: &[Profile]) -> BTreeMap<Node, f64> {
    let mut most: BTreeMap<Node, f64> = BTreeMap::new();
    for (at, slice) in slices.iter().enumerate() {
        let mut others = Profile::default();
        for (_, other) in slices.iter().enumerate().filter(|(other, _)| *other != at) {
            others.merge(other);
        }
        let (ledger, shapes) = (ledger(&others, slice), shapes(&others, slice));
        for suspect in suspects(&others, slice, &ledger, &shapes) {
            let worst = most.entry(suspect.node).or_default();
            *worst = worst.max(suspect.harm);
        }
    }
    most
}

fn culprit(suspect: Suspect, inputs: &Inputs, all: f64) -> Culprit {
    let (cause, readings) =
        cause(&suspect, &inputs.readings, &inputs.releases, &inputs.hosts, inputs.load);
    let share = if all > 0.0 { suspect.harm / all } else { 0.0 };
    let instance = instance_of(&readings, inputs).or_else(|| instance(&suspect, inputs));
    // A store that fails is not somebody else's.
    let action = match cause {
        Cause::External if suspect.is_store => Action::Repair,
        Cause::External if is_weak(&suspect.node, inputs) => Action::DegradeDependency,
        cause => cause.action(),
    };
    Culprit { action, suspect, cause, share, confidence: 0.0, instance, readings }
}

/// Whether requests mostly get by when calls of a node fail.
fn is_weak(node: &Node, inputs: &Inputs) -> bool {
    let (Node::Service(name) | Node::Peer(name)) = node;
    let failing = inputs.failing.get(name);
    failing.is_some_and(Outcomes::is_weak)
}

/// The one instance that all readings that prove a cause are of.
fn instance_of(readings: &[usize], inputs: &Inputs) -> Option<Arc<str>> {
    let owners = readings.iter().filter_map(|at| inputs.readings.get(*at)).map(|r| &r.owner);
    let mut instances = owners.filter_map(|owner| match owner {
        Owner::Service(_, Some(instance)) => Some(instance),
        _ => None,
    });
    let first = instances.next()?;
    instances.all(|other| other == first).then(|| first.clone())
}

/// The one instance whose work takes longer, or the way to it, where others of the service do as before.
fn instance(suspect: &Suspect, inputs: &Inputs) -> Option<Arc<str>> {
    /// An instance is slow if its typical time is so many times that of the reference, and others are not.
    const SLOW: f64 = 1.5;
    /// Fewest spans that tell.
    const LEAST: u64 = 10;
    let is_own = |part: &&Part| match &part.wait {
        Wait::Work => true,
        Wait::Way(to) => suspect.node == Node::Service(to.clone()),
        Wait::Remote(_) => false,
    };
    let part = suspect.part.as_ref().filter(is_own)?;
    let of = |profile: &Profile| -> BTreeMap<Arc<str>, (f64, u64)> {
        let own = profile.places.iter().filter(|((operation, _), _)| *operation == part.operation);
        own.map(|((_, place), sum)| (place.clone(), (sum.log_sum, sum.on_path))).collect()
    };
    let (before, after) = (of(&inputs.reference), of(&inputs.window));
    let (logs, spans) = before.values().fold((0.0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let usual = logs / (spans > 0).then_some(spans as f64)?;
    let (mut slow, mut usual_ones) = (Vec::new(), 0);
    for (place, (log, count)) in after.iter().filter(|(_, (_, count))| *count >= LEAST) {
        match (log / *count as f64 - usual).exp() >= SLOW {
            true => slow.push(place),
            false => usual_ones += 1,
        }
    }
    match slow.as_slice() {
        [one] if usual_ones > 0 || after.len() == 1 => Some((*one).clone()),
        _ => None,
    }
}
