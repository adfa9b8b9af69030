//! The calls of one call chain.

use std::sync::Arc;

use headrope_analysis::{CallChain, Node, SpanKind, SpanStatus};

use crate::answer::map::NodeKind;
use crate::ask::chains::Chain;

/// A call from a service to another node.
#[derive(Debug)]
pub(super) struct Call {
    /// The caller's span that serves the request the call is made for, by its place in the chain.
    pub(super) within: usize,
    pub(super) caller: Arc<str>,
    /// A queue hands messages on, everything else that calls is a service.
    pub(super) caller_kind: NodeKind,
    pub(super) callee: Arc<str>,
    pub(super) callee_kind: NodeKind,
    pub(super) kind: Arc<str>,
    pub(super) start_ns: i64,
    pub(super) duration_ns: i64,
    pub(super) failed: bool,
    /// The caller does not wait for what is called.
    pub(super) is_async: bool,
}

/// The calls of a chain.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) all: Vec<Call>,
    /// Caller, what it says it calls, and the service that answers.
    pub(super) served: Vec<[Arc<str>; 3]>,
}

/// All calls of a chain. A call is seen by the span that makes it, by the span that serves it, or by both, and then counts
/// once. Messages go through the queue they are sent to.
pub(super) fn calls(chain: &Chain) -> Calls {
    let nodes = &chain.chain.nodes;
    let mut found = Calls::default();
    for (at, node) in nodes.iter().enumerate().filter(|(_, node)| !node.is_synthetic) {
        match node.kind {
            SpanKind::Client | SpanKind::Producer => outgoing(chain, at, node, &mut found),
            _ => {}
        }
        found.all.extend(incoming(chain, at, node));
    }
    found
}

/// The call a span makes to something that sends no spans, or to a queue.
fn outgoing(chain: &Chain, at: usize, node: &Node, found: &mut Calls) {
    let detail = chain.detail(node);
    let Some(peer) = detail.and_then(|detail| detail.peer.as_ref()) else { return };
    let kind = detail.and_then(|detail| detail.peer_kind.clone()).unwrap_or_else(|| "other".into());
    let is_message = &*kind == "messaging";
    let mut children = chain.chain.children(at).filter_map(|child| chain.chain.nodes.get(child));
    let server = children.find(|child| !child.is_synthetic && child.service != node.service);
    if let (Some(server), false) = (server, is_message) {
        let names = [&node.service, &peer.name, &server.service];
        found.served.push(names.map(Arc::clone));
        return;
    }
    found.all.push(Call {
        within: serving(&chain.chain, at),
        caller: Arc::clone(&node.service),
        caller_kind: NodeKind::Service,
        callee: Arc::clone(&peer.name),
        callee_kind: kind_of(&kind),
        kind,
        start_ns: node.start_ns,
        duration_ns: node.duration_ns,
        failed: node.status == SpanStatus::Error,
        is_async: is_message,
    });
}

/// What a peer of a kind is where it sends no spans.
pub(super) fn kind_of(peer_kind: &str) -> NodeKind {
    match peer_kind {
        "database" => NodeKind::Database,
        "messaging" => NodeKind::Messaging,
        _ => NodeKind::External,
    }
}

/// The call that a span serves, of another service's span.
fn incoming(chain: &Chain, at: usize, node: &Node) -> Option<Call> {
    let parent = node.parent.and_then(|at| Some((at, chain.chain.nodes.get(at)?)));
    let Some((parent_at, parent)) = parent.filter(|(_, parent)| !parent.is_synthetic) else {
        return consumed(chain, at, node);
    };
    if parent.service == node.service || at == parent_at {
        return None;
    }
    let detail = chain.detail(parent);
    let is_call = matches!(parent.kind, SpanKind::Client | SpanKind::Producer);
    let peer_kind = detail.filter(|_| is_call).and_then(|detail| detail.peer_kind.clone());
    let is_message = peer_kind.as_deref() == Some("messaging");
    let queue = detail.and_then(|detail| detail.peer.as_ref()).filter(|_| is_message);
    // As the caller sees it, unless no span says how.
    let seen = if is_call && !is_message { parent } else { node };
    let failed = [seen, node].iter().any(|span| span.status == SpanStatus::Error);
    Some(Call {
        within: serving(&chain.chain, parent_at),
        caller: queue.map_or_else(|| Arc::clone(&parent.service), |queue| Arc::clone(&queue.name)),
        caller_kind: if queue.is_some() { NodeKind::Messaging } else { NodeKind::Service },
        callee: Arc::clone(&node.service),
        callee_kind: NodeKind::Service,
        kind: peer_kind.unwrap_or_else(|| "other".into()),
        start_ns: seen.start_ns,
        duration_ns: seen.duration_ns,
        failed,
        is_async: is_message || node.is_async,
    })
}

/// A message that a span takes over from the queue it names, where it hangs on nobody's span: whoever consumes messages in
/// batches, or later, links to the spans that sent them.
fn consumed(chain: &Chain, at: usize, node: &Node) -> Option<Call> {
    let detail = chain.detail(node).filter(|_| node.kind == SpanKind::Consumer)?;
    let kind = detail.peer_kind.clone().filter(|kind| &**kind == "messaging")?;
    Some(Call {
        within: at,
        caller: Arc::clone(&detail.peer.as_ref()?.name),
        caller_kind: NodeKind::Messaging,
        callee: Arc::clone(&node.service),
        callee_kind: NodeKind::Service,
        kind,
        start_ns: node.start_ns,
        duration_ns: node.duration_ns,
        failed: node.status == SpanStatus::Error,
        is_async: true,
    })
}

/// The span of the same service that the request came in by: the outermost one above a span without another service's
/// between.
pub(in crate::ask) fn serving(chain: &CallChain, at: usize) -> usize {
    let mut at = at;
    while let Some(node) = chain.nodes.get(at) {
        let Some(parent_at) = node.parent else { break };
        let own = chain.nodes.get(parent_at).filter(|parent| {
            !parent.is_synthetic && parent.service == node.service && parent_at != at
        });
        if own.is_none() {
            break;
        }
        at = parent_at;
    }
    at
}
