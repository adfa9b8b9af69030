//! Groups of errors: exceptions on spans and in log records, by type, message and origin.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use futures::StreamExt as _;
use headrope_analysis::change::{Occurrences, Occurring, RateChange, SLICES, rate_changes};
use headrope_analysis::pattern::{ErrorGroup, error_group};
use headrope_analysis::statistics::binomial_at_least;
use headrope_model::TimeRange;
use headrope_model::semconv::{EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE, EXCEPTION_TYPE};
use serde_json::Value;

use super::pattern::{FALSE_CHANGES, change_name, factor};
use super::span::{Structs, object};
use super::{limit, reference_of, text};
use crate::answer::Time;
use crate::answer::pattern::{ErrorGroupRow, ErrorGroups, ErrorQuery};
use crate::column::{Columns, int0};
use crate::engine::{Params, Session, internal};
use crate::error::QueryError;
use crate::moment;

/// Name of the span event that tells an exception.
const EXCEPTION: &str = "exception";
/// Most groups that are kept; exceptions of further ones are left out, and counted.
const MOST_GROUPS: usize = 5_000;
/// Most different texts of exceptions whose groups are remembered.
const MOST_KNOWN: usize = 50_000;

/// Exceptions of one group.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) group: ErrorGroup,
    pub(super) services: BTreeMap<String, u64>,
    reference: [f64; SLICES],
    pub(super) window: u64,
    pub(super) first: i64,
    last: i64,
    /// Time and id of the last trace.
    pub(super) trace: Option<(i64, String)>,
}

impl Found {
    fn before(&self) -> f64 {
        self.reference.iter().sum()
    }
}

/// What became of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Became {
    pub(super) name: &'static str,
    pub(super) order: Occurring,
    p_value: f64,
}

/// Gathers exceptions.
struct Gathering {
    reference: TimeRange,
    window: TimeRange,
    groups: BTreeMap<u64, Found>,
    /// Groups of texts that were seen, by hash.
    known: HashMap<u64, u64>,
    hasher: RandomState,
    left_out: u64,
}

/// An exception as it was told.
struct Told<'a> {
    service: &'a str,
    time: i64,
    trace: Option<&'a str>,
}

impl Gathering {
    fn add(
        &mut self,
        told: &Told<'_>,
        texts: impl std::hash::Hash,
        group: impl FnOnce() -> Option<ErrorGroup>,
    ) {
        let in_window = self.window.contains(told.time);
        if !in_window && !self.reference.contains(told.time) {
            return;
        }
        let hash = self.hasher.hash_one(texts);
        let id = match self.known.get(&hash).copied().filter(|id| self.groups.contains_key(id)) {
            Some(id) => id,
            None => {
                let Some(group) = group() else { return };
                let id = group.id;
                if self.groups.len() >= MOST_GROUPS && !self.groups.contains_key(&id) {
                    self.left_out += 1;
                    return;
                }
                if self.known.len() < MOST_KNOWN {
                    self.known.insert(hash, id);
                }
                self.groups.entry(id).or_insert_with(|| Found {
                    group,
                    services: BTreeMap::new(),
                    reference: [0.0; SLICES],
                    window: 0,
                    first: i64::MAX,
                    last: i64::MIN,
                    trace: None,
                });
                id
            }
        };
        let Some(found) = self.groups.get_mut(&id) else { return };
        if in_window {
            found.window += 1;
        } else {
            let into = told.time.saturating_sub(self.reference.from()) as f64;
            let part = into / (self.reference.duration_ns() as f64).max(1.0);
            let at = ((part * SLICES as f64) as usize).min(SLICES - 1);
            if let Some(count) = found.reference.get_mut(at) {
                *count += 1.0;
            }
        }
        match found.services.get_mut(told.service) {
            Some(count) => *count += 1,
            None => drop(found.services.insert(told.service.to_owned(), 1)),
        }
        (found.first, found.last) = (found.first.min(told.time), found.last.max(told.time));
        if let Some(trace) = told.trace
            && found
                .trace
                .as_ref()
                .is_none_or(|(time, id)| (*time, id.as_str()) < (told.time, trace))
        {
            found.trace = Some((told.time, trace.to_owned()));
        }
    }
}

fn group_of(attributes: &Value) -> Option<ErrorGroup> {
    let text = |key: &str| attributes.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, message) = (text(EXCEPTION_TYPE), text(EXCEPTION_MESSAGE));
    let told = !kind.is_empty() || !message.is_empty();
    told.then(|| error_group(kind, message, text(EXCEPTION_STACKTRACE)))
}

/// The condition that a time lies in either range, and its parameters.
fn either(
    column: &str,
    reference: TimeRange,
    window: TimeRange,
    service: Option<&str>,
) -> (String, Params) {
    let mut condition = format!(
        "(({column} >= $from AND {column} < $to) OR ({column} >= $reference_from AND {column} < $reference_to))"
    );
    let mut params = vec![
        ("from", moment::scalar(window.from())),
        ("to", moment::scalar(window.to())),
        ("reference_from", moment::scalar(reference.from())),
        ("reference_to", moment::scalar(reference.to())),
    ];
    if let Some(service) = service {
        condition.push_str(" AND service_name = $service");
        params.push(("service", text(service)));
    }
    (condition, params)
}

