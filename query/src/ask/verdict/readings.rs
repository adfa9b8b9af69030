//! Series of machines, processes and middleware, as readings of both windows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use headrope_analysis::ledger::Wait;
use headrope_analysis::verdict::{Measure, Owner, Reading};
use headrope_model::TimeRange;

use super::sample::Sample;
use crate::ask::entity::series::{Level, Series};
use crate::ask::entity::signal::{Side, Use};
use crate::ask::entity::{Entities, subject};

/// What sets a reading apart: series that differ in states only are added up.
type Key = (Measure, Owner, Arc<str>);

/// What machines and middleware say.
#[derive(Debug, Default)]
pub(in crate::ask) struct Readings {
    pub(in crate::ask) found: Vec<Reading>,
    /// Hosts of services and stores, by their series.
    pub(in crate::ask) hosts: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

/// Readings of the window, each with what it was in the reference.
pub(super) fn readings(
    (was, reference, before): (&Sample, TimeRange, Vec<Series>),
    (is, window, now): (&Sample, TimeRange, Vec<Series>),
) -> Readings {
    let places = was.places.iter().chain(&is.places);
    let mut entities = Entities::of(places, peers(was, is));
    let hosts = entities.learn_hosts(before.iter().chain(&now));
    let before = Levels::of(&entities, before, reference).finish();
    let now = Levels::of(&entities, now, window).finish();
    let reading = |((measure, owner, metric), level): (Key, Level)| {
        let reference = before.get(&(measure, owner.clone(), Arc::clone(&metric)));
        Reading {
            measure,
            owner,
            metric: metric.to_string(),
            reference: reference.map(|level| level.value),
            window: level.value,
            spread: reference.and_then(|level| level.spread),
        }
    };
    Readings { found: now.into_iter().map(reading).collect(), hosts }
}

/// Names of what requests call and what sends no spans.
fn peers(was: &Sample, is: &Sample) -> BTreeSet<Arc<str>> {
    let entries = was.profile.entries.values().chain(is.profile.entries.values());
    let parts = entries.flat_map(|entry| entry.parts.keys());
    let peer = |wait: &Wait| match wait {
        Wait::Remote(peer) => Some(Arc::clone(&peer.name)),
        _ => None,
    };
    parts.filter_map(|part| peer(&part.wait)).collect()
}

/// Levels being gathered.
#[derive(Default)]
struct Levels {
    /// Length of the window in seconds.
    seconds: f64,
    found: BTreeMap<Key, Level>,
    /// The CPUs that shares of a host's CPU are of.
    cpus: BTreeMap<Key, BTreeSet<String>>,
    /// What is idle beside shares of a host's CPU.
    idle: BTreeMap<Key, f64>,
    /// What may be used of memory.
    limits: BTreeMap<Owner, f64>,
    /// What is free of file systems, and how large they are.
    free: BTreeMap<FileSystem, f64>,
    sizes: BTreeMap<FileSystem, f64>,
}

/// A file system: whose it is, and where it is mounted.
type FileSystem = (Owner, String);

impl Levels {
    fn of(entities: &Entities, series: Vec<Series>, range: TimeRange) -> Self {
        let seconds = (range.duration_ns() as f64 / 1e9).max(1e-9);
        let mut levels = Self { seconds, ..Self::default() };
        for one in series {
            let subject = subject(&one.labels);
            for (owner, _) in entities.owners(one.signal.side, &subject) {
                levels.add(&one, owner);
            }
        }
        levels
    }

    fn add(&mut self, series: &Series, owner: Owner) {
        let measure = match (series.signal.says, &owner) {
            (Use::Presence, _) => return,
            (Use::DiskFree, _) => {
                let place = (owner, mount(&series.labels));
                let free = self.free.entry(place).or_insert(f64::INFINITY);
                *free = free.min(series.level.least);
                return;
            }
            (Use::DiskSize, _) => {
                let place = (owner, mount(&series.labels));
                let size = self.sizes.entry(place).or_default();
                *size = size.max(series.level.most);
                return;
            }
            (Use::MemoryLimit, _) => {
                if is_of_container(&series.name) {
                    *self.limits.entry(owner).or_default() += series.level.value;
                }
                return;
            }
            // A container on a host that is none of the services.
            (Use::Reading(Measure::Cpu), Owner::Host(_)) => Measure::OtherContainers,
            (Use::Reading(_), Owner::Host(_)) if series.signal.side == Side::Process => return,
            (Use::Reading(measure), _) => measure,
        };
        let level = self.shaped(series, measure);
        let key = (measure, owner, Arc::clone(&series.name));
        if !series.is_use {
            // Of what is idle it matters how much of a whole it is.
            if let (Measure::CpuBusy, Owner::Host(_)) = (measure, &key.1) {
                *self.idle.entry(key).or_default() += level.value;
            }
            return;
        }
        if let Some(cpu) = logical_cpu(&series.labels) {
            self.cpus.entry(key.clone()).or_default().insert(cpu);
        }
        let is_share = matches!(measure, Measure::DiskUsed | Measure::MemoryUsed)
            || measure == Measure::CpuBusy && !matches!(key.1, Owner::Host(_));
        let none = Level { value: 0.0, least: 0.0, most: 0.0, ..level };
        let sum = self.found.entry(key).or_insert(none);
        let of_both = |one: f64, other: f64| match is_share {
            // Of several file systems, heaps or pools the fullest counts.
            true => one.max(other),
            false => one + other,
        };
        sum.value = of_both(sum.value, level.value);
        sum.most = of_both(sum.most, level.most);
    }

