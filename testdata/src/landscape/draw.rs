//! Draws fault and harmless changes of a random system, and names them.

use super::measure::{self, Measured};
use super::plan::{CORES, Harmless, Plan, Spot, Trouble};
use super::resources;
use super::run::{Record, What};
use super::system::{Dialect, Engine, Protocol, Runtime};
use super::topology::{self, Draw};
use crate::config::Incident;
use crate::dice::{Whims, mix};
use crate::fault::{Action, Change, Coincidence, Place};
use crate::scenario::{Entity, Size};

const NANOS: i64 = 1_000_000_000;
/// Seconds between the start of the processes and the reference.
const UPTIME_S: i64 = 3 * 3600;
/// A job of the night runs on a host that it leaves with this CPU utilisation at most.
const TO_SPARE: f64 = 0.45;
/// A fault that users do not notice is made this much stronger, so often; then another place is drawn.
const STRONGER: f64 = 1.5;
const ATTEMPTS: u32 = 5;
const PLACES: u32 = 6;

pub(super) struct Drawn {
    pub(super) plan: Plan,
    pub(super) reference: (i64, i64),
    pub(super) window: (i64, i64),
    pub(super) distractors: Vec<Coincidence>,
    pub(super) measured: Measured,
}

pub(super) fn draw(seed: u64, kind: Option<Incident>, size: &Size) -> Drawn {
    let first = size.first_ns.div_euclid(NANOS);
    let begins = first + i64::from(size.reference_s.max(1));
    let ends = begins + i64::from(size.window_s.max(1));
    let (reference, window) = ((first, begins), (begins, ends));
    let mut plan = Plan {
        system: topology::draw(seed),
        seed: mix(seed, 0x1a2d),
        rate: size.traces_per_second,
        boot: first - UPTIME_S,
        from: begins,
        to: ends + (ends - begins) / 10,
        faults: Vec::new(),
        changes: Vec::new(),
        calm: false,
        cpu: Vec::new(),
        cpu_scale: 0.0,
    };
    let seen = measure::calibrate(&mut plan);
    let mut draw = Draw(Whims::new(mix(seed, 0xfa2)));
    let Some(kind) = kind else {
        let distractors = harmless(&mut plan, None, &mut draw);
        let measured = measure::measure(&plan, reference, window);
        return Drawn { plan, reference, window, distractors, measured };
    };
    let mut kinds = vec![kind; PLACES as usize];
    kinds.extend([Incident::BadDeploy; PLACES as usize]);
    let mut last = None;
    for kind in kinds {
        let Some(trouble) = place_of(&plan, kind, &seen, &mut draw) else { continue };
        plan.changes.clear();
        plan.faults = vec![trouble];
        let distractors = harmless(&mut plan, Some(trouble), &mut draw);
        for _ in 0..ATTEMPTS {
            let measured = measure::measure(&plan, reference, window);
            let noticed = !measured.affected.is_empty();
            let distractors = distractors.clone();
            last = Some(Drawn { plan: plan.clone(), reference, window, distractors, measured });
            if noticed {
                break;
            }
            strengthen(&mut plan);
        }
        if last.as_ref().is_some_and(|drawn| !drawn.measured.affected.is_empty()) {
            break;
        }
    }
    last.unwrap_or_else(|| {
        plan.faults.clear();
        let distractors = harmless(&mut plan, None, &mut draw);
        let measured = measure::measure(&plan, reference, window);
        Drawn { plan, reference, window, distractors, measured }
    })
}

fn strengthen(plan: &mut Plan) {
    for trouble in &mut plan.faults {
        trouble.strength = match trouble.kind {
            Incident::Cpu => 1.0 - (1.0 - trouble.strength) / STRONGER,
            Incident::DependencyErrors | Incident::DiskFull => {
                (trouble.strength * STRONGER).min(1.0)
            }
            Incident::Gc => (trouble.strength * STRONGER).min(1.8),
            _ => trouble.strength * STRONGER,
        };
    }
}

