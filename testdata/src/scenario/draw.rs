//! Draws a scenario: fault, place, strength, distractors.

use headrope_model::TimeRange;

use super::{Drawn, Entity, NANOS, Size, UPTIME_S};
use crate::catalogue::services::{BROKER_HOST, HOST_NAMES, REPLICAS, SERVICES, Svc};
use crate::catalogue::statements::{STORES, Stmt};
use crate::catalogue::versions::next_minor;
use crate::config::{Incident, ShopConfig};
use crate::dice::{Whims, mix};
use crate::fault::{Change, Coincidence, Fault, Place};
use crate::plan::Plan;
use crate::plan::spot::{BROKER, PROVIDER, Spot, Trouble, edges};
use crate::simulate::Home;
use crate::world::resources::Resources;

/// Statements on the way of user requests that can lose their index.
const SCANNED: [Stmt; 11] = [
    Stmt::OrderHistory,
    Stmt::OrderById,
    Stmt::OrderLines,
    Stmt::StockForUpdate,
    Stmt::StockReserve,
    Stmt::UserByEmail,
    Stmt::ProductById,
    Stmt::ProductsFeatured,
    Stmt::ProductsByIds,
    Stmt::SearchFacets,
    Stmt::PriceRules,
];
/// Statements on the way of user requests that wait for rows.
const LOCKING: [Stmt; 5] = [
    Stmt::StockForUpdate,
    Stmt::StockReserve,
    Stmt::OrderInsert,
    Stmt::OrderOutbox,
    Stmt::PaymentInsert,
];
/// Statements beside or behind the way of user requests.
const ASIDE: [Stmt; 3] = [Stmt::ShipmentInsert, Stmt::ShipmentByOrder, Stmt::StockBySku];
const JVM: [Svc; 4] = [Svc::Search, Svc::Catalog, Svc::Payment, Svc::Orders];
const LISTING: [Svc; 4] = [Svc::Catalog, Svc::Orders, Svc::Pricing, Svc::Search];
/// Services whose release users can notice.
const RELEASED: [Svc; 13] = [
    Svc::WebFrontend,
    Svc::Checkout,
    Svc::Cart,
    Svc::Catalog,
    Svc::Search,
    Svc::Recommendation,
    Svc::Pricing,
    Svc::Inventory,
    Svc::Payment,
    Svc::Shipping,
    Svc::Orders,
    Svc::Fraud,
    Svc::UserAuth,
];
/// Entry operations whose surge exhausts services of their own.
const SURGING: [&str; 3] = ["GET /search", "POST /checkout", "POST /login"];
/// Entry operations that few users ask for.
const RARE: [&str; 2] = ["GET /recommendations", "POST /login"];

/// How often a place is drawn anew until it is apart from that of the other fault.
const REDRAWS: u32 = 100;

fn pick<T: Copy>(whims: &mut Whims, list: &[T]) -> T {
    list[((whims.unit() * list.len() as f64) as usize).min(list.len() - 1)]
}

fn between(whims: &mut Whims, low: f64, high: f64) -> f64 {
    low + (high - low) * whims.unit()
}

fn name(svc: Svc) -> String {
    svc.facts().name.to_owned()
}

/// Draws a scenario with a fault of this kind, or a healthy one.
pub(super) fn draw(seed: u64, kind: Option<Incident>, size: &Size) -> Drawn {
    let whims = Whims::new(mix(seed, 0x5ce4));
    let kinds: Vec<Incident> = kind.into_iter().collect();
    with(seed, &kinds, size, whims)
}

/// Draws a scenario with two faults of different kinds at different places.
pub(super) fn draw_pair(seed: u64, size: &Size) -> Drawn {
    let mut whims = Whims::new(mix(seed, 0x9a12));
    let kinds: Vec<Incident> =
        Incident::ALL.into_iter().filter(|kind| *kind != Incident::TrafficSurge).collect();
    let first = kinds[(seed % kinds.len() as u64) as usize];
    let others: Vec<Incident> = kinds.into_iter().filter(|kind| *kind != first).collect();
    let second = pick(&mut whims, &others);
    with(seed, &[first, second], size, whims)
}

