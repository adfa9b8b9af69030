//! What machines, processes and middleware say of a window and its reference.

use std::sync::Arc;

/// What a reading measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// CPU in use: cores, or a share of what there is; only its growth counts.
    Cpu,
    /// Share of the CPU that is busy, 0 to 1.
    CpuBusy,
    /// Time without CPU because of a limit.
    Throttled,
    /// Share of the time spent in garbage collection, or its seconds a second.
    Gc,
    /// Share of the memory or heap that may be used, 0 to 1.
    MemoryUsed,
    /// Memory in use, bytes; only its growth counts.
    Memory,
    /// Requests waiting for a connection of a pool.
    PoolPending,
    /// Time waited for a connection of a pool.
    PoolWait,
    /// Locks waited for, deadlocks.
    Lock,
    /// Share of a file system in use, 0 to 1.
    DiskUsed,
    /// Time or operations of a disk.
    DiskBusy,
    /// Segments sent again, or other errors of the network.
    NetworkErrors,
    /// Starts of a container or process.
    Restarts,
    /// CPU of containers on a host that are none of the services.
    OtherContainers,
}

impl Measure {
    /// The name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuBusy => "cpu_utilization",
            Self::Throttled => "cpu_throttling",
            Self::Gc => "garbage_collection",
            Self::MemoryUsed => "memory_utilization",
            Self::Memory => "memory",
            Self::PoolPending => "pool_pending",
            Self::PoolWait => "pool_wait",
            Self::Lock => "lock",
            Self::DiskUsed => "disk_utilization",
            Self::DiskBusy => "disk_io",
            Self::NetworkErrors => "network_errors",
            Self::Restarts => "restarts",
            Self::OtherContainers => "other_containers",
        }
    }
}

/// Whose reading it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A service, by one of its instances if that is known.
    Service(Arc<str>, Option<Arc<str>>),
    /// A host.
    Host(Arc<str>),
    /// A database, cache or queue.
    Store(Arc<str>),
}

/// A reading in both windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What is measured.
    pub measure: Measure,
    /// Of whom.
    pub owner: Owner,
    /// Name of the metric, for people.
    pub metric: String,
    /// Mean in the reference; `None` if it was not measured.
    pub reference: Option<f64>,
    /// Mean in the window.
    pub window: f64,
    /// Standard deviation of single values in the reference, if there were several.
    pub spread: Option<f64>,
}

/// Growth from which on CPU, pools and the like are taken to have changed: half as much again.
const GROWN: f64 = 1.5;
/// Share from which on a CPU is saturated: queues grow without bound near 1, and are four times those of 50 % here.
const SATURATED: f64 = 0.85;
/// Share of the time in garbage collection below which it is no matter.
const LEAST_COLLECTING: f64 = 0.01;
/// Share from which on memory or a disk is as good as full.
const FULL: f64 = 0.95;
/// Growth from which on nobody can say that something is as before, if it is known how much that varies.
const MORE: f64 = 1.1;
/// Standard deviations of the reference a value has to be above it.
const UNUSUAL: f64 = 3.0;

impl Reading {
    /// Value of the window over that of the reference; 1 for two zeros, and without a bound if only the reference is
    /// zero. 1 if that was not measured.
    #[must_use]
    pub fn growth(&self) -> f64 {
        match self.reference {
            Some(before) if before > 0.0 => self.window / before,
            Some(_) if self.window > 0.0 => f64::INFINITY,
            // A container that was not there used nothing.
            None if self.measure == Measure::OtherContainers => f64::INFINITY,
            _ => 1.0,
        }
    }

    /// What was added to it; all of it where it was not measured before.
    #[must_use]
    pub fn added(&self) -> f64 {
        (self.window - self.reference.unwrap_or_default()).max(0.0)
    }

    /// Whether it is beyond what single values of the reference vary by, as far as that is known.
    fn is_unusual(&self) -> bool {
        match (self.spread, self.reference) {
            (Some(spread), Some(before)) => self.window - before > UNUSUAL * spread,
            _ => true,
        }
    }

    /// Whether there is more of it than before, be it enough to be wrong or not.
    #[must_use]
    pub fn is_more(&self) -> bool {
        let least = if self.spread.is_some() { MORE } else { GROWN };
        self.reference.is_none() || self.is_unusual() && self.growth() >= least
    }

    /// Whether a share is so high that a little more of it is wrong.
    #[must_use]
    pub fn is_near_full(&self) -> bool {
        self.window >= SATURATED
    }

    /// Whether it says that something is wrong in the window and was not in the reference.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        let grown = self.is_unusual() && self.growth() >= GROWN;
        let over =
            |limit: f64| self.window >= limit && self.reference.is_none_or(|before| before < limit);
        match self.measure {
            Measure::CpuBusy => over(SATURATED) || grown && self.window > SATURATED / 2.0,
            Measure::MemoryUsed | Measure::DiskUsed => over(FULL),
            Measure::Gc => grown && self.window >= LEAST_COLLECTING,
            _ => grown && self.window > 0.0,
        }
    }
}

/// What tells one program from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// `service.version`.
    Version,
    /// The replica set in the names of pods: a template of its own, with an image, settings and limits.
    ReplicaSet,
}

/// A version of a service that the window has and the reference has not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The service.
    pub service: Arc<str>,
    /// What the versions are.
    pub told: Told,
    /// The new version.
    pub version: Arc<str>,
    /// The versions of the reference.
    pub before: Vec<Arc<str>>,
}
