//! How much traffic services can take, and what gives way first when it grows.
//!
//! Rates are requests a second that a service answers; a step is the mean of one minute.

use headrope_model::TimeRange;
use serde::Serialize;

use super::Time;
use super::verdict::Window;

/// A question for capacity.
#[derive(Debug, Clone, PartialEq)]
pub struct CapacityQuery {
    /// Window. Loads are fitted to its last week, growth to all of it.
    pub range: TimeRange,
    /// Only this service.
    pub service: Option<String>,
}

/// A question of what happens when traffic grows.
#[derive(Debug, Clone, PartialEq)]
pub struct WhatIfQuery {
    /// Window that the present load is taken from.
    pub range: TimeRange,
    /// Times the present traffic, positive.
    pub factor: f64,
    /// Only requests that enter at this service grow.
    pub service: Option<String>,
    /// Only requests that enter by this operation grow.
    pub operation: Option<String>,
}

/// A figure with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What the data does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The figure that is missing.
    pub what: &'static str,
    /// Why, and what would help.
    pub because: String,
}

/// The capacity of services.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// The window.
    pub window: Window,
    /// What loads were fitted to.
    pub fitted: Window,
    /// Length of a step.
    pub step_ns: i64,
    /// By headroom, the least first; services of which it is unknown last.
    pub services: Vec<ServiceCapacity>,
}

/// The capacity of a service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceCapacity {
    /// Service.
    pub service: String,
    /// Instances that served in the last ten steps.
    pub instances: u64,
    /// Mean rate.
    pub rate: f64,
    /// Rate of the busiest step of the last day.
    pub peak_rate: f64,
    /// Rate that its present instances can safely take together.
    pub capacity: Option<Band>,
    /// `capacity` over `peak_rate`: 2 means that the busiest step may hold twice as much.
    pub headroom: Option<Band>,
    /// Instances by version and machine type.
    pub classes: Vec<ClassCapacity>,
    /// CPU time of a request of each operation that enters the service, by total CPU time.
    pub operations: Vec<OperationCpu>,
    /// Busiest step of each day.
    pub days: Vec<DayPeak>,
    /// Trend of the daily peaks.
    pub growth: Option<GrowthRow>,
    /// What the data does not tell of the service.
    pub unknown: Vec<Unknown>,
}

/// The instances of a service that share a version and a machine type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassCapacity {
    /// `service.version`.
    pub version: Option<String>,
    /// `host.type`, where resources tell it.
    pub host_type: Option<String>,
    /// Instances that served in the last ten steps.
    pub instances: u64,
    /// Mean rate of the class.
    pub rate: f64,
    /// Rate of the class in the busiest step of the last day.
    pub peak_rate: f64,
    /// Rate of one instance where latency bends.
    pub knee: Option<Band>,
    /// Share of its CPU an instance uses at the knee; a low one says that something else gives way.
    pub cpu_at_knee: Option<f64>,
    /// Greatest rate of one instance: by the law of its latency, or where its CPU is all in use.
    pub ceiling: Option<f64>,
    /// Rate that one instance may be given.
    pub safe_rate: Option<Band>,
    /// What the safe rate rests on: `latency`, or `cpu` where latency does not bend.
    pub basis: Option<&'static str>,
    /// `safe_rate` times `instances`.
    pub capacity: Option<Band>,
    /// `capacity` over `peak_rate`.
    pub headroom: Option<Band>,
    /// CPU milliseconds of a request.
    pub cpu_ms_per_request: Option<Band>,
    /// Mean share of its CPU in use.
    pub cpu_utilization: Option<f64>,
    /// Whose CPU was measured: `process` (a container counts as one) or `host`.
    pub cpu_of: Option<&'static str>,
    /// CPUs an instance may use.
    pub cpus: Option<f64>,
    /// Steps of instances that figures rest on.
    pub steps: u64,
    /// What the data does not tell of the class.
    pub unknown: Vec<Unknown>,
}

/// CPU time of an operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationCpu {
    /// Operation; `(others)` for those that are not told apart.
    pub operation: String,
    /// Requests.
    pub calls: u64,
    /// CPU milliseconds of a request.
    pub cpu_ms_per_request: Band,
    /// Share of the CPU time of all requests of the service.
    pub share: f64,
}

/// The busiest step of a day.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayPeak {
    /// Day, UTC, as in `2025-01-06`.
    pub day: String,
    /// Requests of the day.
    pub calls: u64,
    /// Rate of the busiest step.
    pub peak_rate: f64,
    /// Whether all of the day lies in the window; only such days tell a trend.
    pub is_whole: bool,
}

/// Trend of the daily peaks, and when they reach the capacity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrowthRow {
    /// What the daily peak grows by from day to day, requests a second.
    pub per_day: Band,
    /// Peak to be expected on the last day, without its weekday.
    pub level: f64,
    /// Day on which the peak is expected to reach the capacity; absent if it is unknown or not within two years.
    pub exhausted: Option<String>,
    /// The same if growth is at the upper end.
    pub earliest: Option<String>,
    /// The same if growth is at the lower end.
    pub latest: Option<String>,
}

/// What gives way when traffic grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIf {
    /// Times the present traffic.
    pub factor: f64,
    /// The window.
    pub window: Window,
    /// What breaks first, first; services of which it is unknown last.
    pub services: Vec<WhatIfRow>,
    /// Requests each service answers for a request that enters the system.
    pub amplification: Vec<Amplification>,
    /// Part of the window whose traces amplification was counted in.
    pub sampled: f64,
}

/// What a service has to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WhatIfRow {
    /// Service.
    pub service: String,
    /// Rate of the busiest step of the last day.
    pub peak_rate: f64,
    /// That rate when traffic has grown.
    pub peak_rate_then: f64,
    /// Share of its requests that grow.
    pub grows: f64,
    /// Rate that its present instances can safely take together.
    pub capacity: Option<f64>,
    /// `peak_rate_then` over `capacity`: above 1 it gives way.
    pub load_then: Option<f64>,
    /// Whether it gives way.
    pub breaks: Option<bool>,
    /// Factor from which on it gives way; absent if it does not grow.
    pub breaks_at: Option<f64>,
    /// Instances now.
    pub instances: u64,
    /// Instances it would need.
    pub instances_then: Option<u64>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// What a request that enters the system makes a service do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Amplification {
    /// Service it enters at.
    pub entry_service: String,
    /// Operation it enters by.
    pub entry_operation: String,
    /// Service that answers.
    pub service: String,
    /// Requests the service answers for one that enters.
    pub calls_per_request: f64,
}

/// The day of a number of days since 1970-01-01.
pub(crate) fn day_text(day: i64) -> String {
    let ns = day.saturating_mul(86_400_000_000_000);
    Time(ns).rfc3339().chars().take(10).collect()
}
