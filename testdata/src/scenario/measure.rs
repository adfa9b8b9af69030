//! What the faults cost: the window's requests with them, without them, and those of the reference
//! range.

use std::collections::{BTreeMap, BTreeSet};

use headrope_model::TimeRange;

use super::cost::{self, Costs, Request, Values};
use super::path::{self, Forest, Spent};
use super::{Drawn, Effect, Excess, MeanRequest, NANOS, Part};
use crate::catalogue::ops::{ENTRIES, OPS, OpId};
use crate::catalogue::services::Svc;
use crate::config::{Incident, ShopConfig};
use crate::fault::Fault;
use crate::plan::spot::{Spot, Trouble};
use crate::simulate::{self, Shape, Window};
use crate::world::World;

/// A place that holds less than this part of the faults' time is not listed.
const LEAST_PART: f64 = 0.01;

/// What was measured.
pub(super) struct Measured {
    pub(super) affected: Vec<Effect>,
    pub(super) unaffected: Vec<Effect>,
    pub(super) excess: Vec<Excess>,
    /// What each fault costs, in the order of the draw.
    pub(super) costs: Vec<Costs>,
    pub(super) mean: MeanRequest,
    /// What the faults add to affected operations at each place, nanoseconds.
    spent: BTreeMap<Spent, i64>,
    /// The same of all operations.
    everywhere: BTreeMap<Spent, i64>,
}

impl Measured {
    /// The service in which requests lose most.
    pub(super) fn bottleneck(&self) -> Option<Svc> {
        let mut services: BTreeMap<Svc, i64> = BTreeMap::new();
        for (place, ns) in &self.spent {
            *services.entry(place.0).or_default() += ns;
        }
        services.into_iter().max_by_key(|(_, ns)| *ns).map(|(svc, _)| svc)
    }

    /// Part of the fault's time that lies at the spot; `None` if no affected operation is slow.
    pub(super) fn at(&self, spot: Spot) -> Option<f64> {
        self.affected.iter().any(Effect::is_slow).then_some(())?;
        let all: i64 = self.spent.values().sum();
        let here = self.spent.iter().filter(|(place, _)| path::lies_at(**place, spot));
        let here: i64 = here.map(|(_, ns)| *ns).sum();
        (all > 0).then(|| (here as f64 / all as f64).clamp(0.0, 1.0))
    }

    /// Where a fault sits; a surge, where requests lose most.
    pub(super) fn spot(&self, fault: &Fault) -> Spot {
        match (Trouble::new(fault).spot, self.bottleneck()) {
            (Spot::All | Spot::Entry(_), Some(svc)) => Spot::Service(svc),
            (spot, _) => spot,
        }
    }

    /// What the faults add to the mean request at the spot, nanoseconds; of an instance, at its
    /// service.
    pub(super) fn ledger_at(&self, spot: Spot) -> Option<f64> {
        let spot = match spot {
            Spot::Host(_) | Spot::All | Spot::Entry(_) => return None,
            Spot::Instance(instance) => Spot::Service(instance.service().svc),
            spot => spot,
        };
        let here = self.everywhere.iter().filter(|(place, _)| path::lies_at(**place, spot));
        let here: i64 = here.map(|(_, ns)| *ns).sum();
        Some(here as f64 / self.mean.requests.max(1) as f64)
    }

    /// Each fault's part of the harm, in the order of the draw.
    pub(super) fn shares(&self) -> Vec<f64> {
        let harms: Vec<f64> = self.costs.iter().map(Costs::harm_ns).collect();
        let all: f64 = harms.iter().sum();
        harms.iter().map(|harm| if all > 0.0 { harm / all } else { 0.0 }).collect()
    }

