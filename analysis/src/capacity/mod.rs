//! What a service can carry, from ordinary traffic.
//!
//! [`cpu_cost`] gives the CPU time of a request, [`cpu_by_operation`] that of each operation, [`bend()`] the
//! rate from which latency runs away and the rate that is safe, [`knee_band`] how sure that is, [`growth()`]
//! the day on which the daily peak gets there. Each says *unknown* (`None`)
//! when the data does not tell; none gives a NaN or depends on the order of its input.
//!
//! The input is about **one instance of one class** (same service, version and machine type): what its
//! instances did per minute, each a [`Load`].

mod band;
mod bend;
mod cost;
mod growth;
mod operation;
#[cfg(test)]
mod planner_tests;
mod segments;
#[cfg(test)]
mod tests;
mod usl;

pub use band::knee_band;
pub use bend::{Bend, Law, bend};
pub use cost::{CpuCost, cpu_cost};
pub use growth::{DailyPeak, Growth, HORIZON_DAYS, growth};
pub use operation::{MOST_OPERATIONS, OperationCost, Work, cpu_by_operation};
pub use segments::TwoSegments;
pub use usl::Usl;

/// What one instance did in one stretch of time, usually a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// Requests completed per second.
    pub rate: f64,
    /// CPU in use as a share of what the instance may use, 0 to 1.
    pub cpu: f64,
    /// **Mean** response time in seconds: Little's law, which makes concurrency of it, holds for means.
    pub latency_s: f64,
}

/// How many times the present rate the safe rate is: 2 means that the traffic may double. `None` without
/// traffic or if either is not a positive number.
#[must_use]
pub fn headroom(safe_rate: f64, present_rate: f64) -> Option<f64> {
    let known = safe_rate > 0.0 && present_rate > 0.0;
    Some(safe_rate / present_rate).filter(|h| known && h.is_finite())
}
