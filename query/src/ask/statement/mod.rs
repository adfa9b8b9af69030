//! Statements: exact figures of both windows, what a sample of requests and the databases' metrics say beside, and which way each
//! is slow.
//!
//! Reading order: `asked` (what spans say), then the answer here.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headrope_analysis::ledger::{PartSum, Wait};
use headrope_analysis::statement::{Calls, Surroundings, TELLING, added, slow};
use headrope_analysis::verdict::{Owner, Reading};
use headrope_model::{DataSet, TimeRange};

use self::asked::Key;
use super::measure::Measure;
use super::verdict::{Observed, Scope, observe};
use super::{bounded, reference_of};
use crate::answer::Time;
use crate::answer::statement::{
    StatementQuery, StatementRow, Statements, StoreReading, StoreState,
};
use crate::engine::Session;
use crate::error::QueryError;

pub(crate) async fn statements(
    session: &Arc<Session>,
    query: &StatementQuery,
) -> Result<Statements, QueryError> {
    let window = bounded(query.range, session.snapshot(), DataSet::Spans);
    let (reference, reference_chosen) = reference_of(query.reference, window);
    let asked = async {
        let now = asked::calls(session, query, window).await?;
        let calls = now.iter().filter(|(key, _)| query.has(key)).map(|(_, m)| m.calls).sum();
        let returned = asked::returned(session, query, window, calls).await?;
        Ok::<_, QueryError>((now, returned))
    };
    let ((now, returned), before, first, observed) = futures::try_join!(
        asked,
        asked::calls(session, query, reference),
        asked::first(session, query),
        Box::pin(observe(session, reference, window, Scope::default())),
    )?;
    let sampled = observed.is.figures.sampled;
    let found = Found { now, before, returned, first, seen: Seen::of(observed) };
    let mut keys: Vec<(&Key, &Measure)> =
        found.now.iter().filter(|(key, _)| query.has(key)).collect();
    keys.sort_by(|(a_key, a), (b_key, b)| {
        b.sketch.sum().cmp(&a.sketch.sum()).then_with(|| a_key.cmp(b_key))
    });
    let rows = keys.into_iter().take(query.limit);
    Ok(Statements {
        statements: rows.map(|(key, measure)| found.row(key, measure, window, reference)).collect(),
        stores: found.seen.states(),
        sampled,
        window: window.into(),
        reference: reference.into(),
        reference_chosen,
    })
}

impl StatementQuery {
    /// Whether a statement is asked for.
    fn has(&self, key: &Key) -> bool {
        self.service.as_ref().is_none_or(|service| *service == key.service)
    }
}

/// Who asks which database what.
type Asked = (Arc<str>, Arc<str>, Arc<str>);

