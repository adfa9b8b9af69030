//! Capacity: how much traffic services can take ([`headrope_analysis::capacity`] over roll-ups and metrics), and
//! what gives way first when it grows.
//!
//! Reading order: `load` (requests by minute), `cpu` (CPU by minute), `sample` (traces of some stretches), `fit`
//! (a class of instances), `service` (a service), `what_if`.

mod cpu;
mod fit;
mod load;
mod sample;
mod service;
mod what_if;

use std::collections::{BTreeMap, BTreeSet};

use headrope_model::{DataSet, TimeRange};

use self::fit::{Class, Served};
use self::load::{DAY_NS, Steps};
use self::sample::Place;
use super::bounded;
use crate::answer::capacity::{Capacity, CapacityQuery, ServiceCapacity};
use crate::engine::Session;
use crate::error::QueryError;

pub(crate) use what_if::what_if;

/// Longest time loads are fitted to: the last days, which tell of what runs now.
const FITTED_NS: i64 = 6 * DAY_NS;

pub(crate) async fn capacity(
    session: &Session,
    query: &CapacityQuery,
) -> Result<Capacity, QueryError> {
    let range = bounded(query.range, session.snapshot(), DataSet::Spans);
    let seen = load::stored(session, range);
    let from = seen.from().max(seen.to().saturating_sub(FITTED_NS));
    let steps = Steps::of(TimeRange::new(from, seen.to()).unwrap_or(seen));
    let only = query.service.as_deref();
    let mut operations = Box::pin(load::operations(session, steps, only)).await?;
    let mut days = Box::pin(load::days(session, range, only)).await?;
    let mut services = Box::pin(classes(session, steps, only)).await?;
    // Services of which only days are left.
    for service in days.keys() {
        services.entry(service.clone()).or_default();
    }
    let answer = |(service, classes): (String, BTreeMap<Class, Vec<Served>>)| {
        let operations = operations.remove(&service).unwrap_or_default();
        let days = days.remove(&service).unwrap_or_default();
        service::service(service, classes, operations, &days, steps)
    };
    let mut services: Vec<ServiceCapacity> = services.into_iter().map(answer).collect();
    let order = |service: &ServiceCapacity| service.headroom.map_or(f64::INFINITY, |h| h.value);
    services.sort_by(|a, b| order(a).total_cmp(&order(b)));
    let (fitted, step_ns) = (steps.seen().into(), steps.times.step_ns());
    Ok(Capacity { window: range.into(), fitted, step_ns, services })
}

/// Instances of each service with their requests and their CPU.
async fn classes(
    session: &Session,
    steps: Steps,
    only: Option<&str>,
) -> Result<BTreeMap<String, BTreeMap<Class, Vec<Served>>>, QueryError> {
    let instances = Box::pin(load::instances(session, steps, only)).await?;
    let cpu = Box::pin(cpu::cpu(session, steps, only)).await?;
    let places = Box::pin(sample::places(session, steps.seen())).await?;
    let (alone, types) = (alone(&places), fit::host_types(&places));
    let mut found: BTreeMap<String, BTreeMap<Class, Vec<Served>>> = BTreeMap::new();
    for (instance, done) in instances {
        let cpu = fit::measured(&instance, &cpu, &places, &alone);
        let host_type = instance.host.as_deref().and_then(|host| types.get(host).copied());
        let class = (instance.version, host_type.map(str::to_owned));
        let of_service = found.entry(instance.service).or_default();
        of_service.entry(class).or_default().push(Served { done, cpu });
    }
    Ok(found)
}

/// Hosts on which one service runs.
fn alone(places: &[Place]) -> BTreeSet<String> {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for place in places {
        if let Some(host) = &place.host {
            services.entry(host).or_default().insert(&place.service);
        }
    }
    let alone = services.into_iter().filter(|(_, services)| services.len() == 1);
    alone.map(|(host, _)| host.to_owned()).collect()
}
