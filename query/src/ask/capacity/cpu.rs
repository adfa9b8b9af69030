//! CPU that instances and hosts used, minute by minute, from whatever metric tells it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use headrope_analysis::statistics::median;

use super::load::{Series, Steps};
use crate::ask::{in_range, text};
use crate::column::{Columns, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// Most series, and most (series, step) pairs, that are read.
const MOST_SERIES: usize = 100_000;
const MOST_ROWS: usize = 4_000_000;

/// What the points of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// CPU-seconds since the start.
    Time,
    /// CPUs in use.
    Cpus,
    /// Share of the CPUs that may be used.
    Share,
    /// CPUs that may be used.
    Limit,
}

/// Metrics of CPU by the names of the semantic conventions, of the OpenTelemetry Collector's receivers, and of
/// their older versions; those of an instance in the order of preference.
const KNOWN: [(&str, Meaning); 20] = [
    ("process.cpu.time", Meaning::Time),
    ("process_cpu_seconds_total", Meaning::Time),
    ("jvm.cpu.time", Meaning::Time),
    ("container.cpu.time", Meaning::Time),
    ("k8s.pod.cpu.time", Meaning::Time),
    ("container.cpu.usage", Meaning::Cpus),
    ("k8s.pod.cpu.usage", Meaning::Cpus),
    ("process.cpu.utilization", Meaning::Share),
    ("jvm.cpu.recent_utilization", Meaning::Share),
    ("process.runtime.jvm.cpu.utilization", Meaning::Share),
    ("k8s.container.cpu_limit_utilization", Meaning::Share),
    ("k8s.pod.cpu_limit_utilization", Meaning::Share),
    ("k8s.container.cpu_limit", Meaning::Limit),
    ("k8s.container.cpu.limit", Meaning::Limit),
    ("jvm.cpu.count", Meaning::Limit),
    ("go.processor.limit", Meaning::Limit),
    ("system.cpu.time", Meaning::Time),
    ("system.cpu.utilization", Meaning::Share),
    ("system.cpu.logical.count", Meaning::Limit),
    ("k8s.node.cpu.usage", Meaning::Cpus),
];

/// Modes in which a CPU does nothing.
const IDLE: [&str; 3] = ["\"idle\"", "\"iowait\"", "\"wait\""];

/// Who a series is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) service: String,
    pub(super) instance: Option<String>,
    pub(super) pod: Option<String>,
    pub(super) container: Option<String>,
    pub(super) host: Option<String>,
}

/// What was used by one subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Usage {
    /// CPUs in use.
    pub(super) cpus: Series<f64>,
    /// Share of what may be used.
    pub(super) share: Series<f64>,
    /// CPUs that may be used.
    pub(super) limit: Option<f64>,
}

/// CPU of processes and containers, and of hosts by name.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) processes: Vec<(Subject, Usage)>,
    pub(super) hosts: BTreeMap<String, Usage>,
}

/// A series and what it says.
#[derive(Debug)]
struct One {
    rank: usize,
    meaning: Meaning,
    of_host: bool,
    subject: Subject,
    is_idle: bool,
    cpu: Option<String>,
    is_count: bool,
    is_delta: bool,
    values: Series<f64>,
    /// Time and value of the last point of the step before.
    before: Option<(usize, i64, f64)>,
}

