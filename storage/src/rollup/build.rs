//! The rows of a flush.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BinaryBuilder, BooleanArray, Int64Array, RecordBatch,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use arrow::error::ArrowError;
use headrope_analysis::Sketch;
use headrope_analysis::sketch::{SketchBatch, SketchTotal};
use headrope_model::rollup::STEPS_NS;
use headrope_model::{DataSet, schema};

use super::floor;
use super::keys::{Labelled, Labels};

/// Rows of the shortest step that one flush makes at most: what distinct names nobody bounds may cost
/// in memory (some 200 bytes a row) and on disk.
pub(super) const MAX_KEYS: usize = 1 << 16;

/// Rows of the shortest step that are few however many spans they stand for.
pub(super) const FEW_KEYS: usize = 1 << 10;
/// Spans that a row stands for on average, at least. A row takes about as much room as a span, so
/// this bounds what a roll-up adds to them, and with fewer they are as cheap to read themselves.
const SPANS_PER_KEY: usize = 3;

/// Spans that count together.
#[derive(Debug, Clone)]
struct Group {
    time: i64,
    labelled: Labelled,
    is_root: bool,
    calls: i64,
    total_ns: i64,
    min_ns: i64,
    max_ns: i64,
    first_start: i64,
    last_start: i64,
}

impl Group {
    /// Adds what another holds; `None` when a sum cannot be written.
    fn add(&mut self, other: &Self) -> Option<()> {
        self.calls = self.calls.checked_add(other.calls)?;
        self.total_ns = self.total_ns.checked_add(other.total_ns)?;
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.first_start = self.first_start.min(other.first_start);
        self.last_start = self.last_start.max(other.last_start);
        Some(())
    }
}

/// Rows of one step; what was not summed up is borrowed from the shorter step.
type Rows<'a> = Vec<(Group, Cow<'a, Sketch>)>;

/// Sums the spans of a flush up, for one roll-up: rows in segment order, each step of time for itself.
/// `None` when that cannot be done exactly within bounds: too many keys, more keys than would pay, a
/// sum beyond 64 bits.
///
/// # Errors
/// If a batch is not in the stored schema of spans.
pub(crate) fn build(
    rollup: DataSet,
    spans: &[&RecordBatch],
) -> Result<Option<RecordBatch>, ArrowError> {
    let mut labels = Labels::of(rollup, spans)?;
    let Some(minutes) = minutes(&mut labels, spans)? else { return Ok(None) };
    let origins = labels.origins();
    let [minute, hour, day] = STEPS_NS;
    let Some(minutes) = coarser(&minutes, minute, &origins) else { return Ok(None) };
    let Some(hours) = coarser(&minutes, hour, &origins) else { return Ok(None) };
    let Some(days) = coarser(&hours, day, &origins) else { return Ok(None) };
    let rows: Vec<(i64, &Group, &Sketch)> = [(minute, &minutes), (hour, &hours), (day, &days)]
        .into_iter()
        .flat_map(|(step, rows)| rows.iter().map(move |(group, sketch)| (step, group, &**sketch)))
        .collect();
    batch(rollup, &labels, &rows).map(Some)
}

/// Groups of the shortest step, in order of appearance.
fn minutes(
    labels: &mut Labels<'_>,
    spans: &[&RecordBatch],
) -> Result<Option<Rows<'static>>, ArrowError> {
    let [step, ..] = STEPS_NS;
    let mut groups: Vec<Group> = Vec::new();
    let mut counted = 0;
    let mut number_of: HashMap<_, u32, foldhash::fast::FixedState> = HashMap::default();
    let mut values = SketchBatch::with_capacity(spans.iter().map(|b| b.num_rows()).sum());
    for (number, batch) in spans.iter().enumerate() {
        let starts = times(batch)?;
        let durations = column(batch, "duration_ns")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| wrong("duration_ns"))?
            .values();
        let parents = column(batch, "parent_span_id")?;
        for (row, labelled) in labels.rows(number, batch.num_rows()) {
            let (Some(&start), Some(&duration)) = (starts.get(row), durations.get(row)) else {
                continue;
            };
            let is_root = parents.is_null(row);
            let Some(time) = floor(start, step) else { return Ok(None) };
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let at = *number_of.entry((labelled, is_root, time)).or_insert(next);
            let one = Group {
                time,
                labelled,
                is_root,
                calls: 1,
                total_ns: duration,
                min_ns: duration,
                max_ns: duration,
                first_start: start,
                last_start: start,
            };
            let known = groups.len();
            match usize::try_from(at).ok().and_then(|at| groups.get_mut(at)) {
                Some(group) => {
                    if group.add(&one).is_none() {
                        return Ok(None);
                    }
                }
                None if known >= MAX_KEYS => return Ok(None),
                None => groups.push(one),
            }
            counted += 1;
            values.insert(at, duration);
        }
    }
    if groups.len() > FEW_KEYS.max(counted / SPANS_PER_KEY) {
        return Ok(None);
    }
    let sketches = values.finish().into_iter().map(Cow::Owned);
    Ok(Some(groups.into_iter().zip(sketches).collect()))
}

