//! The verdict: both windows are sampled, machines are asked, [`headrope_analysis::verdict`] judges.
//!
//! Reading order: `sample` (requests to a profile), `readings` (series of metrics of both windows), `card` (the answer), `degrade`
//! (what requests can do without), `logs` (what the culprit's logs say).

mod card;
mod degrade;
mod logs;
mod readings;
mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headrope_analysis::dependency::Outcomes;
use headrope_analysis::verdict::{Inputs, Release, Told, judge};
use headrope_model::{DataSet, TimeRange};
use tokio_util::task::AbortOnDropHandle;

pub(super) use self::readings::Readings;
pub(super) use self::sample::{Sample, Scope};
use super::entity::hosts_of;
use super::entity::series::series as series_of;
use super::{bounded, reference_of};
use crate::answer::verdict::{Verdict, VerdictQuery};
use crate::engine::Session;
use crate::error::QueryError;

pub(crate) async fn verdict(
    session: &Arc<Session>,
    query: &VerdictQuery,
) -> Result<Verdict, QueryError> {
    let window = bounded(query.range, session.snapshot(), DataSet::Spans);
    let (reference, _) = reference_of(query.reference, window);
    let scope = Scope { service: query.service.clone(), operation: query.operation.clone() };
    let Observed { was, is, readings } = observe(session, reference, window, scope).await?;
    let inputs = Inputs {
        releases: releases(&was, &is),
        hosts: hosts(&was, &is, &readings),
        failing: failing([&was, &is]),
        load: load((&was, reference), (&is, window)),
        readings: readings.found,
        reference: was.profile,
        slices: was.slices,
        window: is.profile,
    };
    let judgement = judge(&inputs);
    let figures = [was.figures, is.figures];
    let mut found = card::card(query, reference, &inputs, judgement, figures);
    if let (true, Some(first)) = (found.confident, found.culprits.first()) {
        let said = logs::evidence(session, (reference, window), &first.service);
        found.evidence.extend(Box::pin(said).await?);
    }
    Ok(found)
}

/// Requests of both windows, and what machines and middleware say of both.
pub(super) struct Observed {
    pub(super) was: Sample,
    pub(super) is: Sample,
    pub(super) readings: Readings,
}

/// Looks at a reference and a window.
pub(super) async fn observe(
    session: &Arc<Session>,
    reference: TimeRange,
    window: TimeRange,
    scope: Scope,
) -> Result<Observed, QueryError> {
    // Side by side: each is bound by one core.
    let sample = |range| beside(sample::sample(Arc::clone(session), range, scope.clone()));
    let series = |range| beside(series_of(Arc::clone(session), range));
    let ((was, is), (before, now)) =
        ((sample(reference), sample(window)), (series(reference), series(window)));
    let (mut was, mut is) = (ended(was).await?, ended(is).await?);
    sample::adopt_rootless([&mut was, &mut is]);
    let (before, now) = (ended(before).await?, ended(now).await?);
    let readings = readings::readings((&was, reference, before), (&is, window, now));
    Ok(Observed { was, is, readings })
}

/// Runs a part of the answer as a task that ends with it.
fn beside<T: Send + 'static>(
    work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
) -> AbortOnDropHandle<Result<T, QueryError>> {
    AbortOnDropHandle::new(tokio::spawn(work))
}

async fn ended<T>(task: AbortOnDropHandle<Result<T, QueryError>>) -> Result<T, QueryError> {
    task.await.map_err(|e| QueryError::Engine(format!("a part of the verdict: {e}")))?
}

