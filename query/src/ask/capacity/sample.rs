//! Traces of some stretches of a window: what a request that enters makes services do, and where instances run.

use std::collections::BTreeMap;

use headrope_model::TimeRange;

use crate::answer::capacity::Amplification;
use crate::ask::{ENTRY, IN_RANGE, in_range};
use crate::column::{Columns, count, int0};
use crate::engine::Session;
use crate::error::QueryError;
use crate::moment;

/// Most spans that are looked at.
const MOST_SPANS: u64 = 200_000;
/// Stretches of a window with more.
const STRETCHES: i64 = 8;
/// Time after a stretch in which its requests are expected to end.
const TAIL_NS: i64 = 30_000_000_000;

/// An entry: service and operation of a span without a parent.
pub(super) type Entry = (String, String);

/// An instance under the names that metrics may know it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) service: String,
    pub(super) instance: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) container: Option<String>,
    pub(super) host: Option<String>,
    pub(super) host_type: Option<String>,
}

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    /// Requests that entered, by entry.
    pub(super) requests: BTreeMap<Entry, u64>,
    /// Requests that services answered for them.
    pub(super) calls: BTreeMap<(Entry, String), u64>,
    /// Requests that services answered, also those of traces whose root is missing.
    pub(super) all: BTreeMap<String, u64>,
    /// Part of the window that was looked at.
    pub(super) sampled: f64,
}

/// Stretches of a window, evenly spread, that hold about as many spans as may be looked at.
pub(super) async fn stretches(
    session: &Session,
    range: TimeRange,
) -> Result<Vec<TimeRange>, QueryError> {
    let sql = format!("SELECT count(*) AS spans FROM spans WHERE {IN_RANGE}");
    let mut spans = 0;
    for batch in Box::pin(session.rows(&sql, in_range(range))).await? {
        spans += count(&Columns(&batch).ints("spans")?, 0);
    }
    if spans <= MOST_SPANS {
        return Ok(vec![range]);
    }
    let step = range.duration_ns() / STRETCHES;
    let part = MOST_SPANS as f64 / spans as f64;
    let length = ((step as f64 * part) as i64).max(1);
    let stretch = |at: i64| {
        let from = range.from().saturating_add(at * step);
        TimeRange::new(from, from.saturating_add(length))
    };
    Ok((0..STRETCHES).filter_map(stretch).collect())
}

pub(super) async fn sample(session: &Session, range: TimeRange) -> Result<Sample, QueryError> {
    let stretches = Box::pin(stretches(session, range)).await?;
    let covered: i64 = stretches.iter().map(TimeRange::duration_ns).sum();
    let sampled = covered as f64 / (range.duration_ns() as f64).max(1.0);
    let mut sample = Sample { sampled: sampled.min(1.0), ..Sample::default() };
    for stretch in stretches {
        Box::pin(calls(session, stretch, &mut sample)).await?;
    }
    Ok(sample)
}

async fn calls(
    session: &Session,
    stretch: TimeRange,
    sample: &mut Sample,
) -> Result<(), QueryError> {
    let sql = format!(
        "WITH roots AS (SELECT trace_id, min(service_name) AS entry_service, \
         min(name) AS entry_operation FROM spans \
         WHERE {IN_RANGE} AND parent_span_id IS NULL GROUP BY trace_id), \
         answered AS (SELECT trace_id, service_name, parent_span_id IS NULL AS is_root FROM spans \
         WHERE start_time >= $from AND start_time < $tail AND {ENTRY}) \
         SELECT entry_service, entry_operation, service_name, count(*) AS calls, \
         sum(CASE WHEN is_root THEN 1 ELSE 0 END) AS requests \
         FROM answered JOIN roots ON answered.trace_id = roots.trace_id GROUP BY 1, 2, 3 \
         UNION ALL SELECT NULL, NULL, service_name, count(*), 0 FROM spans \
         WHERE {IN_RANGE} AND {ENTRY} GROUP BY service_name"
    );
    let mut params = in_range(stretch);
    params.push(("tail", moment::scalar(stretch.to().saturating_add(TAIL_NS))));
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (entries, names) = (columns.texts("entry_service")?, columns.texts("entry_operation")?);
        let services = columns.texts("service_name")?;
        let (calls, requests) = (columns.ints("calls")?, columns.ints("requests")?);
        for row in 0..batch.num_rows() {
            let (service, calls) = (services.owned(row), count(&calls, row));
            let Some(entry) = entries.get(row) else {
                *sample.all.entry(service).or_default() += calls;
                continue;
            };
            let entry = (entry.to_owned(), names.owned(row));
            let entered = u64::try_from(int0(&requests, row)).unwrap_or_default();
            *sample.requests.entry(entry.clone()).or_default() += entered;
            *sample.calls.entry((entry, service)).or_default() += calls;
        }
    }
    Ok(())
}

impl Sample {
    /// Requests of each service for one that enters, by entry; entries seen once or twice tell little and are
    /// left out.
    pub(super) fn amplification(&self) -> Vec<Amplification> {
        /// Fewest requests of an entry.
        const LEAST: u64 = 3;
        let row = |((entry, service), calls): (&(Entry, String), &u64)| {
            let requests = self.requests.get(entry).copied().filter(|n| *n >= LEAST)?;
            Some(Amplification {
                entry_service: entry.0.clone(),
                entry_operation: entry.1.clone(),
                service: service.clone(),
                calls_per_request: *calls as f64 / requests as f64,
            })
        };
        self.calls.iter().filter_map(row).collect()
    }

    /// Share of a service's requests that come from some entries.
    pub(super) fn share(&self, service: &str, is_chosen: impl Fn(&Entry) -> bool) -> f64 {
        let of_service = self.calls.iter().filter(|((_, called), _)| called == service);
        let chosen: u64 =
            of_service.filter(|((entry, _), _)| is_chosen(entry)).map(|(_, calls)| calls).sum();
        let all = self.all.get(service).copied().unwrap_or_default().max(chosen);
        if all == 0 { 0.0 } else { chosen as f64 / all as f64 }
    }
}

/// Where instances ran.
pub(super) async fn places(session: &Session, range: TimeRange) -> Result<Vec<Place>, QueryError> {
    let sql = format!(
        "SELECT DISTINCT service_name, service_instance_id, k8s_pod_name, container_id, \
         coalesce(host_name, k8s_node_name) AS host, attr(resource, 'host.type') AS host_type \
         FROM spans WHERE {IN_RANGE} LIMIT 100000"
    );
    let mut found = std::collections::BTreeSet::new();
    for stretch in Box::pin(stretches(session, range)).await? {
        for batch in Box::pin(session.rows(&sql, in_range(stretch))).await? {
            let columns = Columns(&batch);
            let text = |name: &str| columns.texts(name);
            let (services, instances) = (text("service_name")?, text("service_instance_id")?);
            let (pods, containers) = (text("k8s_pod_name")?, text("container_id")?);
            let (hosts, types) = (text("host")?, text("host_type")?);
            let owned = |value: Option<&str>| value.map(str::to_owned);
            let place = |row: usize| Place {
                service: services.owned(row),
                instance: owned(instances.get(row)),
                pod: owned(pods.get(row)),
                container: owned(containers.get(row)),
                host: owned(hosts.get(row)),
                host_type: owned(types.get(row)),
            };
            found.extend((0..batch.num_rows()).map(place));
        }
    }
    Ok(found.into_iter().collect())
}
