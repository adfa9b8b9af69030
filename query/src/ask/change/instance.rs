//! Versions and instances of services that come and go, by the requests they answer, from roll-ups.

use std::collections::{BTreeMap, BTreeSet};

use headrope_model::time::NANOS_PER_MINUTE;
use headrope_model::{DataSet, TimeRange};

use super::{BY_CHANCE, Ranges, seen};
use crate::answer::change::ChangeRow;
use crate::answer::{SpanScope, Time};
use crate::ask::bounded;
use crate::ask::condition;
use crate::column::{Columns, count, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// Most (service, version, instance) that are looked at.
const MOST_ROWS: usize = 100_000;
/// Shortest silence that ends an instance: exporters and collectors hold spans back for a while.
const LEAST_SILENCE_NS: i64 = 2 * NANOS_PER_MINUTE;
/// Longest time between the end of an instance and the begin of the one in its place.
const RESTART_NS: i64 = 10 * NANOS_PER_MINUTE;

/// What was seen of an instance in a range.
#[derive(Debug, Clone, Copy)]
struct Life {
    requests: u64,
    first: i64,
    last: i64,
}

impl Life {
    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Probability that it was silent for so long by chance, if requests come independently. What lived shorter than a minute is taken to send as much in a minute.
    fn silent(self, length_ns: i64) -> f64 {
        let lived = self.last.saturating_sub(self.first).max(NANOS_PER_MINUTE) as f64;
        let rate = self.requests.saturating_sub(1) as f64 / lived;
        if length_ns < LEAST_SILENCE_NS { 1.0 } else { (-rate * length_ns as f64).exp() }
    }
}

/// Version and instance.
type Name = (Option<String>, Option<String>);
/// Instances of services.
type Lives = BTreeMap<String, BTreeMap<Name, Life>>;

pub(super) async fn instances(
    session: &Session,
    ranges: Ranges,
    service: Option<&str>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let before = lives(session, ranges.reference, service).await?;
    let now = lives(session, ranges.window, service).await?;
    // What is stored may end before the window does.
    let end = bounded(TimeRange::ALL, session.snapshot(), DataSet::Spans).to();
    let end = ranges.window.to().min(end);
    let mut found = Vec::new();
    for (service, is) in &now {
        // Of a service that is new itself, everything is.
        let Some(was) = before.get(service) else { continue };
        let released = versions(service, was, is, ranges, &mut found);
        replaced(service, was, is, ranges, (end, &released), &mut found);
    }
    Ok(found)
}

async fn lives(
    session: &Session,
    range: TimeRange,
    service: Option<&str>,
) -> Result<Lives, QueryError> {
    let (all, params) = condition(range, SpanScope::Entry, service);
    let by = "service_name, service_version, service_instance_id";
    let sql = format!(
        "SELECT {by}, count(*) AS requests, min(start_time) AS first, max(start_time) AS last \
         FROM spans WHERE {all} GROUP BY {by} LIMIT {MOST_ROWS}"
    );
    let mut found = Lives::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let services = columns.texts("service_name")?;
        let versions = columns.texts("service_version")?;
        let instances = columns.texts("service_instance_id")?;
        let (requests, first) = (columns.ints("requests")?, columns.ints("first")?);
        let last = columns.ints("last")?;
        for row in 0..batch.num_rows() {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let name = (owned(versions.get(row)), owned(instances.get(row)));
            let life = Life {
                requests: count(&requests, row),
                first: int0(&first, row),
                last: int0(&last, row),
            };
            found.entry(services.owned(row)).or_default().insert(name, life);
        }
    }
    Ok(found)
}

/// Lives by one part of the name.
fn by<'a>(
    lives: &'a BTreeMap<Name, Life>,
    part: impl Fn(&'a Name) -> &'a Option<String>,
) -> BTreeMap<&'a str, Life> {
    let mut found: BTreeMap<&str, Life> = BTreeMap::new();
    for (name, life) in lives {
        if let Some(text) = part(name) {
            let whole = found.get(text.as_str()).map_or(*life, |known| known.and(*life));
            found.insert(text, whole);
        }
    }
    found
}

/// New versions, and which they are.
fn versions(
    service: &str,
    was: &BTreeMap<Name, Life>,
    is: &BTreeMap<Name, Life>,
    ranges: Ranges,
    found: &mut Vec<ChangeRow>,
) -> BTreeSet<String> {
    let before = by(was, |name| &name.0);
    let mut released = BTreeSet::new();
    for (version, life) in by(is, |name| &name.0) {
        if before.is_empty() || before.contains_key(version) || !ranges.is_new(life.requests) {
            continue;
        }
        let on: BTreeSet<_> =
            is.keys().filter(|(v, _)| v.as_deref() == Some(version)).map(|(_, i)| i).collect();
        let all: BTreeSet<_> = is.keys().map(|(_, instance)| instance).collect();
        let last = before.iter().max_by_key(|(_, life)| life.last).map_or("", |(v, _)| v);
        let text =
            format!("version {version} after {last}, on {} of {} instances", on.len(), all.len());
        let row = seen("version", service, text, life.requests);
        let (version, time) = (version.to_owned(), Some(Time(life.first)));
        released.insert(version.clone());
        found.push(ChangeRow { time, version: Some(version), ..row });
    }
    released
}

/// Instances that started or ended; one that takes the place of another is a restart, unless it brings a new version.
fn replaced(
    service: &str,
    was: &BTreeMap<Name, Life>,
    is: &BTreeMap<Name, Life>,
    ranges: Ranges,
    (end, released): (i64, &BTreeSet<String>),
    found: &mut Vec<ChangeRow>,
) {
    let (before, now) = (by(was, |name| &name.1), by(is, |name| &name.1));
    let version = |instance: &str| {
        let of = is.keys().chain(was.keys()).find(|(_, i)| i.as_deref() == Some(instance));
        of.and_then(|(version, _)| version.clone())
    };
    let mut ended: Vec<(&str, i64)> = Vec::new();
    let mut all = before.clone();
    for (instance, life) in &now {
        let whole = before.get(instance).map_or(*life, |earlier| earlier.and(*life));
        all.insert(instance, whole);
    }
    for (instance, life) in all {
        // What ended before the window began is no change of the window.
        let within = life.last >= ranges.window.from().saturating_sub(NANOS_PER_MINUTE);
        if within && life.silent(end.saturating_sub(life.last)) < BY_CHANCE {
            ended.push((instance, life.last));
        }
    }
    for (instance, life) in &now {
        if before.contains_key(instance) || !ranges.is_new(life.requests) {
            continue;
        }
        let near = |(other, last): &(&str, i64)| {
            other != instance && life.first.abs_diff(*last) <= RESTART_NS.unsigned_abs()
        };
        let place = ended.iter().position(near).map(|at| ended.remove(at));
        let version = version(instance);
        if version.as_ref().is_some_and(|version| released.contains(version)) {
            continue;
        }
        let (kind, text) = match place {
            Some((old, _)) => ("restart", format!("instance {instance} in the place of {old}")),
            None => ("instance_started", format!("instance {instance} started")),
        };
        let row = seen(kind, service, text, life.requests);
        let instance = Some((*instance).to_owned());
        found.push(ChangeRow { time: Some(Time(life.first)), version, instance, ..row });
    }
    found.extend(ended.into_iter().map(|(instance, last)| {
        let row = seen("instance_ended", service, format!("instance {instance} ended"), 0);
        let (version, instance) = (version(instance), Some(instance.to_owned()));
        ChangeRow { time: Some(Time(last)), version, instance, ..row }
    }));
}