/// Where a fault of a kind sits and how strong it is; `None` if the system has no place where it can be
/// seen.
fn place_of(plan: &Plan, kind: Incident, seen: &[Record], draw: &mut Draw) -> Option<Trouble> {
    let system = &plan.system;
    let mut spots: Vec<Spot> = seen.iter().filter_map(|span| candidate(plan, kind, span)).collect();
    spots.sort_unstable();
    spots.dedup();
    let mut spot = draw.pick(&spots)?;
    let strength = match (kind, spot) {
        (Incident::SlowSql, Spot::Statement(one)) => {
            draw.between(80_000.0, 400_000.0) / system.statements[one].median_us
        }
        (Incident::Lock, _) => draw.between(300.0, 1500.0),
        (Incident::Cpu, _) => draw.between(0.94, 0.99),
        (Incident::NoisyNeighbour, _) => draw.between(5.0, 6.5),
        (Incident::Gc, Spot::Service(service)) => {
            spot = one_or_all(plan, service, draw);
            draw.between(0.8, 1.8)
        }
        (Incident::MemoryLeak, Spot::Service(service)) => {
            spot = one_or_all(plan, service, draw);
            draw.between(400.0, 2500.0)
        }
        (Incident::DependencyErrors, _) => draw.between(0.3, 0.9),
        (Incident::DiskFull, _) => draw.between(0.5, 1.0),
        (Incident::NPlusOne, _) => draw.between(1.0, 4.0),
        (Incident::BadDeploy, _) => draw.between(0.6, 2.0),
        (Incident::NetworkDelay, _) => draw.between(40.0, 200.0),
        (Incident::PoolExhaustion, _) => draw.between(120.0, 700.0),
        (Incident::TrafficSurge, Spot::Entry(_)) if draw.chance(0.5) => {
            spot = Spot::Entry(None);
            draw.between(2.4, 3.2)
        }
        _ => draw.between(3.0, 4.5),
    };
    Some(Trouble { kind, spot, strength })
}

fn one_or_all(plan: &Plan, service: usize, draw: &mut Draw) -> Spot {
    if draw.chance(0.5) {
        return Spot::Service(service);
    }
    Spot::Instance(service, draw.below(plan.system.services[service].hosts.len()))
}

/// Where a fault of a kind could sit that this span would meet.
fn candidate(plan: &Plan, kind: Incident, span: &Record) -> Option<Spot> {
    let system = &plan.system;
    let service = &system.services[span.service];
    // A reader of a queue keeps no user waiting.
    let waits = !matches!(span.what, What::Answer(op) if system.operations[op].protocol == Protocol::Consumer);
    let of_process = service.dialect != Dialect::Kubelet && waits;
    let statement = match span.what {
        What::Query(one) => Some((one, &system.statements[one])),
        _ => None,
    };
    let engine = statement.map(|(_, facts)| system.stores[facts.store].engine);
    let disk = engine.is_some_and(|engine| engine != Engine::Redis);
    match kind {
        Incident::SlowSql => statement.filter(|_| disk).map(|(one, _)| Spot::Statement(one)),
        Incident::Lock => {
            statement.filter(|(_, facts)| disk && facts.writes).map(|(one, _)| Spot::Statement(one))
        }
        Incident::Cpu | Incident::NoisyNeighbour => Some(Spot::Host(service.hosts[span.replica])),
        Incident::Gc => {
            (of_process && service.runtime == Runtime::Java).then_some(Spot::Service(span.service))
        }
        Incident::MemoryLeak => {
            (waits && service.dialect != Dialect::Old).then_some(Spot::Service(span.service))
        }
        Incident::DependencyErrors => match span.what {
            What::Outside(outside) => Some(Spot::Outside(outside)),
            _ => statement.filter(|_| !disk).map(|(_, facts)| Spot::Store(facts.store)),
        },
        Incident::DiskFull => {
            statement.filter(|(_, facts)| facts.writes).map(|(_, facts)| Spot::Store(facts.store))
        }
        Incident::NPlusOne => statement
            .filter(|(_, facts)| facts.verb == "SELECT")
            .map(|_| Spot::Service(span.service)),
        Incident::BadDeploy => waits.then_some(Spot::Service(span.service)),
        Incident::NetworkDelay => match span.what {
            What::Ask(op) => Some(Spot::Edge(span.service, system.operations[op].service)),
            _ => None,
        },
        Incident::PoolExhaustion => {
            let pooled = statement.is_some_and(|(_, facts)| service.pool == Some(facts.store));
            (pooled && of_process).then_some(Spot::Service(span.service))
        }
        Incident::TrafficSurge => match span.what {
            What::Answer(op) if span.parent == 0 => {
                system.entries.iter().position(|e| e.0 == op).map(|entry| Spot::Entry(Some(entry)))
            }
            _ => None,
        },
    }
}

