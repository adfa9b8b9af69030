//! How well spans, metrics and logs join, and what to add.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headrope_analysis::verdict::Owner;
use headrope_model::{DataSet, TimeRange};
use tokio_util::task::AbortOnDropHandle;

use super::chains::{Chain, Place, chains};
use super::entity::series::{Series, series};
use super::entity::signal::Use;
use super::entity::{Entities, Join, collector_host, subject};
use super::{IN_RANGE, bounded, in_range};
use crate::answer::coverage::{Coverage, PeerCoverage, ServiceCoverage};
use crate::column::{Columns, count};
use crate::engine::Session;
use crate::error::QueryError;

/// Spans of services with metrics of their own below which more are advised.
const ENOUGH: f64 = 0.8;

/// Names in a piece of advice.
const NAMED: usize = 5;

/// What was counted of a service.
#[derive(Debug, Default)]
struct Counted {
    spans: u64,
    with_instance: u64,
    with_host: u64,
    with_version: u64,
    logs: u64,
    logs_with_trace: u64,
    measures: BTreeSet<&'static str>,
    joined_by: Option<Join>,
    hosts: BTreeSet<Arc<str>>,
}

pub(crate) async fn coverage(
    session: &Arc<Session>,
    range: TimeRange,
) -> Result<Coverage, QueryError> {
    let range = bounded(range, session.snapshot(), DataSet::Spans);
    let found = AbortOnDropHandle::new(tokio::spawn(series(Arc::clone(session), range)));
    let mut peers: BTreeSet<Arc<str>> = BTreeSet::new();
    let each = |_: TimeRange, _: usize, chain: &Chain| {
        let remote = |node| chain.remote(node).map(|peer| peer.name);
        for peer in chain.chain.nodes.iter().filter_map(remote) {
            if !peers.contains(&peer) {
                peers.insert(peer);
            }
        }
    };
    let met = Box::pin(chains(session, range, each)).await?;
    let mut services = counted(session, range).await?;
    note_places(&mut services, met.places.iter());
    let entities = Entities::of(met.places.iter(), peers.clone());
    let found =
        found.await.map_err(|e| QueryError::Engine(format!("series of metrics: {e}")))??;
    let joined = Joined::of(&entities, &found, &mut services);
    let collector = collector_host(met.places.iter());
    Ok(answer(services, &peers, &joined, collector, range))
}

/// Spans and logs of each service.
async fn counted(
    session: &Session,
    range: TimeRange,
) -> Result<BTreeMap<Arc<str>, Counted>, QueryError> {
    let mut services: BTreeMap<Arc<str>, Counted> = BTreeMap::new();
    let sql = format!(
        "SELECT service_name, service_instance_id IS NOT NULL AS has_instance, \
         host_name IS NOT NULL AS has_host, service_version IS NOT NULL AS has_version, \
         count(*) AS calls FROM spans WHERE {IN_RANGE} GROUP BY 1, 2, 3, 4"
    );
    for batch in session.rows(&sql, in_range(range)).await? {
        let columns = Columns(&batch);
        let (names, calls) = (columns.texts("service_name")?, columns.ints("calls")?);
        let instance = columns.bools("has_instance")?;
        let (host, version) = (columns.bools("has_host")?, columns.bools("has_version")?);
        for row in 0..batch.num_rows() {
            let of = services.entry(names.text(row).into()).or_default();
            let calls = count(&calls, row);
            of.spans += calls;
            of.with_instance += if instance.value(row) { calls } else { 0 };
            of.with_host += if host.value(row) { calls } else { 0 };
            of.with_version += if version.value(row) { calls } else { 0 };
        }
    }
    let sql = "SELECT service_name, count(*) AS records, count(trace_id) AS with_trace FROM logs \
         WHERE time >= $from AND time < $to GROUP BY 1";
    for batch in session.rows(sql, in_range(range)).await? {
        let columns = Columns(&batch);
        let names = columns.texts("service_name")?;
        let (records, with_trace) = (columns.ints("records")?, columns.ints("with_trace")?);
        for row in 0..batch.num_rows() {
            if let Some(of) = services.get_mut(names.text(row)) {
                of.logs += count(&records, row);
                of.logs_with_trace += count(&with_trace, row);
            }
        }
    }
    Ok(services)
}

/// What spans say of where services run. Pods and nodes stand for instances and hosts.
fn note_places<'a>(
    services: &mut BTreeMap<Arc<str>, Counted>,
    places: impl Iterator<Item = &'a Place>,
) {
    for place in places {
        let Some(of) = services.get_mut(&place.service) else { continue };
        of.hosts.extend(place.host.iter().chain(&place.node).cloned());
        if place.pod.is_some() && of.with_instance == 0 {
            of.with_instance = of.spans;
        }
        if place.node.is_some() && of.with_host == 0 {
            of.with_host = of.spans;
        }
    }
}

/// What series were found to be of.
#[derive(Debug, Default)]
struct Joined {
    hosts: BTreeMap<Arc<str>, BTreeSet<&'static str>>,
    peers: BTreeMap<Arc<str>, BTreeSet<&'static str>>,
    series: u64,
    nobodys: u64,
}

