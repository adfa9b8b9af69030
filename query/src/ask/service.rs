//! The inventory of services, the operations of one, and figures over time.

use std::collections::{BTreeMap, BTreeSet};

use headrope_analysis::histogram::TimeBuckets;
use headrope_model::{DataSet, TimeRange};

use super::condition;
use super::measure::{MEASURES, Measure, Measures, Steps};
use super::top::each_group;
use super::{MAX_LIMIT, bounded};
use crate::answer::service::{OperationRow, RankScope, Series, ServiceRow};
use crate::answer::{RankBy, SpanScope, Time};
use crate::column::{Columns, count, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;

/// Most (service, instance, version, host, language) combinations that are looked at.
const MAX_INSTANCES: usize = 100_000;
/// About this many steps in a series.
pub(super) const STEPS: usize = 60;

/// What is known of a service's instances.
#[derive(Debug, Default)]
struct Inventory {
    measure: Measure,
    instances: BTreeSet<String>,
    versions: BTreeSet<String>,
    hosts: BTreeSet<String>,
    /// Language by number of spans.
    languages: BTreeMap<String, u64>,
    last_seen: i64,
}

/// Services by name, or the one of that name.
pub(crate) async fn services(
    session: &Session,
    only: Option<&str>,
    range: TimeRange,
) -> Result<Vec<ServiceRow>, QueryError> {
    let mut found = inventory(session, only, range).await?;
    each_group(session, RankScope::Service, SpanScope::Entry, only, range, |group| {
        found.entry(group.service).or_default().measure = group.measure;
    })
    .await?;
    let row = |(service, known): (String, Inventory)| ServiceRow {
        service,
        stats: known.measure.stats(range),
        instances: known.instances.len() as u64,
        versions: known.versions.into_iter().collect(),
        hosts: known.hosts.into_iter().collect(),
        language: known.languages.into_iter().max_by_key(|(_, spans)| *spans).map(|(l, _)| l),
        last_seen: Time(known.last_seen),
    };
    Ok(found.into_iter().map(row).collect())
}

async fn inventory(
    session: &Session,
    only: Option<&str>,
    range: TimeRange,
) -> Result<BTreeMap<String, Inventory>, QueryError> {
    let by =
        "service_name, service_instance_id, service_version, host_name, telemetry_sdk_language";
    let (all, params) = condition(range, SpanScope::All, only);
    let sql = format!(
        "SELECT {by}, count(*) AS spans, max(start_time) AS last_seen FROM spans \
         WHERE {all} GROUP BY {by} LIMIT {MAX_INSTANCES}"
    );
    let mut found: BTreeMap<String, Inventory> = BTreeMap::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let service = columns.texts("service_name")?;
        let instance = columns.texts("service_instance_id")?;
        let version = columns.texts("service_version")?;
        let host = columns.texts("host_name")?;
        let language = columns.texts("telemetry_sdk_language")?;
        let (spans, last) = (columns.ints("spans")?, columns.ints("last_seen")?);
        for row in 0..batch.num_rows() {
            let known = found.entry(service.owned(row)).or_default();
            known.instances.extend(instance.get(row).map(str::to_owned));
            known.versions.extend(version.get(row).map(str::to_owned));
            known.hosts.extend(host.get(row).map(str::to_owned));
            if let Some(language) = language.get(row) {
                *known.languages.entry(language.to_owned()).or_default() += count(&spans, row);
            }
            known.last_seen = known.last_seen.max(int0(&last, row));
        }
    }
    Ok(found)
}

pub(crate) async fn operations(
    session: &Session,
    service: &str,
    range: TimeRange,
) -> Result<Vec<OperationRow>, QueryError> {
    let (all, params) = condition(range, SpanScope::All, Some(service));
    let sql = format!("SELECT name, kind, {MEASURES} FROM spans WHERE {all} GROUP BY name, kind");
    let mut found = Vec::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (names, kinds) = (columns.texts("name")?, columns.texts("kind")?);
        let measures = Measures::of(&columns)?;
        for row in 0..batch.num_rows() {
            found.push((names.owned(row), kinds.owned(row), measures.get(row)?));
        }
    }
    found.sort_by(|(a_name, a_kind, a), (b_name, b_kind, b)| {
        let by = RankBy::TotalTime;
        b.rank(by).cmp(&a.rank(by)).then_with(|| (a_name, a_kind).cmp(&(b_name, b_kind)))
    });
    found.truncate(MAX_LIMIT);
    let row = |(operation, kind, measure): (String, String, Measure)| OperationRow {
        operation,
        kind,
        stats: measure.stats(range),
    };
    Ok(found.into_iter().map(row).collect())
}

pub(crate) async fn series(
    session: &Session,
    service: Option<&str>,
    range: TimeRange,
) -> Result<Series, QueryError> {
    let range = bounded(range, session.snapshot(), DataSet::Spans);
    let (entry, params) = condition(range, SpanScope::Entry, service);
    Ok(steps(session, range, &entry, params).await?.series())
}

/// Measures over time of the spans that fulfil a condition.
pub(super) async fn steps(
    session: &Session,
    range: TimeRange,
    condition: &str,
    params: Params,
) -> Result<Steps, QueryError> {
    let times = TimeBuckets::about(range, STEPS);
    let step = times.step_ns();
    let sql = format!(
        "SELECT time_bucket({step}, start_time) AS step, {MEASURES} FROM spans \
         WHERE {condition} GROUP BY 1"
    );
    let mut steps = Steps::new(times);
    for batch in session.rows(&sql, params).await? {
        steps.add(&Columns(&batch))?;
    }
    Ok(steps)
}
