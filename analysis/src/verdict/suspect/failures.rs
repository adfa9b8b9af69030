//! Harm beside time: requests that fail, and spans that do other things than before.

use std::collections::{BTreeMap, BTreeSet};

use super::{CHANCE, Edge, FAILED, Found, LEAST_CALLS, Node, RESHAPED, SURE};
use crate::ledger::{
    EarlyEnd, EntryProfile, Operation, Part, Profile, ShapeChange, Wait, early_ends,
};

/// Least difference of the share of spans, and largest p-value, of another shape.
const RESHAPED_SHARE: f64 = 0.05;
const RESHAPED_P: f64 = 1e-5;
/// Least rise of the share of spans that end early.
const EARLY_SHARE: f64 = 0.1;

/// By how much more requests have something than before.
#[derive(Debug, Clone, Copy)]
struct More {
    /// As a share of all requests, less what chance explains.
    sure: f64,
    /// In standard errors.
    z: f64,
}

/// The parts that more requests have beyond chance, by what says how many of an entry have each: of the window against the
/// reference with the window's mix of entries, so that more requests of a kind that always failed now and then are
/// none. What enters where nothing entered before is compared with none.
fn more_often(
    reference: &Profile,
    window: &Profile,
    counts: fn(&EntryProfile) -> &BTreeMap<Part, u64>,
) -> Vec<(Part, More)> {
    /// Shares of the window's requests that have a part, now and usually, and the variance of their difference.
    #[derive(Default, Clone, Copy)]
    struct Share {
        is: f64,
        usual: f64,
        variance: f64,
    }
    let [n, m] = [reference, window].map(|profile| profile.requests().max(1) as f64);
    let mut shares: BTreeMap<&Part, Share> = BTreeMap::new();
    for (entry, sums) in &window.entries {
        for (part, count) in counts(sums) {
            let share = shares.entry(part).or_default();
            share.is += *count as f64 / m;
            share.variance += *count as f64 / (m * m);
        }
        let Some(before) = reference.entries.get(entry).filter(|before| before.requests > 0) else {
            continue;
        };
        let weight = sums.requests as f64 / m / before.requests as f64;
        for (part, count) in counts(before) {
            let share = shares.entry(part).or_default();
            share.usual += weight * *count as f64;
            share.variance += weight * weight * *count as f64;
        }
    }
    let more = shares.into_iter().map(|(part, share)| {
        // With one more on either side (rule of succession): none that was seen is not none there is.
        let error = (share.variance + 1.0 / (n * n) + 1.0 / (m * m)).sqrt();
        let more = share.is - share.usual;
        (part.clone(), More { sure: more - CHANCE * error, z: more / error })
    });
    more.filter(|(_, more)| more.sure > 0.0).collect()
}

impl Found {
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

    /// Requests that fail more often than before, or get over something that does, where that begins.
    pub(super) fn add_failures(&mut self, reference: &Profile, window: &Profile) {
        for (part, more) in more_often(reference, window, |entry| &entry.failures) {
            self.add_failure(&part, FAILED, more);
            self.give_retries(window, &part);
        }
        for (part, more) in more_often(reference, window, |entry| &entry.overcome) {
            self.add_failure(&part, RESHAPED, more);
            self.give_calls(&part);
        }
    }

    fn add_failure(&mut self, part: &Part, weight: f64, more: More) {
        let node = blamed(part);
        let suspect = self.at(&node);
        suspect.failure += weight * more.sure;
        suspect.z = suspect.z.max(more.z);
        self.note(&node, f64::MIN_POSITIVE, part);
    }

    /// Further attempts are the harm of who fails. Returns who called, unless it failed itself.
    fn give_calls(&mut self, part: &Part) -> Option<Node> {
        let node = blamed(part);
        let caller = Node::Service(part.operation.service.clone());
        if node == caller {
            return None;
        }
        let again = self.calls.remove(part).unwrap_or_default();
        let from = self.at(&caller);
        from.calls = (from.calls - again).max(0.0);
        self.at(&node).way += again;
        Some(caller)
    }

    /// Whoever fails is harmful by what its callers do about it: further attempts, and waiting between them. Of work that takes
    /// longer it is what few spans have, or the share of the requests that fail: if one in thirty fails, all that are slower are
    /// not so for that.
    fn give_retries(&mut self, window: &Profile, part: &Part) {
        let Some(caller) = self.give_calls(part) else { return };
        let parents = window.children.keys().filter(|(_, child)| *child == part.operation);
        let parents =
            parents.map(|(parent, _)| parent).filter(|p| p.service == part.operation.service);
        let of_part = |entry: &EntryProfile| {
            let failed = entry.failures.get(part).copied().unwrap_or_default();
            (failed, entry.parts.get(part).map_or(0, |sum| sum.requests))
        };
        let counts = window.entries.values().map(of_part);
        let (failed, all) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let failing = failed as f64 / all.max(failed).max(1) as f64;
        let mut waiting = 0.0;
        for parent in parents {
            let Some((harm, seldom)) = self.work.get_mut(parent) else { continue };
            let given = *harm * seldom.max(failing);
            *harm -= given;
            waiting += given;
        }
        let from = self.at(&caller);
        from.work = (from.work - waiting).max(0.0);
        self.at(&blamed(part)).way += waiting;
    }

    /// Spans that do other things than before.
    pub(super) fn add_shapes(
        &mut self,
        reference: &Profile,
        window: &Profile,
        shapes: &[ShapeChange],
    ) {
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

/// Shares of a profile's requests that fail where a node does, and that get over a failure of it.
#[must_use]
pub fn failing(profile: &Profile, node: &Node) -> [f64; 2] {
    let share = |counts: fn(&EntryProfile) -> &BTreeMap<Part, u64>| {
        let own =
            profile.entries.values().flat_map(counts).filter(|(part, _)| blamed(part) == *node);
        own.map(|(_, count)| *count as f64).sum::<f64>() / profile.requests().max(1) as f64
    };
    [share(|entry| &entry.failures), share(|entry| &entry.overcome)]
}

/// Who is harmed by a part: whoever does the work.
fn blamed(part: &Part) -> Node {
    match &part.wait {
        Wait::Work => Node::Service(part.operation.service.clone()),
        Wait::Way(service) => Node::Service(service.clone()),
        Wait::Remote(peer) => Node::Peer(peer.name.clone()),
    }
}