/// Exceptions of two ranges by group, what became of each, and how many were left out.
pub(super) async fn gather(
    session: &Session,
    reference: TimeRange,
    window: TimeRange,
    service: Option<&str>,
) -> Result<(Vec<(Found, Became)>, u64), QueryError> {
    let mut all = Gathering {
        reference,
        window,
        groups: BTreeMap::new(),
        known: HashMap::new(),
        hasher: RandomState::new(),
        left_out: 0,
    };
    Box::pin(of_spans(session, service, &mut all)).await?;
    Box::pin(of_logs(session, service, &mut all)).await?;
    let left_out = all.left_out;
    let groups: Vec<Found> = all.groups.into_values().collect();
    let factor = factor(reference, window);
    let occurrences = |found: &Found| Occurrences {
        reference: found.reference,
        window: found.window as f64,
        weight: 1.0,
    };
    let kinds: Vec<Occurrences> = groups.iter().map(occurrences).collect();
    let changes = rate_changes(&kinds, factor, FALSE_CHANGES);
    let became = |(found, change): (Found, RateChange)| {
        let became = became(&found, change, factor);
        (found, became)
    };
    Ok((groups.into_iter().zip(changes).map(became).collect(), left_out))
}

/// A group that was away for the later half of the reference is regressed.
fn became(found: &Found, change: RateChange, factor: f64) -> Became {
    let later: f64 = found.reference.iter().skip(SLICES / 2).sum();
    let odds = 2.0 * factor;
    let is = found.window as f64;
    let p_value = binomial_at_least(is, is, odds / (1.0 + odds));
    if found.before() > 0.0 && later == 0.0 && is > 0.0 && p_value < FALSE_CHANGES {
        return Became { name: "regressed", order: Occurring::New, p_value };
    }
    let name = change_name(change.occurring);
    Became { name, order: change.occurring, p_value: change.p_value }
}

async fn of_spans(
    session: &Session,
    service: Option<&str>,
    all: &mut Gathering,
) -> Result<(), QueryError> {
    let (condition, params) = either("start_time", all.reference, all.window, service);
    let sql = format!(
        "SELECT service_name, trace_id, start_time, events FROM spans \
         WHERE events IS NOT NULL AND {condition}"
    );
    let frame = Box::pin(session.plan(&sql, params)).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(internal)?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(internal)?;
        let columns = Columns(&batch);
        let (services, traces) = (columns.texts("service_name")?, columns.texts("trace_id")?);
        let starts = columns.ints("start_time")?;
        let events = Structs::of(&columns, "events")?;
        let (names, attributes) = (events.texts("name")?, events.texts("attributes")?);
        for row in 0..batch.num_rows() {
            let told = Told {
                service: services.text(row),
                time: int0(&starts, row),
                trace: traces.get(row),
            };
            for at in events.range(row).filter(|at| names.text(*at) == EXCEPTION) {
                let raw = attributes.text(at);
                all.add(&told, raw, || group_of(&object(Some(raw))));
            }
        }
    }
    Ok(())
}

async fn of_logs(
    session: &Session,
    service: Option<&str>,
    all: &mut Gathering,
) -> Result<(), QueryError> {
    let (condition, params) = either("time", all.reference, all.window, service);
    let sql = format!(
        "SELECT * FROM (SELECT service_name, trace_id, time, attr(attributes, '{EXCEPTION_TYPE}') AS kind, \
         attr(attributes, '{EXCEPTION_MESSAGE}') AS message, attr(attributes, '{EXCEPTION_STACKTRACE}') AS stack \
         FROM logs WHERE {condition}) WHERE kind IS NOT NULL OR message IS NOT NULL"
    );
    let frame = Box::pin(session.plan(&sql, params)).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(internal)?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(internal)?;
        let columns = Columns(&batch);
        let (services, traces) = (columns.texts("service_name")?, columns.texts("trace_id")?);
        let times = columns.ints("time")?;
        let (kinds, messages) = (columns.texts("kind")?, columns.texts("message")?);
        let stacks = columns.texts("stack")?;
        for row in 0..batch.num_rows() {
            let told = Told {
                service: services.text(row),
                time: int0(&times, row),
                trace: traces.get(row),
            };
            let texts = (kinds.text(row), messages.text(row), stacks.text(row));
            all.add(&told, texts, || Some(error_group(texts.0, texts.1, texts.2)));
        }
    }
    Ok(())
}

pub(crate) async fn errors(
    session: &Session,
    query: &ErrorQuery,
) -> Result<ErrorGroups, QueryError> {
    let window = query.range;
    let (reference, reference_chosen) = reference_of(query.reference, window);
    let (mut found, left_out) =
        gather(session, reference, window, query.service.as_deref()).await?;
    let total = found.len() as u64;
    found.sort_by(|(a, a_became), (b, b_became)| {
        let count = |found: &Found| (found.window as f64).max(found.before());
        let order = a_became.order.cmp(&b_became.order);
        order.then(count(b).total_cmp(&count(a))).then(a.group.id.cmp(&b.group.id))
    });
    found.truncate(limit(query.limit));
    Ok(ErrorGroups {
        groups: found.into_iter().map(row).collect(),
        total,
        left_out,
        window: window.into(),
        reference: reference.into(),
        reference_chosen,
    })
}

fn row((found, became): (Found, Became)) -> ErrorGroupRow {
    let reference_count = found.before().round() as u64;
    let mut services: Vec<(String, u64)> = found.services.into_iter().collect();
    services.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ErrorGroupRow {
        id: format!("{:016x}", found.group.id),
        kind: found.group.kind,
        message: found.group.message,
        frames: found.group.frames,
        services: services.into_iter().map(|(service, _)| service).collect(),
        count: found.window,
        reference_count,
        change: became.name,
        p_value: became.p_value,
        first_seen: Time(found.first),
        last_seen: Time(found.last),
        trace_id: found.trace.map(|(_, id)| id),
    }
}