/// Versions that only the window has; replica sets, of services with no new version.
fn releases(was: &Sample, is: &Sample) -> Vec<Release> {
    let mut found: Vec<Release> = Vec::new();
    for told in [Told::Version, Told::ReplicaSet] {
        let (before, after) = (was.versions(told), is.versions(told));
        for (service, versions) in &after {
            let known = |found: &[Release]| found.iter().any(|one| one.service == *service);
            let Some(before) = before.get(service).filter(|_| !known(&found)) else { continue };
            let new = versions.difference(before).map(|version| Release {
                service: Arc::clone(service),
                told,
                version: Arc::clone(version),
                before: before.iter().cloned().collect(),
            });
            found.extend(new);
        }
    }
    found
}

/// Requests a second of the window over those of the reference, of the entry with most more, whose growth chance does not
/// explain.
fn load((was, reference): (&Sample, TimeRange), (is, range): (&Sample, TimeRange)) -> f64 {
    /// Fewest requests of an entry in the sample of the reference.
    const LEAST: u64 = 30;
    /// Standard errors of the logarithm of the growth (both counts Poisson) that chance does not reach for any of many entries.
    const CHANCE: f64 = 3.0;
    /// What the growth is surely beyond: traffic is never the same twice.
    const USUAL: f64 = 1.25;
    let rate = |sample: &Sample, range: TimeRange, requests: u64| {
        let seconds = (range.duration_ns() as f64 / 1e9).max(1e-9) * sample.figures.sampled;
        requests as f64 / seconds.max(1e-9)
    };
    let grown = was.profile.entries.iter().filter(|(_, entry)| entry.requests >= LEAST);
    let grown = grown.filter_map(|(name, before)| {
        let after = is.profile.entries.get(name)?.requests;
        let growth = rate(is, range, after) / rate(was, reference, before.requests).max(1e-9);
        let error = (1.0 / before.requests as f64 + 1.0 / (after as f64).max(1.0)).sqrt();
        (growth * (-CHANCE * error).exp() > USUAL).then_some(growth)
    });
    grown.fold(1.0, f64::max)
}

/// Requests that called something in vain, of both windows.
fn failing(samples: [&Sample; 2]) -> BTreeMap<Arc<str>, Outcomes> {
    let mut all: BTreeMap<Arc<str>, Outcomes> = BTreeMap::new();
    for (peer, outcomes) in samples.into_iter().flat_map(|sample| &sample.failing) {
        all.entry(Arc::clone(peer)).or_default().merge(outcomes);
    }
    all
}

/// Hosts of each service and store in either window.
fn hosts(was: &Sample, is: &Sample, readings: &Readings) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let mut all: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = readings.hosts.clone();
    for (service, hosts) in hosts_of(was.places.iter().chain(&is.places)) {
        all.entry(service).or_default().extend(hosts);
    }
    all.into_iter().map(|(service, hosts)| (service, hosts.into_iter().collect())).collect()
}

#[cfg(test)]
mod tests {
    use headrope_analysis::ledger::Operation;

    use super::*;

    #[test]
    fn growth_is_load_if_chance_does_not_explain_it() {
        let sample = |counts: &[u64]| {
            let mut sample = Sample::default();
            sample.figures.sampled = 0.5;
            for (at, requests) in counts.iter().enumerate() {
                let name = Operation { service: "front".into(), name: at.to_string().into() };
                sample.profile.entries.entry(name).or_default().requests = *requests;
            }
            sample
        };
        let range = |seconds: i64| TimeRange::new(0, seconds * 1_000_000_000).unwrap();
        let load = |before: &[u64], after: &[u64], seconds: i64| {
            load((&sample(before), range(300)), (&sample(after), range(seconds)))
        };
        // Twice and a half in one entry, whatever the other does and however long the windows are.
        assert!((load(&[200, 1000], &[500, 1000], 300) - 2.5).abs() < 1e-9);
        assert!((load(&[200, 1000], &[250, 500], 150) - 2.5).abs() < 1e-9);
        // Half as many again of few requests, or a sixth more of many, is nothing.
        assert_eq!(load(&[100, 3000], &[155, 3500], 300), 1.0);
        assert_eq!(load(&[20], &[200], 300), 1.0);
    }
}
