//! A call chain from an unordered set of span records.
//!
//! [`assemble`] takes whatever was stored under one trace id and gives back a forest in pre-order.
//! It never fails: duplicates are dropped and counted, spans whose parent is missing hang under a
//! synthetic node, cycles are cut, and clocks that disagree are repaired. The result depends on the
//! set of records, not on their order. Cost is `O(n log n)` and nothing recurses, so a chain of a
//! hundred thousand spans is as safe as a flat one.

mod emit;
mod link;
mod skew;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use headrope_model::SpanId;

pub use emit::Children;

/// The OTLP span kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SpanKind {
    /// Not told.
    #[default]
    Unspecified,
    /// Inside a service.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request and waits for it.
    Client,
    /// Hands over a message.
    Producer,
    /// Works on a message.
    Consumer,
}

impl SpanKind {
    /// Reads `server`, `SERVER` or `SPAN_KIND_SERVER`; anything unknown is
    /// [`SpanKind::Unspecified`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = strip_prefix_ignoring_case(name, "SPAN_KIND_");
        const NAMED: [(&str, SpanKind); 5] = [
            ("internal", SpanKind::Internal),
            ("server", SpanKind::Server),
            ("client", SpanKind::Client),
            ("producer", SpanKind::Producer),
            ("consumer", SpanKind::Consumer),
        ];
        NAMED
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Unspecified, |(_, kind)| kind)
    }

    /// Lower-case name, `unspecified` if not told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// The OTLP status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum SpanStatus {
    /// Not told.
    #[default]
    Unset,
    /// Explicitly fine.
    Ok,
    /// Failed.
    Error,
}

impl SpanStatus {
    /// Reads `error`, `ERROR` or `STATUS_CODE_ERROR`; anything unknown is [`SpanStatus::Unset`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = strip_prefix_ignoring_case(name, "STATUS_CODE_");
        if name.eq_ignore_ascii_case("error") {
            Self::Error
        } else if name.eq_ignore_ascii_case("ok") {
            Self::Ok
        } else {
            Self::Unset
        }
    }
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.split_at_checked(prefix.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest,
        _ => text,
    }
}

/// One span as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanRecord {
    /// The span's own id.
    pub span_id: SpanId,
    /// Id of the parent; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// Kind.
    pub kind: SpanKind,
    /// Status.
    pub status: SpanStatus,
    /// `service.name`.
    pub service: Arc<str>,
    /// Whose clock took the times: `host.id`, `host.name` or the like. Empty if unknown; then spans
    /// of one service are taken to share a clock and those of different services not to.
    pub host: Arc<str>,
    /// Span name.
    pub name: Arc<str>,
    /// Start, Unix nanoseconds; a time before 1970 is taken as 1970.
    pub start_ns: i64,
    /// Duration in nanoseconds; a negative one is taken as zero.
    pub duration_ns: i64,
    /// Whatever the caller wants to find again (for instance a row number); handed back as
    /// [`Node::source`].
    pub source: usize,
}

/// A span of a call chain, at its place in pre-order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// [`SpanRecord::source`]; `None` for the synthetic parent of orphans.
    pub source: Option<usize>,
    /// The span's id; for a synthetic node the id that its children name as their parent.
    pub span_id: SpanId,
    /// Kind.
    pub kind: SpanKind,
    /// Status.
    pub status: SpanStatus,
    /// `service.name`; empty for a synthetic node.
    pub service: Arc<str>,
    /// Span name; empty for a synthetic node.
    pub name: Arc<str>,
    /// Start after repair, Unix nanoseconds. The recorded start is `start_ns - skew_ns`.
    pub start_ns: i64,
    /// Duration in nanoseconds, never negative.
    pub duration_ns: i64,
    /// What clock-skew repair added to the recorded start, nanoseconds; 0 if nothing was repaired.
    pub skew_ns: i64,
    /// Duration minus the union of the children the span waited for, nanoseconds. Zero for a
    /// synthetic node.
    pub self_ns: i64,
    /// Pre-order index of the parent; `None` for a root.
    pub parent: Option<usize>,
    /// Distance from the root; a root has 0.
    pub depth: usize,
    /// Number of spans in the subtree, this one included.
    pub subtree_size: usize,
    /// Number of spans with status error in the subtree, this one included.
    pub subtree_errors: usize,
    /// The parent does not wait for this span: it is a consumer, or starts after the parent's end.
    pub is_async: bool,
    /// Stands for a parent that was never received; spans its children.
    pub is_synthetic: bool,
    /// The recorded parent was ignored because it led back to the span itself.
    pub cut_cycle: bool,
}

impl Node {
    /// End after repair, Unix nanoseconds.
    #[must_use]
    pub const fn end_ns(&self) -> i64 {
        self.start_ns.saturating_add(self.duration_ns)
    }
}

/// The spans of a trace as a forest, in pre-order: a subtree is a contiguous range, siblings are
/// ordered by (start, span id).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallChain {
    /// Every node, parents before their children.
    pub nodes: Vec<Node>,
    /// Indices of the roots, synthetic ones included, in order.
    pub roots: Vec<usize>,
    /// Records dropped because another one had the same span id and kind.
    pub duplicates: usize,
    /// Spans whose parent was never received (children of synthetic nodes).
    pub orphans: usize,
    /// Cycles that were cut.
    pub cycles: usize,
    /// Spans moved by clock-skew repair.
    pub skewed: usize,
}

impl CallChain {
    /// The root that stands for the request: the first that was really received, otherwise the first
    /// synthetic one. `None` only for an empty trace.
    #[must_use]
    pub fn main_root(&self) -> Option<usize> {
        let received = |i: &usize| self.nodes.get(*i).is_some_and(|n| !n.is_synthetic);
        self.roots.iter().copied().find(received).or_else(|| self.roots.first().copied())
    }

    /// Direct children of a node, in order. Empty for an index that does not exist.
    #[must_use]
    pub fn children(&self, index: usize) -> Children<'_> {
        Children::of(&self.nodes, index)
    }

    /// The first start and the last end of all spans, Unix nanoseconds; `None` for an empty trace.
    #[must_use]
    pub fn extent_ns(&self) -> Option<(i64, i64)> {
        let from = self.nodes.iter().map(|n| n.start_ns).min()?;
        let to = self.nodes.iter().map(Node::end_ns).max()?;
        Some((from, to))
    }
}

/// Builds the call chain. See the [module](self) for what happens to spans that do not fit.
#[must_use]
pub fn assemble(records: Vec<SpanRecord>) -> CallChain {
    let mut forest = link::link(records);
    let skews = skew::repair(&mut forest);
    emit::emit(forest, skews)
}
