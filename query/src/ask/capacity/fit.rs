//! From loads and CPU of instances to what a class of them can take.

use std::collections::{BTreeMap, BTreeSet};

use headrope_analysis::capacity::{self, Bend, CpuCost, Law, Load, bend, cpu_cost, knee_band};
use headrope_analysis::statistics::{Interval, median, quantile};

use super::cpu::{Cpu, Subject, Usage};
use super::load::{Done, Instance, Series, Steps};
use super::sample::Place;
use crate::answer::capacity::{Band, ClassCapacity, Unknown};

/// Steps at the end of the window in which an instance must serve to be there.
pub(super) const PRESENT_STEPS: usize = 10;
/// Stretches that the fits are repeated without, to tell how sure they are.
pub(super) const BLOCKS: usize = 10;
/// Share of its CPU an instance may use where latency tells no knee: beyond it queues grow quickly whatever
/// the law, and a lost instance cannot be made up for.
const SAFE_UTILIZATION: f64 = 0.7;
/// How near to the knee a step is, as a ratio, to tell the CPU there.
const NEAR: f64 = 0.1;

/// What version and machine type tell apart.
pub(super) type Class = (Option<String>, Option<String>);

/// Whose CPU stands for an instance.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) usage: Usage,
    /// Whether it is the host's, and whether other services run there.
    pub(super) host: Option<bool>,
}

/// The CPU of an instance: its own, or that of its host.
pub(super) fn measured(
    instance: &Instance,
    cpu: &Cpu,
    places: &[Place],
    alone: &BTreeSet<String>,
) -> Option<Measured> {
    let same = |a: &Option<String>, b: &Option<String>| b.is_some() && a == b;
    let named = |subject: &Subject| {
        if instance.id.is_some() && subject.instance.is_some() {
            return same(&subject.instance, &instance.id);
        }
        let of_pod = |place: &&Place| {
            same(&place.instance, &instance.id)
                && (same(&place.pod, &subject.pod) || same(&place.container, &subject.container))
        };
        let of_host = instance.id.is_none() || subject.instance.is_none();
        places.iter().any(|place| of_pod(&place))
            || (of_host
                && subject.pod.is_none()
                && subject.service == instance.service
                && same(&subject.host, &instance.host))
    };
    let own: Vec<&Usage> =
        cpu.processes.iter().filter(|(s, _)| named(s)).map(|(_, usage)| usage).collect();
    let size = |usage: &&&Usage| usage.cpus.len().max(usage.share.len());
    if let Some(usage) = own.iter().max_by_key(size).filter(|usage| size(usage) > 0) {
        let limit = usage.limit.or_else(|| own.iter().find_map(|usage| usage.limit));
        let usage = Usage { limit, ..(*usage).clone() }.filled();
        return Some(Measured { usage, host: None });
    }
    let host = instance.host.as_ref()?;
    let usage = cpu.hosts.get(host).filter(|usage| !usage.share.is_empty())?;
    Some(Measured { usage: usage.clone(), host: Some(!alone.contains(host)) })
}

/// An instance with its requests and its CPU.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) done: Series<Done>,
    pub(super) cpu: Option<Measured>,
}

impl Served {
    /// Steps in which it served from begin to end.
    fn whole(&self) -> impl Iterator<Item = (usize, &Done)> {
        let first = self.done.keys().next().copied();
        let last = self.done.keys().next_back().copied();
        let inner = move |step: usize| Some(step) != first && Some(step) != last;
        self.done.iter().map(|(step, done)| (*step, done)).filter(move |(step, _)| inner(*step))
    }

    fn is_present(&self, steps: Steps) -> bool {
        let from = steps.last(PRESENT_STEPS);
        self.done.range(from..).next().is_some()
    }
}

/// Requests of several instances by step.
pub(super) fn together<'a>(all: impl Iterator<Item = &'a Served>) -> Series<f64> {
    let mut calls = Series::new();
    for served in all {
        for (step, done) in &served.done {
            *calls.entry(*step).or_default() += done.calls;
        }
    }
    calls
}