/// One to three harmless changes, none where the fault sits.
fn harmless(plan: &mut Plan, fault: Option<Trouble>, draw: &mut Draw) -> Vec<Coincidence> {
    let system = &plan.system;
    let guilty = |service: usize| match fault.map(|t| t.spot) {
        Some(Spot::Service(one) | Spot::Instance(one, _)) => one == service,
        Some(Spot::Edge(caller, callee)) => caller == service || callee == service,
        Some(Spot::Statement(one)) => system.statements[one].service == service,
        _ => false,
    };
    let busy = |host: usize| match fault.map(|t| t.spot) {
        Some(Spot::Host(one)) => one == host,
        Some(Spot::Store(store)) => system.stores[store].host == host,
        _ => false,
    };
    let surge = fault.is_some_and(|t| t.kind == Incident::TrafficSurge);
    let usual = vec![1.0; system.services.len()];
    let mut kinds: Vec<usize> = (0..5).collect();
    let (mut changes, mut all) = (Vec::new(), Vec::new());
    let wanted = 1 + draw.below(3);
    while changes.len() < wanted && !kinds.is_empty() {
        let kind = kinds.swap_remove(draw.below(kinds.len()));
        let (service, host) = (draw.below(system.services.len()), draw.below(system.hosts.len()));
        let name = system.services[service].name.clone();
        let (what, change) = match kind {
            0 if !guilty(service) => (Harmless::Deploy(service), Change::Deploy(name)),
            1 if !surge => {
                let factor = draw.between(0.85, 1.2);
                (Harmless::Traffic(factor), Change::Traffic(factor))
            }
            2 if !busy(host) => {
                let cores = draw.between(0.8, 1.6);
                if plan.own_load(host, &usual) + cores / CORES > TO_SPARE {
                    continue;
                }
                (Harmless::Batch(host, cores), Change::Batch(system.hosts[host].clone(), cores))
            }
            3 if !guilty(service) => (Harmless::LogPattern(service), Change::LogPattern(name)),
            4 if !guilty(service) => {
                let factor = draw.between(1.03, 1.1);
                (Harmless::Drift(service, factor), Change::Drift(name, factor))
            }
            _ => continue,
        };
        // Nothing begins at the very second of the fault.
        let from = plan.from + draw.between(-30.0, 60.0) as i64;
        changes.push((what, from));
        all.push(Coincidence { change, from_ns: from * NANOS, to_ns: (plan.to + 3600) * NANOS });
    }
    plan.changes = changes;
    all
}

/// Where a fault sits; a surge, where requests lose most.
pub(super) fn spot(drawn: &Drawn, trouble: &Trouble) -> Spot {
    match trouble.spot {
        Spot::Entry(_) => Spot::Service(drawn.measured.bottleneck()),
        spot => spot,
    }
}

/// Where a fault was planned, in names.
pub(super) fn place(plan: &Plan, trouble: &Trouble) -> Place {
    let system = &plan.system;
    let name = |service: usize| system.services[service].name.clone();
    match trouble.spot {
        Spot::Service(service) => Place::Service(name(service)),
        Spot::Instance(service, replica) => Place::Instance(name(service), replica as u8),
        Spot::Host(host) => Place::Host(system.hosts[host].clone()),
        Spot::Statement(one) => Place::Statement(system.statements[one].text.clone()),
        Spot::Edge(caller, callee) => Place::Edge(name(caller), name(callee)),
        Spot::Entry(None) => Place::Usual,
        Spot::Entry(Some(entry)) => {
            Place::Entry(system.operations[system.entries[entry].0].name.clone())
        }
        Spot::Store(store) => Place::Peer(system.stores[store].address.clone()),
        Spot::Outside(outside) => Place::Peer(system.outside[outside].clone()),
    }
}

/// What to do; a cache of the system's own is repaired.
pub(super) fn action(trouble: &Trouble) -> Action {
    match (trouble.kind, trouble.spot) {
        (Incident::DependencyErrors, Spot::Store(_)) => Action::Repair,
        (kind, _) => kind.action(&Place::Usual),
    }
}

/// Who is to blame.
pub(super) fn entity(plan: &Plan, trouble: &Trouble, bottleneck: usize) -> Entity {
    let system = &plan.system;
    let name = |service: usize| system.services[service].name.clone();
    let service = |at: usize, version: String| Entity::Service { service: name(at), version };
    match trouble.spot {
        Spot::Entry(_) => service(bottleneck, String::new()),
        Spot::Service(at) => {
            let released = matches!(trouble.kind, Incident::BadDeploy | Incident::NPlusOne);
            service(at, if released { resources::version(plan, at, 1) } else { String::new() })
        }
        Spot::Instance(at, replica) => Entity::Instance {
            service: name(at),
            instance: resources::instance_id(plan, at, replica, 0),
            host: system.hosts[system.services[at].hosts[replica]].clone(),
        },
        Spot::Host(host) => Entity::Host { host: system.hosts[host].clone() },
        Spot::Statement(one) => {
            let facts = &system.statements[one];
            Entity::Statement {
                service: name(facts.service),
                statement: facts.summary(),
                text: facts.text.clone(),
                database: system.stores[facts.store].address.clone(),
            }
        }
        Spot::Edge(caller, callee) => Entity::Edge { caller: name(caller), callee: name(callee) },
        Spot::Store(store) => Entity::Peer {
            address: system.stores[store].address.clone(),
            host: system.hosts[system.stores[store].host].clone(),
        },
        Spot::Outside(outside) => {
            Entity::Peer { address: system.outside[outside].clone(), host: String::new() }
        }
    }
}
