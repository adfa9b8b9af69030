//! The spans of one trace, found through the parts of traces instead of a statement.
//!
//! Parts are sorted by trace id: one page of each file may hold the trace, and the page index says
//! which. The parts say when the trace ran and in which services, and spans are sorted by service and
//! start: a page or two of each service may hold its spans. Of those the trace ids are compared, and
//! only the rows that are the trace's are decoded.

use std::sync::Arc;

use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use headrope_model::{DataSet, TraceId};
use headrope_storage::dense::WHOLE;
use headrope_storage::{LiveBatch, Segment, Snapshot};
use tokio::task::JoinSet;

use super::rows::{self, Part};
use crate::segment::{
    Extent, Footer, Footers, Page, Positioned, each_batch, pages_of_extent, pages_of_ids,
    rows_of_ids,
};

/// What the parts of a trace say of it.
const PART: [&str; 4] = ["start_time", "end_time", "span_count", "service_names"];

/// Fewest pages of ids that are worth a task.
const PART_PAGES: usize = 4;

/// Where a trace is.
#[derive(Debug)]
pub(crate) struct Found {
    /// When it ran and in which services.
    pub(crate) extent: Extent,
    /// Its spans.
    pub(crate) spans: u64,
}

/// Looks a trace up in its parts; `None` when there is none. Blocks on the disk.
pub(crate) fn find(footers: &Footers, snapshot: &Snapshot, id: TraceId) -> Result<Option<Found>> {
    let ids = [id.bytes().to_vec()];
    let mut found: Option<Found> = None;
    for segment in snapshot.segments(DataSet::TraceParts) {
        let footer = footers.of(segment)?;
        let pages = pages_of_ids(&footer, "trace_id", &ids);
        if pages.is_empty() {
            continue;
        }
        let file = Positioned::of(segment)?;
        for page in pages {
            let page = [page];
            let rows = rows_of_ids(&footer, &file, "trace_id", &ids, &page)?;
            let [page] = page;
            let rows = rows.iter().map(|row| {
                let row = (*row as usize).saturating_sub(page.base);
                row..row + 1
            });
            if rows.len() == 0 {
                continue;
            }
            let mut wrong = None;
            each_batch(&footer, &file, page.group, rows, &PART, |batch| {
                wrong = add(&mut found, batch).err();
                Ok(())
            })?;
            wrong.map_or(Ok(()), Err)?;
        }
    }
    for live in snapshot.live(DataSet::TraceParts) {
        if let Some(rows) = live_rows(live, &ids)? {
            add(&mut found, &rows)?;
        }
    }
    Ok(found)
}

/// Adds parts to what is known of a trace.
fn add(found: &mut Option<Found>, parts: &RecordBatch) -> Result<()> {
    let column = |name: &str| {
        let missing = || exec_datafusion_err!("trace parts have no {name}");
        parts.column_by_name(name).ok_or_else(missing)
    };
    let integers = |name| -> Result<_> { Ok(cast(column(name)?, &DataType::Int64)?) };
    let (starts, ends) = (integers("start_time")?, integers("end_time")?);
    let spans = integers("span_count")?;
    let (starts, ends) = (starts.as_primitive::<Int64Type>(), ends.as_primitive::<Int64Type>());
    let spans = spans.as_primitive::<Int64Type>();
    let services = column("service_names")?;
    let services = services.as_list_opt::<i32>();
    let services =
        services.ok_or_else(|| exec_datafusion_err!("names of services are no lists"))?;
    for row in 0..parts.num_rows() {
        let all = found.get_or_insert_with(|| Found {
            extent: Extent { from: i64::MAX, to: i64::MIN, services: Vec::new() },
            spans: 0,
        });
        all.extent.from = all.extent.from.min(starts.value(row));
        all.extent.to = all.extent.to.max(ends.value(row));
        all.spans += u64::try_from(spans.value(row)).unwrap_or_default();
        let names = cast(&services.value(row), &DataType::Utf8)?;
        let names = names.as_string::<i32>();
        for name in names.iter().flatten() {
            if !all.extent.services.iter().any(|known| known == name) {
                all.extent.services.push(name.to_owned());
            }
        }
    }
    Ok(())
}

/// The rows of a live batch with these ids; `None` if there are none.
fn live_rows(live: &LiveBatch, ids: &[Vec<u8>]) -> Result<Option<RecordBatch>> {
    let column = live.batch.column_by_name("trace_id");
    let Some(column) = column.and_then(|c| c.as_fixed_size_binary_opt()) else {
        return Ok(None);
    };
    let one = |at: &usize| ids.iter().any(|id| id.as_slice() == column.value(*at));
    let rows: UInt64Array = (0..column.len()).filter(one).map(|at| at as u64).collect();
    match rows.is_empty() {
        true => Ok(None),
        false => Ok(Some(take_record_batch(&live.batch, &rows)?)),
    }
}

