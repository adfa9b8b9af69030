//! A trace by its id.
//!
//! Its parts say when it ran and how many spans it has. A trace that fits the answer is read once;
//! of a larger one first the shape of all spans, then the details of those that are shown.

use std::collections::{BTreeMap, HashMap};

use headrope_analysis::{CallChain, Node, SpanKind, SpanRecord, SpanStatus};
use headrope_analysis::{assemble, critical_path, time_on_path};
use headrope_model::time::NANOS_PER_HOUR;
use headrope_model::{DataSet, SpanId, TimeRange, TraceId};

use super::in_range;
use super::repeats::repeats;
use super::span::{Maps, events, links, object};
use super::summary::quoted;
use crate::answer::Time;
use crate::answer::trace::{PathPart, ServiceTime, Trace, TraceSpan};
use crate::column::{Columns, Texts, count, int0};
use crate::engine::{Found, Session};
use crate::error::QueryError;

/// Most spans whose shape is looked at; a trace of more is cut off in order of time.
const MAX_SHAPE: usize = 1_000_000;
/// How far from a trace its log records may lie.
const LOG_REACH_NS: i64 = NANOS_PER_HOUR;
/// Columns that make up the shape.
const SHAPE: &str = "span_id, parent_span_id, kind, status_code, service_name, host_id, host_name, \
     name, start_time, duration_ns";
/// Further columns of a span that is shown.
const DETAILS: &str = "status_message, attributes, resource, scope_name, scope_version, \
     trace_state, events, links";

/// A span as it was sent; the details are there once it is shown.
struct Row {
    record: SpanRecord,
    details: Option<Box<TraceSpan>>,
}

/// When a trace ran and how many spans are stored.
pub(crate) struct Extent {
    range: TimeRange,
    spans: u64,
}

impl Extent {
    /// The range in which its log records are looked for.
    pub(crate) fn of_logs(&self) -> TimeRange {
        let from = self.range.from().saturating_sub(LOG_REACH_NS);
        TimeRange::new(from, self.range.to().saturating_add(LOG_REACH_NS)).unwrap_or(self.range)
    }
}

/// Looks a trace up in the index of traces.
pub(crate) async fn extent(session: &Session, id: TraceId) -> Result<Extent, QueryError> {
    Ok(extent_of(&find(session, id).await?))
}

async fn find(session: &Session, id: TraceId) -> Result<Found, QueryError> {
    let found = session.find(id).await?;
    found.ok_or_else(|| QueryError::NotFound(format!("trace {id}")))
}

fn extent_of(found: &Found) -> Extent {
    let (from, to) = (found.extent.from, found.extent.to.saturating_add(1));
    Extent { range: TimeRange::new(from, to).unwrap_or(TimeRange::ALL), spans: found.spans }
}

pub(crate) async fn trace(
    session: &Session,
    id: TraceId,
    max_spans: usize,
) -> Result<Trace, QueryError> {
    let found = find(session, id).await?;
    let extent = extent_of(&found);
    let fits = usize::try_from(extent.spans).is_ok_and(|spans| spans <= max_spans.min(MAX_SHAPE));
    let mut rows = match fits {
        true => Box::pin(whole(session, id, found)).await?,
        false => Box::pin(rows(session, id, extent.range, false, None)).await?,
    };
    let records =
        rows.iter().enumerate().map(|(at, row)| SpanRecord { source: at, ..row.record.clone() });
    let chain = assemble(records.collect());
    let shown: Vec<usize> = received(&chain).take(max_spans).collect();
    if !fits {
        let ids: Vec<String> = shown
            .iter()
            .filter_map(|at| chain.nodes.get(*at))
            .map(|node| node.span_id.to_string())
            .collect();
        let details = Box::pin(self::rows(session, id, extent.range, true, Some(&ids))).await?;
        attach(&mut rows, details);
    }
    let mut trace = present(id, &chain, &shown, &mut rows);
    trace.log_count = log_count(session, id, extent.of_logs()).await?;
    Ok(trace)
}