    /// Part of the affected requests' excess that the faults explain.
    pub(super) fn share(&self) -> f64 {
        let slow: Vec<&Effect> = self.affected.iter().filter(|e| e.is_slow()).collect();
        let (explained, all) = if slow.is_empty() {
            let of = |value: &dyn Fn(&Effect) -> f64| -> f64 {
                self.affected.iter().map(|e| value(e) * e.requests as f64).sum()
            };
            (of(&Effect::added_failures), of(&|e| e.window_failed - e.reference_failed))
        } else {
            let of = |value: &dyn Fn(&Effect) -> f64| -> f64 {
                slow.iter().map(|e| value(e) * e.requests as f64).sum()
            };
            (of(&Effect::added_ms), of(&|e| e.window_ms - e.reference_ms))
        };
        if explained <= 0.0 {
            return 0.0;
        }
        // The other changes may have made the same requests faster.
        if all <= explained { 1.0 } else { explained / all }
    }
}

/// What the requests of one entry operation took.
#[derive(Debug, Default)]
struct Took {
    requests: u64,
    failed: u64,
    ns: i64,
    spent: BTreeMap<Spent, i64>,
}

impl Took {
    fn ms(&self) -> f64 {
        self.ns as f64 / 1e6 / self.requests.max(1) as f64
    }

    fn failures(&self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }
}

/// Requests of a range: by entry operation, and one by one in the order of arrival.
struct Observed {
    took: BTreeMap<OpId, Took>,
    requests: Vec<Request>,
}

/// Simulates the reference range, the window without the faults, with each of them, and with all.
pub(super) fn measure(drawn: &Drawn) -> Measured {
    // Neither the clock that is ahead nor the lost spans concern what users saw.
    let config = ShopConfig { clock_skew_ns: 0, orphans_ppm: 0, ..drawn.shop.clone() };
    let all = World::new(config.clone());
    let reference = observe(&all, drawn.reference);
    let together = observe(&all, drawn.window);
    let with =
        |on: &dyn Fn(usize) -> bool| observe(&partly(&config, &drawn.faults, on), drawn.window);
    let none = if drawn.faults.is_empty() { None } else { Some(with(&|_| false)) };
    let none = none.as_ref().unwrap_or(&together);
    let alone: Vec<Observed> = match drawn.faults.len() {
        0 | 1 => Vec::new(),
        count => (0..count).map(|one| with(&|at| at == one)).collect(),
    };
    let values: Vec<Values> =
        alone.iter().map(|o| Values::new(&o.requests, &none.requests)).collect();
    let name = |entry: usize| OPS[entry].name.to_owned();
    let all = Values::new(&together.requests, &none.requests);
    let costs = cost::costs(drawn.faults.len(), &values, &all, &name);
    let mut measured = compare(&reference.took, &together.took, &none.took);
    measured.costs = costs;
    measured
}

/// The world with some of the faults. Without a surge the same requests arrive, and find instances
/// enough.
fn partly(config: &ShopConfig, faults: &[Fault], on: &dyn Fn(usize) -> bool) -> World {
    let surge = |fault: &Fault| fault.incident == Incident::TrafficSurge;
    let kept = |(at, fault): &(usize, &Fault)| on(*at) || surge(fault);
    let kept = faults.iter().enumerate().filter(kept).map(|(_, fault)| fault.clone()).collect();
    let calm = faults.iter().enumerate().any(|(at, fault)| surge(fault) && !on(at));
    World { calm, ..World::new(ShopConfig { faults: kept, ..config.clone() }) }
}

/// The requests of a range.
fn observe(world: &World, range: TimeRange) -> Observed {
    let mut all = Observed { took: BTreeMap::new(), requests: Vec::new() };
    let mut window = Window::default();
    for second in range.from().div_euclid(NANOS)..range.to().div_euclid(NANOS) {
        window.clear();
        simulate::second(world, second, &mut window);
        let forest = Forest::new(&window.spans);
        for span in window.spans.iter().filter(|span| span.parent == 0) {
            let Shape::Answer(entry) = span.shape else { continue };
            if entry.facts().service != Svc::EdgeGateway {
                continue;
            }
            let failed = span.mishap.is_some_and(|m| !m.is_callers());
            let ns = span.end_ns - span.start_ns;
            all.requests.push(Request { entry: entry as usize, ns, failed });
            let took = all.took.entry(entry).or_default();
            took.requests += 1;
            took.failed += u64::from(failed);
            took.ns += ns;
            forest.walk(span, &mut took.spent);
        }
    }
    all
}