fn with(seed: u64, kinds: &[Incident], size: &Size, mut whims: Whims) -> Drawn {
    let first = size.first_ns.div_euclid(NANOS) * NANOS;
    let begins = first + i64::from(size.reference_s.max(1)) * NANOS;
    let ends = begins + i64::from(size.window_s.max(1)) * NANOS;
    let range = |from, to| TimeRange::new(from, to).unwrap_or(TimeRange::ALL);
    // It goes on after the window, as a fault that nobody has repaired does.
    let active = range(begins, ends + i64::from(size.window_s) * NANOS / 10);
    let mut faults: Vec<Fault> = Vec::new();
    for kind in kinds {
        let fault = (0..REDRAWS).find_map(|_| {
            let (place, strength) = place_of(*kind, &mut whims);
            let fault = Fault::new(*kind, place, strength, active);
            faults.iter().all(|other| apart(other, &fault)).then_some(fault)
        });
        faults.extend(fault);
    }
    let shop = ShopConfig {
        seed: mix(seed, 0x5409),
        traces_per_second: size.traces_per_second,
        start_ns: first - UPTIME_S * NANOS,
        faults: faults.clone(),
        coincidences: distractors(&faults, (first, begins, ends), &mut whims),
        metric_interval_s: size.metric_interval_s,
        batch_window_s: 5,
        optional_metrics: true,
        own_streams: true,
        ..ShopConfig::default()
    };
    Drawn { seed, shop, reference: range(first, begins), window: range(begins, ends), faults }
}

/// Services and hosts that have something to do with a fault.
fn touched(trouble: &Trouble) -> (Vec<Svc>, Option<usize>) {
    match trouble.spot {
        Spot::All | Spot::Entry(_) => (Vec::new(), None),
        Spot::Service(svc) => (vec![svc], None),
        Spot::Instance(instance) => (vec![instance.service().svc], None),
        Spot::Edge(caller, callee) => (vec![caller, callee], None),
        Spot::Statement(stmt) => {
            (stmt.owner().into_iter().collect(), Some(stmt.facts().store.facts().host))
        }
        Spot::Host(host) => (Vec::new(), Some(host)),
        Spot::Store(store) => (Vec::new(), Some(store.facts().host)),
        Spot::Broker => (Vec::new(), Some(BROKER_HOST)),
        Spot::Provider => (vec![Svc::Payment], None),
    }
}

/// Whether two faults have neither service nor host in common.
fn apart(one: &Fault, other: &Fault) -> bool {
    let (one, other) = (touched(&Trouble::new(one)), touched(&Trouble::new(other)));
    !one.0.iter().any(|svc| other.0.contains(svc)) && (one.1.is_none() || one.1 != other.1)
}

