//! The critical path of a user request: who is to blame for each nanosecond between its first span's
//! start and end.

use std::collections::BTreeMap;

use crate::catalogue::services::{HOST_NAMES, Svc};
use crate::catalogue::statements::Stmt;
use crate::plan::spot::{BROKER, PROVIDER, Spot};
use crate::simulate::{Shape, SpanRecord};

/// What the time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The process itself, and what it waits for without a span.
    Own,
    Statement(Stmt),
    /// The network to a service and back.
    Call(Svc),
    Provider,
    Broker,
}

/// Where time is spent: service, host, part.
pub(super) type Spent = (Svc, usize, Part);

/// The spans of some requests, with the children of each.
pub(super) struct Forest<'a> {
    spans: &'a [SpanRecord],
    /// Children by their parent's id, in the order of their ends, last first.
    children: BTreeMap<u64, Vec<usize>>,
}

impl<'a> Forest<'a> {
    pub(super) fn new(spans: &'a [SpanRecord]) -> Self {
        let mut children: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, span) in spans.iter().enumerate().filter(|(_, span)| span.parent != 0) {
            children.entry(span.parent).or_default().push(index);
        }
        for list in children.values_mut() {
            list.sort_by_key(|index| (-spans[*index].end_ns, *index));
        }
        Self { spans, children }
    }

    /// Adds the span's time to the places on its critical path: each moment belongs to the child that
    /// ends last, and to the span itself when it waits for none.
    pub(super) fn walk(&self, span: &SpanRecord, spent: &mut BTreeMap<Spent, i64>) {
        let mut at = span.end_ns;
        let mut own = 0;
        for child in self.children.get(&span.id).into_iter().flatten().map(|at| &self.spans[*at]) {
            // What ends after the parent went on is not waited for.
            if child.end_ns > at || child.end_ns <= span.start_ns {
                continue;
            }
            own += at - child.end_ns;
            self.walk(child, spent);
            at = child.start_ns;
        }
        own += at - span.start_ns;
        let instance = span.home.instance;
        *spent.entry((instance.service().svc, instance.host(), part(span.shape))).or_default() +=
            own;
    }
}

fn part(shape: Shape) -> Part {
    match shape {
        Shape::Answer(_) => Part::Own,
        Shape::Ask(op) => Part::Call(op.facts().service),
        Shape::Query(stmt) => Part::Statement(stmt),
        Shape::Charge(_) => Part::Provider,
        Shape::Publish => Part::Broker,
    }
}

/// Whether time spent there is spent at the spot. A statement's time is its store's as well as its
/// caller's, so a host is to blame for what its stores take.
pub(super) fn lies_at(spent: Spent, spot: Spot) -> bool {
    let (svc, host, part) = spent;
    match spot {
        Spot::All | Spot::Entry(_) => false,
        Spot::Service(one) => svc == one,
        Spot::Instance(one) => svc == one.service().svc && host == one.host(),
        Spot::Host(one) => match part {
            Part::Statement(stmt) => stmt.facts().store.facts().host == one,
            _ => host == one,
        },
        Spot::Statement(one) => part == Part::Statement(one),
        Spot::Edge(caller, callee) => svc == caller && part == Part::Call(callee),
        Spot::Store(store) => {
            matches!(part, Part::Statement(stmt) if stmt.facts().store == store)
        }
        Spot::Broker => part == Part::Broker,
        Spot::Provider => part == Part::Provider,
    }
}

/// The words of a ledger for what a span waits for: `wait`, `to` and `statement`.
pub(super) fn wait(part: Part) -> (&'static str, &'static str, &'static str) {
    match part {
        Part::Own => ("work", "", ""),
        Part::Statement(stmt) => {
            ("remote", stmt.facts().store.facts().address, stmt.facts().summary)
        }
        Part::Call(svc) => ("way", svc.facts().name, ""),
        Part::Provider => ("remote", PROVIDER, ""),
        Part::Broker => ("remote", BROKER, ""),
    }
}

/// Names of a place: service, host, part.
pub(super) fn names(spent: Spent) -> (String, String, String) {
    let part = match spent.2 {
        Part::Own => "own".to_owned(),
        Part::Statement(stmt) => stmt.facts().summary.to_owned(),
        Part::Call(svc) => format!("call to {}", svc.facts().name),
        Part::Provider => PROVIDER.to_owned(),
        Part::Broker => BROKER.to_owned(),
    };
    (spent.0.facts().name.to_owned(), HOST_NAMES[spent.1].to_owned(), part)
}
