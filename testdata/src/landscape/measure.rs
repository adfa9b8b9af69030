//! What a fault costs the requests of a random system.

use std::collections::BTreeMap;

use super::plan::{CORES, IDLE_LOAD, MEAN_LOAD, MOST_LOAD, Plan, Spot};
use super::run::{self, Record, Records, What};
use crate::scenario::cost::{self, Costs, Request, Values};
use crate::scenario::{Effect, Excess, MeanRequest, Part};

/// A place that holds less than this part of the fault's time is not listed.
const LEAST_PART: f64 = 0.01;
/// Requests by which usual use is found.
const SAMPLE_S: i64 = 40;

/// Where time is spent: service, replica, and what its span stands for; `None` for its own work.
type Place = (usize, usize, Option<Wait>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    Call(usize),
    Statement(usize),
    Outside(usize),
    Queue(usize),
}

pub(super) struct Measured {
    pub(super) affected: Vec<Effect>,
    pub(super) unaffected: Vec<Effect>,
    pub(super) excess: Vec<Excess>,
    pub(super) costs: Vec<Costs>,
    pub(super) mean: MeanRequest,
    spent: BTreeMap<Place, f64>,
}

#[derive(Debug, Clone, Default)]
struct Took {
    requests: u64,
    failed: u64,
    ns: f64,
}

impl Took {
    fn ms(&self) -> f64 {
        self.ns / 1e6 / self.requests.max(1) as f64
    }

    fn failures(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }
}

struct Observed {
    took: Vec<Took>,
    requests: Vec<Request>,
    spent: BTreeMap<Place, f64>,
}

/// Simulates the reference, and the window with the fault and without it.
pub(super) fn measure(plan: &Plan, reference: (i64, i64), window: (i64, i64)) -> Measured {
    let healthy = without(plan);
    let [before, now, otherwise] =
        [(plan, reference), (plan, window), (&healthy, window)].map(|(p, range)| observe(p, range));
    let values = Values::new(&now.requests, &otherwise.requests);
    let name = |entry: usize| name(plan, entry);
    let costs = cost::costs(plan.faults.len(), &[], &values, &name);
    let effects: Vec<Effect> = (0..plan.system.entries.len())
        .map(|entry| Effect {
            operation: name(entry),
            requests: now.took[entry].requests,
            reference_ms: before.took[entry].ms(),
            window_ms: now.took[entry].ms(),
            without_ms: otherwise.took[entry].ms(),
            reference_failed: before.took[entry].failures(),
            window_failed: now.took[entry].failures(),
            without_failed: otherwise.took[entry].failures(),
        })
        .collect();
    let mut spent = now.spent;
    for (place, ns) in otherwise.spent {
        *spent.entry(place).or_default() -= ns;
    }
    let mean = mean(plan, &effects, &spent);
    let noticed = |e: &Effect| e.requests > 0 && (e.is_slow() || e.is_failing());
    let (affected, unaffected): (Vec<Effect>, _) = effects.into_iter().partition(noticed);
    let excess = excess(plan, &spent);
    Measured { affected, unaffected, excess, costs, mean, spent }
}

/// The same without the fault; of a surge the same requests, with instances enough.
fn without(plan: &Plan) -> Plan {
    let surges = |spot| matches!(spot, Spot::Entry(_));
    let calm = plan.faults.iter().any(|t| surges(t.spot));
    let faults = plan.faults.iter().filter(|t| surges(t.spot)).copied().collect();
    Plan { calm, faults, ..plan.clone() }
}

/// The name of an entry operation's spans.
fn name(plan: &Plan, entry: usize) -> String {
    plan.system.operations[plan.system.entries[entry].0].name.clone()
}

fn observe(plan: &Plan, range: (i64, i64)) -> Observed {
    let took = vec![Took::default(); plan.system.entries.len()];
    let mut all = Observed { took, requests: Vec::new(), spent: BTreeMap::new() };
    for second in range.0..range.1 {
        let mut records = Records::default();
        run::second(plan, second, &mut records);
        let children = children(&records.spans);
        for (root, entry) in &records.roots {
            let span = &records.spans[*root];
            let (ns, failed) = (span.to - span.from, span.failure.is_some());
            all.requests.push(Request { entry: *entry, ns, failed });
            let took = &mut all.took[*entry];
            took.requests += 1;
            took.failed += u64::from(failed);
            took.ns += ns as f64;
            walk(&records.spans, &children, span, &mut all.spent);
        }
    }
    all
}

type Children = BTreeMap<u64, Vec<usize>>;