/// Rows by steps of a length that is a multiple of theirs, in segment order. `None` when a sum cannot
/// be written.
fn coarser<'a>(finer: &'a Rows<'_>, step: i64, origins: &[&[u32]]) -> Option<Rows<'a>> {
    let origin = |number: u32| {
        usize::try_from(number).ok().and_then(|at| origins.get(at)).copied().unwrap_or_default()
    };
    let mut order = Vec::with_capacity(finer.len());
    for (group, sketch) in finer {
        let (number, own) = group.labelled;
        let sketch: &Sketch = sketch;
        order.push((floor(group.time, step)?, origin(number), own, group.is_root, group, sketch));
    }
    let key = |row: &(i64, _, _, bool, &Group, &Sketch)| (row.0, row.1, row.2, row.3);
    order.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
    let mut rows: Rows<'a> = Vec::with_capacity(order.len());
    for equal in order.chunk_by(|a, b| key(a) == key(b)) {
        let mut equal = equal.iter();
        let Some((time, .., group, sketch)) = equal.next() else { continue };
        let mut group = Group { time: *time, ..(*group).clone() };
        let mut total: Option<SketchTotal> = None;
        for (.., other, more) in equal {
            group.add(other)?;
            let total = total.get_or_insert_with(|| {
                let mut total = SketchTotal::new();
                total.merge(sketch);
                total
            });
            total.merge(more);
        }
        let sketch = total.map_or(Cow::Borrowed(*sketch), |total| Cow::Owned(total.finish()));
        rows.push((group, sketch));
    }
    Some(rows)
}

/// The rows in the stored schema.
fn batch(
    rollup: DataSet,
    labels: &Labels<'_>,
    rows: &[(i64, &Group, &Sketch)],
) -> Result<RecordBatch, ArrowError> {
    // Without spans there are no label columns to take texts from.
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(schema::stored(rollup)));
    }
    let ints = |of: fn(&Group) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, g, _)| of(g))))
    };
    let times = |of: fn(&Group) -> i64| -> ArrayRef {
        let times = rows.iter().map(|(_, g, _)| of(g));
        Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let steps = Int64Array::from_iter_values(rows.iter().map(|(step, ..)| *step));
    let roots: BooleanArray = rows.iter().map(|(_, g, _)| Some(g.is_root)).collect();
    let mut all: Vec<ArrayRef> = vec![Arc::new(steps), times(|g| g.time), Arc::new(roots)];
    all.extend(labels.arrays(&rows.iter().map(|(_, g, _)| g.labelled).collect::<Vec<_>>())?);
    all.extend([ints(|g| g.calls), ints(|g| g.total_ns), ints(|g| g.min_ns), ints(|g| g.max_ns)]);
    all.extend([times(|g| g.first_start), times(|g| g.last_start)]);
    let mut sketches = BinaryBuilder::new();
    let mut bytes = Vec::new();
    for (.., sketch) in rows {
        bytes.clear();
        sketch.write(&mut bytes);
        sketches.append_value(&bytes);
    }
    all.push(Arc::new(sketches.finish()));
    RecordBatch::try_new(schema::stored(rollup), all)
}

fn times(batch: &RecordBatch) -> Result<&[i64], ArrowError> {
    let array = column(batch, "start_time")?.as_primitive_opt::<TimestampNanosecondType>();
    Ok(array.ok_or_else(|| wrong("start_time"))?.values())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    batch.column_by_name(name).ok_or_else(|| wrong(name))
}

fn wrong(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column {name} is missing or has another type"))
}
