//! Faults with a place and a strength, harmless changes that coincide with them, and the closed lists
//! a verdict chooses from.

use headrope_model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::config::{Incident, Planned};

/// Where a fault sits. Names are those of the shop's telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Where the incident sits unless told otherwise.
    #[default]
    Usual,
    /// Every instance of a service.
    Service(String),
    /// One instance of a service; its number is below three.
    Instance(String, u8),
    /// A host.
    Host(String),
    /// A statement, by its text (`db.query.text`).
    Statement(String),
    /// The network between a caller and a callee, both services.
    Edge(String, String),
    /// An entry operation.
    Entry(String),
    /// A system that is asked, by its address (`server.address`).
    Peer(String),
}

/// A fault and when it happens. Both ends take effect at whole seconds.
///
/// | incident | places | strength | usual |
/// |---|---|---|---|
/// | `slow-sql` | statement | factor of the execution time | orders by customer, 30 |
/// | `cpu` | host | CPU utilisation, 0 to 1 | shop-node-2, 0.985 |
/// | `gc` | service, instance (JVM) | factor of the pauses of 0.8 to 2.4 s, at most 1.8 | search, 1 |
/// | `dependency-errors` | peer: provider, cart-cache | share of calls that fail | provider, 0.8 |
/// | `n-plus-one` | service | factor of the queries per list | catalog, 1 |
/// | `bad-deploy` | service | factor of the wait (70 ms) and of the failures (30 %) | cart, 1 |
/// | `lock` | statement that locks rows | mean wait of a blocked statement, ms | `UPDATE stock`, 1200 |
/// | `network-delay` | edge | time added to a round trip, ms | checkout to payment, 80 |
/// | `pool-exhaustion` | service with a pool | mean wait for a connection, ms | orders, 300 |
/// | `traffic-surge` | entry; usual: all | factor of the arrivals | all, 2.6 |
/// | `noisy-neighbour` | host | cores the batch container takes, of 16 | shop-node-3, 9 |
/// | `memory-leak` | service, instance | stall of an operation at the limit, ms | recommendation, 250 |
/// | `disk-full` | peer: orders-db, cart-cache, kafka | share of writes that fail | orders-db, 0.9 |
///
/// A place that the shop or the incident does not have counts as the usual one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    pub incident: Incident,
    /// Where.
    #[serde(default)]
    pub place: Place,
    /// How much, in the unit of the table; the usual strength if not given.
    #[serde(default)]
    pub strength: Option<f64>,
    /// First instant, Unix nanoseconds.
    pub from_ns: i64,
    /// First instant after it, Unix nanoseconds.
    pub to_ns: i64,
}

impl Fault {
    /// Plans a fault over a range.
    #[must_use]
    pub const fn new(incident: Incident, place: Place, strength: f64, range: TimeRange) -> Self {
        let (from_ns, to_ns) = (range.from(), range.to());
        Self { incident, place, strength: Some(strength), from_ns, to_ns }
    }
}

impl From<&Planned> for Fault {
    fn from(planned: &Planned) -> Self {
        let Planned { incident, from_ns, to_ns } = *planned;
        Self { incident, place: Place::Usual, strength: None, from_ns, to_ns }
    }
}

/// A harmless change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A service gets its next patch version, instance after instance, which changes nothing.
    Deploy(String),
    /// Arrivals change by this factor.
    Traffic(f64),
    /// A nightly job uses some cores of a host that has them to spare.
    Batch(String, f64),
    /// An entry operation that is seldom asked takes this much longer, milliseconds.
    SlowEntry(String, f64),
    /// A service logs a line that it never logged before.
    LogPattern(String),
    /// Processing in a service takes this factor of its time.
    Drift(String, f64),
    /// A statement, by its text, takes this factor of its time.
    Statement(String, f64),
    /// A service has a third instance; before, it had two.
    ScaleOut(String),
}

/// A harmless change and when it holds. Both ends take effect at whole seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coincidence {
    /// What changes.
    pub change: Change,
    /// First instant, Unix nanoseconds.
    pub from_ns: i64,
    /// First instant after it, Unix nanoseconds.
    pub to_ns: i64,
}