/// Every span of a trace with its details, by start and id.
async fn whole(session: &Session, id: TraceId, found: Found) -> Result<Vec<Row>, QueryError> {
    let columns: Vec<&str> = SHAPE.split(", ").chain(DETAILS.split(", ")).collect();
    let mut out = Vec::new();
    for batch in session.spans_of(id, found, &columns).await? {
        let shapes = shapes(&Columns(&batch))?;
        let spans = spans(&batch, &shapes)?;
        let rows = shapes.into_iter().zip(spans);
        out.extend(rows.map(|(record, span)| Row { record, details: Some(Box::new(span)) }));
    }
    out.sort_by_key(|row| (row.record.start_ns, row.record.span_id));
    Ok(out)
}

/// Nodes that stand for spans that were received, in pre-order.
fn received(chain: &CallChain) -> impl Iterator<Item = usize> + '_ {
    chain.nodes.iter().enumerate().filter(|(_, n)| !n.is_synthetic).map(|(at, _)| at)
}

async fn rows(
    session: &Session,
    id: TraceId,
    range: TimeRange,
    details: bool,
    only: Option<&[String]>,
) -> Result<Vec<Row>, QueryError> {
    let columns = if details { format!("{SHAPE}, {DETAILS}") } else { SHAPE.to_owned() };
    let only = match only {
        Some([]) => return Ok(Vec::new()),
        Some(ids) => format!("AND span_id IN ({})", quoted(ids)),
        None => String::new(),
    };
    let sql = format!(
        "SELECT {columns} FROM spans WHERE trace_id = '{id}' AND start_time >= $from \
         AND start_time < $to {only} ORDER BY start_time, span_id LIMIT {MAX_SHAPE}"
    );
    let mut out = Vec::new();
    for batch in session.rows(&sql, in_range(range)).await? {
        let shapes = shapes(&Columns(&batch))?;
        if !details {
            out.extend(shapes.into_iter().map(|record| Row { record, details: None }));
            continue;
        }
        let spans = spans(&batch, &shapes)?;
        out.extend(
            shapes
                .into_iter()
                .zip(spans)
                .map(|(record, span)| Row { record, details: Some(Box::new(span)) }),
        );
    }
    Ok(out)
}

fn shapes(columns: &Columns<'_>) -> Result<Vec<SpanRecord>, QueryError> {
    let (ids, parents) = (columns.texts("span_id")?, columns.texts("parent_span_id")?);
    let (kinds, status) = (columns.texts("kind")?, columns.texts("status_code")?);
    let (services, names) = (columns.texts("service_name")?, columns.texts("name")?);
    let (host_ids, hosts) = (columns.texts("host_id")?, columns.texts("host_name")?);
    let (starts, durations) = (columns.ints("start_time")?, columns.ints("duration_ns")?);
    let id = |texts: &Texts, row: usize| texts.get(row).and_then(|t| t.parse::<SpanId>().ok());
    let record = |row: usize| {
        Some(SpanRecord {
            span_id: id(&ids, row)?,
            parent_span_id: id(&parents, row),
            kind: SpanKind::from_name(kinds.text(row)),
            status: SpanStatus::from_name(status.text(row)),
            service: services.text(row).into(),
            host: host_ids.get(row).or_else(|| hosts.get(row)).unwrap_or_default().into(),
            name: names.text(row).into(),
            start_ns: int0(&starts, row),
            duration_ns: int0(&durations, row),
            source: 0,
        })
    };
    (0..columns.0.num_rows())
        .map(|row| record(row).ok_or_else(|| QueryError::Engine("a span without an id".to_owned())))
        .collect()
}

