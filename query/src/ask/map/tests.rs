use std::collections::BTreeMap;
use std::sync::Arc;

use super::gather::{Gathered, Sums};
use crate::answer::map::NodeKind;
use crate::ask::dependency::Outgoing;
use crate::ask::measure::Measure;

fn measure(calls: u64, errors: u64) -> Measure {
    Measure { calls, errors, sketch: (0..calls).map(|n| n as i64).collect() }
}

fn key(a: &str, b: &str) -> (Arc<str>, Arc<str>) {
    (a.into(), b.into())
}

/// Front calls cart at an address and both ask a store; a tenth of the requests is in the sample.
fn sampled() -> Gathered {
    let mut all = Gathered::default();
    for (id, kind) in [
        ("front", NodeKind::Service),
        ("cart", NodeKind::Service),
        ("postgresql shop", NodeKind::Database),
    ] {
        all.node(&id.into(), kind).sums = measure(10, 1).into();
    }
    for edge in [key("front", "cart"), key("front", "postgresql shop")] {
        all.edges.entry(edge).or_default().sums = measure(10, 1).into();
    }
    all.served.insert(key("front", "10.0.0.1:80"), ["cart".into()].into());
    all.scale(0.1);
    all
}

fn figures(sums: &Sums) -> (u64, u64, Option<i64>) {
    (sums.calls as u64, sums.errors as u64, sums.sketch.max())
}

#[test]
fn callers_say_what_a_sample_lacks() {
    let mut all = sampled();
    let outgoing = [
        // Only the sample tells who answers: kept.
        ("front", "10.0.0.1:80", "http", 80, 3),
        // Another caller of what is known to be cart.
        ("back", "10.0.0.1:80", "http", 5, 5),
        // Exact.
        ("front", "postgresql shop", "database", 93, 9),
        ("cart", "postgresql shop", "database", 7, 0),
        // Told apart by kind, but the same peer.
        ("cart", "api.example", "http", 2, 1),
        ("cart", "api.example", "other", 1, 1),
        ("back", "kafka orders", "messaging", 4, 0),
    ];
    let outgoing: Outgoing = outgoing
        .into_iter()
        .map(|(caller, peer, kind, calls, errors)| {
            ((caller.to_owned(), peer.to_owned(), kind), measure(calls, errors))
        })
        .collect();
    let services = ["front", "cart", "back"].map(|name| (name.to_owned(), measure(101, 2)));
    all.complete(outgoing, services.into());
    let edges: BTreeMap<_, _> =
        all.edges.iter().map(|((a, b), edge)| ((&**a, &**b), figures(&edge.sums))).collect();
    let want = [
        (("front", "cart"), (100, 10, Some(9))),
        (("back", "cart"), (5, 5, Some(4))),
        (("front", "postgresql shop"), (93, 9, Some(92))),
        (("cart", "postgresql shop"), (7, 0, Some(6))),
        (("cart", "api.example"), (3, 2, Some(1))),
        (("back", "kafka orders"), (4, 0, Some(3))),
    ];
    assert_eq!(edges, want.into());
    let nodes: BTreeMap<_, _> =
        all.nodes.iter().map(|(id, node)| (&**id, (node.kind, figures(&node.sums)))).collect();
    let service = |id| (id, (NodeKind::Service, (101, 2, Some(100))));
    let want = [
        service("front"),
        service("cart"),
        service("back"),
        ("postgresql shop", (NodeKind::Database, (100, 9, Some(92)))),
        ("api.example", (NodeKind::External, (3, 2, Some(1)))),
        ("kafka orders", (NodeKind::Messaging, (4, 0, Some(3)))),
    ];
    assert_eq!(nodes, want.into());
    assert_eq!(all.edges[&key("cart", "api.example")].kind(), "http");
}