    /// A share is of one, and the highest point of what fills up counts; events come by chance.
    fn shaped(&self, series: &Series, measure: Measure) -> Level {
        let mut level = series.level;
        if matches!(measure, Measure::DiskUsed | Measure::MemoryUsed) {
            level.value = level.most;
        }
        let is_share =
            matches!(measure, Measure::DiskUsed | Measure::MemoryUsed | Measure::CpuBusy);
        if is_share && series.is_percent() {
            level.value /= 100.0;
            level.spread = level.spread.map(|spread| spread / 100.0);
        }
        if matches!(measure, Measure::Lock | Measure::Restarts | Measure::NetworkErrors) {
            let events = (level.value * self.seconds).max(1.0);
            level.spread = Some(events.sqrt() / self.seconds);
        }
        level
    }

    /// Shares and times of several CPUs are a share of all of them; the memory of a container is a share of its limit, too.
    fn finish(mut self) -> BTreeMap<Key, Level> {
        for (key, level) in self.found.iter_mut().filter(|(key, _)| key.0 == Measure::CpuBusy) {
            let whole = match (self.idle.get(key), self.cpus.get(key)) {
                (Some(idle), _) => level.value + idle,
                (None, Some(cpus)) => cpus.len().max(1) as f64,
                (None, None) => 1.0,
            };
            level.value /= whole.max(f64::MIN_POSITIVE);
        }
        let share = |((measure, owner, name), level): (&Key, &Level)| {
            let limit = self.limits.get(owner).filter(|limit| **limit > 0.0)?;
            let is_memory = *measure == Measure::Memory && is_of_container(name);
            // The highest point of what fills up counts.
            let level = Level { value: level.most / limit, spread: None, ..*level };
            is_memory.then(|| ((Measure::MemoryUsed, owner.clone(), Arc::clone(name)), level))
        };
        let full = |(place, free): (&FileSystem, &f64)| {
            let size = self.sizes.get(place).filter(|size| **size > 0.0)?;
            let value = 1.0 - free / size;
            let level = Level { value, least: value, most: value, spread: None };
            Some(((Measure::DiskUsed, place.0.clone(), Arc::from(FILE_SYSTEM)), level))
        };
        let shares: Vec<(Key, Level)> = self.found.iter().filter_map(share).collect();
        for (key, level) in self.free.iter().filter_map(full) {
            let fullest = self.found.entry(key).or_insert(level);
            fullest.value = fullest.value.max(level.value);
        }
        self.found.extend(shares);
        self.found
    }
}

impl Series {
    /// Whether it is a share that is counted up to 100.
    fn is_percent(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let named = ["percent", "pct", "%"].iter().any(|word| name.contains(word));
        named && self.level.most > 1.0 || self.level.most > 2.0 && self.level.most <= 101.0
    }
}

/// Limits are of containers; what runs in one may have its own.
fn is_of_container(name: &str) -> bool {
    ["container", "k8s", "kube", "docker"].iter().any(|word| name.starts_with(word))
}

/// What a share of a file system is called that is made of what is free and its size.
const FILE_SYSTEM: &str = "file system in use";

/// Where the file system of a series is mounted, or which device it is.
fn mount(labels: &HashMap<String, String>) -> String {
    const KEYS: [&str; 5] =
        ["mountpoint", "system.filesystem.mountpoint", "persistentvolumeclaim", "device", "volume"];
    KEYS.iter().find_map(|key| labels.get(*key)).cloned().unwrap_or_default()
}

/// Which CPU of a host a series is of, if it is of one.
fn logical_cpu(labels: &HashMap<String, String>) -> Option<String> {
    const KEYS: [&str; 3] = ["cpu.logical_number", "system.cpu.logical_number", "cpu"];
    KEYS.iter().find_map(|key| labels.get(*key)).cloned()
}