impl Joined {
    fn of(
        entities: &Entities,
        series: &[Series],
        services: &mut BTreeMap<Arc<str>, Counted>,
    ) -> Self {
        let mut joined = Self::default();
        for one in series {
            let Use::Reading(measure) = one.signal.says else { continue };
            joined.series += 1;
            let owners = entities.owners(one.signal.side, &subject(&one.labels));
            joined.nobodys += u64::from(owners.is_empty());
            for (owner, by) in owners {
                match owner {
                    Owner::Service(service, _) => {
                        let Some(of) = services.get_mut(&service) else { continue };
                        of.measures.insert(measure.name());
                        of.joined_by = of.joined_by.max(Some(by));
                    }
                    Owner::Host(host) => {
                        joined.hosts.entry(host).or_default().insert(measure.name());
                    }
                    Owner::Store(peer) => {
                        joined.peers.entry(peer).or_default().insert(measure.name());
                    }
                }
            }
        }
        joined
    }
}

fn answer(
    services: BTreeMap<Arc<str>, Counted>,
    peers: &BTreeSet<Arc<str>>,
    joined: &Joined,
    collector: Option<Arc<str>>,
    range: TimeRange,
) -> Coverage {
    let share = |part: u64, all: u64| if all > 0 { part as f64 / all as f64 } else { 0.0 };
    let spans: u64 = services.values().map(|of| of.spans).sum();
    let with_host: u64 = services.values().map(|of| of.with_host).sum();
    let measured = services.values().filter(|of| !of.measures.is_empty());
    let with_metrics: u64 = measured.map(|of| of.spans).sum();
    let row = |(name, of): (&Arc<str>, &Counted)| {
        let hosts = of.hosts.iter().filter_map(|host| joined.hosts.get(host));
        let host_measures: BTreeSet<&'static str> = hosts.flatten().copied().collect();
        ServiceCoverage {
            service: name.to_string(),
            spans: of.spans,
            with_instance: share(of.with_instance, of.spans),
            with_host: share(of.with_host, of.spans),
            with_version: share(of.with_version, of.spans),
            measures: of.measures.iter().copied().collect(),
            joined_by: of.joined_by.map(Join::name),
            host_measures: host_measures.into_iter().collect(),
            logs: of.logs,
            logs_with_trace: share(of.logs_with_trace, of.logs),
        }
    };
    let mut rows: Vec<ServiceCoverage> = services.iter().map(row).collect();
    rows.sort_by(|a, b| b.spans.cmp(&a.spans).then_with(|| a.service.cmp(&b.service)));
    let peer = |name: &Arc<str>| PeerCoverage {
        peer: name.to_string(),
        measures: joined.peers.get(name).into_iter().flatten().copied().collect(),
    };
    let mut coverage = Coverage {
        services: rows,
        peers: peers.iter().map(peer).collect(),
        spans_with_host: share(with_host, spans),
        spans_with_metrics: share(with_metrics, spans),
        series: [joined.series, joined.nobodys],
        collector_host: collector.map(|host| host.to_string()),
        advice: Vec::new(),
        window: range.into(),
    };
    coverage.advice = advice(&coverage);
    coverage
}

/// What to add, what most spans lack first.
fn advice(coverage: &Coverage) -> Vec<String> {
    let names = |lacks: &dyn Fn(&ServiceCoverage) -> bool| {
        let lacking = coverage.services.iter().filter(|service| lacks(service));
        let names: Vec<&str> = lacking.map(|service| service.service.as_str()).collect();
        match names.len() {
            0 => None,
            n => {
                let shown: Vec<&str> = names.into_iter().take(NAMED).collect();
                let more = n.saturating_sub(NAMED);
                let others = if more > 0 { format!(" and {more} more") } else { String::new() };
                Some(format!("{}{others}", shown.join(", ")))
            }
        }
    };
    let mut advice = Vec::new();
    if let Some(host) = &coverage.collector_host {
        advice.push(format!(
            "all spans name the host {host} though they run on several: let the SDK or an agent on each host set host.name, not \
             the collector"
        ));
    }
    if coverage.spans_with_host < ENOUGH
        && let Some(names) = names(&|service| service.with_host < ENOUGH)
    {
        advice.push(format!("set host.name or k8s.node.name on the spans of {names}"));
    }
    if let Some(names) = names(&|service| service.with_instance < ENOUGH) {
        advice.push(format!("set service.instance.id or k8s.pod.name on the spans of {names}"));
    }
    if coverage.spans_with_metrics < ENOUGH
        && let Some(names) = names(&|service| service.measures.is_empty())
    {
        advice.push(format!(
            "send metrics of process, runtime or container of {names}, with the same service.instance.id, k8s.pod.name or \
             container.id as their spans"
        ));
    }
    if let Some(names) = names(&|service| service.host_measures.is_empty()) {
        advice
            .push(format!("run an agent on the hosts of {names}: nothing says how busy they are"));
    }
    let blind: Vec<&str> = coverage
        .peers
        .iter()
        .filter(|peer| peer.measures.is_empty() && peer.peer.contains(' '))
        .map(|peer| peer.peer.as_str())
        .take(NAMED)
        .collect();
    if !blind.is_empty() {
        advice.push(format!(
            "let a receiver watch {}: locks, disk and CPU are not known",
            blind.join(", ")
        ));
    }
    if let Some(names) = names(&|service| service.with_version < ENOUGH) {
        advice.push(format!("set service.version on {names}: releases are not seen without"));
    }
    if let Some(names) = names(&|service| service.logs > 0 && service.logs_with_trace < ENOUGH) {
        advice.push(format!("put trace_id into the logs of {names}"));
    }
    advice
}
