//! What machines, processes and stores did when a request began, as numbers of its trace.
//!
//! Metrics are folded to minutes. A trace has, of each metric, the greatest value among the hosts and instances it ran on and the
//! stores it called, at the minute its request began or the last one known shortly before (an as-of join).

use std::collections::{BTreeMap, BTreeSet};

use headrope_model::TimeRange;
use headrope_model::time::NANOS_PER_MINUTE;

use super::facts::{Facts, Places, Subject};
use super::sample::Picked;
use crate::ask::in_range;
use crate::column::{Columns, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// Metrics that are a state of what they are of, as patterns of SQL.
const METRICS: [&str; 26] = [
    "system.cpu.utilization",
    "system.cpu.load_average.1m",
    "system.memory.utilization",
    "system.filesystem.utilization",
    "system.disk.io_time",
    "system.disk.operation_time",
    "system.network.errors",
    "system.paging.%",
    "process.cpu.%",
    "process.memory.usage",
    "container.cpu.%",
    "container.memory.usage",
    "k8s.pod.%utilization",
    "k8s.container.%utilization",
    "jvm.gc.duration",
    "jvm.memory.used",
    "jvm.cpu.recent_utilization",
    "nodejs.eventloop.%",
    "db.client.connection.%",
    "db.client.connections.%",
    "postgresql.%",
    "mysql.%",
    "redis.%",
    "kafka.consumer_group.lag",
    "pg_stat_activity_count",
    "nginx.connections_current",
];
/// States whose share is not use.
const NOT_USED: [&str; 5] = ["\"idle\"", "\"free\"", "\"available\"", "\"cached\"", "\"buffered\""];
/// Minutes that a value is known for.
const KNOWN_FOR: i64 = 3;
/// Most rows of (series, minute).
const MOST_ROWS: usize = 500_000;

/// What a metric is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Host(String),
    Instance(String),
    Store(String),
}

/// Values by minute.
type Values = BTreeMap<i64, f64>;

/// A series as it is stored.
#[derive(Debug, Default)]
struct Series {
    /// Mean, greatest and sum of the points of each minute.
    minutes: BTreeMap<i64, (f64, f64, f64)>,
    is_delta: bool,
    is_count: bool,
    /// Which CPU it is of.
    cpu: Option<String>,
}

/// Series of a metric of one owner, by their number.
type Metrics = BTreeMap<(Owner, String), BTreeMap<i64, Series>>;

pub(super) async fn states(
    session: &Session,
    traces: &[&Picked],
    places: &[Places],
    facts: &mut Facts,
) -> Result<(), QueryError> {
    let minutes: BTreeSet<i64> = traces.iter().map(|trace| minute(trace.start)).collect();
    let mut metrics = Metrics::new();
    for range in ranges(&minutes) {
        Box::pin(read(session, range, &mut metrics)).await?;
    }
    let states: BTreeMap<(Owner, String), Values> =
        metrics.into_iter().map(|(key, series)| (key.clone(), fold(&key.1, &series))).collect();
    let mut of_owner: BTreeMap<&Owner, Vec<(&String, &Values)>> = BTreeMap::new();
    for ((owner, metric), values) in &states {
        of_owner.entry(owner).or_default().push((metric, values));
    }
    for (at, (trace, place)) in traces.iter().zip(places).enumerate() {
        let hosts = place.hosts.iter().map(|host| (Owner::Host(host.clone()), None));
        let instances = place.instances.iter();
        let instances = instances.map(|(s, i)| (Owner::Instance(i.clone()), Some(s.clone())));
        let stores = place.stores.iter();
        let stores = stores.map(|store| (Owner::Store(store.clone()), Some(store.clone())));
        for (owner, service) in hosts.chain(instances).chain(stores) {
            for (metric, values) in of_owner.get(&owner).into_iter().flatten() {
                let now = minute(trace.start);
                let known = values.range(now - KNOWN_FOR..=now).next_back();
                if let Some((_, value)) = known {
                    let subject: Subject = ("state", service.clone(), (*metric).clone());
                    facts.number(at, &subject, *value);
                }
            }
        }
    }
    Ok(())
}