/// Children by parent, the one that ends last first.
fn children(spans: &[Record]) -> Children {
    let mut children = Children::new();
    for (at, span) in spans.iter().enumerate().filter(|(_, span)| span.parent != 0) {
        children.entry(span.parent).or_default().push(at);
    }
    children.values_mut().for_each(|list| list.sort_by_key(|at| (-spans[*at].to, *at)));
    children
}

/// Adds the places on the critical path of a span.
fn walk(spans: &[Record], children: &Children, span: &Record, spent: &mut BTreeMap<Place, f64>) {
    let (mut at, mut own) = (span.to, 0);
    for child in children.get(&span.id).into_iter().flatten().map(|at| &spans[*at]) {
        if child.to > at || child.to <= span.from {
            continue;
        }
        own += at - child.to;
        walk(spans, children, child, spent);
        at = child.from;
    }
    own += at - span.from;
    let wait = match span.what {
        What::Answer(_) => None,
        What::Ask(operation) => Some(Wait::Call(operation)),
        What::Query(statement) => Some(Wait::Statement(statement)),
        What::Outside(outside) => Some(Wait::Outside(outside)),
        What::Publish(queue) => Some(Wait::Queue(queue)),
    };
    *spent.entry((span.service, span.replica, wait)).or_default() += own as f64;
}

impl Measured {
    /// The service in which requests lose most.
    pub(super) fn bottleneck(&self) -> usize {
        let mut services: BTreeMap<usize, f64> = BTreeMap::new();
        for ((service, ..), ns) in &self.spent {
            *services.entry(*service).or_default() += ns;
        }
        services.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |most| most.0)
    }

    /// Time that the fault adds at a spot, nanoseconds; of an instance, at its service.
    fn at(&self, plan: &Plan, spot: Spot) -> Option<f64> {
        let system = &plan.system;
        let called = |operation: usize| system.operations[operation].service;
        let here = |place: &Place| match (spot, place.2) {
            (Spot::Service(service) | Spot::Instance(service, _), _) => place.0 == service,
            (Spot::Statement(one), wait) => wait == Some(Wait::Statement(one)),
            (Spot::Edge(caller, callee), Some(Wait::Call(operation))) => {
                (place.0, called(operation)) == (caller, callee)
            }
            (Spot::Store(store), Some(Wait::Statement(one))) => {
                system.statements[one].store == store
            }
            (Spot::Outside(outside), wait) => wait == Some(Wait::Outside(outside)),
            _ => false,
        };
        if matches!(spot, Spot::Host(_) | Spot::Entry(_)) {
            return None;
        }
        Some(self.spent.iter().filter(|(place, _)| here(place)).map(|(_, ns)| ns).sum())
    }

    /// The same of the mean request.
    pub(super) fn ledger_at(&self, plan: &Plan, spot: Spot) -> Option<f64> {
        self.at(plan, spot).map(|ns| ns / self.mean.requests.max(1) as f64)
    }

    /// Part of the fault's time that lies at the spot, if any operation is slow.
    pub(super) fn share_at(&self, plan: &Plan, spot: Spot) -> Option<f64> {
        let all: f64 = self.spent.values().sum();
        let slow = self.affected.iter().any(Effect::is_slow) && all > 0.0;
        self.at(plan, spot).filter(|_| slow).map(|ns| (ns / all).clamp(0.0, 1.0))
    }

    /// Part of the affected requests' excess that the fault explains, see [`crate::scenario::Label`].
    pub(super) fn share(&self) -> f64 {
        let slow = self.affected.iter().any(Effect::is_slow);
        let sum = |of: &dyn Fn(&Effect) -> f64| -> f64 {
            let kept = self.affected.iter().filter(|e| !slow || e.is_slow());
            kept.map(|e| of(e) * e.requests as f64).sum()
        };
        let (explained, all) = if slow {
            (sum(&Effect::added_ms), sum(&|e| e.window_ms - e.reference_ms))
        } else {
            (sum(&Effect::added_failures), sum(&|e| e.window_failed - e.reference_failed))
        };
        if explained <= 0.0 { 0.0 } else { (explained / all.max(explained)).min(1.0) }
    }
}

/// The words of a ledger for a place: `wait`, `to` and `statement`.
fn words(plan: &Plan, wait: Option<Wait>) -> (&'static str, String, String) {
    let system = &plan.system;
    match wait {
        None => ("work", String::new(), String::new()),
        Some(Wait::Call(operation)) => (
            "way",
            system.services[system.operations[operation].service].name.clone(),
            String::new(),
        ),
        Some(Wait::Statement(statement)) => {
            let facts = &system.statements[statement];
            ("remote", system.stores[facts.store].address.clone(), facts.summary())
        }
        Some(Wait::Outside(outside)) => ("remote", system.outside[outside].clone(), String::new()),
        Some(Wait::Queue(queue)) => ("remote", system.queues[queue].address.clone(), String::new()),
    }
}