pub(super) async fn cpu(
    session: &Session,
    steps: Steps,
    service: Option<&str>,
) -> Result<Cpu, QueryError> {
    let mut all = Box::pin(series(session, steps, service)).await?;
    Box::pin(values(session, steps, service, &mut all)).await?;
    let mut cpu = Cpu::default();
    let mut subjects: Vec<(Subject, Vec<One>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut hosts: BTreeMap<String, Vec<One>> = BTreeMap::new();
    let mut all: Vec<(i64, One)> = all.into_iter().collect();
    // Sums of floats depend on their order.
    all.sort_by_key(|(id, _)| *id);
    for (_, one) in all {
        if one.of_host {
            let host = one.subject.host.clone().unwrap_or_default();
            hosts.entry(host).or_default().push(one);
            continue;
        }
        let key = format!("{:?}", one.subject);
        let at = *known.entry(key).or_insert(subjects.len());
        match subjects.get_mut(at) {
            Some((_, of_subject)) => of_subject.push(one),
            None => subjects.push((one.subject.clone(), vec![one])),
        }
    }
    cpu.processes = subjects.into_iter().map(|(s, of_subject)| (s, usage(&of_subject))).collect();
    cpu.hosts = hosts.into_iter().map(|(host, of_host)| (host, host_usage(&of_host))).collect();
    Ok(cpu)
}

/// The condition on metrics, and which of them are of hosts.
fn condition(service: Option<&str>) -> String {
    let names: Vec<String> = KNOWN.iter().map(|(name, _)| format!("'{name}'")).collect();
    let of_service = match service {
        Some(_) => {
            " AND (service_name IN ($service, 'unknown_service') OR name LIKE 'system.%' \
             OR name LIKE 'k8s.%' OR name LIKE 'container.%')"
        }
        None => "",
    };
    format!("time >= $from AND time < $to AND name IN ({}){of_service}", names.join(", "))
}

async fn series(
    session: &Session,
    steps: Steps,
    service: Option<&str>,
) -> Result<HashMap<i64, One>, QueryError> {
    let sql = format!(
        "SELECT CAST(series_id AS VARCHAR) AS id, name, temporality, is_monotonic, service_name, \
         service_instance_id, k8s_pod_name, container_id, coalesce(host_name, k8s_node_name) AS host, \
         min(attributes_json(attributes)) AS labels FROM metrics WHERE {} \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9 LIMIT {MOST_SERIES}",
        condition(service)
    );
    let mut params = in_range(steps.seen());
    params.extend(service.map(|service| ("service", text(service))));
    let mut found = HashMap::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let text = |name: &str| columns.texts(name);
        let (ids, names, labels) = (text("id")?, text("name")?, text("labels")?);
        let (services, instances) = (text("service_name")?, text("service_instance_id")?);
        let (pods, containers) = (text("k8s_pod_name")?, text("container_id")?);
        let (hosts, temporality) = (text("host")?, text("temporality")?);
        let monotonic = columns.bools("is_monotonic")?;
        for row in 0..batch.num_rows() {
            let name = names.text(row);
            let Some(rank) = KNOWN.iter().position(|(known, _)| *known == name) else { continue };
            let meaning = KNOWN.get(rank).map_or(Meaning::Share, |known| known.1);
            let owned = |value: Option<&str>| value.map(str::to_owned);
            let subject = Subject {
                service: services.owned(row),
                instance: owned(instances.get(row)),
                pod: owned(pods.get(row)),
                container: owned(containers.get(row)),
                host: owned(hosts.get(row)),
            };
            let one = One {
                rank,
                meaning,
                of_host: name.starts_with("system.") || name.starts_with("k8s.node."),
                subject,
                is_idle: IDLE.iter().any(|idle| labels.text(row).contains(idle)),
                cpu: logical_cpu(labels.text(row)),
                is_count: temporality.text(row) == "cumulative"
                    && (monotonic.value(row) || meaning == Meaning::Time),
                is_delta: temporality.text(row) == "delta",
                values: Series::new(),
                before: None,
            };
            found.insert(number(ids.text(row)), one);
        }
    }
    Ok(found)
}

/// A series' number, which is unsigned, in the width that columns are read in.
fn number(id: &str) -> i64 {
    id.parse::<u64>().map_or(0, u64::cast_signed)
}

/// Which CPU of a host a series is of, if it is of one.
fn logical_cpu(labels: &str) -> Option<String> {
    const KEYS: [&str; 3] = ["cpu.logical_number", "system.cpu.logical_number", "cpu"];
    let labels: serde_json::Value = serde_json::from_str(labels).ok()?;
    KEYS.iter().find_map(|key| labels.get(key)).map(ToString::to_string)
}

async fn values(
    session: &Session,
    steps: Steps,
    service: Option<&str>,
    all: &mut HashMap<i64, One>,
) -> Result<(), QueryError> {
    let sql = format!(
        "SELECT CAST(series_id AS VARCHAR) AS id, time_bucket({}, time) AS step, avg(v) AS mean, \
         max(v) AS most, sum(v) AS total, max(time) AS last \
         FROM (SELECT series_id, time, coalesce(value, CAST(value_int AS DOUBLE), sum) AS v \
         FROM metrics WHERE {}) GROUP BY series_id, 2 ORDER BY 2 LIMIT {MOST_ROWS}",
        steps.times.step_ns(),
        condition(service)
    );
    let mut params = in_range(steps.seen());
    params.extend(service.map(|service| ("service", text(service))));
    let mut rows = 0;
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let ids = columns.texts("id")?;
        let (times, lasts) = (columns.ints("step")?, columns.ints("last")?);
        let (mean, most) = (columns.doubles("mean")?, columns.doubles("most")?);
        let total = columns.doubles("total")?;
        rows += batch.num_rows();
        for row in 0..batch.num_rows() {
            let Some(step) = steps.times.index(int0(&times, row)) else { continue };
            let Some(one) = all.get_mut(&number(ids.text(row))) else { continue };
            let point = (int0(&lasts, row), mean.value(row), most.value(row), total.value(row));
            one.add(step, point, steps.times.step_ns() as f64 / 1e9);
        }
    }
    if rows < MOST_ROWS {
        return Ok(());
    }
    Err(QueryError::TooLarge(format!("more than {MOST_ROWS} minutes of CPU metrics")))
}