fn compare(
    reference: &BTreeMap<OpId, Took>,
    window: &BTreeMap<OpId, Took>,
    without: &BTreeMap<OpId, Took>,
) -> Measured {
    let nothing = Took::default();
    let of = |all: &BTreeMap<OpId, Took>, value: fn(&Took) -> f64, op: OpId| {
        value(all.get(&op).unwrap_or(&nothing))
    };
    let (mut affected, mut unaffected, mut places) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (entry, _) in ENTRIES {
        let effect = Effect {
            operation: entry.facts().name.to_owned(),
            requests: window.get(&entry).map_or(0, |took| took.requests),
            reference_ms: of(reference, Took::ms, entry),
            window_ms: of(window, Took::ms, entry),
            without_ms: of(without, Took::ms, entry),
            reference_failed: of(reference, Took::failures, entry),
            window_failed: of(window, Took::failures, entry),
            without_failed: of(without, Took::failures, entry),
        };
        if effect.requests > 0 && (effect.is_slow() || effect.is_failing()) {
            affected.push(effect);
            places.insert(entry);
        } else {
            unaffected.push(effect);
        }
    }
    let cost = |e: &Effect| {
        e.requests as f64 * (e.added_ms().max(0.0) + 1000.0 * e.added_failures().max(0.0))
    };
    affected.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
    let (mut spent, mut everywhere) = (BTreeMap::new(), BTreeMap::new());
    for (all, sign) in [(window, 1), (without, -1)] {
        for (entry, took) in all {
            for (place, ns) in &took.spent {
                *everywhere.entry(*place).or_default() += sign * ns;
                if places.contains(entry) {
                    *spent.entry(*place).or_default() += sign * ns;
                }
            }
        }
    }
    let mean = mean(&[&affected[..], &unaffected[..]].concat(), &everywhere);
    let excess = listed(&spent);
    Measured { affected, unaffected, excess, costs: Vec::new(), mean, spent, everywhere }
}

/// The mean request of all operations.
fn mean(effects: &[Effect], everywhere: &BTreeMap<Spent, i64>) -> MeanRequest {
    let requests: u64 = effects.iter().map(|e| e.requests).sum();
    let of = |value: &dyn Fn(&Effect) -> f64| -> f64 {
        let all: f64 = effects.iter().map(|e| value(e) * e.requests as f64).sum();
        all * 1e6 / requests.max(1) as f64
    };
    let mut sums: BTreeMap<_, f64> = BTreeMap::new();
    for ((svc, _, part), ns) in everywhere {
        let place = (svc.facts().name, path::wait(*part));
        *sums.entry(place).or_default() += *ns as f64 / requests.max(1) as f64;
    }
    let all: f64 = sums.values().filter(|ns| **ns > 0.0).sum();
    let mut parts: Vec<Part> = sums
        .into_iter()
        .filter(|(_, ns)| ns.abs() > LEAST_PART * all)
        .map(|((service, (wait, to, statement)), added_ns)| Part {
            service: service.to_owned(),
            wait: wait.to_owned(),
            to: to.to_owned(),
            statement: statement.to_owned(),
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

/// The places that hold the most time, by name.
fn listed(spent: &BTreeMap<Spent, i64>) -> Vec<Excess> {
    let all: i64 = spent.values().filter(|ns| **ns > 0).sum();
    let mut list: Vec<Excess> = spent
        .iter()
        .filter(|(_, ns)| **ns as f64 > LEAST_PART * all as f64)
        .map(|(place, ns)| {
            let (service, host, part) = path::names(*place);
            Excess { service, host, part, excess_ms: *ns as f64 / 1e6 }
        })
        .collect();
    list.sort_by(|a, b| b.excess_ms.total_cmp(&a.excess_ms));
    list
}
