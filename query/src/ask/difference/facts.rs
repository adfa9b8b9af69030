//! What traces have: attributes, operations, errors, and numbers that become thresholds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrope_analysis::statistics::quantile;
use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE};
use serde_json::Value;

use super::sample::Picked;
use crate::answer::difference::Fact;
use crate::ask::span::{Maps, value};
use crate::ask::{IN_RANGE, in_range};
use crate::column::{Columns, Texts};
use crate::engine::{Session, internal};
use crate::error::QueryError;

/// Most facts.
const MOST_FACTS: usize = 200_000;
/// Most values of one trace.
const MOST_OF_TRACE: usize = 5_000;
/// Most values of a key of a service: of more, most are of one trace.
const MOST_VALUES: usize = 2_000;
/// Longest value that counts, in bytes.
const MOST_BYTES: usize = 300;
/// A number with more values than so many is looked at by thresholds.
const FEW_NUMBERS: usize = 10;
/// Where the thresholds of a number lie among the traces.
const THRESHOLDS: [f64; 4] = [0.5, 0.75, 0.9, 0.95];
/// Resource attributes that are not of one service.
const OF_MACHINES: [&str; 5] = ["host.", "k8s.node.", "k8s.cluster.", "cloud.", "os."];
/// How much later than its request a span of a trace may begin.
const LATER_NS: i64 = NANOS_PER_HOUR;

/// Where spans of a trace ran, and what they called.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    pub(super) hosts: BTreeSet<String>,
    /// Service and instance.
    pub(super) instances: BTreeSet<(String, String)>,
    /// Systems of the stores that were called.
    pub(super) stores: BTreeSet<String>,
}

