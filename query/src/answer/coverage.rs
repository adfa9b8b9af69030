//! What is known of services, and what is missing to tell why they are slow.

use serde::Serialize;

use super::verdict::Window;

/// How well spans, metrics and logs of a service join.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceCoverage {
    /// `service.name`.
    pub service: String,
    /// Spans of the window.
    pub spans: u64,
    /// Share of them that say which instance, 0 to 1.
    pub with_instance: f64,
    /// Share of them that say which host.
    pub with_host: f64,
    /// Share of them that say which version.
    pub with_version: f64,
    /// What metrics measure of its processes, containers and pods, by the names of causes' readings: `cpu`, `memory`, ….
    pub measures: Vec<&'static str>,
    /// By what its metrics were found: `container`, `instance`, `pod` or `name`; the least exact of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_by: Option<&'static str>,
    /// What metrics measure of its hosts.
    pub host_measures: Vec<&'static str>,
    /// Records of its logs.
    pub logs: u64,
    /// Share of them that belong to a trace.
    pub logs_with_trace: f64,
}

/// A database, cache, queue or outside service that is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerCoverage {
    /// Its name on the map.
    pub peer: String,
    /// What metrics measure of it.
    pub measures: Vec<&'static str>,
}

/// Coverage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Services, those with most spans first.
    pub services: Vec<ServiceCoverage>,
    /// What services call, by name.
    pub peers: Vec<PeerCoverage>,
    /// Share of the spans whose host is known.
    pub spans_with_host: f64,
    /// Share of the spans of services with metrics of their own.
    pub spans_with_metrics: f64,
    /// Series of metrics that say something of a cause, and those of them that are nobody's.
    pub series: [u64; 2],
    /// A host that all spans name although they run on several: a collector's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector_host: Option<String>,
    /// What to add, the most useful first.
    pub advice: Vec<String>,
    /// The window.
    pub window: Window,
}
