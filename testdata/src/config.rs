//! What the shop generates: seed, rate, incidents, and the ground truth of each incident.

use std::fmt;
use std::str::FromStr;

use headrope_model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::fault::{Coincidence, Fault};

/// A fault that can be planned into the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Incident {
    /// One statement of orders-db becomes 20 to 40 times slower; the application's CPU does not move.
    SlowSql,
    /// A runaway process saturates one host; every instance on it slows down.
    Cpu,
    /// One JVM service spends its time in stop-the-world pauses.
    Gc,
    /// The external payment provider answers 503 or not at all.
    DependencyErrors,
    /// A new catalog version asks one query per listed product.
    NPlusOne,
    /// A new cart version fails and is slow, on the instances it has reached.
    BadDeploy,
    /// One statement waits for rows that a long transaction has locked.
    Lock,
    /// The network between one caller and one callee takes longer.
    NetworkDelay,
    /// A service waits for a connection of its pool before its statements begin.
    PoolExhaustion,
    /// Users ask several times as often, and processing slows as queues build.
    TrafficSurge,
    /// A batch container takes the CPU of one host from the instances beside it.
    NoisyNeighbour,
    /// The memory of a service's instances grows to its limit; then they are killed and restarted.
    MemoryLeak,
    /// A volume is full: what has to be written fails, reads go on.
    DiskFull,
}

/// A name that is no incident.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown incident {0:?}: use slow-sql, cpu, gc, dependency-errors, n-plus-one, bad-deploy, lock, \
     network-delay, pool-exhaustion, traffic-surge, noisy-neighbour, memory-leak or disk-full"
)]
pub struct UnknownIncident(String);

impl Incident {
    /// Every incident, in the order used everywhere.
    pub const ALL: [Self; 13] = [
        Self::SlowSql,
        Self::Cpu,
        Self::Gc,
        Self::DependencyErrors,
        Self::NPlusOne,
        Self::BadDeploy,
        Self::Lock,
        Self::NetworkDelay,
        Self::PoolExhaustion,
        Self::TrafficSurge,
        Self::NoisyNeighbour,
        Self::MemoryLeak,
        Self::DiskFull,
    ];

    /// The name used on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowSql => "slow-sql",
            Self::Cpu => "cpu",
            Self::Gc => "gc",
            Self::DependencyErrors => "dependency-errors",
            Self::NPlusOne => "n-plus-one",
            Self::BadDeploy => "bad-deploy",
            Self::Lock => "lock",
            Self::NetworkDelay => "network-delay",
            Self::PoolExhaustion => "pool-exhaustion",
            Self::TrafficSurge => "traffic-surge",
            Self::NoisyNeighbour => "noisy-neighbour",
            Self::MemoryLeak => "memory-leak",
            Self::DiskFull => "disk-full",
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Incident {
    type Err = UnknownIncident;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|i| i.name() == text)
            .ok_or_else(|| UnknownIncident(text.chars().take(40).collect()))
    }
}

/// An incident and when it happens. Both ends take effect at whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Planned {
    /// What happens.
    pub incident: Incident,
    /// First instant, Unix nanoseconds.
    pub from_ns: i64,
    /// First instant after it, Unix nanoseconds.
    pub to_ns: i64,
}

impl Planned {
    /// Plans an incident over a range.
    #[must_use]
    pub const fn new(incident: Incident, range: TimeRange) -> Self {
        Self { incident, from_ns: range.from(), to_ns: range.to() }
    }
}

/// What to generate. Two shops with equal configurations give equal bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShopConfig {
    /// Everything random comes from here and from the second it happens in.
    pub seed: u64,
    /// User requests per second, averaged over a day.
    pub traces_per_second: f64,
    /// When the shop's processes were started, Unix nanoseconds: cumulative counters count from
    /// here. Earlier ranges may be generated; their counters stand at zero.
    pub start_ns: i64,
    /// Planned faults, each at its usual place and strength.
    pub incidents: Vec<Planned>,
    /// Planned faults with a place and a strength of their own.
    pub faults: Vec<Fault>,
    /// Harmless changes.
    pub coincidences: Vec<Coincidence>,
    /// Whether the rate follows the hour of the day (UTC), between 0.4 and 1.62 of the mean.
    pub diurnal: bool,
    /// Seconds between two points of a metric series, and between a metric request and the next.
    pub metric_interval_s: u32,
    /// Requests never hold records of two batch windows; windows start at multiples of this many
    /// seconds of Unix time. A longer window fills requests better at low rates.
    pub batch_window_s: u32,
    /// Spans (or log records) per request at most.
    pub batch_records: usize,
    /// Traces in a million that lose one span on the way, so that its children are orphans.
    pub orphans_ppm: u32,
    /// How far the clock of host shop-node-4 is ahead, nanoseconds.
    pub clock_skew_ns: i64,
    /// Whether the receivers' optional metrics are on: wait events and oldest transaction of the
    /// databases, limits, pressure, page faults and restarts of containers, wait times of connection
    /// pools, round trips between services. They are on anyway where an incident needs them: any of
    /// the kinds from [`Incident::Lock`] on, any [`Fault`] and any [`Coincidence`].
    pub optional_metrics: bool,
    /// Whether every request draws its random numbers from a stream of its own, so that two shops
    /// that differ in their faults alone can be compared request by request.
    pub own_streams: bool,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            traces_per_second: 50.0,
            // 2025-01-06T00:00:00Z, a Monday.
            start_ns: 1_736_121_600_000_000_000,
            incidents: Vec::new(),
            faults: Vec::new(),
            coincidences: Vec::new(),
            diurnal: false,
            metric_interval_s: 10,
            batch_window_s: 1,
            batch_records: 1000,
            orphans_ppm: 500,
            clock_skew_ns: 2_500_000,
            optional_metrics: false,
            own_streams: false,
        }
    }
}

/// What really happened: the answer a verdict is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// The incident's kind.
    pub incident: Incident,
    /// Service in which the fault sits; empty when it sits in a host or outside.
    pub service: String,
    /// Host in which the fault sits; empty when it is bound to none.
    pub host: String,
    /// Statement summary (`db.query.summary`) at fault; empty when there is none.
    pub statement: String,
    /// `service.version` that carries the fault; empty when no version does.
    pub version: String,
    /// Address of the external system at fault; empty when there is none.
    pub peer: String,
    /// Cause in one word, see [`crate::fault::Cause`].
    pub cause: String,
    /// Entry operations that users saw slow or failing.
    pub symptoms: Vec<String>,
    /// First instant, Unix nanoseconds.
    pub from_ns: i64,
    /// First instant after it, Unix nanoseconds.
    pub to_ns: i64,
}