const fn minute(time: i64) -> i64 {
    time.div_euclid(NANOS_PER_MINUTE)
}

/// Ranges that hold all of some minutes and what is known for them, without long gaps.
fn ranges(minutes: &BTreeSet<i64>) -> Vec<TimeRange> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for minute in minutes {
        // One more before, for what grows.
        let (from, to) = (minute - KNOWN_FOR - 1, minute + 1);
        match found.last_mut().filter(|last| from <= last.1 + 10) {
            Some(last) => last.1 = to,
            None => found.push((from, to)),
        }
    }
    let range = |(from, to): (i64, i64)| {
        TimeRange::new(from.saturating_mul(NANOS_PER_MINUTE), to.saturating_mul(NANOS_PER_MINUTE))
    };
    found.into_iter().filter_map(range).collect()
}

async fn read(
    session: &Session,
    range: TimeRange,
    metrics: &mut Metrics,
) -> Result<(), QueryError> {
    let names: Vec<String> = METRICS.iter().map(|name| format!("name LIKE '{name}'")).collect();
    let sql = format!(
        "SELECT name, type, is_monotonic, temporality, series_id, coalesce(host_name, k8s_node_name) AS host, \
         coalesce(service_instance_id, k8s_pod_name) AS instance, \
         min(attributes_json(attributes)) AS labels, time_bucket({NANOS_PER_MINUTE}, time) AS step, \
         avg(v) AS mean, max(v) AS most, sum(v) AS total \
         FROM (SELECT *, coalesce(value, CAST(value_int AS DOUBLE), sum) AS v FROM metrics \
         WHERE time >= $from AND time < $to AND ({})) \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 9 LIMIT {MOST_ROWS}",
        names.join(" OR ")
    );
    for batch in session.rows(&sql, in_range(range)).await? {
        add(&Columns(&batch), metrics)?;
    }
    Ok(())
}

fn add(columns: &Columns<'_>, metrics: &mut Metrics) -> Result<(), QueryError> {
    let text = |name: &str| columns.texts(name);
    let (names, types, temporality) = (text("name")?, text("type")?, text("temporality")?);
    let (hosts, instances, labels) = (text("host")?, text("instance")?, text("labels")?);
    let monotonic = columns.bools("is_monotonic")?;
    let (series, steps) = (columns.ints("series_id")?, columns.ints("step")?);
    let (mean, most) = (columns.doubles("mean")?, columns.doubles("most")?);
    let total = columns.doubles("total")?;
    for row in 0..columns.0.num_rows() {
        let (name, state) = (names.text(row), labels.text(row));
        if NOT_USED.iter().any(|unused| state.contains(unused)) {
            continue;
        }
        let Some(owner) = owner(name, hosts.get(row), instances.get(row)) else { continue };
        let of = metrics.entry((owner, name.to_owned())).or_default();
        let one = of.entry(int0(&series, row)).or_insert_with(|| Series {
            is_delta: temporality.text(row) == "delta",
            is_count: temporality.text(row) == "cumulative"
                && (types.text(row).ends_with("histogram") || monotonic.value(row)),
            cpu: logical_cpu(state),
            minutes: BTreeMap::new(),
        });
        let values = (mean.value(row), most.value(row), total.value(row));
        one.minutes.insert(minute(int0(&steps, row)), values);
    }
    Ok(())
}

