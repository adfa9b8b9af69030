//! What requests can do without while something is wrong.

use std::sync::Arc;

use headrope_analysis::dependency::Outcomes;
use headrope_analysis::ledger::{Part, Wait};
use headrope_analysis::verdict::{Action, Culprit, Inputs, Node};

use crate::answer::verdict::{DegradeRow, Evidence};

/// Dependencies listed at most.
const MOST: usize = 20;

/// Whether a part is time that goes to something: calls of it, the way there, or its own work.
fn is_of(part: &Part, name: &str) -> bool {
    match &part.wait {
        Wait::Work => *part.operation.service == *name,
        Wait::Way(service) => **service == *name,
        Wait::Remote(peer) => *peer.name == *name,
    }
}

/// Dependencies that are weak by what happened when they failed, those that requests spend most time on first.
pub(super) fn degradable(inputs: &Inputs) -> Vec<DegradeRow> {
    let entries = || inputs.window.entries.values();
    let all: f64 = entries().map(|entry| entry.time_ns).sum();
    let requests = inputs.window.requests() as f64;
    let row = |(name, outcomes): (&Arc<str>, &Outcomes)| {
        let parts = entries().flat_map(|entry| &entry.parts);
        let own = parts.filter(|(part, _)| is_of(part, name)).map(|(_, sum)| sum.time_ns);
        let time: f64 = own.sum();
        DegradeRow {
            name: name.to_string(),
            failed: outcomes.when_callee_fails().of,
            failed_too: outcomes.both_failed,
            time_ns: if requests > 0.0 { (time / requests).round() as i64 } else { 0 },
            share: if all > 0.0 { time / all } else { 0.0 },
        }
    };
    let weak = inputs.failing.iter().filter(|(_, outcomes)| outcomes.is_weak());
    let mut rows: Vec<DegradeRow> = weak.map(row).collect();
    rows.sort_by(|a, b| b.time_ns.cmp(&a.time_ns).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(MOST);
    rows
}

/// Of a culprit that is to be degraded, that requests survive its failures.
pub(super) fn survived(culprit: &Culprit, inputs: &Inputs) -> Option<Evidence> {
    let (Node::Service(name) | Node::Peer(name)) = &culprit.suspect.node;
    let outcomes = inputs.failing.get(name)?;
    let (failed, all) = (outcomes.both_failed, outcomes.when_callee_fails().of);
    (culprit.action == Action::DegradeDependency).then(|| Evidence {
        text: format!(
            "of {all} requests that called {name} in vain {failed} failed: most do without it"
        ),
        entity: name.to_string(),
        metric: "share of requests that fail with it".to_owned(),
        reference: None,
        window: failed as f64 / (all as f64).max(1.0),
    })
}

#[cfg(test)]
mod tests {
    use headrope_analysis::ledger::{Operation, PartSum, Peer};

    use super::*;

    #[test]
    fn what_is_weak_is_listed_by_its_time() {
        let mut inputs = Inputs::default();
        let operation = |service: &str| Operation { service: service.into(), name: "get".into() };
        let part = |service: &str, wait| Part { operation: operation(service), wait };
        let peer = Peer { name: "ads".into(), is_store: false, statement: None };
        let entry = inputs.window.entries.entry(operation("front")).or_default();
        (entry.requests, entry.time_ns) = (10, 1000.0);
        for (part, time_ns) in [
            (part("front", Wait::Work), 300.0),
            (part("front", Wait::Way("reviews".into())), 100.0),
            (part("reviews", Wait::Work), 400.0),
            (part("front", Wait::Remote(peer)), 200.0),
        ] {
            entry.parts.insert(part, PartSum { time_ns, ..PartSum::default() });
        }
        for (name, fails) in [("ads", false), ("reviews", false), ("pay", true)] {
            let outcomes: &mut Outcomes = inputs.failing.entry(name.into()).or_default();
            (0..20).for_each(|_| outcomes.observe(true, fails));
        }
        let found: Vec<_> = degradable(&inputs)
            .into_iter()
            .map(|r| (r.name, r.failed, r.time_ns, r.share))
            .collect();
        let want = [("reviews".to_owned(), 20, 50, 0.5), ("ads".to_owned(), 20, 20, 0.2)];
        assert_eq!(found, want);
    }
}