/// Mean rate, and the rate of the busiest step of the last day.
pub(super) fn rates(calls: &Series<f64>, steps: Steps) -> (f64, f64) {
    let all: f64 = calls.values().sum();
    let mean = if steps.length_s() > 0.0 { all / steps.length_s() } else { 0.0 };
    let day = (super::load::DAY_NS / steps.times.step_ns()) as usize;
    let last = calls.range(steps.last(day)..);
    let rate = |(step, calls): (&usize, &f64)| Some(calls / steps.seconds(*step)?);
    (mean, last.filter_map(rate).fold(mean, f64::max))
}

/// The loads of a class by stretch of the window.
fn loads(instances: &[Served], steps: Steps) -> Vec<Vec<Load>> {
    let mut blocks = vec![Vec::new(); BLOCKS];
    for served in instances {
        let usage = served.cpu.as_ref().map(|measured| &measured.usage);
        for (step, done) in served.whole() {
            let Some(seconds) = steps.seconds(step) else { continue };
            let of = |series: &Series<f64>| series.get(&step).copied();
            let cpu = usage.and_then(|usage| match usage.share.is_empty() {
                true => of(&usage.cpus),
                false => of(&usage.share),
            });
            let load = Load {
                rate: done.calls / seconds,
                cpu: cpu.unwrap_or(f64::NAN),
                latency_s: done.seconds / done.calls.max(1.0),
            };
            if let Some(block) = blocks.get_mut(step * BLOCKS / steps.times.len().max(1)) {
                block.push(load);
            }
        }
    }
    blocks
}

/// What CPU tells of a class.
struct CpuFit {
    cost: Option<CpuCost>,
    /// Rate of an instance at which its CPU is all in use, with its interval.
    full: Option<Band>,
    /// CPUs an instance may use.
    cpus: Option<f64>,
    /// Whether CPU is known as a share.
    is_share: bool,
}

fn cpu_fit(instances: &[Served], loads: &[Load]) -> CpuFit {
    let usages = || instances.iter().filter_map(|served| served.cpu.as_ref());
    let limits: Vec<f64> = usages().filter_map(|measured| measured.usage.limit).collect();
    let cpus = median(&limits);
    let is_share = usages().any(|measured| !measured.usage.share.is_empty());
    // CPUs in use are a share of one.
    let cost = cpu_cost(loads, cpus.filter(|_| is_share).unwrap_or(1.0));
    let at = |cost: &CpuCost, cpu_s: f64| {
        let cpus = cpus.unwrap_or(1.0);
        (1.0 - cost.idle) * cpus / cpu_s
    };
    let full = cost.as_ref().filter(|_| is_share).and_then(|cost| {
        let value = cost.rate_at_full_cpu?;
        Some(Band { value, low: at(cost, cost.interval.high), high: at(cost, cost.interval.low) })
    });
    CpuFit { cost, full: full.filter(|band| band.high.is_finite()), cpus, is_share }
}

const fn band(value: f64, interval: Interval) -> Band {
    Band { value, low: interval.low, high: interval.high }
}

pub(super) fn scaled(band: Band, by: f64) -> Band {
    Band { value: band.value * by, low: band.low * by, high: band.high * by }
}

/// How often a rate goes into a capacity.
pub(super) fn over(capacity: Option<Band>, rate: f64) -> Option<Band> {
    let capacity = capacity?;
    let value = capacity::headroom(capacity.value, rate)?;
    Some(Band { value, low: capacity.low / rate, high: capacity.high / rate })
}

/// Why no knee was found.
fn no_knee(loads: &[Load]) -> String {
    let rates: Vec<f64> = loads.iter().map(|load| load.rate).collect();
    let (low, high) = (quantile(&rates, 0.05), quantile(&rates, 0.95));
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(0.0));
    if loads.len() < 30 {
        return format!(
            "{} whole minutes of instances are too few; 30 or more are needed",
            loads.len()
        );
    }
    if high < 1.5 * low {
        return format!("the rate hardly varies ({low:.3} to {high:.3} a second for an instance)");
    }
    format!("latency does not bend at the rates seen (up to {high:.3} a second for an instance)")
}