impl One {
    /// Takes the points of a step: time of the last, mean, most, total.
    fn add(&mut self, step: usize, (last, mean, most, total): (i64, f64, f64, f64), step_s: f64) {
        let value = match (self.is_delta, self.is_count) {
            (true, _) if self.meaning == Meaning::Time => Some(total / step_s),
            (_, true) if self.meaning == Meaning::Time => {
                let before = self.before.replace((step, last, most));
                // Growth over a gap is of no step.
                before.filter(|(at, ..)| at + 1 == step).and_then(|(_, then, count)| {
                    let grown = if most >= count { most - count } else { most };
                    let seconds = (last - then) as f64 / 1e9;
                    (seconds > 0.0).then_some(grown / seconds)
                })
            }
            _ => Some(mean),
        };
        if let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) {
            self.values.insert(step, value);
        }
    }
}

/// Sums of series by step.
fn sum<'a>(all: impl Iterator<Item = &'a One>) -> Series<f64> {
    let mut sums = Series::new();
    for one in all {
        for (step, value) in &one.values {
            *sums.entry(*step).or_default() += value;
        }
    }
    sums
}

fn middle(values: &Series<f64>) -> Option<f64> {
    median(&values.values().copied().collect::<Vec<_>>())
}

/// The best metric of each kind that an instance has; the limit also follows from two kinds that measure the
/// same.
fn usage(all: &[One]) -> Usage {
    let best = |meanings: &[Meaning]| {
        let of_kind = || all.iter().filter(|one| meanings.contains(&one.meaning) && !one.is_idle);
        let rank = of_kind().filter(|one| !one.values.is_empty()).map(|one| one.rank).min()?;
        Some(sum(of_kind().filter(|one| one.rank == rank)))
    };
    let cpus = best(&[Meaning::Time, Meaning::Cpus]).unwrap_or_default();
    let share = best(&[Meaning::Share]).unwrap_or_default();
    let said = best(&[Meaning::Limit]).and_then(|limit| middle(&limit));
    let inferred = || {
        let ratio = |(step, cpus): (&usize, &f64)| {
            let share = share.get(step).filter(|share| **share > 0.0)?;
            Some(cpus / share)
        };
        median(&cpus.iter().filter_map(ratio).collect::<Vec<_>>())
    };
    let limit = said.or_else(inferred).filter(|limit| *limit > 0.0);
    Usage { cpus, share, limit }.filled()
}

impl Usage {
    /// Either measure from the other, where the limit is known.
    pub(super) fn filled(mut self) -> Self {
        let Some(limit) = self.limit else { return self };
        if self.cpus.is_empty() {
            self.cpus = self.share.iter().map(|(step, v)| (*step, v * limit)).collect();
        } else {
            self.share = self.cpus.iter().map(|(step, v)| (*step, v / limit)).collect();
        }
        self
    }
}

/// A host's CPUs in use: those of all modes but idle ones.
fn host_usage(all: &[One]) -> Usage {
    let of = |name: &str, idle: Option<bool>| {
        let rank = KNOWN.iter().position(|(known, _)| *known == name);
        let chosen =
            move |one: &&One| Some(one.rank) == rank && idle.is_none_or(|idle| one.is_idle == idle);
        sum(all.iter().filter(chosen))
    };
    let numbers: BTreeSet<&String> = all.iter().filter_map(|one| one.cpu.as_ref()).collect();
    let counted = (!numbers.is_empty()).then_some(numbers.len() as f64);
    let scaled = |series: Series<f64>, by: f64| -> Series<f64> {
        series.into_iter().map(|(step, value)| (step, value / by)).collect()
    };
    let mut share = scaled(of("system.cpu.utilization", Some(false)), counted.unwrap_or(1.0));
    let (busy, whole) = (of("system.cpu.time", Some(false)), of("system.cpu.time", None));
    let said = middle(&of("system.cpu.logical.count", None)).or(counted);
    let limit = said.or_else(|| middle(&whole)).filter(|limit| *limit > 0.0);
    if share.is_empty() {
        let part = |(step, busy): (&usize, &f64)| {
            let whole = whole.get(step).filter(|whole| **whole > 0.0)?;
            Some((*step, busy / whole))
        };
        share = busy.iter().filter_map(part).collect();
    }
    let cpus = match limit {
        _ if !busy.is_empty() => busy,
        Some(limit) => share.iter().map(|(step, share)| (*step, share * limit)).collect(),
        None => of("k8s.node.cpu.usage", None),
    };
    Usage { cpus, share, limit }
}
