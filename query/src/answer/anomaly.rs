//! When services behaved unlike before.

use serde::Serialize;

use super::Time;
use super::verdict::Window;

/// A window in which a service was unlike its baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomaly {
    /// Service.
    pub service: String,
    /// `rate` (requests a second), `errors` (share of requests that failed) or `latency` (95th percentile in nanoseconds).
    pub measure: &'static str,
    /// First minute.
    pub from: Time,
    /// Minute after the last one.
    pub to: Time,
    /// Whether it goes on at the end of what was asked for.
    pub open: bool,
    /// `above` or `below` what was expected.
    pub direction: &'static str,
    /// What the baseline leads to expect, median of the minutes.
    pub expected: f64,
    /// What was seen, median of the minutes.
    pub observed: f64,
    /// The score furthest from zero.
    pub z: f64,
    /// Probability that chance opens no such window in all that was looked at, 0 to 1.
    pub probability: f64,
}

/// What minutes were compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Baseline {
    /// `days` or `hours` (the same minute of earlier ones, and its neighbours), `before` (the time just before) or `none` (too
    /// little is stored).
    pub kind: &'static str,
    /// How many earlier days, hours or minutes.
    pub periods: u64,
}

/// Anomaly windows, the surest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Anomalies {
    /// Windows.
    pub anomalies: Vec<Anomaly>,
    /// What minutes were compared with.
    pub baseline: Baseline,
    /// Series of minutes that were looked at.
    pub series: u64,
    /// What was asked for, in whole minutes.
    pub window: Window,
}