/// Kind, service, key.
pub(super) type Subject = (&'static str, Option<String>, String);

/// The facts of traces, each trace by its place.
#[derive(Debug, Default)]
pub(super) struct Facts {
    facts: Vec<Fact>,
    families: Vec<Option<u32>>,
    numbers_of: HashMap<(Subject, String), u32>,
    values: HashMap<Subject, usize>,
    /// The greatest value of a number in each trace that has one.
    numbers: BTreeMap<Subject, BTreeMap<usize, f64>>,
    of_traces: BTreeMap<usize, BTreeSet<u32>>,
    left_out: bool,
}

impl Facts {
    /// A trace has a value of something.
    pub(super) fn has(&mut self, trace: usize, subject: &Subject, value: &str) {
        if value.len() > MOST_BYTES {
            return;
        }
        let key = (subject.clone(), value.to_owned());
        let number = match self.numbers_of.get(&key) {
            Some(number) => *number,
            None => {
                let values = self.values.entry(subject.clone()).or_default();
                if *values >= MOST_VALUES || self.facts.len() >= MOST_FACTS {
                    self.left_out = true;
                    return;
                }
                *values += 1;
                let (kind, service, name) = subject.clone();
                let value = (!value.is_empty()).then(|| value.to_owned());
                let fact = Fact { kind, service, key: name, value, above: None };
                let number = self.push(fact, None);
                self.numbers_of.insert(key, number);
                number
            }
        };
        let of = self.of_traces.entry(trace).or_default();
        if of.len() < MOST_OF_TRACE {
            of.insert(number);
        } else {
            self.left_out = true;
        }
    }

    fn push(&mut self, fact: Fact, family: Option<u32>) -> u32 {
        self.facts.push(fact);
        self.families.push(family);
        u32::try_from(self.facts.len() - 1).unwrap_or(u32::MAX)
    }

    /// A trace has a number; of several the greatest counts.
    pub(super) fn number(&mut self, trace: usize, subject: &Subject, value: f64) {
        if !value.is_finite()
            || (self.numbers.len() >= MOST_VALUES && !self.numbers.contains_key(subject))
        {
            self.left_out |= value.is_finite();
            return;
        }
        let of = self.numbers.entry(subject.clone()).or_default();
        let most = of.entry(trace).or_insert(value);
        *most = most.max(value);
    }

    /// Adds to a number of a trace.
    fn count(&mut self, trace: usize, subject: &Subject) {
        let known = self.numbers.get(subject).and_then(|of| of.get(&trace)).copied();
        self.number(trace, subject, known.unwrap_or_default() + 1.0);
    }

    /// Makes facts of numbers, and gives those of each trace, ascending.
    pub(super) fn finish(&mut self, traces: usize) -> Vec<Vec<u32>> {
        for (subject, of) in std::mem::take(&mut self.numbers) {
            let mut values: Vec<f64> = of.values().copied().collect();
            let different: BTreeSet<u64> = values.iter().map(|v| v.to_bits()).collect();
            // Few values are facts themselves.
            if different.len() <= FEW_NUMBERS && subject.0 == "attribute" {
                continue;
            }
            // A trace that lacks a count has none.
            if subject.0 == "calls" {
                values.resize(traces.max(values.len()), 0.0);
            }
            self.thresholds(&subject, &of, &values);
        }
        let mut all = vec![Vec::new(); traces];
        for (trace, facts) in std::mem::take(&mut self.of_traces) {
            if let Some(slot) = all.get_mut(trace) {
                *slot = facts.into_iter().collect();
            }
        }
        all
    }

    fn thresholds(&mut self, subject: &Subject, of: &BTreeMap<usize, f64>, values: &[f64]) {
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let mut limits: Vec<f64> =
            THRESHOLDS.iter().filter_map(|q| quantile(values, *q)).filter(|l| *l < most).collect();
        limits.dedup();
        let family = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        for limit in limits {
            let (kind, service, key) = subject.clone();
            let fact = Fact { kind, service, key, value: None, above: Some(limit) };
            let number = self.push(fact, Some(family));
            for (trace, _) in of.iter().filter(|(_, value)| **value > limit) {
                self.of_traces.entry(*trace).or_default().insert(number);
            }
        }
    }

    fn at<T: Clone>(list: &[T], fact: u32) -> Option<T> {
        usize::try_from(fact).ok().and_then(|at| list.get(at)).cloned()
    }

    pub(super) fn family(&self, fact: u32) -> Option<u32> {
        Self::at(&self.families, fact).flatten()
    }

    pub(super) fn fact(&self, fact: u32) -> Fact {
        let unknown = || Fact {
            kind: "attribute",
            service: None,
            key: String::new(),
            value: None,
            above: None,
        };
        Self::at(&self.facts, fact).unwrap_or_else(unknown)
    }

    pub(super) const fn left_out(&self) -> bool {
        self.left_out
    }
}

/// A fact in words.
pub(super) fn text(fact: &Fact) -> String {
    let of = fact.service.as_ref().map_or_else(String::new, |service| format!("{service}: "));
    let key = &fact.key;
    match (fact.kind, &fact.value, fact.above) {
        ("operation", ..) => format!("{of}{key} occurs"),
        ("calls", _, Some(above)) => format!("{of}more than {} spans of {key}", short(above)),
        ("error", Some(value), _) => format!("{of}{key} fails with {}", plain(value)),
        ("error", None, _) => format!("{of}{key} fails"),
        (_, Some(value), _) => format!("{of}{key} = {}", plain(value)),
        (_, None, Some(above)) => format!("{of}{key} above {}", short(above)),
        _ => format!("{of}{key}"),
    }
}

/// A canonical value as people write it.
fn plain(canonical: &str) -> String {
    match value(canonical) {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Three digits that matter.
fn short(number: f64) -> String {
    let size = number.abs();
    if size >= 1000.0 || number.fract() == 0.0 {
        format!("{number:.0}")
    } else if size >= 1.0 {
        format!("{number:.2}")
    } else {
        format!("{number:.3}")
    }
}

/// Takes in the spans of traces; where each trace ran.
pub(super) async fn spans(
    session: &Session,
    traces: &[&Picked],
    facts: &mut Facts,
) -> Result<Vec<Places>, QueryError> {
    use futures::StreamExt as _;
    let mut places = vec![Places::default(); traces.len()];
    let starts = || traces.iter().map(|trace| trace.start);
    let Some((first, last)) = starts().min().zip(starts().max()) else { return Ok(places) };
    let by_id: HashMap<&str, usize> =
        traces.iter().enumerate().map(|(at, trace)| (trace.trace.as_str(), at)).collect();
    let ids: Vec<String> = traces.iter().map(|trace| format!("'{}'", trace.trace)).collect();
    let range =
        TimeRange::new(first.saturating_sub(NANOS_PER_MINUTE), last.saturating_add(LATER_NS));
    let sql = format!(
        "SELECT trace_id, service_name, name, kind, status_code, error_type, db_system_name, messaging_system, \
         coalesce(host_name, k8s_node_name) AS host, coalesce(service_instance_id, k8s_pod_name) AS instance, \
         attributes, resource FROM spans WHERE {IN_RANGE} AND trace_id IN ({})",
        ids.join(", ")
    );
    let frame = Box::pin(session.plan(&sql, in_range(range.unwrap_or(TimeRange::ALL)))).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(internal)?;
    let mut resources = Resources::default();
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(internal)?;
        add(&Columns(&batch), &by_id, &mut resources, facts, &mut places)?;
    }
    Ok(places)
}

/// Resources that were taken apart.
type Resources = HashMap<String, Vec<(Subject, String)>>;

fn add(
    columns: &Columns<'_>,
    by_id: &HashMap<&str, usize>,
    resources: &mut Resources,
    facts: &mut Facts,
    places: &mut [Places],
) -> Result<(), QueryError> {
    let text = |name: &str| columns.texts(name);
    let (traces, services, names) = (text("trace_id")?, text("service_name")?, text("name")?);
    let (status, errors) = (text("status_code")?, text("error_type")?);
    let (databases, queues) = (text("db_system_name")?, text("messaging_system")?);
    let (hosts, instances) = (text("host")?, text("instance")?);
    let (attributes, of_resource) = (Maps::of(columns.array("attributes")?)?, text("resource")?);
    for row in 0..columns.0.num_rows() {
        let Some(trace) = by_id.get(traces.text(row)).copied() else { continue };
        let service = services.text(row);
        let subject = |kind: &'static str, key: &str| -> Subject {
            (kind, Some(service.to_owned()), key.to_owned())
        };
        let name = names.text(row);
        facts.has(trace, &subject("operation", name), "");
        facts.count(trace, &subject("calls", name));
        if status.text(row) == "ERROR" {
            let kind = errors.get(row).map(|kind| Value::from(kind).to_string());
            facts.has(trace, &subject("error", name), kind.as_deref().unwrap_or_default());
        }
        attributes.each(row, |key, value| {
            let subject = subject("attribute", key);
            facts.has(trace, &subject, value);
            if let Ok(number) = value.parse::<f64>() {
                facts.number(trace, &subject, number);
            }
        });
        for (subject, value) in resource(resources, &of_resource, row, service) {
            facts.has(trace, subject, value);
        }
        let Some(place) = places.get_mut(trace) else { continue };
        place.hosts.extend(hosts.get(row).map(str::to_owned));
        place.instances.extend(instances.get(row).map(|i| (service.to_owned(), i.to_owned())));
        place.stores.extend(databases.get(row).or_else(|| queues.get(row)).map(str::to_owned));
    }
    Ok(())
}

/// The attributes of a resource.
fn resource<'a>(
    known: &'a mut Resources,
    texts: &Texts,
    row: usize,
    service: &str,
) -> &'a [(Subject, String)] {
    let text = texts.text(row);
    if !known.contains_key(text) {
        let mut all = Vec::new();
        if let Value::Object(members) = value(text) {
            for (key, value) in members.into_iter().filter(|(key, _)| key != "service.name") {
                let machine = OF_MACHINES.iter().any(|of| key.starts_with(of));
                let service = (!machine).then(|| service.to_owned());
                all.push((("resource", service, key), value.to_string()));
            }
        }
        known.insert(text.to_owned(), all);
    }
    known.get(text).map_or(&[], Vec::as_slice)
}
