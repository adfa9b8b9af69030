//! What holds at a second: faults, harmless changes, releases, pauses, leaks.

use super::system::{Runtime, System};
use crate::config::Incident;
use crate::dice::{mix, unit};

/// Cores of each host.
pub(super) const CORES: f64 = 8.0;
/// CPU utilisation of the hosts: of one without work, in the mean, and of the busiest at most.
pub(super) const IDLE_LOAD: f64 = 0.04;
pub(super) const MEAN_LOAD: f64 = 0.3;
pub(super) const MOST_LOAD: f64 = 0.45;
/// Part of its workers a service uses at its usual load.
const WORKERS_USED: f64 = 0.4;
const NANOS: i64 = 1_000_000_000;
/// Every process with collections that stop it has one in each of these.
const PAUSE_PERIOD_NS: i64 = 5 * NANOS;
/// Seconds from a kill until callers know, and until the process serves again.
const REFUSING: i64 = 3;
const RESTART: i64 = 8;

/// Where a fault sits, in numbers of the system's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spot {
    Service(usize),
    /// Service and replica.
    Instance(usize, usize),
    Host(usize),
    Statement(usize),
    /// Services that call and are called.
    Edge(usize, usize),
    /// An entry, or all.
    Entry(Option<usize>),
    Store(usize),
    Outside(usize),
}

impl Spot {
    pub(super) fn holds(self, service: usize, replica: usize) -> bool {
        self == Self::Service(service) || self == Self::Instance(service, replica)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    pub(super) kind: Incident,
    pub(super) spot: Spot,
    pub(super) strength: f64,
}

/// A harmless change; from the begin of the window on, or of a second near it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Harmless {
    Deploy(usize),
    Traffic(f64),
    Batch(usize, f64),
    LogPattern(usize),
    Drift(usize, f64),
}

/// The timeline. Seconds are Unix time.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) system: System,
    pub(super) seed: u64,
    pub(super) rate: f64,
    pub(super) boot: i64,
    /// The faults last from here until after the window.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) faults: Vec<Trouble>,
    pub(super) changes: Vec<(Harmless, i64)>,
    /// Processing ignores surges: what the same requests would take with instances enough.
    pub(super) calm: bool,
    /// CPU time of a request of each entry in each service, nanoseconds, on idle hosts.
    pub(super) cpu: Vec<Vec<f64>>,
    /// Cores' time for each unit of simulated processing.
    pub(super) cpu_scale: f64,
}

/// What a leak has done to an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Leak {
    Growing(f64),
    Refusing,
    Starting,
}

impl Plan {
    pub(super) fn during(&self, second: i64) -> bool {
        self.from <= second && second < self.to
    }

    /// The strength of a fault at a spot and second.
    pub(super) fn strength(&self, second: i64, kind: Incident, spot: Spot) -> Option<f64> {
        let found = self.faults.iter().find(|t| t.kind == kind && t.spot == spot)?;
        self.during(second).then_some(found.strength)
    }

