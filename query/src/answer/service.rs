//! Services, operations, rankings, overview.

use serde::{Deserialize, Serialize};

use super::verdict::Window;
use super::{RankBy, SpanScope, Stats, Time};

/// What a ranking ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankScope {
    /// Services.
    #[default]
    Service,
    /// Operations: a service and a span name.
    Operation,
    /// Statements: a service and what it asks a database.
    Statement,
    /// Hosts that spans ran on.
    Host,
    /// Peers: a service and what it calls.
    Peer,
}

/// A TOP-N question.
#[derive(Debug, Clone, PartialEq)]
pub struct TopQuery {
    /// Window.
    pub range: headrope_model::TimeRange,
    /// What is ranked.
    pub scope: RankScope,
    /// Order.
    pub by: RankBy,
    /// What a ranking by change compares with; without, the time just before the window, as long as it and at least ten
    /// minutes.
    pub reference: Option<headrope_model::TimeRange>,
    /// Which spans count.
    pub spans: SpanScope,
    /// Only this service.
    pub service: Option<String>,
    /// Rows, 1 to 1000.
    pub limit: usize,
}

/// A ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    /// The first of it.
    pub rows: Vec<TopRow>,
    /// What a ranking by change compares with.
    #[serde(flatten)]
    pub compared: Option<Compared>,
}

/// What a window was compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Range in time.
    pub reference: Window,
    /// `asked`, or `before`: the time just before the window.
    pub reference_chosen: &'static str,
}

/// One row of a ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopRow {
    /// Service; the host when hosts are ranked.
    pub service: String,
    /// Operation, statement or peer; absent when services or hosts are ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Figures.
    #[serde(flatten)]
    pub stats: Stats,
    /// Share of the ranked measure in the total over all rows, also those cut off.
    pub share: f64,
    /// In a ranking by change, what was before.
    #[serde(flatten)]
    pub since: Option<Since>,
}

/// What a row of a ranking by change has more than before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Since {
    /// Response time added over the window, nanoseconds: the total less that of the reference, as if that were as long.
    pub added_ns: i64,
    /// Figures of the reference; absent if there were no calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Stats>,
}

/// A service in the inventory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceRow {
    /// Service.
    pub service: String,
    /// Figures over its entry spans.
    #[serde(flatten)]
    pub stats: Stats,
    /// Distinct `service.instance.id` seen.
    pub instances: u64,
    /// Distinct `service.version` seen, sorted.
    pub versions: Vec<String>,
    /// Distinct `host.name` seen, sorted.
    pub hosts: Vec<String>,
    /// `telemetry.sdk.language`, if sent.
    pub language: Option<String>,
    /// Start of the latest span.
    pub last_seen: Time,
}

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationRow {
    /// Span name.
    pub operation: String,
    /// Span kind, upper case.
    pub kind: String,
    /// Figures.
    #[serde(flatten)]
    pub stats: Stats,
}

/// What a service calls: its client and producer spans by peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DependencyRow {
    /// `database`, `messaging`, `rpc`, `http` or `other`.
    pub kind: String,
    /// Peer: database or messaging system, what it holds and its address; otherwise a service or an address.
    pub peer: String,
    /// Figures.
    #[serde(flatten)]
    pub stats: Stats,
}

/// Calls, errors and latency in one step of time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesPoint {
    /// Start of the step.
    pub time: Time,
    /// Calls.
    pub calls: u64,
    /// Errors.
    pub errors: u64,
    /// Median.
    pub p50_ns: i64,
    /// 95th percentile.
    pub p95_ns: i64,
    /// 99th percentile.
    pub p99_ns: i64,
}

/// A time series with an even step; steps without calls are present with zeros.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Length of a step in nanoseconds.
    pub step_ns: i64,
    /// Points in time order.
    pub points: Vec<SeriesPoint>,
}

/// One figure of a host or an instance over time (resource metrics beside the requests).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricSeries {
    /// Metric name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// What tells the series apart: host, instance, state.
    pub label: String,
    /// Start of each step.
    pub times: Vec<Time>,
    /// Mean in each step; `None` without a point.
    pub values: Vec<Option<f64>>,
}

/// The first page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// What `totals` are figures of: `root` spans, which nothing called, other than consumers (what users feel); `entry` spans,
    /// which services answer, if there are hardly any roots, since what lets requests in sends no spans.
    pub totals_of: &'static str,
    /// Figures over these spans.
    pub totals: Stats,
    /// The same over the window before, of equal length.
    pub previous: Stats,
    /// Series of the same.
    pub series: Series,
    /// Services by total time.
    pub hotspots: Vec<TopRow>,
    /// Operations by p99.
    pub slowest: Vec<TopRow>,
    /// Operations by errors.
    pub failing: Vec<TopRow>,
    /// Number of services, spans, log records and metric points in the window.
    pub services: u64,
    /// Spans in the window.
    pub spans: u64,
    /// Log records in the window.
    pub logs: u64,
    /// Metric points in the window.
    pub points: u64,
}