/// Where the fault sits and how strong it is.
fn place_of(incident: Incident, whims: &mut Whims) -> (Place, f64) {
    let statement = |stmt: Stmt| Place::Statement(stmt.facts().text.to_owned());
    match incident {
        Incident::SlowSql => {
            let stmt = pick(whims, &SCANNED);
            let added_us = between(whims, 80_000.0, 400_000.0);
            (statement(stmt), added_us / stmt.facts().median_us)
        }
        Incident::Lock => (statement(pick(whims, &LOCKING)), between(whims, 300.0, 1500.0)),
        Incident::Cpu => (Place::Host(pick(whims, &HOST_NAMES).into()), between(whims, 0.94, 0.99)),
        Incident::NoisyNeighbour => {
            (Place::Host(pick(whims, &HOST_NAMES).into()), between(whims, 8.5, 12.0))
        }
        Incident::Gc => processes(&JVM, (0.6, 1.6), (1.2, 1.8), whims),
        Incident::MemoryLeak => processes(&RELEASED, (300.0, 900.0), (1200.0, 3000.0), whims),
        Incident::DependencyErrors => {
            let peers = [PROVIDER, STORES[2].address];
            (Place::Peer(pick(whims, &peers).into()), between(whims, 0.3, 0.9))
        }
        Incident::DiskFull => {
            let peers = [STORES[0].address, STORES[2].address, BROKER];
            (Place::Peer(pick(whims, &peers).into()), between(whims, 0.5, 1.0))
        }
        Incident::NPlusOne => {
            (Place::Service(name(pick(whims, &LISTING))), between(whims, 2.0, 5.0))
        }
        Incident::BadDeploy => {
            (Place::Service(name(pick(whims, &RELEASED))), between(whims, 0.6, 2.0))
        }
        Incident::NetworkDelay => {
            let (caller, callee) = pick(whims, &edges());
            (Place::Edge(name(caller), name(callee)), between(whims, 40.0, 200.0))
        }
        Incident::PoolExhaustion => {
            let pooled: Vec<Svc> =
                SERVICES.iter().map(|s| s.svc).filter(|svc| svc.pool().is_some()).collect();
            (Place::Service(name(pick(whims, &pooled))), between(whims, 120.0, 700.0))
        }
        Incident::TrafficSurge if whims.unit() < 0.4 => (Place::Usual, between(whims, 2.2, 3.0)),
        Incident::TrafficSurge => {
            (Place::Entry(pick(whims, &SURGING).into()), between(whims, 3.0, 4.0))
        }
    }
}

/// A service, or one instance of it, with the range of strengths of each.
fn processes(
    services: &[Svc],
    all: (f64, f64),
    one: (f64, f64),
    whims: &mut Whims,
) -> (Place, f64) {
    let svc = name(pick(whims, services));
    if whims.unit() < 0.5 {
        return (Place::Service(svc), between(whims, all.0, all.1));
    }
    let replica = (whims.word() % REPLICAS as u64) as u8;
    (Place::Instance(svc, replica), between(whims, one.0, one.1))
}

/// One to three harmless changes of different kinds, none where a fault sits. `times` are the
/// starts of reference and window, and the window's end.
fn distractors(faults: &[Fault], times: (i64, i64, i64), whims: &mut Whims) -> Vec<Coincidence> {
    let (first, begins, ends) = times;
    let troubles: Vec<Trouble> = faults.iter().map(Trouble::new).collect();
    let wanted = 1 + (whims.word() % 3) as usize;
    let mut kinds: Vec<u64> = (0..8).collect();
    let mut all = Vec::new();
    while all.len() < wanted && !kinds.is_empty() {
        let kind = kinds.swap_remove((whims.word() % kinds.len() as u64) as usize);
        let Some(change) = change(kind, &troubles, whims) else { continue };
        // Nothing begins at the very second of the fault.
        let shift = between(whims, -30.0, 60.0) as i64 * NANOS;
        let from_ns = match change {
            // It has always been slow.
            Change::SlowEntry(..) => first,
            _ => begins + shift,
        };
        let to_ns = match change {
            // An eighth of it passes between two instances.
            Change::Deploy(_) => from_ns + 240 * NANOS,
            _ => ends + 3600 * NANOS,
        };
        all.push(Coincidence { change, from_ns, to_ns });
    }
    all
}