    /// Harmless changes under way.
    pub(super) fn harmless(&self, second: i64) -> impl Iterator<Item = Harmless> + '_ {
        self.changes.iter().filter(move |(_, from)| *from <= second).map(|(what, _)| *what)
    }

    /// Arrivals of each entry relative to the usual.
    pub(super) fn arrivals(&self, second: i64, surges: bool) -> Vec<f64> {
        let mut factor = 1.0;
        for what in self.harmless(second) {
            factor *= if let Harmless::Traffic(change) = what { change } else { 1.0 };
        }
        (0..self.system.entries.len())
            .map(|entry| {
                let of = |t: &Trouble| match t.spot {
                    Spot::Entry(one) if one.is_none_or(|one| one == entry) => t.strength,
                    _ => 1.0,
                };
                let surges = surges && self.during(second);
                factor * if surges { self.faults.iter().map(of).product::<f64>() } else { 1.0 }
            })
            .collect()
    }

    /// Load of each service relative to its usual load.
    pub(super) fn ratios(&self, second: i64) -> Vec<f64> {
        let arrivals = self.arrivals(second, !self.calm);
        let of = |service: usize| {
            let usual: f64 = self.cpu.iter().map(|entry| entry[service]).sum();
            let now: f64 = self.cpu.iter().zip(&arrivals).map(|(e, f)| e[service] * f).sum();
            if usual > 0.0 { now / usual } else { 1.0 }
        };
        (0..self.system.services.len()).map(of).collect()
    }

    /// CPU utilisation of a host by what runs there.
    pub(super) fn own_load(&self, host: usize, ratios: &[f64]) -> f64 {
        let cores: f64 = self
            .system
            .services
            .iter()
            .enumerate()
            .map(|(at, service)| {
                let here = service.hosts.iter().filter(|h| **h == host).count() as f64;
                let cpu: f64 = self.cpu.iter().map(|entry| entry[at]).sum();
                cpu * ratios[at] * here / service.hosts.len() as f64
            })
            .sum();
        IDLE_LOAD + cores / 1e9 * self.rate * self.cpu_scale / CORES
    }

    /// CPU utilisation of a host at a second, 0 to 1.
    pub(super) fn load(&self, host: usize, second: i64, ratios: &[f64]) -> f64 {
        let mut own = self.own_load(host, ratios);
        for what in self.harmless(second) {
            if let Harmless::Batch(at, cores) = what {
                own += if at == host { cores / CORES } else { 0.0 };
            }
        }
        let own = own.min(0.985);
        if let Some(load) = self.strength(second, Incident::Cpu, Spot::Host(host)) {
            return own.max(load);
        }
        match self.strength(second, Incident::NoisyNeighbour, Spot::Host(host)) {
            Some(cores) => (own + cores / CORES).min(0.965).max(own),
            None => own,
        }
    }

    /// Processing time of each host and of each service relative to an idle one.
    pub(super) fn pace(&self, second: i64) -> (Vec<f64>, Vec<f64>) {
        let ratios = self.ratios(second);
        let hosts = (0..self.system.hosts.len())
            .map(|host| slowness(self.load(host, second, &ratios)))
            .collect();
        let mut services: Vec<f64> = ratios
            .iter()
            .map(|ratio| slowness(WORKERS_USED * ratio) / slowness(WORKERS_USED))
            .collect();
        for what in self.harmless(second) {
            if let Harmless::Drift(service, factor) = what {
                services[service] *= factor;
            }
        }
        (hosts, services)
    }

    /// How many releases an instance has seen, and the fault that the present one carries.
    pub(super) fn release(
        &self,
        second: i64,
        service: usize,
        replica: usize,
    ) -> (u8, Option<Trouble>) {
        let length = (self.to - self.from) / 8;
        let due = |from: i64| second >= from + length * replica as i64;
        for trouble in &self.faults {
            let released = matches!(trouble.kind, Incident::BadDeploy | Incident::NPlusOne);
            if released && trouble.spot == Spot::Service(service) && due(self.from) {
                return (1, Some(*trouble));
            }
        }
        let deployed = self.changes.iter().any(|(what, from)| {
            matches!(what, Harmless::Deploy(one) if *one == service) && due(*from)
        });
        (u8::from(deployed) * 2, None)
    }

    /// The leak in an instance at a second: seconds since its begin, seconds until the memory is full,
    /// and its strength.
    fn leaking(&self, second: i64, service: usize, replica: usize) -> Option<(i64, i64, f64)> {
        let fits = |t: &&Trouble| t.kind == Incident::MemoryLeak && t.spot.holds(service, replica);
        let trouble = self.faults.iter().filter(|_| self.during(second)).find(fits)?;
        let length = self.to - self.from;
        let late = match trouble.spot {
            Spot::Service(_) => length / 12 * (replica % 3) as i64,
            _ => 0,
        };
        let since = second - self.from - late;
        (since >= 0).then_some((since, (length * 13 / 20).max(1), trouble.strength))
    }

    /// What the leak in an instance has done to it, and its strength.
    pub(super) fn leak(&self, second: i64, service: usize, replica: usize) -> Option<(Leak, f64)> {
        let (since, fills, strength) = self.leaking(second, service, replica)?;
        let phase = since % (fills + RESTART);
        let state = match phase - fills {
            beyond if beyond < 0 => Leak::Growing(phase as f64 / fills as f64),
            beyond if beyond < REFUSING => Leak::Refusing,
            _ => Leak::Starting,
        };
        Some((state, strength))
    }

    /// How often an instance has been killed and started again.
    pub(super) fn restarts(&self, second: i64, service: usize, replica: usize) -> i64 {
        let leaking = self.leaking(second, service, replica);
        leaking.map_or(0, |(since, fills, _)| since / (fills + RESTART))
    }

    /// The collection that stops a process in a period: start and end, nanoseconds.
    pub(super) fn pause(&self, service: usize, replica: usize, period: i64) -> Option<(i64, i64)> {
        if self.system.services[service].runtime != Runtime::Java {
            return None;
        }
        let word = mix(mix(self.seed, 0x6c + (service * 16 + replica) as u64), period as u64);
        let start = period * PAUSE_PERIOD_NS;
        let fits = |t: &&Trouble| t.kind == Incident::Gc && t.spot.holds(service, replica);
        let long = self.faults.iter().filter(|_| self.during(start / NANOS)).find(fits);
        let seconds = match long {
            Some(trouble) => (trouble.strength * (0.8 + 1.6 * unit(word))).min(4.4),
            None => 0.005 + 0.02 * unit(word),
        };
        let length = (seconds * 1e9) as i64;
        let from = start + (unit(mix(word, 1)) * (PAUSE_PERIOD_NS - length) as f64) as i64;
        Some((from, from + length))
    }

    /// Seconds of collections that begin in a range of seconds.
    pub(super) fn paused(&self, service: usize, replica: usize, from: i64, to: i64) -> f64 {
        let within = |ns: i64| from * NANOS <= ns && ns < to * NANOS;
        (from * NANOS / PAUSE_PERIOD_NS..=to * NANOS / PAUSE_PERIOD_NS)
            .filter_map(|period| self.pause(service, replica, period))
            .filter(|pause| within(pause.0))
            .map(|pause| (pause.1 - pause.0) as f64 / 1e9)
            .sum()
    }

    /// The end of work over a range, extended by the collections it meets.
    pub(super) fn through_pauses(
        &self,
        service: usize,
        replica: usize,
        from: i64,
        mut to: i64,
    ) -> i64 {
        let mut period = from.div_euclid(PAUSE_PERIOD_NS);
        while period * PAUSE_PERIOD_NS < to {
            if let Some(pause) = self.pause(service, replica, period)
                && pause.0 < to
                && pause.1 > from
            {
                to += pause.1 - pause.0.max(from);
            }
            period += 1;
        }
        to
    }

    /// Used part of a store's volume that a fault fills: within 30 s.
    pub(super) fn filled(&self, second: i64, store: usize) -> f64 {
        let full = self.strength(second, Incident::DiskFull, Spot::Store(store));
        full.map_or(0.0, |_| ((second - self.from) as f64 / 30.0).min(1.0))
    }
}

/// How much longer processing takes where CPUs are used to this part.
fn slowness(load: f64) -> f64 {
    (1.0 + 0.4 * load * load * load / (1.05 - load.min(1.0))).min(8.0)
}
