//! Who calls whom.

use serde::Serialize;

use super::verdict::Window;

/// What can be on a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Sends spans.
    Service,
    /// Is called by database calls.
    Database,
    /// Takes and hands over messages.
    Messaging,
    /// Is called otherwise and sends no spans.
    External,
}

/// Calls of an edge or a node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Red {
    /// How many; of a sample, scaled up.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Calls a second.
    pub rate: f64,
    /// Median of their durations in nanoseconds, as the caller sees them.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
    /// 99th percentile.
    pub p99: i64,
}

/// Something that calls or is called.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapNode {
    /// What edges call it: the service's name, otherwise the system with namespace and address.
    pub id: String,
    /// What it is.
    pub kind: NodeKind,
    /// Requests it serves; of what sends no spans, calls of it.
    #[serde(flatten)]
    pub red: Red,
    /// Whether requests enter here.
    pub is_entry: bool,
    /// Instances that were seen.
    pub instances: u64,
    /// Hosts it runs on.
    pub hosts: Vec<String>,
}

/// Calls from one node to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapEdge {
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub callee: String,
    /// How: `http`, `rpc`, `database`, `messaging` or `other`.
    pub kind: String,
    /// The calls.
    #[serde(flatten)]
    pub red: Red,
    /// `strong` if the caller fails when the callee does, `weak` if it gets by, otherwise `unknown`.
    pub strength: &'static str,
    /// What that rests on.
    pub dependency: DependencyRow,
}

/// Evidence of how much a caller depends on a callee. Calls of the caller that call the callee at all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DependencyRow {
    /// Both failed.
    pub both_failed: u64,
    /// The callee failed and the caller did not: a fallback, a second attempt, or nobody cared.
    pub callee_failed: u64,
    /// The caller alone failed.
    pub caller_failed: u64,
    /// Neither failed.
    pub none_failed: u64,
    /// Share of the caller's calls that fail when the callee does: the 95 % interval.
    pub given_failure: [f64; 2],
    /// Milliseconds of the caller for each of the callee; absent where the callee always takes the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
}

/// Services that call each other in a circle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CycleRow {
    /// All of them.
    pub members: Vec<String>,
    /// A shortest circle.
    pub shortest: Vec<String>,
    /// A trace that goes through a call of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// The calls that most of the time of an entry's requests goes through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainRow {
    /// Where requests enter: the service.
    pub service: String,
    /// The operation.
    pub operation: String,
    /// Requests in the sample.
    pub requests: u64,
    /// Nodes in the order of calls.
    pub nodes: Vec<String>,
    /// Share of the time that is not the entry's own work.
    pub share: f64,
}

/// The map.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Map {
    /// Services and what they call, by kind and name.
    pub nodes: Vec<MapNode>,
    /// Calls, by caller and callee.
    pub edges: Vec<MapEdge>,
    /// Circles of calls.
    pub cycles: Vec<CycleRow>,
    /// Of the entries with most requests.
    pub critical_chains: Vec<ChainRow>,
    /// Share of the requests of the window that were looked at, 0 to 1.
    pub sampled: f64,
    /// Spans of the window.
    pub spans: u64,
    /// The window.
    pub window: Window,
}