/// The spans of a trace that was found, with some of the columns of the query schema.
pub(crate) async fn spans(
    footers: &Arc<Footers>,
    snapshot: &Arc<Snapshot>,
    id: TraceId,
    extent: Extent,
    columns: &[&str],
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>> {
    let parts = context.session_config().target_partitions().max(1);
    let (of, over, about) = (Arc::clone(footers), Arc::clone(snapshot), extent.clone());
    let listed = tokio::task::spawn_blocking(move || places(&of, &over, &about, parts)).await;
    let mut searches = JoinSet::new();
    for place in listed.map_err(|e| exec_datafusion_err!("{e}"))?? {
        searches.spawn_blocking(move || place.search(id));
    }
    let mut found: Vec<Part> = Vec::new();
    while let Some(part) = searches.join_next().await {
        found.extend(part.map_err(|e| exec_datafusion_err!("{e}"))??);
    }
    let ids = [id.bytes().to_vec()];
    let live = snapshot.live(DataSet::Spans).iter();
    let live = live.filter(|l| l.min_time <= extent.to && l.max_time >= extent.from);
    let live: Vec<RecordBatch> =
        live.filter_map(|l| live_rows(l, &ids).transpose()).collect::<Result<_>>()?;
    let mut batches = read(footers, found, columns, parts).await?;
    batches.extend(rows::live(footers, DataSet::Spans, live, columns, context).await?);
    Ok(batches)
}

/// Columns of found rows. Each column is opened once, however many threads there are: attributes are about half of the
/// work.
async fn read(
    footers: &Arc<Footers>,
    found: Vec<Part>,
    columns: &[&str],
    parts: usize,
) -> Result<Vec<RecordBatch>> {
    let found = Part::joined(found);
    let others: Vec<&str> = columns.iter().copied().filter(|column| *column != WHOLE).collect();
    if found.len() >= parts || others.is_empty() || others.len() == columns.len() {
        let each = parts.div_ceil(found.len().max(1));
        let found = found.into_iter().flat_map(|part| part.split(each)).collect();
        let read = rows::read_all(footers, found, columns).await?;
        return Ok(read.into_iter().flatten().collect());
    }
    let (others, attributes) = tokio::try_join!(
        rows::read_all(footers, found.clone(), &others),
        rows::read_all(footers, found, &[WHOLE]),
    )?;
    let (others, attributes) = (others.concat(), attributes.concat());
    if others.len() != attributes.len() {
        let (a, b) = (others.len(), attributes.len());
        return exec_err!("the same rows came in {a} batches and, their attributes, in {b}");
    }
    let pairs = others.iter().zip(&attributes);
    pairs.map(|(others, attributes)| beside(others, attributes, columns)).collect()
}

/// Columns of two batches of the same rows.
fn beside(a: &RecordBatch, b: &RecordBatch, columns: &[&str]) -> Result<RecordBatch> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns {
        let of = if a.schema_ref().index_of(column).is_ok() { a } else { b };
        let at = of.schema_ref().index_of(column)?;
        fields.push(Arc::new(of.schema_ref().field(at).clone()));
        arrays.push(Arc::clone(of.column(at)));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Pages of a segment that may hold a span of a trace.
struct Place {
    segment: Arc<Segment>,
    footer: Arc<Footer>,
    pages: Vec<Page>,
}

/// The pages that may hold spans that start in an extent, of each segment in about so many parts.
fn places(
    footers: &Footers,
    snapshot: &Snapshot,
    extent: &Extent,
    parts: usize,
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for segment in snapshot.segments(DataSet::Spans).iter().filter(|s| may_hold(s, extent)) {
        let footer = footers.of(segment)?;
        let pages = pages_of_extent(&footer, extent);
        for some in pages.chunks(pages.len().div_ceil(parts).max(PART_PAGES)) {
            let (segment, footer) = (Arc::clone(segment), Arc::clone(&footer));
            places.push(Place { segment, footer, pages: some.to_vec() });
        }
    }
    Ok(places)
}

impl Place {
    /// The rows that are the trace's. Blocks on the disk.
    fn search(self, id: TraceId) -> Result<Option<Part>> {
        let Self { segment, footer, pages } = self;
        let ids = [id.bytes().to_vec()];
        let file = Positioned::of(&segment)?;
        let rows = rows_of_ids(&footer, &file, "trace_id", &ids, &pages)?;
        Ok((!rows.is_empty()).then_some(Part { segment, rows }))
    }
}

fn may_hold(segment: &Segment, extent: &Extent) -> bool {
    let meta = segment.meta();
    let services = meta.services.as_deref();
    meta.min_time <= extent.to
        && meta.max_time >= extent.from
        && services.is_none_or(|all| extent.services.iter().any(|s| all.contains(s)))
}