/// A harmless change of a kind; `None` if it would sit where a fault does.
fn change(kind: u64, troubles: &[Trouble], whims: &mut Whims) -> Option<Change> {
    let guilty = |svc: Svc| {
        troubles.iter().any(|t| match t.spot {
            Spot::Service(one) | Spot::Edge(one, _) => svc == one,
            Spot::Instance(instance) => svc == instance.service().svc,
            Spot::Statement(stmt) => stmt.owner() == Some(svc),
            Spot::Provider => svc == Svc::Payment,
            _ => false,
        })
    };
    let busy = |host: usize| {
        troubles.iter().any(|t| match t.spot {
            Spot::Host(one) => host == one,
            Spot::Store(store) => host == store.facts().host,
            _ => false,
        })
    };
    let any = pick(whims, &SERVICES.each_ref().map(|s| s.svc));
    let elsewhere = Some(any).filter(|svc| !guilty(*svc));
    let light = [Svc::Pricing, Svc::Inventory, Svc::UserAuth, Svc::Cart, Svc::Fraud, Svc::Shipping];
    Some(match kind {
        0 => Change::Deploy(name(elsewhere?)),
        1 if troubles.iter().any(|t| t.incident == Incident::TrafficSurge) => return None,
        1 => Change::Traffic(between(whims, 0.85, 1.2)),
        2 => {
            let at = (whims.word() % HOST_NAMES.len() as u64) as usize;
            (!busy(at)).then_some(())?;
            Change::Batch(HOST_NAMES[at].into(), between(whims, 2.0, 3.5))
        }
        3 => Change::SlowEntry(pick(whims, &RARE).into(), between(whims, 80.0, 200.0)),
        4 => Change::LogPattern(name(elsewhere?)),
        5 => {
            let svc = Some(pick(whims, &light)).filter(|svc| !guilty(*svc))?;
            let factor = between(whims, 1.08, 1.25);
            // A login is nearly all processing: users would notice a quarter more.
            let factor = if svc == Svc::UserAuth { 1.0 + (factor - 1.0) / 2.0 } else { factor };
            Change::Drift(name(svc), factor)
        }
        6 => {
            let stmt = pick(whims, &ASIDE);
            let there = troubles.iter().any(|t| t.spot == Spot::Statement(stmt));
            (!there && !stmt.owner().is_some_and(guilty)).then_some(())?;
            Change::Statement(stmt.facts().text.to_owned(), between(whims, 1.4, 2.5))
        }
        _ => Change::ScaleOut(name(elsewhere?)),
    })
}

/// Who is to blame; a surge is blamed on the service that gives way.
pub(super) fn entity(shop: &ShopConfig, fault: &Fault, bottleneck: Option<Svc>) -> Entity {
    let trouble = Trouble::new(fault);
    let service = |svc: Svc, version: String| Entity::Service { service: name(svc), version };
    match trouble.spot {
        Spot::All | Spot::Entry(_) => {
            bottleneck.map_or(Entity::None, |svc| service(svc, String::new()))
        }
        Spot::Service(svc) => {
            let released = matches!(fault.incident, Incident::BadDeploy | Incident::NPlusOne);
            let version = if released { next_minor(svc.facts().version) } else { String::new() };
            service(svc, version)
        }
        Spot::Instance(instance) => {
            let plan = Plan::new(shop);
            let resources = Resources::new(shop, &plan);
            let generation = plan.moment(trouble.from).generation[instance.index()];
            Entity::Instance {
                service: name(instance.service().svc),
                instance: resources.instance_id(Home { instance, generation }).to_owned(),
                host: HOST_NAMES[instance.host()].to_owned(),
            }
        }
        Spot::Host(host) => Entity::Host { host: HOST_NAMES[host].to_owned() },
        Spot::Statement(stmt) => Entity::Statement {
            service: stmt.owner().map(name).unwrap_or_default(),
            statement: stmt.facts().summary.to_owned(),
            text: stmt.facts().text.to_owned(),
            database: stmt.facts().store.facts().address.to_owned(),
        },
        Spot::Edge(caller, callee) => Entity::Edge { caller: name(caller), callee: name(callee) },
        Spot::Store(store) => peer(store.facts().address, Some(store.facts().host)),
        Spot::Broker => peer(BROKER, Some(BROKER_HOST)),
        Spot::Provider => peer(PROVIDER, None),
    }
}

fn peer(address: &str, host: Option<usize>) -> Entity {
    let host = host.map_or("", |host| HOST_NAMES[host]);
    Entity::Peer { address: address.to_owned(), host: host.to_owned() }
}
