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
    /// Requests whose first span was not received, as whoever was called first sees them; by when they began.
    rootless: Vec<Profile>,
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
    let mut slices: Vec<(TimeRange, Builders)> = Vec::new();
    let mut stretches: Vec<TimeRange> = Vec::new();
    let mut failing = BTreeMap::new();
    let each = |stretch: TimeRange, parts: usize, chain: &Chain| {
        if stretches.last() != Some(&stretch) {
            stretches.push(stretch);
            let own = split(stretch, SLICES.div_ceil(parts));
            slices.extend(own.into_iter().map(|slice| (slice, Builders::default())));
        }
        if chain.request_in(stretch).is_some() {
            add_failing(&mut failing, chain);
        }
        for (slice, builders) in &mut slices {
            if stretch.contains(slice.from()) {
                builders.add(chain, *slice, &scope);
            }
        }
    };
    let met = Box::pin(chains(&session, range, each)).await?;
    let finished = slices.into_iter().map(|(_, b)| (b.whole.finish(), b.rootless.finish()));
    let (slices, rootless): (Vec<Profile>, Vec<Profile>) = finished.unzip();
    let profile = merged(&slices);
    let places = met.places.into_iter().collect();
    let lacking = profile.rootless as f64;
    let chains = profile.requests() as f64 + lacking;
    let figures = Figures { rootless: lacking / chains.max(1.0), ..met.figures };
    Ok(Sample { profile, slices, rootless, failing, places, figures })
}

fn merged(slices: &[Profile]) -> Profile {
    let mut profile = Profile::default();
    for slice in slices {
        profile.merge(slice);
    }
    profile
}

/// Takes requests whose first span was not received for requests if that are most of both windows: what lets users in, sends
/// no spans.
pub(super) fn adopt_rootless(samples: [&mut Sample; 2]) {
    let all = |of: fn(&Sample) -> u64| samples.iter().map(|sample| of(sample)).sum::<u64>();
    let whole = all(|sample| sample.profile.requests());
    let rootless = all(|sample| sample.rootless.iter().map(Profile::requests).sum());
    if rootless <= whole {
        return;
    }
    for sample in samples {
        for (slice, rootless) in sample.slices.iter_mut().zip(&sample.rootless) {
            slice.merge(rootless);
        }
        sample.profile = merged(&sample.slices);
    }
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

/// Requests of a slice being gathered.
#[derive(Debug, Default)]
struct Builders {
    whole: ProfileBuilder,
    rootless: ProfileBuilder,
}

impl Builders {
    /// Adds the requests of a call chain that begin in a slice.
    fn add(&mut self, chain: &Chain, slice: TimeRange, scope: &Scope) {
        let remote = |node: &Node| chain.remote(node);
        let place = |node: &Node| chain.detail(node)?.instance.clone();
        let nodes = &chain.chain.nodes;
        if scope.is_all() {
            let Some(root) = chain.request_in(slice) else { return };
            if self.whole.add(&chain.chain, remote, place) {
                return;
            }
            let is_called = |at: &usize| {
                let node = nodes.get(*at);
                node.is_some_and(|node| !node.is_async && node.kind != SpanKind::Consumer)
            };
            for called in chain.chain.children(root).filter(is_called) {
                self.rootless.add_from(&chain.chain, called, remote, place);
            }
            return;
        }
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| scope.has(node)) {
            let parent = node.parent.and_then(|parent| nodes.get(parent));
            let enters = parent.is_none_or(|parent| parent.is_synthetic || !scope.has(parent))
                && !matches!(node.kind, SpanKind::Client | SpanKind::Producer);
            if enters && slice.contains(node.start_ns) && !node.is_synthetic {
                self.whole.add_from(&chain.chain, at, remote, place);
            }
        }
    }
}
