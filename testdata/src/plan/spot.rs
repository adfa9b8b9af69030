//! Places and strengths in the terms of the catalogue.

use crate::catalogue::graph::What;
use crate::catalogue::ops::{ENTRIES, OPS, OpId};
use crate::catalogue::services::{
    BUSY_HOST, BUSY_LOAD, HOST_NAMES, Instance, Language, NOISY_HOST, REPLICAS, SERVICES, Svc,
};
use crate::catalogue::statements::{STATEMENTS, STORES, Stmt, Store};
use crate::config::Incident;
use crate::fault::{Change, Coincidence, Fault, Place};

const NANOS: i64 = 1_000_000_000;
/// Address of the payment provider.
pub(crate) const PROVIDER: &str = "api.payments.example";
/// Address of the broker.
pub(crate) const BROKER: &str = "kafka.shop.svc";

/// Where a fault sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// Every user request.
    All,
    Service(Svc),
    Instance(Instance),
    /// A host, by its number.
    Host(usize),
    Statement(Stmt),
    /// Caller and callee.
    Edge(Svc, Svc),
    Entry(OpId),
    Store(Store),
    Broker,
    Provider,
}

impl Spot {
    /// Whether the spot is the instance or its service.
    pub(crate) fn holds(self, instance: Instance) -> bool {
        match self {
            Self::Service(svc) => instance.service().svc == svc,
            Self::Instance(one) => instance == one,
            _ => false,
        }
    }
}

/// A planned fault in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) incident: Incident,
    pub(crate) spot: Spot,
    pub(crate) strength: f64,
    /// Planned by name alone, at the usual place and strength.
    pub(crate) usual: bool,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Trouble {
    pub(crate) fn new(fault: &Fault) -> Self {
        let (spot, strength) = usual(fault.incident);
        Self {
            incident: fault.incident,
            spot: spot_of(fault.incident, &fault.place).unwrap_or(spot),
            strength: fault.strength.filter(|s| s.is_finite() && *s >= 0.0).unwrap_or(strength),
            usual: fault.place == Place::Usual && fault.strength.is_none(),
            from: fault.from_ns.div_euclid(NANOS),
            to: fault.to_ns.div_euclid(NANOS),
        }
    }

    pub(crate) fn active(&self, second: i64) -> bool {
        self.from <= second && second < self.to
    }

    /// Arrivals of each entry operation relative to the usual rate, in the order of [`ENTRIES`].
    pub(crate) fn arrivals(&self) -> [f64; ENTRIES.len()] {
        let surge = self.incident == Incident::TrafficSurge;
        ENTRIES.map(|(op, _)| match self.spot {
            Spot::All if surge => self.strength,
            Spot::Entry(entry) if surge && entry == op => self.strength,
            _ => 1.0,
        })
    }
}

/// Where an incident sits, and how strong it is, unless told otherwise.
const fn usual(incident: Incident) -> (Spot, f64) {
    match incident {
        Incident::SlowSql => (Spot::Statement(Stmt::OrderHistory), 30.0),
        Incident::Cpu => (Spot::Host(BUSY_HOST), BUSY_LOAD),
        Incident::Gc => (Spot::Service(Svc::Search), 1.0),
        Incident::DependencyErrors => (Spot::Provider, 0.8),
        Incident::NPlusOne => (Spot::Service(Svc::Catalog), 1.0),
        Incident::BadDeploy => (Spot::Service(Svc::Cart), 1.0),
        Incident::Lock => (Spot::Statement(Stmt::StockReserve), 1200.0),
        Incident::NetworkDelay => (Spot::Edge(Svc::Checkout, Svc::Payment), 80.0),
        Incident::PoolExhaustion => (Spot::Service(Svc::Orders), 300.0),
        Incident::TrafficSurge => (Spot::All, 2.6),
        Incident::NoisyNeighbour => (Spot::Host(NOISY_HOST), 9.0),
        Incident::MemoryLeak => (Spot::Service(Svc::Recommendation), 250.0),
        Incident::DiskFull => (Spot::Store(Store::Orders), 0.9),
    }
}

fn service(name: &str) -> Option<Svc> {
    SERVICES.iter().find(|s| s.name == name).map(|s| s.svc)
}

fn host(name: &str) -> Option<usize> {
    HOST_NAMES.iter().position(|host| *host == name)
}

fn statement(text: &str) -> Option<Stmt> {
    STATEMENTS.iter().position(|s| s.text == text).and_then(Stmt::numbered)
}

fn entry(name: &str) -> Option<OpId> {
    ENTRIES.iter().map(|e| e.0).find(|op| op.facts().name == name)
}

/// The page behind an entry operation.
fn page_of(entry: OpId) -> Option<OpId> {
    entry.facts().calls().find_map(|call| match call.what {
        What::Forward(page) => Some(page),
        _ => None,
    })
}

fn processes(place: &Place) -> Option<Spot> {
    match place {
        Place::Service(name) => service(name).map(Spot::Service),
        Place::Instance(name, replica) if usize::from(*replica) < REPLICAS => {
            service(name).map(|svc| Spot::Instance(svc.instance(usize::from(*replica))))
        }
        _ => None,
    }
}

fn peer(address: &str) -> Option<Spot> {
    match address {
        PROVIDER => Some(Spot::Provider),
        BROKER => Some(Spot::Broker),
        _ if address == STORES[0].address => Some(Spot::Store(Store::Orders)),
        _ if address == STORES[2].address => Some(Spot::Store(Store::Cache)),
        _ => None,
    }
}