/// Why users waited or were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A statement reads or computes more than before.
    Statement,
    /// A statement waits for locks.
    Lock,
    /// The CPU of a host is saturated by the host's own process.
    Cpu,
    /// The CPU of a host is taken by another container.
    Neighbour,
    /// Stop-the-world pauses.
    Gc,
    /// Memory at its limit.
    Memory,
    /// A system that is asked fails.
    External,
    /// One query per row instead of one query.
    NPlusOne,
    /// A version.
    Version,
    /// The network between two services.
    Network,
    /// Too few connections in a pool.
    Pool,
    /// More requests than the instances can take.
    Traffic,
    /// A full volume.
    Disk,
    /// Nothing is wrong.
    None,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Add instances.
    ScaleOut,
    /// Raise a limit: connections of a pool, memory of a heap.
    RaiseLimit,
    /// Limit what a caller may ask.
    ThrottleCaller,
    /// Do without a dependency.
    DegradeDependency,
    /// Repair a statement, or end the transaction that blocks it.
    FixStatement,
    /// Go back to the version before.
    RollBack,
    /// Repair, restart or replace an instance, a host, a volume or a link.
    Repair,
    /// Wait until the other side has repaired it.
    WaitForExternal,
    /// Nothing.
    None,
}

impl Incident {
    /// The cause a verdict should name.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::SlowSql => Cause::Statement,
            Self::Cpu => Cause::Cpu,
            Self::Gc => Cause::Gc,
            Self::DependencyErrors => Cause::External,
            Self::NPlusOne => Cause::NPlusOne,
            Self::BadDeploy => Cause::Version,
            Self::Lock => Cause::Lock,
            Self::NetworkDelay => Cause::Network,
            Self::PoolExhaustion => Cause::Pool,
            Self::TrafficSurge => Cause::Traffic,
            Self::NoisyNeighbour => Cause::Neighbour,
            Self::MemoryLeak => Cause::Memory,
            Self::DiskFull => Cause::Disk,
        }
    }

    /// The class of action a verdict should advise. A cache of the shop's own that fails is repaired;
    /// only the payment provider is waited for.
    #[must_use]
    pub fn action(self, place: &Place) -> Action {
        match self {
            Self::SlowSql | Self::Lock => Action::FixStatement,
            Self::NPlusOne | Self::BadDeploy => Action::RollBack,
            Self::Gc | Self::PoolExhaustion => Action::RaiseLimit,
            Self::TrafficSurge => Action::ScaleOut,
            Self::DependencyErrors => match place {
                Place::Peer(peer) if peer.ends_with(".shop.svc") => Action::Repair,
                _ => Action::WaitForExternal,
            },
            Self::Cpu
            | Self::NetworkDelay
            | Self::NoisyNeighbour
            | Self::MemoryLeak
            | Self::DiskFull => Action::Repair,
        }
    }

    /// Further classes of action that relieve users, though they leave the cause where it is.
    #[must_use]
    pub fn also(self, place: &Place) -> Vec<Action> {
        match self.action(place) {
            Action::WaitForExternal => vec![Action::DegradeDependency],
            Action::ScaleOut => vec![Action::ThrottleCaller],
            _ => match self {
                // Instances elsewhere take requests from the host.
                Self::Cpu | Self::NoisyNeighbour => vec![Action::ScaleOut],
                Self::SlowSql => vec![Action::ThrottleCaller],
                _ => Vec::new(),
            },
        }
    }
}

impl Cause {
    /// The word for it in [`crate::Truth`].
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Lock => "lock",
            Self::Cpu => "cpu",
            Self::Neighbour => "neighbour",
            Self::Gc => "gc",
            Self::Memory => "memory",
            Self::External => "external",
            Self::NPlusOne => "n_plus_one",
            Self::Version => "version",
            Self::Network => "network",
            Self::Pool => "pool",
            Self::Traffic => "traffic",
            Self::Disk => "disk",
            Self::None => "none",
        }
    }
}
