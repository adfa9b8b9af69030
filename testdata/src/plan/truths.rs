//! What really happened, for each planned fault.

use super::spot::{BROKER, LISTS, PROVIDER, Spot, Trouble};
use crate::catalogue::ops::{ENTRIES, OpId};
use crate::catalogue::services::{BROKER_HOST, HOST_NAMES};
use crate::catalogue::statements::{Stmt, Store};
use crate::catalogue::versions::next_minor;
use crate::config::{Incident, Truth};

const NANOS: i64 = 1_000_000_000;

/// The truth of a fault.
pub(super) fn truth(trouble: &Trouble) -> Truth {
    let mut truth = Truth {
        incident: trouble.incident,
        service: String::new(),
        host: String::new(),
        statement: String::new(),
        version: String::new(),
        peer: String::new(),
        cause: trouble.incident.cause().word().to_owned(),
        symptoms: symptoms(trouble).into_iter().map(str::to_owned).collect(),
        from_ns: trouble.from * NANOS,
        to_ns: trouble.to * NANOS,
    };
    match trouble.spot {
        Spot::All => {}
        Spot::Service(svc) => truth.service = svc.facts().name.into(),
        Spot::Instance(instance) => {
            truth.service = instance.service().name.into();
            truth.host = HOST_NAMES[instance.host()].into();
        }
        Spot::Host(host) => truth.host = HOST_NAMES[host].into(),
        Spot::Statement(stmt) => {
            truth.service = stmt.owner().map_or("", |svc| svc.facts().name).into();
            truth.statement = stmt.facts().summary.into();
            truth.peer = stmt.facts().store.facts().address.into();
        }
        Spot::Edge(caller, callee) => {
            truth.service = caller.facts().name.into();
            truth.peer = format!("{}.shop.svc", callee.facts().name);
        }
        Spot::Entry(op) => truth.service = op.facts().service.facts().name.into(),
        Spot::Store(store) => truth.peer = store.facts().address.into(),
        Spot::Broker => truth.peer = BROKER.into(),
        Spot::Provider => {
            truth.service = "payment".into();
            truth.peer = PROVIDER.into();
        }
    }
    match (trouble.incident, trouble.spot) {
        (Incident::NPlusOne, Spot::Service(svc)) => {
            let list = LISTS.iter().find(|list| list.0.facts().service == svc);
            truth.statement = list.map_or("", |list| list.2.facts().summary).into();
            truth.version = next_minor(svc.facts().version);
        }
        (Incident::BadDeploy, Spot::Service(svc)) => {
            truth.version = next_minor(svc.facts().version);
        }
        (Incident::DiskFull, Spot::Store(store)) => {
            truth.host = HOST_NAMES[store.facts().host].into();
        }
        (Incident::DiskFull, Spot::Broker) => truth.host = HOST_NAMES[BROKER_HOST].into(),
        _ => {}
    }
    truth
}

/// Entry operations that users saw slow or failing: those whose requests pass the place.
fn symptoms(trouble: &Trouble) -> Vec<&'static str> {
    let named: &[&str] = match (trouble.incident, trouble.spot) {
        (Incident::SlowSql, Spot::Statement(Stmt::OrderHistory)) => &["GET /orders"],
        (Incident::Cpu, _) => {
            &["GET /", "GET /product/{id}", "GET /search", "POST /checkout", "GET /cart"]
        }
        (Incident::NPlusOne, Spot::Service(svc)) if svc.facts().name == "catalog" => &["GET /"],
        (Incident::BadDeploy, Spot::Service(svc)) if svc.facts().name == "cart" => {
            &["POST /cart/items", "GET /cart", "POST /checkout"]
        }
        (_, Spot::Entry(op)) => return vec![op.facts().name],
        _ => {
            return ENTRIES
                .iter()
                .map(|e| e.0)
                .filter(|op| passes(*op, trouble.spot))
                .map(|op| op.facts().name)
                .collect();
        }
    };
    named.to_vec()
}

/// Whether requests for the operation pass the spot on the way to their answer.
fn passes(op: OpId, spot: Spot) -> bool {
    op.reaches(&|caller, what| {
        use crate::catalogue::graph::What;
        let service = caller.facts().service;
        match spot {
            Spot::All | Spot::Host(_) | Spot::Entry(_) => true,
            Spot::Service(svc) => service == svc,
            Spot::Instance(instance) => service == instance.service().svc,
            Spot::Statement(stmt) => matches!(what, Some(What::Query(s)) if s == stmt),
            Spot::Store(store) => {
                matches!(what, Some(What::Query(s)) if s.facts().store == store
                    && (store != Store::Orders || s.writes()))
            }
            Spot::Edge(from, to) => {
                service == from
                    && matches!(what, Some(What::Ask(callee)) if callee.facts().service == to)
            }
            Spot::Broker => matches!(what, Some(What::Publish)),
            Spot::Provider => matches!(what, Some(What::Charge)),
        }
    })
}
