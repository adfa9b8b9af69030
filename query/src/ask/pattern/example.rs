//! Log records at known places.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use headrope_model::{DataSet, TraceId};

use crate::answer::Time;
use crate::answer::pattern::LogExample;
use crate::column::{Columns, int0};
use crate::engine::{Part, Place, Session};
use crate::error::QueryError;

/// A record of each list of places: the first with a trace, else the first.
pub(super) async fn examples(
    session: &Session,
    places: &[&[Place]],
) -> Result<Vec<Option<LogExample>>, QueryError> {
    let found = read(session, places, &["time", "trace_id", "body"]).await?;
    Ok(places.iter().map(|of_one| best(of_one, &found).cloned()).collect())
}

/// The trace of a record of each list of places.
pub(super) async fn traces(
    session: &Session,
    places: &[&[Place]],
) -> Result<Vec<Option<String>>, QueryError> {
    let found = read(session, places, &["trace_id"]).await?;
    let trace = |of_one: &&[Place]| best(of_one, &found).and_then(|e| e.trace_id.clone());
    Ok(places.iter().map(trace).collect())
}

fn best<'a>(places: &[Place], found: &'a BTreeMap<Place, LogExample>) -> Option<&'a LogExample> {
    let all = || places.iter().filter_map(|place| found.get(place));
    all().find(|example| example.trace_id.is_some()).or_else(|| all().next())
}

async fn read(
    session: &Session,
    places: &[&[Place]],
    columns: &[&str],
) -> Result<BTreeMap<Place, LogExample>, QueryError> {
    let mut by_source: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
    for place in places.iter().copied().flatten() {
        by_source.entry(place.source).or_default().insert(place.row);
    }
    let segments = session.snapshot().segments(DataSet::Logs);
    let live = session.snapshot().live(DataSet::Logs);
    let mut found = BTreeMap::new();
    let (mut parts, mut of_parts) = (Vec::new(), Vec::new());
    for (source, rows) in by_source {
        let rows: Vec<u32> = rows.into_iter().collect();
        if let Some(segment) = segments.get(source) {
            of_parts.push((source, rows.clone()));
            parts.push(Part { segment: Arc::clone(segment), rows });
        } else if let Some(batch) = source.checked_sub(segments.len()).and_then(|at| live.get(at)) {
            let taken = take_record_batch(&batch.batch, &UInt32Array::from(rows.clone()));
            let taken = taken.map_err(|e| QueryError::Engine(e.to_string()))?;
            add(&mut found, source, &rows, &taken)?;
        }
    }
    for ((source, rows), batches) in
        of_parts.into_iter().zip(session.rows_of(parts, columns).await?)
    {
        let mut rows = rows.as_slice();
        for batch in batches {
            let (now, later) = rows.split_at(batch.num_rows().min(rows.len()));
            add(&mut found, source, now, &batch)?;
            rows = later;
        }
    }
    Ok(found)
}

/// Adds records of a batch; ids are hex text, or bytes in live rows.
fn add(
    found: &mut BTreeMap<Place, LogExample>,
    source: usize,
    rows: &[u32],
    batch: &RecordBatch,
) -> Result<(), QueryError> {
    use datafusion::arrow::array::{Array as _, AsArray as _};
    let columns = Columns(batch);
    let has = |name: &str| batch.column_by_name(name).is_some();
    let times = if has("time") { Some(columns.ints("time")?) } else { None };
    let bodies = if has("body") { Some(columns.texts("body")?) } else { None };
    let traces = columns.array("trace_id")?;
    let ids = traces.as_fixed_size_binary_opt();
    let texts = if ids.is_some() { None } else { Some(columns.texts("trace_id")?) };
    for (at, row) in rows.iter().enumerate() {
        let id = ids.filter(|ids| ids.is_valid(at)).map(|ids| ids.value(at));
        let id = id.and_then(TraceId::from_bytes).map(|id| id.to_string());
        let text = texts.as_ref().and_then(|texts| texts.get(at)).map(str::to_owned);
        let example = LogExample {
            time: Time(times.as_ref().map_or(0, |times| int0(times, at))),
            body: bodies.as_ref().map(|bodies| bodies.owned(at)).unwrap_or_default(),
            trace_id: id.or(text),
        };
        found.insert(Place { source, row: *row }, example);
    }
    Ok(())
}