/// The spot of a place; `None` if the shop or the incident does not have it.
pub(crate) fn spot_of(incident: Incident, place: &Place) -> Option<Spot> {
    match (incident, place) {
        (Incident::SlowSql | Incident::Lock, Place::Statement(text)) => {
            let stmt = statement(text)?;
            let fits = match incident {
                Incident::Lock => stmt.locks_rows(),
                _ => stmt.facts().store != Store::Cache,
            };
            fits.then_some(Spot::Statement(stmt))
        }
        (Incident::Cpu | Incident::NoisyNeighbour, Place::Host(name)) => host(name).map(Spot::Host),
        (Incident::Gc, _) => processes(place).filter(|spot| {
            Instance::all().any(|i| spot.holds(i) && i.service().language == Language::Java)
        }),
        (Incident::MemoryLeak, _) => processes(place),
        (Incident::NPlusOne, Place::Service(name)) => service(name)
            .filter(|svc| LISTS.iter().any(|l| l.0.facts().service == *svc))
            .map(Spot::Service),
        (Incident::PoolExhaustion, Place::Service(name)) => {
            service(name).filter(|svc| svc.pool().is_some()).map(Spot::Service)
        }
        (Incident::BadDeploy, Place::Service(name)) => service(name).map(Spot::Service),
        (Incident::NetworkDelay, Place::Edge(from, to)) => {
            let edge = (service(from)?, service(to)?);
            edges().contains(&edge).then_some(Spot::Edge(edge.0, edge.1))
        }
        (Incident::TrafficSurge, Place::Entry(name)) => entry(name).map(Spot::Entry),
        (Incident::DependencyErrors, Place::Peer(address)) => {
            peer(address).filter(|spot| matches!(spot, Spot::Provider | Spot::Store(Store::Cache)))
        }
        (Incident::DiskFull, Place::Peer(address)) => {
            peer(address).filter(|spot| *spot != Spot::Provider)
        }
        _ => None,
    }
}

/// What the n-plus-one versions ask: operation, the list's statement, the statement asked for each
/// listed row, and the rows of a list.
pub(crate) static LISTS: [(OpId, Stmt, Stmt, u32); 5] = [
    (OpId::CatalogFeatured, Stmt::ProductsFeatured, Stmt::ProductById, 24),
    (OpId::CatalogBatch, Stmt::ProductsByIds, Stmt::ProductById, 12),
    (OpId::OrderHistory, Stmt::OrderHistory, Stmt::OrderLines, 20),
    (OpId::PriceBatch, Stmt::PriceRules, Stmt::PriceRules, 12),
    (OpId::SearchQuery, Stmt::SearchFacets, Stmt::ProductById, 30),
];

/// Caller and callee of every edge with a client span.
pub(crate) fn edges() -> Vec<(Svc, Svc)> {
    let mut edges = Vec::new();
    for op in OPS {
        edges.extend(op.calls().filter_map(|call| match call.what {
            What::Ask(callee) => Some((op.service, callee.facts().service)),
            _ => None,
        }));
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// A harmless change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Harmless {
    Deploy(Svc),
    Traffic(f64),
    Batch(usize, f64),
    /// The page behind the entry operation.
    SlowEntry(OpId, f64),
    LogPattern(Svc),
    Drift(Svc, f64),
    Statement(Stmt, f64),
    ScaleOut(Svc),
}

/// A harmless change in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shift {
    pub(crate) what: Harmless,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Shift {
    /// `None` if it names something the shop does not have.
    pub(crate) fn new(coincidence: &Coincidence) -> Option<Self> {
        let what = match &coincidence.change {
            Change::Deploy(name) => Harmless::Deploy(service(name)?),
            Change::Traffic(factor) => Harmless::Traffic(factor.clamp(0.0, 10.0)),
            Change::Batch(name, cores) => Harmless::Batch(host(name)?, *cores),
            Change::SlowEntry(name, ms) => Harmless::SlowEntry(page_of(entry(name)?)?, *ms),
            Change::LogPattern(name) => Harmless::LogPattern(service(name)?),
            Change::Drift(name, factor) => Harmless::Drift(service(name)?, *factor),
            Change::Statement(text, factor) => Harmless::Statement(statement(text)?, *factor),
            Change::ScaleOut(name) => Harmless::ScaleOut(service(name)?),
        };
        let (from, to) =
            (coincidence.from_ns.div_euclid(NANOS), coincidence.to_ns.div_euclid(NANOS));
        Some(Self { what, from, to })
    }

    pub(crate) fn active(&self, second: i64) -> bool {
        self.from <= second && second < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_those_of_the_call_graph() {
        let edges = edges();
        assert_eq!(edges.len(), 18);
        assert!(edges.contains(&(Svc::Checkout, Svc::Payment)));
        assert!(!edges.contains(&(Svc::EdgeGateway, Svc::WebFrontend)), "it has no client span");
    }

    #[test]
    fn a_place_that_does_not_fit_counts_as_the_usual_one() {
        let strange = [
            (Incident::Gc, Place::Service("cart".into())),
            (Incident::Lock, Place::Statement(STATEMENTS[5].text.into())),
            (Incident::Cpu, Place::Host("nowhere".into())),
            (Incident::DiskFull, Place::Peer(PROVIDER.into())),
            (Incident::NetworkDelay, Place::Edge("cart".into(), "payment".into())),
            (Incident::MemoryLeak, Place::Instance("cart".into(), 3)),
        ];
        for (incident, place) in strange {
            let fault = Fault { incident, place, strength: None, from_ns: 0, to_ns: NANOS };
            let trouble = Trouble::new(&fault);
            assert_eq!((trouble.spot, trouble.strength), usual(incident));
        }
    }
}
