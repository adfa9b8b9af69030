//! Metric requests of one interval: hosts, instances, middleware.

mod apps;
mod hosts;
mod middleware;
mod optional;
mod points;
mod pools;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use crate::plan::Moment;
use crate::stats::Stats;
use crate::traffic;
use crate::world::World;

const NANOS: i64 = 1_000_000_000;

/// What a metric function needs to know.
struct Interval<'a> {
    world: &'a World,
    stats: &'a Stats,
    /// State at the interval's last second.
    moment: Moment,
    /// First second, and the first after the interval.
    from: i64,
    to: i64,
}

impl Interval<'_> {
    fn seconds(&self) -> f64 {
        (self.to - self.from) as f64
    }

    fn start_ns(&self) -> u64 {
        super::unix(self.from * NANOS)
    }

    fn end_ns(&self) -> u64 {
        super::unix(self.to * NANOS)
    }

    /// Start of the shop's processes.
    fn boot_ns(&self) -> u64 {
        super::unix(self.world.config.start_ns.min(self.to * NANOS))
    }

    /// Seconds since the shop started, at least zero.
    fn uptime(&self) -> f64 {
        (self.to - self.world.config.start_ns.div_euclid(NANOS)).max(0) as f64
    }

    /// Expected user requests since the shop started: what cumulative counters grow with.
    fn requests_since_start(&self) -> f64 {
        let config = &self.world.config;
        let start = config.start_ns.div_euclid(NANOS).min(self.to);
        let area = traffic::area(self.to, config.diurnal) - traffic::area(start, config.diurnal);
        let shares = World::entry_shares();
        let moved = self.world.plan.moved(self.to, &shares) - self.world.plan.moved(start, &shares);
        (area + moved) * config.traces_per_second
    }

    /// A seeded number in `[0, 1)` that belongs to this interval and `what`.
    fn noise(&self, what: u64) -> f64 {
        use crate::dice::{mix, unit};
        unit(mix(mix(self.world.config.seed, what), self.to as u64))
    }
}

/// Every metric of the interval `[from, to)` in seconds of Unix time.
pub(crate) fn requests(
    world: &World,
    stats: &Stats,
    from: i64,
    to: i64,
) -> Vec<ExportMetricsServiceRequest> {
    let interval = Interval { world, stats, moment: world.plan.moment(to - 1), from, to };
    vec![
        ExportMetricsServiceRequest { resource_metrics: hosts::metrics(&interval) },
        ExportMetricsServiceRequest { resource_metrics: apps::metrics(&interval) },
        ExportMetricsServiceRequest { resource_metrics: middleware::metrics(&interval) },
    ]
}