/// Spans with their details; their place in the trace is filled in later.
fn spans(
    batch: &datafusion::arrow::array::RecordBatch,
    shapes: &[SpanRecord],
) -> Result<Vec<TraceSpan>, QueryError> {
    let columns = Columns(batch);
    let (kinds, status) = (columns.texts("kind")?, columns.texts("status_code")?);
    let messages = columns.texts("status_message")?;
    let attributes = Maps::of(columns.array("attributes")?)?;
    let resources = columns.texts("resource")?;
    let (scopes, versions) = (columns.texts("scope_name")?, columns.texts("scope_version")?);
    let states = columns.texts("trace_state")?;
    let mut nested = events(batch)?.into_iter().zip(links(batch)?);
    let span = |(row, shape): (usize, &SpanRecord)| {
        let (events, links) = nested.next().unwrap_or_default();
        TraceSpan {
            span_id: shape.span_id.to_string(),
            parent_span_id: shape.parent_span_id.map(|p| p.to_string()),
            parent_index: None,
            depth: 0,
            descendants: 0,
            orphan: false,
            service: shape.service.to_string(),
            name: shape.name.to_string(),
            kind: kinds.owned(row),
            status_code: status.owned(row),
            status_message: messages.owned(row),
            start_time: Time(shape.start_ns),
            offset_ns: 0,
            duration_ns: shape.duration_ns,
            self_ns: 0,
            skew_ns: 0,
            critical: Vec::new(),
            attributes: attributes.object(row),
            resource: object(resources.get(row)),
            scope_name: scopes.owned(row),
            scope_version: versions.owned(row),
            trace_state: states.owned(row),
            events,
            links,
        }
    };
    Ok(shapes.iter().enumerate().map(span).collect())
}

