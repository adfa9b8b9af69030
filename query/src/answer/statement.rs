//! What services ask of databases, beside what the databases say of themselves.

use headrope_model::TimeRange;
use serde::Serialize;

use super::verdict::Window;
use super::{Stats, Time};

/// A question for statements.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementQuery {
    /// Window.
    pub range: TimeRange,
    /// What it is compared with; without, the time just before the window, as long as it and at least ten minutes.
    pub reference: Option<TimeRange>,
    /// Only what this service asks.
    pub service: Option<String>,
    /// Only of databases of this `db.system.name`.
    pub system: Option<String>,
    /// Most rows.
    pub limit: usize,
}

/// A statement as one service asks it of one database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementRow {
    /// Who asks.
    pub service: String,
    /// `db.system.name`.
    pub system: String,
    /// `db.namespace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `server.address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The statement without its values: `db.query.summary`, otherwise operation and collection, otherwise the text. Empty if
    /// unknown.
    pub statement: String,
    /// Figures of the window.
    #[serde(flatten)]
    pub stats: Stats,
    /// Figures of the reference; `None` if it was not asked then.
    pub reference: Option<Stats>,
    /// Nanoseconds a second that more calls, and longer ones, add to the reference. They add up to the whole difference.
    pub added_by_calls_ns: f64,
    /// See `added_by_calls_ns`.
    pub added_by_duration_ns: f64,
    /// Which way it is slow: `not`, `new`, `more_calls`, `lock`, `io`, `saturated`, `pool_wait`, `network` or `statement`.
    pub slow: &'static str,
    /// Readings that prove it.
    pub because: Vec<StoreReading>,
    /// Mean rows a call returned, of calls that say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned_rows: Option<f64>,
    /// Calls for each request that asks it at all, of a sample of requests: a loop asks once for each row of another
    /// statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_request: Option<f64>,
    /// Share of the time of a sample of all requests that is spent on it on their critical paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_share: Option<f64>,
    /// When it was first asked, as far back as spans and roll-ups are kept.
    pub first_seen: Time,
}

/// What is measured of a database, its hosts or a service in both windows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreReading {
    /// What it measures, as in the evidence of verdicts.
    pub measures: &'static str,
    /// Name of the metric.
    pub metric: String,
    /// Whose it is: the database, a host or a service.
    pub of: String,
    /// In the reference.
    pub reference: Option<f64>,
    /// In the window.
    pub window: f64,
    /// Whether it says that something is wrong in the window and was not before.
    pub raised: bool,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreState {
    /// Its name on the map.
    pub store: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// What is measured of it and of its hosts.
    pub readings: Vec<StoreReading>,
}

/// Statements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statements {
    /// Those that took most time in the window first.
    pub statements: Vec<StatementRow>,
    /// Databases that requests of the sample ask.
    pub stores: Vec<StoreState>,
    /// Share of the window's requests in the sample, 0 to 1.
    pub sampled: f64,
    /// The window.
    pub window: Window,
    /// The reference.
    pub reference: Window,
    /// Who chose the reference: `asked` or `before`.
    pub reference_chosen: &'static str,
}