/// Why the CPU time of a request is unknown.
fn no_cost(instances: &[Served], fit: &CpuFit, loads: &[Load]) -> Option<String> {
    let measured: Vec<&Measured> = instances.iter().filter_map(|s| s.cpu.as_ref()).collect();
    let points = loads.iter().filter(|load| load.cpu.is_finite()).count();
    let text = if measured.is_empty() {
        "no CPU metric of its instances or hosts".to_owned()
    } else if measured.iter().any(|m| m.host == Some(true)) {
        "only the CPU of hosts is known, and other services use it too".to_owned()
    } else if fit.cost.is_none() {
        format!("{points} minutes with CPU and a rate that varies too little or too irregularly")
    } else if fit.is_share && fit.cpus.is_none() {
        "CPU is known as a share only; send k8s.container.cpu_limit, jvm.cpu.count or process.cpu.time"
            .to_owned()
    } else {
        return None;
    };
    Some(text)
}

/// The rate of an instance where latency bends, and how sure that is.
fn knee(blocks: &[Vec<Load>], found: &Bend) -> Option<Band> {
    Some(band(found.knee, knee_band(blocks)?))
}

/// What a class of instances can take.
pub(super) fn class((version, host_type): Class, all: &[Served], steps: Steps) -> ClassCapacity {
    let blocks = loads(all, steps);
    let loads: Vec<Load> = blocks.iter().flatten().copied().collect();
    let found = bend(&loads);
    let knee = found.as_ref().and_then(|found| knee(&blocks, found));
    let cpu = cpu_fit(all, &loads);
    let mut unknown = Vec::new();
    if knee.is_none() {
        let because = match &found {
            Some(_) => "latency bends in one stretch of the window only".to_owned(),
            None => no_knee(&loads),
        };
        unknown.push(Unknown { what: "knee", because });
    }
    let no_cost = no_cost(all, &cpu, &loads);
    let known_cost = no_cost.is_none();
    unknown.extend(no_cost.map(|because| Unknown { what: "cpu_ms_per_request", because }));
    let by_cpu = cpu.full.map(|full| scaled(full, SAFE_UTILIZATION));
    let safe_rate = knee.or(by_cpu);
    let instances = all.iter().filter(|served| served.is_present(steps)).count();
    if instances == 0 {
        let because = "none of its instances served in the last ten minutes".to_owned();
        unknown.push(Unknown { what: "capacity", because });
    }
    let (rate, peak_rate) = rates(&together(all.iter()), steps);
    let capacity = safe_rate.filter(|_| instances > 0).map(|safe| scaled(safe, instances as f64));
    let shares: Vec<f64> = loads.iter().map(|load| load.cpu).filter(|v| v.is_finite()).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let law = found.as_ref().and_then(|found| match found.law {
        Law::Usl(_) => found.ceiling,
        Law::TwoSegments(_) => None,
    });
    ClassCapacity {
        version,
        host_type,
        instances: instances as u64,
        rate,
        peak_rate,
        knee,
        cpu_at_knee: knee.filter(|_| cpu.is_share).and_then(|knee| cpu_near(&loads, knee.value)),
        ceiling: law.filter(|_| knee.is_some()).or(cpu.full.map(|full| full.value)),
        safe_rate,
        basis: safe_rate.map(|_| if knee.is_some() { "latency" } else { "cpu" }),
        capacity,
        headroom: over(capacity, peak_rate),
        cpu_ms_per_request: cpu
            .cost
            .filter(|_| known_cost)
            .map(|cost| scaled(band(cost.cpu_s, cost.interval), 1e3)),
        cpu_utilization: (cpu.is_share && !shares.is_empty()).then(|| mean(&shares)),
        cpu_of: all.iter().find_map(|served| served.cpu.as_ref()).map(|m| match m.host {
            Some(_) => "host",
            None => "process",
        }),
        cpus: cpu.cpus,
        steps: loads.len() as u64,
        unknown,
    }
}

/// Median CPU of the steps at about a rate.
fn cpu_near(loads: &[Load], rate: f64) -> Option<f64> {
    let near = loads.iter().filter(|load| (load.rate / rate - 1.0).abs() <= NEAR);
    median(&near.map(|load| load.cpu).collect::<Vec<_>>())
}

/// Machine types of hosts.
pub(super) fn host_types(places: &[Place]) -> BTreeMap<&str, &str> {
    places
        .iter()
        .filter_map(|place| Some((place.host.as_deref()?, place.host_type.as_deref()?)))
        .collect()
}
