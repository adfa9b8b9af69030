//! Requests of a window as a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headrope_analysis::dependency::Outcomes;
use headrope_analysis::ledger::{Profile, ProfileBuilder};
use headrope_analysis::verdict::Told;
use headrope_analysis::{Node, SpanKind, SpanStatus};
use headrope_model::TimeRange;

use crate::ask::chains::{Chain, Figures, Place, chains};
use crate::ask::map::serving;
use crate::engine::Session;
use crate::error::QueryError;

/// Slices of a window that tell how much it varies by itself.
const SLICES: usize = 4;

/// Which requests count.
#[derive(Debug, Clone, Default)]
pub(in crate::ask) struct Scope {
    /// As this service sees them.
    pub(in crate::ask) service: Option<String>,
    /// Of this operation.
    pub(in crate::ask) operation: Option<String>,
}

impl Scope {
    fn has(&self, node: &Node) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| w == name);
        is(&self.service, &node.service) && is(&self.operation, &node.name)
    }

    const fn is_all(&self) -> bool {
        self.service.is_none() && self.operation.is_none()
    }
}

/// Requests of a window.
#[derive(Debug, Default)]
pub(in crate::ask) struct Sample {
    pub(in crate::ask) profile: Profile,
    /// The same by when requests began.
    pub(in crate::ask) slices: Vec<Profile>,
    /// Of what is called, requests in which every call of it failed, and whether they failed, too.
    pub(in crate::ask) failing: BTreeMap<Arc<str>, Outcomes>,
    pub(in crate::ask) places: BTreeSet<Place>,
    pub(in crate::ask) figures: Figures,
}

pub(super) async fn sample(
    session: Arc<Session>,
    range: TimeRange,
    scope: Scope,
) -> Result<Sample, QueryError> {
    let mut slices: Vec<(TimeRange, ProfileBuilder)> = Vec::new();
    let mut stretches: Vec<TimeRange> = Vec::new();
    let mut failing = BTreeMap::new();
    let each = |stretch: TimeRange, parts: usize, chain: &Chain| {
        if stretches.last() != Some(&stretch) {
            stretches.push(stretch);
            let own = split(stretch, SLICES.div_ceil(parts));
            slices.extend(own.into_iter().map(|slice| (slice, ProfileBuilder::default())));
        }
        if chain.request_in(stretch).is_some() {
            add_failing(&mut failing, chain);
        }
        for (slice, profile) in &mut slices {
            if stretch.contains(slice.from()) {
                add(profile, chain, *slice, &scope);
            }
        }
    };
    let met = Box::pin(chains(&session, range, each)).await?;
    let slices: Vec<Profile> = slices.into_iter().map(|(_, profile)| profile.finish()).collect();
    let mut profile = Profile::default();
    for slice in &slices {
        profile.merge(slice);
    }
    let places = met.places.into_iter().collect();
    Ok(Sample { profile, slices, failing, places, figures: met.figures })
}

impl Sample {
    /// Versions of each service that has any.
    pub(super) fn versions(&self, told: Told) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
        let mut versions: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for place in &self.places {
            let version = match told {
                Told::Version => place.version.clone(),
                Told::ReplicaSet => place.replica_set().map(Arc::from),
            };
            if let Some(version) = version {
                versions.entry(Arc::clone(&place.service)).or_default().insert(version);
            }
        }
        versions
    }
}

/// A range in so many parts, one at least.
fn split(range: TimeRange, parts: usize) -> Vec<TimeRange> {
    let parts = i64::try_from(parts).unwrap_or(1).max(1);
    let at = |part: i64| match part == parts {
        true => range.to(),
        false => range.from() + range.duration_ns() / parts * part,
    };
    (0..parts).filter_map(|part| TimeRange::new(at(part), at(part + 1))).collect()
}

/// Counts, of each service's work in a call chain, what it called in vain: once however often. Where another attempt was
/// answered it did not do without.
fn add_failing(failing: &mut BTreeMap<Arc<str>, Outcomes>, chain: &Chain) {
    let nodes = &chain.chain.nodes;
    let failed = |node: &Node| node.status == SpanStatus::Error;
    let is_call = |node: &Node| matches!(node.kind, SpanKind::Client | SpanKind::Producer);
    if !nodes.iter().any(|node| failed(node) && is_call(node)) {
        return;
    }
    let mut answered: BTreeMap<(usize, Arc<str>), bool> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let Some(peer) = chain.remote(node) else { continue };
        *answered.entry((serving(&chain.chain, at), peer.name)).or_default() |= !failed(node);
    }
    for ((within, peer), _) in answered.into_iter().filter(|(_, answered)| !answered) {
        let fails = nodes.get(within).is_some_and(|caller| caller.status == SpanStatus::Error);
        failing.entry(peer).or_default().observe(true, fails);
    }
}

/// Adds the requests of a call chain that begin in a slice.
fn add(profile: &mut ProfileBuilder, chain: &Chain, slice: TimeRange, scope: &Scope) {
    let remote = |node: &Node| chain.remote(node);
    let place = |node: &Node| chain.detail(node)?.instance.clone();
    if scope.is_all() {
        if chain.request_in(slice).is_some() {
            profile.add(&chain.chain, remote, place);
        }
        return;
    }
    let nodes = &chain.chain.nodes;
    for (at, node) in nodes.iter().enumerate().filter(|(_, node)| scope.has(node)) {
        let parent = node.parent.and_then(|parent| nodes.get(parent));
        let enters = parent.is_none_or(|parent| parent.is_synthetic || !scope.has(parent))
            && !matches!(node.kind, SpanKind::Client | SpanKind::Producer);
        if enters && slice.contains(node.start_ns) && !node.is_synthetic {
            profile.add_from(&chain.chain, at, remote, place);
        }
    }
}