fn mean(plan: &Plan, effects: &[Effect], spent: &BTreeMap<Place, f64>) -> MeanRequest {
    let requests: u64 = effects.iter().map(|e| e.requests).sum();
    let of = |value: &dyn Fn(&Effect) -> f64| -> f64 {
        let all: f64 = effects.iter().map(|e| value(e) * e.requests as f64).sum();
        all * 1e6 / requests.max(1) as f64
    };
    let mut sums: BTreeMap<_, f64> = BTreeMap::new();
    for ((service, _, wait), ns) in spent {
        *sums.entry((*service, words(plan, *wait))).or_default() += ns / requests.max(1) as f64;
    }
    let all: f64 = sums.values().filter(|ns| **ns > 0.0).sum();
    let kept = sums.into_iter().filter(|(_, ns)| ns.abs() > LEAST_PART * all);
    let mut parts: Vec<Part> = kept
        .map(|((service, (wait, to, statement)), added_ns)| Part {
            service: plan.system.services[service].name.clone(),
            wait: wait.to_owned(),
            to,
            statement,
            added_ns,
        })
        .collect();
    parts.sort_by(|a, b| b.added_ns.total_cmp(&a.added_ns));
    MeanRequest {
        requests,
        reference_ns: of(&|e| e.reference_ms),
        excess_ns: of(&|e| e.window_ms - e.reference_ms),
        added_ns: of(&Effect::added_ms),
        parts,
    }
}

fn excess(plan: &Plan, spent: &BTreeMap<Place, f64>) -> Vec<Excess> {
    let all: f64 = spent.values().filter(|ns| **ns > 0.0).sum();
    let kept = spent.iter().filter(|(_, ns)| **ns > LEAST_PART * all);
    let mut list: Vec<Excess> = kept
        .map(|((service, replica, wait), ns)| {
            let facts = &plan.system.services[*service];
            let (_, to, statement) = words(plan, *wait);
            let part = match wait {
                None => "own".to_owned(),
                Some(Wait::Call(_)) => format!("call to {to}"),
                Some(_) if statement.is_empty() => to,
                Some(_) => statement,
            };
            let host = plan.system.hosts[facts.hosts[*replica]].clone();
            Excess { service: facts.name.clone(), host, part, excess_ms: ns / 1e6 }
        })
        .collect();
    list.sort_by(|a, b| b.excess_ms.total_cmp(&a.excess_ms));
    list
}

/// Sizes the hosts: used to [`MEAN_LOAD`] in the mean, and none to more than [`MOST_LOAD`].
fn scale(plan: &mut Plan) {
    let used: f64 = plan.cpu.iter().flatten().sum::<f64>() / 1e9 * plan.rate;
    let hosts = plan.system.hosts.len();
    plan.cpu_scale = MEAN_LOAD * CORES * hosts as f64 / used.max(1e-9);
    let usual = vec![1.0; plan.system.services.len()];
    let busiest = (0..hosts).map(|host| plan.own_load(host, &usual)).fold(0.0, f64::max);
    if busiest > MOST_LOAD {
        plan.cpu_scale *= (MOST_LOAD - IDLE_LOAD) / (busiest - IDLE_LOAD);
    }
}

/// What requests usually pass: CPU time by entry and service, and everything that one request in thirty
/// meets.
pub(super) fn calibrate(plan: &mut Plan) -> Vec<Record> {
    let mut records = Records::default();
    let services = plan.system.services.len();
    plan.cpu = vec![vec![0.0; services]; plan.system.entries.len()];
    let first = plan.boot;
    for second in first..first + SAMPLE_S {
        run::second(plan, second, &mut records);
    }
    let requests = records.roots.len().max(1);
    let entries: BTreeMap<usize, usize> =
        records.roots.iter().map(|(root, entry)| (records.spans[*root].trace, *entry)).collect();
    for span in &records.spans {
        plan.cpu[entries[&span.trace]][span.service] += span.cpu_ns / requests as f64;
    }
    scale(plan);
    let mut seen: BTreeMap<(usize, Option<Wait>), (usize, Record)> = BTreeMap::new();
    for span in &records.spans {
        let wait = match span.what {
            What::Answer(_) => None,
            What::Ask(operation) => Some(Wait::Call(operation)),
            What::Query(statement) => Some(Wait::Statement(statement)),
            What::Outside(outside) => Some(Wait::Outside(outside)),
            What::Publish(queue) => Some(Wait::Queue(queue)),
        };
        seen.entry((span.service, wait)).or_insert((0, *span)).0 += 1;
    }
    seen.into_values().filter(|(count, _)| *count * 30 >= requests).map(|(_, span)| span).collect()
}
