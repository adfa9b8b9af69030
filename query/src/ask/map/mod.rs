//! The service map: calls between services and to what sends no spans, from the call chains of a window.
//!
//! Reading order: `calls` (the calls of one chain), `gather` (sums of many), `complete` (what a sample lacks), and the
//! answer here.

mod calls;
mod complete;
mod gather;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use headrope_analysis::dependency::graph::cycles;
use headrope_model::TimeRange;

pub(in crate::ask) use self::calls::serving;
use self::gather::{Gathered, Node, Sums};
use super::chains::{Chain, chains};
use super::condition;
use super::dependency;
use super::measure::{MEASURES, Measure, Measures};
use crate::answer::SpanScope;
use crate::answer::map::{CycleRow, DependencyRow, Map, MapEdge, MapNode, Red};
use crate::column::Columns;
use crate::engine::Session;
use crate::error::QueryError;

/// Share of the requests from which on a sample is not one.
const WHOLE: f64 = 1.0 - 1e-9;

pub(crate) async fn map(session: &Session, range: TimeRange) -> Result<Map, QueryError> {
    let mut gathered = Gathered::default();
    let each = |stretch: TimeRange, _: usize, chain: &Chain| gathered.add(chain, stretch);
    let met = Box::pin(chains(session, range, each)).await?;
    if met.figures.sampled < WHOLE {
        gathered.scale(met.figures.sampled.max(f64::MIN_POSITIVE));
        let outgoing = dependency::outgoing(session, None, range).await?;
        gathered.complete(outgoing, requests(session, range).await?);
    }
    gathered.settle();
    let places = |id: &str| {
        let own = met.places.iter().filter(|place| &*place.service == id);
        let mut hosts: Vec<String> = own
            .clone()
            .filter_map(|place| place.host.as_ref().or(place.node.as_ref()))
            .map(ToString::to_string)
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut instances: Vec<&Arc<str>> =
            own.filter_map(|place| place.instance.as_ref().or(place.pod.as_ref())).collect();
        instances.sort_unstable();
        instances.dedup();
        (instances.len() as u64, hosts)
    };
    let node = |(id, node): (&Arc<str>, &Node)| {
        let (instances, hosts) = places(id);
        MapNode {
            id: id.to_string(),
            kind: node.kind,
            red: red(&node.sums, range),
            is_entry: node.is_entry,
            instances,
            hosts,
        }
    };
    let mut nodes: Vec<MapNode> = gathered.nodes.iter().map(node).collect();
    nodes.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
    Ok(Map {
        nodes,
        edges: edges(&gathered, range),
        cycles: circles(&gathered),
        critical_chains: gathered.critical_chains(),
        sampled: met.figures.sampled,
        spans: met.figures.spans,
        window: range.into(),
    })
}

/// What each service was asked for.
async fn requests(
    session: &Session,
    range: TimeRange,
) -> Result<BTreeMap<String, Measure>, QueryError> {
    let (condition, params) = condition(range, SpanScope::Entry, None);
    let sql = format!("SELECT service_name, {MEASURES} FROM spans WHERE {condition} GROUP BY 1");
    let mut found = BTreeMap::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (names, measures) = (columns.texts("service_name")?, Measures::of(&columns)?);
        for row in 0..batch.num_rows() {
            found.insert(names.owned(row), measures.get(row)?);
        }
    }
    Ok(found)
}

fn red(sums: &Sums, range: TimeRange) -> Red {
    let quantile = |q: f64| sums.sketch.quantile(q).map_or(0, |ns| ns.round() as i64);
    let seconds = (range.duration_ns() as f64 / 1e9).max(1e-9);
    Red {
        calls: sums.calls.round() as u64,
        errors: sums.errors.round() as u64,
        rate: sums.calls / seconds,
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
    }
}

fn edges(gathered: &Gathered, range: TimeRange) -> Vec<MapEdge> {
    let edge = |((caller, callee), edge): (&(Arc<str>, Arc<str>), &gather::Edge)| {
        let strength = edge.outcomes.strength();
        let of = strength.outcomes;
        MapEdge {
            caller: caller.to_string(),
            callee: callee.to_string(),
            kind: edge.kind().to_owned(),
            red: red(&edge.sums, range),
            strength: strength.strength.name(),
            dependency: DependencyRow {
                both_failed: of.both_failed,
                callee_failed: of.callee_failed,
                caller_failed: of.caller_failed,
                none_failed: of.none_failed,
                given_failure: [strength.given_failure.low, strength.given_failure.high],
                slope: edge.moments.slope().map(|slope| slope.slope),
            },
        }
    };
    gathered.edges.iter().map(edge).collect()
}

fn circles(gathered: &Gathered) -> Vec<CycleRow> {
    let names: Vec<&Arc<str>> = gathered.nodes.keys().collect();
    let number =
        |name: &Arc<str>| names.binary_search(&name).ok().and_then(|at| u32::try_from(at).ok());
    let pairs: Vec<(u32, u32)> =
        gathered.edges.keys().filter_map(|(a, b)| Some((number(a)?, number(b)?))).collect();
    let name = |at: &u32| names.get(*at as usize).map(|name| Arc::clone(name));
    let row = |cycle: headrope_analysis::dependency::graph::Cycle| {
        let shortest: Vec<Arc<str>> = cycle.shortest.iter().filter_map(name).collect();
        let first = shortest.first().cloned().unwrap_or_default();
        let second = shortest.get(1).or(shortest.first()).cloned().unwrap_or_default();
        let trace = gathered.edges.get(&(first, second)).and_then(|edge| edge.example);
        CycleRow {
            members: cycle.members.iter().filter_map(name).map(|n| n.to_string()).collect(),
            shortest: shortest.iter().map(ToString::to_string).collect(),
            trace_id: trace.map(|id| id.to_string()),
        }
    };
    cycles(&pairs).into_iter().map(row).collect()
}
