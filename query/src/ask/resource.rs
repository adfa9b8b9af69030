//! What the hosts and instances of a service did meanwhile: CPU, memory, garbage collection, pools.

use std::collections::BTreeMap;

use headrope_analysis::histogram::TimeBuckets;
use headrope_model::{DataSet, TimeRange, attr};

use super::service::STEPS;
use super::{bounded, in_range, text};
use crate::answer::Time;
use crate::answer::service::MetricSeries;
use crate::column::{Columns, int0};
use crate::engine::Session;
use crate::error::QueryError;
use crate::function::members;

/// Most series in the answer.
const MAX_SERIES: usize = 200;
/// Most (series, step) pairs that are read.
const MAX_ROWS: usize = MAX_SERIES * 100;

/// Metrics of a process, its runtime, container and pools; they carry the service's name.
const OF_SERVICE: &str = "(name LIKE 'process.%' OR name LIKE 'container.%' OR name LIKE 'k8s.%' \
     OR name LIKE 'jvm.%' OR name LIKE 'go.%' OR name LIKE 'nodejs.%' OR name LIKE 'v8js.%' \
     OR name LIKE 'cpython.%' OR name LIKE 'dotnet.%' OR name LIKE 'db.client.connection%')";

/// What sets a series apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    label: String,
    series: i64,
}

/// How points become one value per step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    /// The mean of the points.
    Mean,
    /// Growth per second of a count that only grows.
    Growth,
    /// Sum per second of counts since the point before.
    Delta,
}

#[derive(Debug)]
struct Steps {
    unit: String,
    fold: Fold,
    /// Mean, greatest and sum of the points of each step.
    points: BTreeMap<usize, (f64, f64, f64)>,
}

pub(crate) async fn resources(
    session: &Session,
    service: &str,
    range: TimeRange,
) -> Result<Vec<MetricSeries>, QueryError> {
    let range = bounded(range, session.snapshot(), DataSet::Metrics);
    let times = TimeBuckets::about(range, STEPS);
    let step = times.step_ns();
    let sql = format!(
        "SELECT name, unit, type, is_monotonic, temporality, series_id, host_name, \
         service_instance_id, min(attributes_json(attributes)) AS labels, \
         time_bucket({step}, time) AS step, avg(v) AS mean, max(v) AS most, sum(v) AS total \
         FROM (SELECT *, coalesce(value, CAST(value_int AS DOUBLE), sum) AS v FROM metrics \
         WHERE time >= $from AND time < $to AND ((service_name = $service AND {OF_SERVICE}) \
         OR (name LIKE 'system.%' AND host_name IN (SELECT host_name FROM spans \
         WHERE service_name = $service AND start_time >= $from AND start_time < $to \
         AND host_name IS NOT NULL)))) \
         GROUP BY name, unit, type, is_monotonic, temporality, series_id, host_name, \
         service_instance_id, 10 ORDER BY name, series_id, step LIMIT {MAX_ROWS}"
    );
    let mut params = in_range(range);
    params.push(("service", text(service)));
    let mut found: BTreeMap<Key, Steps> = BTreeMap::new();
    for batch in Box::pin(session.rows(&sql, params)).await? {
        collect(&Columns(&batch), times, &mut found)?;
    }
    let series = |(key, steps): (Key, Steps)| MetricSeries {
        name: key.name,
        unit: steps.unit(),
        label: key.label,
        times: (0..times.len()).map(|at| Time(times.start_ns(at))).collect(),
        values: steps.values(times),
    };
    Ok(found.into_iter().take(MAX_SERIES).map(series).collect())
}

fn collect(
    columns: &Columns<'_>,
    times: TimeBuckets,
    found: &mut BTreeMap<Key, Steps>,
) -> Result<(), QueryError> {
    let (names, units) = (columns.texts("name")?, columns.texts("unit")?);
    let (types, temporality) = (columns.texts("type")?, columns.texts("temporality")?);
    let monotonic = columns.bools("is_monotonic")?;
    let (hosts, instances) = (columns.texts("host_name")?, columns.texts("service_instance_id")?);
    let (labels, series) = (columns.texts("labels")?, columns.ints("series_id")?);
    let step = columns.ints("step")?;
    let (mean, most) = (columns.doubles("mean")?, columns.doubles("most")?);
    let total = columns.doubles("total")?;
    for row in 0..columns.0.num_rows() {
        let Some(at) = times.index(int0(&step, row)) else { continue };
        let name = names.owned(row);
        let place = match name.starts_with("system.") {
            true => hosts.get(row),
            false => instances.get(row).or_else(|| hosts.get(row)),
        };
        let key = Key { label: label(place, labels.text(row)), series: int0(&series, row), name };
        let counts = types.text(row).ends_with("histogram") || monotonic.value(row);
        let fold = match temporality.text(row) {
            "delta" => Fold::Delta,
            "cumulative" if counts => Fold::Growth,
            _ => Fold::Mean,
        };
        let unit = units.owned(row);
        let steps =
            found.entry(key).or_insert_with(|| Steps { unit, fold, points: BTreeMap::new() });
        steps.points.insert(at, (mean.value(row), most.value(row), total.value(row)));
    }
    Ok(())
}

/// Host or instance, then the values of the point's attributes.
fn label(place: Option<&str>, attributes: &str) -> String {
    let mut parts: Vec<String> = place.into_iter().map(str::to_owned).collect();
    parts.extend(members(attributes).map(|(_, value)| attr::plain(value).into_owned()));
    parts.join(" ")
}

impl Steps {
    fn unit(&self) -> String {
        match self.fold {
            Fold::Mean => self.unit.clone(),
            Fold::Growth | Fold::Delta => format!("{}/s", self.unit),
        }
    }

    fn values(&self, times: TimeBuckets) -> Vec<Option<f64>> {
        let seconds = times.step_ns() as f64 / 1e9;
        let mut before: Option<(usize, f64)> = None;
        let value = |at: usize| {
            let (mean, most, total) = self.points.get(&at).copied()?;
            match self.fold {
                Fold::Mean => Some(mean),
                Fold::Delta => Some(total / seconds),
                Fold::Growth => {
                    let last = before.replace((at, most));
                    let (then, count) = last?;
                    // A count that shrank started again from zero.
                    let grown = if most >= count { most - count } else { most };
                    Some(grown / (seconds * (at - then) as f64))
                }
            }
        };
        (0..times.len()).map(value).collect()
    }
}