/// What a metric is of: a host, a store, or an instance.
fn owner(name: &str, host: Option<&str>, instance: Option<&str>) -> Option<Owner> {
    if name.starts_with("system.") {
        return host.map(|host| Owner::Host(host.to_owned()));
    }
    let system = match name.split('.').next().unwrap_or_default() {
        "pg_stat_activity_count" => "postgresql",
        system => system,
    };
    if matches!(system, "postgresql" | "mysql" | "redis" | "kafka" | "nginx") {
        return Some(Owner::Store(system.to_owned()));
    }
    instance.map(|instance| Owner::Instance(instance.to_owned()))
}

fn logical_cpu(labels: &str) -> Option<String> {
    const KEYS: [&str; 3] = ["cpu.logical_number", "system.cpu.logical_number", "cpu"];
    let labels: serde_json::Value = serde_json::from_str(labels).ok()?;
    KEYS.iter().find_map(|key| labels.get(key)).map(ToString::to_string)
}

/// One value a minute: the fullest file system, the mean of several CPUs, the sum of anything else.
fn fold(metric: &str, series: &BTreeMap<i64, Series>) -> Values {
    let cpus: BTreeSet<&String> = series.values().filter_map(|one| one.cpu.as_ref()).collect();
    let fullest = metric.contains("filesystem");
    let mut values = Values::new();
    for one in series.values() {
        let mut before: Option<(i64, f64)> = None;
        for (minute, (mean, most, total)) in &one.minutes {
            let value = match (one.is_delta, one.is_count) {
                (true, _) => Some(total / 60.0),
                (_, true) => {
                    let last = before.replace((*minute, *most));
                    // A count that fell began anew.
                    let grown = last.map(|(at, was)| (most - was) / ((minute - at) as f64 * 60.0));
                    grown.filter(|grown| *grown >= 0.0)
                }
                _ => Some(*mean),
            };
            let Some(value) = value else { continue };
            let sum = values.entry(*minute).or_insert(0.0);
            *sum = if fullest { sum.max(value) } else { *sum + value };
        }
    }
    values.values_mut().for_each(|value| *value /= cpus.len().max(1) as f64);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(minutes: &[(i64, f64)], is_count: bool, cpu: Option<&str>) -> Series {
        let minutes = minutes.iter().map(|(at, v)| (*at, (*v, *v, *v))).collect();
        Series { minutes, is_delta: false, is_count, cpu: cpu.map(str::to_owned) }
    }

    #[test]
    fn series_become_one_value_a_minute() {
        let two = |a, b| BTreeMap::from([(1, a), (2, b)]);
        let (a, b) =
            (series(&[(5, 0.5), (6, 0.7)], false, None), series(&[(5, 0.25)], false, None));
        assert_eq!(fold("x", &two(a, b)), Values::from([(5, 0.75), (6, 0.7)]));
        let (a, b) =
            (series(&[(5, 0.5)], false, Some("0")), series(&[(5, 0.25)], false, Some("1")));
        assert_eq!(fold("system.cpu.utilization", &two(a, b)), Values::from([(5, 0.375)]));
        let (a, b) = (series(&[(5, 0.5)], false, None), series(&[(5, 0.25)], false, None));
        assert_eq!(fold("system.filesystem.utilization", &two(a, b)), Values::from([(5, 0.5)]));
        // A count says nothing by one point, and begins anew where it falls.
        let count = series(&[(5, 60.0), (6, 180.0), (8, 300.0), (9, 6.0)], true, None);
        let want = Values::from([(6, 2.0), (8, 1.0)]);
        assert_eq!(fold("x", &BTreeMap::from([(1, count)])), want);
    }

    #[test]
    fn ranges_hold_each_minute_and_what_is_known_for_it() {
        let minutes = BTreeSet::from([100, 103, 500]);
        let found = ranges(&minutes);
        assert_eq!(found.len(), 2);
        for at in minutes {
            let within = |r: &TimeRange| {
                r.contains((at - KNOWN_FOR - 1) * NANOS_PER_MINUTE)
                    && r.contains((at + 1) * NANOS_PER_MINUTE - 1)
            };
            assert!(found.iter().any(within), "{at}");
        }
    }
}
