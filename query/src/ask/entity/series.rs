//! Series of metrics of a window that say something of a cause, each as one value.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use headrope_model::TimeRange;

use super::signal::{Signal, is_use};
use crate::column::{Columns, count, int0};
use crate::engine::{Params, Session};
use crate::error::QueryError;
use crate::moment;

/// Most names of metrics, and most series, that are looked at.
const MOST_NAMES: usize = 10_000;
const MOST_SERIES: usize = 200_000;

/// What a series comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::ask) struct Level {
    /// The mean of a gauge; the growth a second of a count.
    pub(in crate::ask) value: f64,
    /// Its lowest and its highest point.
    pub(in crate::ask) least: f64,
    pub(in crate::ask) most: f64,
    /// Standard deviation of its points, of a gauge.
    pub(in crate::ask) spread: Option<f64>,
}

/// A series in a window.
#[derive(Debug)]
pub(in crate::ask) struct Series {
    pub(in crate::ask) name: Arc<str>,
    pub(in crate::ask) signal: Signal,
    pub(in crate::ask) level: Level,
    /// Whether it is of what is in use, or of what is idle or free beside.
    pub(in crate::ask) is_use: bool,
    /// Attributes of the series and of its resource.
    pub(in crate::ask) labels: HashMap<String, String>,
}

/// Series of a window. Counts that start again are several of them.
pub(in crate::ask) async fn series(
    session: Arc<Session>,
    range: TimeRange,
) -> Result<Vec<Series>, QueryError> {
    let params = || -> Params {
        vec![("from", moment::scalar(range.from())), ("to", moment::scalar(range.to()))]
    };
    let names = format!(
        "SELECT DISTINCT name FROM metrics WHERE time >= $from AND time < $to LIMIT {MOST_NAMES}"
    );
    let mut signals: HashMap<Arc<str>, Signal> = HashMap::new();
    for batch in Box::pin(session.rows(&names, params())).await? {
        let names = Columns(&batch).texts("name")?;
        let known = (0..batch.num_rows()).filter_map(|row| names.get(row));
        signals.extend(known.filter_map(|name| Some((Arc::from(name), Signal::of(name)?))));
    }
    if signals.is_empty() {
        return Ok(Vec::new());
    }
    let sql = statement(signals.keys());
    let seconds = (range.duration_ns() as f64 / 1e9).max(1e-9);
    let mut found = Vec::new();
    for batch in Box::pin(session.rows(&sql, params())).await? {
        add(&batch, seconds, &signals, &mut found)?;
    }
    Ok(found)
}

fn statement<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    let quoted = |name: &Arc<str>| format!("'{}'", name.replace('\'', "''"));
    let mut names: Vec<String> = names.map(quoted).collect();
    names.sort_unstable();
    format!(
        "SELECT name, type, is_monotonic, temporality, series_id, min(resource) AS resource, \
         min(attributes_json(attributes)) AS labels, count(*) AS points, avg(v) AS mean, \
         stddev(v) AS spread, min(v) AS least, max(v) AS most, sum(v) AS total, \
         min(time) AS first, max(time) AS last \
         FROM (SELECT *, coalesce(value, CAST(value_int AS DOUBLE), sum) AS v, \
         CASE WHEN temporality = 'cumulative' THEN start_time END AS begun FROM metrics \
         WHERE time >= $from AND time < $to AND name IN ({})) \
         GROUP BY name, type, is_monotonic, temporality, series_id, begun LIMIT {MOST_SERIES}",
        names.join(", ")
    )
}

fn add(
    batch: &RecordBatch,
    seconds: f64,
    signals: &HashMap<Arc<str>, Signal>,
    found: &mut Vec<Series>,
) -> Result<(), QueryError> {
    let columns = Columns(batch);
    let (names, resources) = (columns.texts("name")?, columns.texts("resource")?);
    let labels = columns.texts("labels")?;
    let levels = levels(&columns, seconds)?;
    for (row, level) in levels.into_iter().enumerate() {
        let name = names.text(row);
        let (Some(level), Some((name, signal))) = (level, signals.get_key_value(name)) else {
            continue;
        };
        let Some(is_use) = is_use(name, labels.text(row)) else { continue };
        let (name, signal) = (Arc::clone(name), *signal);
        let mut all = members(labels.text(row));
        all.extend(members(resources.text(row)));
        found.push(Series { name, signal, level, is_use, labels: all });
    }
    Ok(())
}

/// Attributes by key, as text.
fn members(json: &str) -> HashMap<String, String> {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(json) else {
        return HashMap::new();
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    members.into_iter().map(|(key, value)| (key, text(value))).collect()
}

/// What each series comes to. A count that only grows says nothing by one point.
fn levels(columns: &Columns<'_>, window: f64) -> Result<Vec<Option<Level>>, QueryError> {
    let (types, temporality) = (columns.texts("type")?, columns.texts("temporality")?);
    let (monotonic, points) = (columns.bools("is_monotonic")?, columns.ints("points")?);
    let (mean, spread) = (columns.doubles("mean")?, columns.doubles("spread")?);
    let (least, most) = (columns.doubles("least")?, columns.doubles("most")?);
    let total = columns.doubles("total")?;
    let (first, last) = (columns.ints("first")?, columns.ints("last")?);
    let level = |row: usize| {
        let counts = types.text(row).ends_with("histogram")
            || types.text(row) == "summary"
            || monotonic.value(row);
        let points = count(&points, row);
        let seconds = (int0(&last, row) - int0(&first, row)) as f64 / 1e9;
        let (value, spread) = match temporality.text(row) {
            "delta" => (total.value(row) / window, None),
            _ if counts => ((most.value(row) - least.value(row)) / seconds, None),
            _ => (mean.value(row), (points > 2).then(|| spread.value(row))),
        };
        let spread = spread.filter(|spread| spread.is_finite());
        value.is_finite().then_some(Level {
            value,
            least: least.value(row),
            most: most.value(row),
            spread,
        })
    };
    Ok((0..columns.0.num_rows()).map(level).collect())
}