/// What requests of the sample and metrics say.
struct Seen {
    /// Of the window.
    parts: BTreeMap<Asked, PartSum>,
    /// Time of all requests, nanoseconds.
    time_ns: f64,
    stores: BTreeSet<Arc<str>>,
    readings: Vec<Reading>,
    hosts: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Seen {
    fn of(observed: Observed) -> Self {
        let mut parts: BTreeMap<Asked, PartSum> = BTreeMap::new();
        let (mut time_ns, mut stores) = (0.0, BTreeSet::new());
        for entry in observed.is.profile.entries.values() {
            time_ns += entry.time_ns;
            for (part, sum) in &entry.parts {
                let Wait::Remote(peer) = &part.wait else { continue };
                if !peer.is_store {
                    continue;
                }
                stores.insert(Arc::clone(&peer.name));
                let statement = peer.statement.clone().unwrap_or_default();
                let key = (Arc::clone(&part.operation.service), Arc::clone(&peer.name), statement);
                let all = parts.entry(key).or_default();
                all.visits += sum.visits;
                all.requests += sum.requests;
                all.time_ns += sum.time_ns;
            }
        }
        let readings = observed.readings;
        Self { parts, time_ns, stores, readings: readings.found, hosts: readings.hosts }
    }

    /// Readings of a database and of its hosts.
    fn of_store(&self, store: &str) -> Vec<Reading> {
        let hosts = self.hosts.get(store);
        let is_its = |owner: &Owner| match owner {
            Owner::Store(name) => &**name == store,
            Owner::Host(host) => hosts.is_some_and(|hosts| hosts.contains(host)),
            Owner::Service(..) => false,
        };
        self.readings.iter().filter(|reading| is_its(&reading.owner)).cloned().collect()
    }

    fn of_service(&self, service: &str) -> Vec<Reading> {
        let is_its = |owner: &Owner| matches!(owner, Owner::Service(name, _) if &**name == service);
        self.readings.iter().filter(|reading| is_its(&reading.owner)).cloned().collect()
    }

    fn states(&self) -> Vec<StoreState> {
        let state = |store: &Arc<str>| StoreState {
            store: store.to_string(),
            hosts: self.hosts.get(store).into_iter().flatten().map(ToString::to_string).collect(),
            readings: self.of_store(store).iter().map(reading).collect(),
        };
        self.stores.iter().map(state).collect()
    }
}

fn reading(of: &Reading) -> StoreReading {
    let (Owner::Service(name, _) | Owner::Host(name) | Owner::Store(name)) = &of.owner;
    StoreReading {
        measures: of.measure.name(),
        metric: of.metric.clone(),
        of: name.to_string(),
        reference: of.reference,
        window: of.window,
        raised: of.is_raised(),
    }
}

struct Found {
    now: BTreeMap<Key, Measure>,
    before: BTreeMap<Key, Measure>,
    returned: BTreeMap<Key, f64>,
    first: BTreeMap<Key, i64>,
    seen: Seen,
}

/// Other statements of a database, as [`Surroundings`] has them.
#[derive(Default)]
struct Others {
    same_way: Vec<f64>,
    other_ways: Vec<f64>,
    growth: Vec<f64>,
}

fn calls(measure: &Measure) -> Calls {
    Calls { calls: measure.calls as f64, total_ns: measure.sketch.sum() as f64 }
}

impl Found {
    fn row(
        &self,
        key: &Key,
        measure: &Measure,
        window: TimeRange,
        reference: TimeRange,
    ) -> StatementRow {
        let scale = window.duration_ns() as f64 / (reference.duration_ns() as f64).max(1.0);
        let now = calls(measure);
        let before = self.before.get(key);
        let was = before.map_or_else(Calls::default, |before| calls(before).scaled(scale));
        let store = self.seen.stores.iter().find(|store| key.is_of(store));
        let of_store = store.map_or_else(Vec::new, |store| self.seen.of_store(store));
        let of_caller = self.seen.of_service(&key.service);
        let Others { same_way, other_ways, growth } = self.others(key);
        let around = Surroundings {
            store: &of_store,
            caller: &of_caller,
            same_way: &same_way,
            other_ways: &other_ways,
            growth: &growth,
        };
        let (slow, because) = slow(was, now, &around);
        let seconds = (window.duration_ns() as f64 / 1e9).max(1e-9);
        let more = added(was, now);
        let part = store.and_then(|store| {
            let of =
                (key.service.as_str().into(), Arc::clone(store), key.statement.as_str().into());
            self.seen.parts.get(&of)
        });
        let per_request = part.filter(|part| part.requests > 0);
        StatementRow {
            service: key.service.clone(),
            system: key.system.clone(),
            namespace: key.namespace.clone(),
            address: key.address.clone(),
            statement: key.statement.clone(),
            stats: measure.stats(window),
            reference: before.map(|before| before.stats(reference)),
            added_by_calls_ns: more.by_calls_ns / seconds,
            added_by_duration_ns: more.by_duration_ns / seconds,
            slow: slow.name(),
            because: because.into_iter().map(reading).collect(),
            returned_rows: self.returned.get(key).copied(),
            calls_per_request: per_request.map(|part| part.visits as f64 / part.requests as f64),
            critical_share: part
                .filter(|_| self.seen.time_ns > 0.0)
                .map(|part| part.time_ns / self.seen.time_ns),
            first_seen: Time(self.first.get(key).copied().unwrap_or(window.from())),
        }
    }

    fn others(&self, key: &Key) -> Others {
        let is_same = |other: &Key| {
            other != key
                && (&other.system, &other.namespace, &other.address)
                    == (&key.system, &key.namespace, &key.address)
        };
        let mut others = Others::default();
        for (other, now) in self.now.iter().filter(|(other, _)| is_same(other)) {
            let Some(before) = self.before.get(other) else { continue };
            if (now.calls.min(before.calls) as f64) < TELLING {
                continue;
            }
            let (was, is) = (calls(before).mean_ns(), calls(now).mean_ns());
            match other.service == key.service {
                true => others.same_way.push(is - was),
                false => others.other_ways.push(is - was),
            }
            others.growth.push(is / was.max(f64::MIN_POSITIVE));
        }
        others
    }
}