/// Gives the rows the details that were read for them.
fn attach(rows: &mut [Row], details: Vec<Row>) {
    let key = |r: &SpanRecord| (r.span_id, r.kind, r.start_ns, r.duration_ns);
    let mut by_key: HashMap<_, _> =
        details.into_iter().map(|row| (key(&row.record), row.details)).collect();
    for row in rows {
        if let Some(details) = by_key.remove(&key(&row.record)) {
            row.details = details;
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Puts the pieces together.
fn present(id: TraceId, chain: &CallChain, shown: &[usize], rows: &mut [Row]) -> Trace {
    let (from, to) = chain.extent_ns().unwrap_or_default();
    let path = chain.main_root().map(|root| critical_path(chain, root)).unwrap_or_default();
    let on_path = time_on_path(chain, &path);
    let mut parts: HashMap<usize, Vec<PathPart>> = HashMap::new();
    for part in &path {
        let part_of = PathPart { from_ns: part.from_ns - from, to_ns: part.to_ns - from };
        parts.entry(part.node).or_default().push(part_of);
    }
    let index: HashMap<usize, usize> = shown.iter().enumerate().map(|(i, at)| (*at, i)).collect();
    let span = |at: usize| rows.get(chain.nodes.get(at)?.source?)?.details.as_deref();
    let repeats = repeats(chain, span, |at| index.get(&at).map(|i| number(*i)));
    let place = |at: &usize| {
        let node = chain.nodes.get(*at)?;
        let mut span = rows.get_mut(node.source?)?.details.take()?;
        let parent = node.parent.and_then(|p| chain.nodes.get(p).map(|n| (p, n)));
        span.orphan = parent.is_some_and(|(_, parent)| parent.is_synthetic);
        span.parent_index = parent.and_then(|(p, _)| index.get(&p)).map(|i| number(*i));
        span.depth = number(depth(chain, node));
        span.descendants = number(node.subtree_size.saturating_sub(1));
        span.offset_ns = node.start_ns - from;
        span.duration_ns = node.duration_ns;
        span.self_ns = node.self_ns;
        span.skew_ns = node.skew_ns;
        span.critical = parts.remove(at).unwrap_or_default();
        Some(*span)
    };
    let spans: Vec<TraceSpan> = shown.iter().filter_map(place).collect();
    let real = || received(chain).filter_map(|at| chain.nodes.get(at));
    Trace {
        trace_id: id.to_string(),
        start_time: Time(from),
        duration_ns: to - from,
        guilty: guilty(chain, shown, &on_path),
        span_count: real().count() as u64,
        error_count: real().filter(|n| n.status == SpanStatus::Error).count() as u64,
        depth: real().map(|n| number(depth(chain, n))).max().unwrap_or(0),
        orphans: chain.orphans as u64,
        duplicates: chain.duplicates as u64,
        skewed: chain.skewed as u64,
        services: by_service(chain, &on_path),
        spans,
        repeats,
        log_count: 0,
    }
}

/// Depth without the stand-ins for parents that were not received.
fn depth(chain: &CallChain, node: &Node) -> usize {
    // A stand-in is always a root, so it adds one level to everything below it.
    let mut root = node;
    while let Some(parent) = root.parent.and_then(|p| chain.nodes.get(p)) {
        root = parent;
    }
    node.depth - usize::from(root.is_synthetic && node.depth > 0)
}

/// The span to look at first: the deepest failing one, or else the one with the most time of its own
/// on the critical path.
fn guilty(chain: &CallChain, shown: &[usize], on_path: &[i64]) -> Option<u32> {
    let nodes =
        || shown.iter().enumerate().filter_map(|(i, at)| Some((i, *at, chain.nodes.get(*at)?)));
    // The first of equals: `max_by_key` takes the last, so the order is turned round.
    let failing = nodes()
        .filter(|(_, _, n)| n.status == SpanStatus::Error)
        .max_by_key(|(i, _, n)| (n.depth, std::cmp::Reverse(*i)));
    let slow = || {
        nodes()
            .filter(|(_, at, _)| on_path.get(*at).is_some_and(|t| *t > 0))
            .max_by_key(|(i, at, _)| (on_path.get(*at).copied(), std::cmp::Reverse(*i)))
    };
    failing.or_else(slow).map(|(i, ..)| number(i))
}

fn by_service(chain: &CallChain, on_path: &[i64]) -> Vec<ServiceTime> {
    let mut services: BTreeMap<&str, ServiceTime> = BTreeMap::new();
    for at in received(chain) {
        let Some(node) = chain.nodes.get(at) else { continue };
        let entry = services.entry(&node.service).or_insert_with(|| ServiceTime {
            service: node.service.to_string(),
            spans: 0,
            errors: 0,
            self_ns: 0,
            critical_ns: 0,
        });
        entry.spans += 1;
        entry.errors += u64::from(node.status == SpanStatus::Error);
        entry.self_ns = entry.self_ns.saturating_add(node.self_ns);
        entry.critical_ns += on_path.get(at).copied().unwrap_or_default();
    }
    let mut services: Vec<ServiceTime> = services.into_values().collect();
    services.sort_by_key(|s| (std::cmp::Reverse(s.critical_ns), std::cmp::Reverse(s.self_ns)));
    services
}

async fn log_count(session: &Session, id: TraceId, range: TimeRange) -> Result<u64, QueryError> {
    let snapshot = session.snapshot();
    let segments = snapshot.segments(DataSet::Logs).iter();
    let mut times = segments
        .map(|s| (s.meta().min_time, s.meta().max_time))
        .chain(snapshot.live(DataSet::Logs).iter().map(|l| (l.min_time, l.max_time)));
    if !times.any(|(min, max)| range.overlaps_closed(min, max)) {
        return Ok(0);
    }
    let sql = format!(
        "SELECT count(*) AS n FROM logs WHERE trace_id = '{id}' AND time >= $from AND time < $to"
    );
    let mut total = 0;
    for batch in session.rows(&sql, in_range(range)).await? {
        let n = Columns(&batch).ints("n")?;
        total += (0..batch.num_rows()).map(|row| count(&n, row)).sum::<u64>();
    }
    Ok(total)
}
