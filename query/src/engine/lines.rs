//! Log records found without SQL: row numbers from the text indexes, then only the narrow columns of
//! these rows, and bodies only where an index leaves open whether they match.
//!
//! What is read at a time is a unit: a row group of a segment, or a live batch. A segment becomes
//! units when it is looked at ([`Lines::open`]), so that the newest ones answer before others are
//! opened.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use headrope_model::{DataSet, SpanId, TimeRange, TraceId};
use headrope_storage::text::{Candidates, TextQuery};
use headrope_storage::{LiveBatch, Segment, Snapshot};
use parquet::file::statistics::Statistics;

use super::fault::fault;
use super::machine::Machine;
use super::row_group::RowGroup;
use crate::column::Texts;
use crate::error::QueryError;

/// Rows whose bodies are read at first, those of a page or so; each further time four times as many.
const FIRST_BODIES: usize = 4096;

/// Conditions on a log record; all must hold.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) range: TimeRange,
    pub(crate) service: Option<String>,
    /// Least severity number; a record without one does not match.
    pub(crate) min_severity: Option<i32>,
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) text: Option<TextQuery>,
}

/// A record found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) time: i64,
    /// 0 without one.
    pub(crate) severity: i32,
    /// The segment's place in the snapshot, or the number of segments and the live batch's place.
    pub(crate) source: usize,
    /// Row of the segment or live batch.
    pub(crate) row: u32,
    /// Its body, if that had to be read.
    pub(crate) body: Option<Box<str>>,
}

/// What is read at a time.
#[derive(Debug, Clone)]
pub(crate) enum Unit {
    /// A segment that has not been looked at.
    Segment(usize),
    /// A row group: the rows of the segment it holds, and which of them may match.
    Group { source: usize, group: usize, rows: Range<u32>, candidates: Option<Arc<Candidates>> },
    /// A live batch.
    Live(usize),
}

/// A unit, and the latest time a record of it can have.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) latest: i64,
    pub(crate) unit: Unit,
}

/// What became of a unit.
#[derive(Debug)]
pub(crate) enum Read {
    Units(Vec<Due>),
    Lines(Vec<Line>),
}

/// The log records of a snapshot that meet some conditions. Its functions block on the disk.
#[derive(Debug)]
pub(crate) struct Lines {
    machine: Arc<Machine>,
    snapshot: Arc<Snapshot>,
    wanted: Wanted,
}

/// A record that meets all conditions but perhaps the text.
struct Open {
    line: Line,
    certain: bool,
}

impl Lines {
    pub(crate) const fn new(
        machine: Arc<Machine>,
        snapshot: Arc<Snapshot>,
        wanted: Wanted,
    ) -> Self {
        Self { machine, snapshot, wanted }
    }

    /// Everything that may hold a record.
    pub(crate) fn units(&self) -> Vec<Due> {
        let overlaps = |min, max| self.wanted.range.overlaps_closed(min, max);
        let has_service = |segment: &Segment| {
            let services = segment.meta().services.as_ref();
            self.wanted.service.as_ref().zip(services).is_none_or(|(s, all)| all.contains(s))
        };
        let segments = self.snapshot.segments(DataSet::Logs).iter().enumerate();
        let segments = segments
            .filter(|(_, s)| overlaps(s.meta().min_time, s.meta().max_time) && has_service(s))
            .map(|(at, s)| Due { latest: s.meta().max_time, unit: Unit::Segment(at) });
        let live = self.snapshot.live(DataSet::Logs).iter().enumerate();
        let live = live
            .filter(|(_, batch)| overlaps(batch.min_time, batch.max_time))
            .map(|(at, batch)| Due { latest: batch.max_time, unit: Unit::Live(at) });
        segments.chain(live).collect()
    }

    /// Looks at a unit. Of the records at or after `least`, at least the `newest` ones with all that
    /// have the time of the last of them; all without `newest`.
    pub(crate) fn read(
        &self,
        unit: &Unit,
        least: i64,
        newest: Option<usize>,
    ) -> Result<Read, QueryError> {
        match unit {
            Unit::Segment(source) => self.open(*source).map(Read::Units),
            Unit::Group { source, group, rows, candidates } => self
                .group(*source, *group, rows, candidates.as_deref(), least, newest)
                .map(Read::Lines),
            Unit::Live(at) => self.live(*at, least, newest).map(Read::Lines),
        }
    }

    fn segment(&self, source: usize) -> Result<&Arc<Segment>, QueryError> {
        let missing = || QueryError::Engine(format!("segment {source} is gone"));
        self.snapshot.segments(DataSet::Logs).get(source).ok_or_else(missing)
    }

    /// The row groups of a segment that may hold a record.
    fn open(&self, source: usize) -> Result<Vec<Due>, QueryError> {
        let segment = self.segment(source)?;
        let candidates = match &self.wanted.text {
            Some(query) => self.machine.texts.candidates(segment, query).map_err(fault)?,
            None => None,
        };
        if candidates.as_ref().is_some_and(|found| found.rows.is_empty()) {
            return Ok(Vec::new());
        }
        let candidates = candidates.map(Arc::new);
        let footer = self.machine.footers.of(segment).map_err(fault)?;
        let (mut first, mut units) = (0, Vec::new());
        for (group, meta) in footer.metadata().row_groups().iter().enumerate() {
            let rows = first..first + u32::try_from(meta.num_rows()).map_err(fault)?;
            first = rows.end;
            let known = meta.columns().iter().find(|c| c.column_path().string() == "time");
            let bounds = known.and_then(|column| match column.statistics() {
                Some(Statistics::Int64(times)) => {
                    times.min_opt().copied().zip(times.max_opt().copied())
                }
                _ => None,
            });
            let (min, max) = bounds.unwrap_or((segment.meta().min_time, segment.meta().max_time));
            let any = candidates.as_ref().is_none_or(|c| c.rows.count_within(rows.clone()) > 0);
            if any && self.wanted.range.overlaps_closed(min, max) {
                let candidates = candidates.clone();
                let unit = Unit::Group { source, group, rows, candidates };
                units.push(Due { latest: max, unit });
            }
        }
        Ok(units)
    }

    fn group(
        &self,
        source: usize,
        group: usize,
        rows: &Range<u32>,
        candidates: Option<&Candidates>,
        least: i64,
        newest: Option<usize>,
    ) -> Result<Vec<Line>, QueryError> {
        let reader = RowGroup {
            machine: &self.machine,
            segment: self.segment(source)?,
            group,
            first: rows.start,
            len: rows.len(),
        };
        if let Some(id) = &self.wanted.trace_id
            && reader.lacks_trace(id)?
        {
            return Ok(Vec::new());
        }
        let may: Option<Vec<u32>> = candidates.map(|c| c.rows.within(rows.clone()).collect());
        let columns = self.narrow();
        let batch = reader.read(&columns, may.as_deref(), false)?;
        let row = |at: usize| match &may {
            Some(rows) => rows.get(at).copied().unwrap_or_default(),
            None => rows.start + u32::try_from(at).unwrap_or_default(),
        };
        let certain = |row| {
            self.wanted.text.is_none() || candidates.is_some_and(|found| found.is_certain(row))
        };
        let open = self.meeting(&batch, source, least, row, certain)?;
        self.verified(open, newest, |rows| reader.bodies(rows))
    }

    fn live(&self, at: usize, least: i64, newest: Option<usize>) -> Result<Vec<Line>, QueryError> {
        let missing = || QueryError::Engine(format!("live batch {at} is gone"));
        let live: &LiveBatch = self.snapshot.live(DataSet::Logs).get(at).ok_or_else(missing)?;
        let source = self.snapshot.segments(DataSet::Logs).len() + at;
        let row = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let open = self.meeting(&live.batch, source, least, row, |_| self.wanted.text.is_none())?;
        let bodies = Texts::of(column(&live.batch, "body")?).map_err(fault)?;
        let mut found = Vec::new();
        let mut matcher = self.wanted.text.as_ref().map(TextQuery::matcher);
        let mut open: Vec<Open> = open;
        open.sort_unstable_by_key(|o| (std::cmp::Reverse(o.line.time), o.line.row));
        for Open { line, .. } in open {
            if ends(&found, &line, newest) {
                break;
            }
            let body = bodies.text(line.row as usize);
            if matcher.as_mut().is_none_or(|matcher| matcher.matches(body)) {
                found.push(line);
            }
        }
        Ok(found)
    }

    /// The columns the conditions need, all of them narrow.
    fn narrow(&self) -> Vec<&'static str> {
        let wanted = &self.wanted;
        let mut columns = vec!["time", "severity_number"];
        let needed = [
            ("service_name", wanted.service.is_some()),
            ("trace_id", wanted.trace_id.is_some()),
            ("span_id", wanted.span_id.is_some()),
        ];
        columns.extend(needed.into_iter().filter(|(_, needed)| *needed).map(|(name, _)| name));
        columns
    }

    /// The rows of a batch that meet all conditions but the text.
    fn meeting(
        &self,
        batch: &RecordBatch,
        source: usize,
        least: i64,
        row_of: impl Fn(usize) -> u32,
        certain: impl Fn(u32) -> bool,
    ) -> Result<Vec<Open>, QueryError> {
        let wanted = &self.wanted;
        let times = cast(column(batch, "time")?, &DataType::Int64).map_err(fault)?;
        let times = times.as_primitive::<Int64Type>().values();
        let severity = column(batch, "severity_number")?;
        let severity = cast(severity, &DataType::Int32).map_err(fault)?;
        let severity = severity.as_primitive::<Int32Type>();
        let service = match wanted.service.as_deref() {
            Some(name) => Some((texts(batch)?, name)),
            None => None,
        };
        let trace = id(batch, "trace_id", wanted.trace_id.as_ref().map(|id| &id.bytes()[..]))?;
        let span = id(batch, "span_id", wanted.span_id.as_ref().map(|id| &id.bytes()[..]))?;
        let mut found = Vec::new();
        for (at, time) in times.iter().enumerate() {
            if *time < least || !wanted.range.contains(*time) {
                continue;
            }
            let number = severity.is_valid(at).then(|| severity.value(at));
            let meets = wanted.min_severity.is_none_or(|min| number.is_some_and(|n| n >= min))
                && service.as_ref().is_none_or(|(texts, name)| texts.text(at) == *name)
                && is(&trace, at)
                && is(&span, at);
            if meets {
                let row = row_of(at);
                let severity = number.unwrap_or_default();
                let line = Line { time: *time, severity, source, row, body: None };
                found.push(Open { line, certain: certain(row) });
            }
        }
        Ok(found)
    }

    /// Those whose text matches, the newest first, and with the bodies that were read, if only so many are wanted.
    fn verified(
        &self,
        mut open: Vec<Open>,
        newest: Option<usize>,
        bodies: impl Fn(&[u32]) -> Result<Texts, QueryError>,
    ) -> Result<Vec<Line>, QueryError> {
        if newest.is_some() {
            open.sort_unstable_by_key(|o| (std::cmp::Reverse(o.line.time), o.line.row));
        }
        let mut matcher = self.wanted.text.as_ref().map(TextQuery::matcher);
        let (mut found, mut rest, mut length) = (Vec::new(), open.as_slice(), FIRST_BODIES);
        while let Some(next) = rest.first() {
            if ends(&found, &next.line, newest) {
                break;
            }
            let (now, later) = rest.split_at(length.min(rest.len()));
            (rest, length) = (later, length * 4);
            let mut rows: Vec<u32> =
                now.iter().filter(|o| !o.certain).map(|o| o.line.row).collect();
            rows.sort_unstable();
            let texts = if rows.is_empty() { None } else { Some(bodies(&rows)?) };
            for open in now {
                let body = || {
                    let at = rows.binary_search(&open.line.row).ok()?;
                    texts.as_ref().map(|texts| texts.text(at))
                };
                if open.certain {
                    found.push(open.line.clone());
                    continue;
                }
                let body = body().unwrap_or_default();
                if matcher.as_mut().is_none_or(|m| m.matches(body)) {
                    let body = newest.map(|_| body.into());
                    found.push(Line { body, ..open.line.clone() });
                }
            }
        }
        Ok(found)
    }
}

/// Whether enough was found before a line, and it is older than the last one that counts.
fn ends(found: &[Line], next: &Line, newest: Option<usize>) -> bool {
    let last = newest.and_then(|n| found.get(n.saturating_sub(1)));
    last.is_some_and(|last| next.time < last.time)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, QueryError> {
    batch.column_by_name(name).ok_or_else(|| fault(format!("logs have no column {name}")))
}

fn texts(batch: &RecordBatch) -> Result<Texts, QueryError> {
    Texts::of(column(batch, "service_name")?).map_err(fault)
}

/// A column of ids, and the one that is wanted.
type Ids<'a> = Option<(FixedSizeBinaryArray, &'a [u8])>;

fn id<'a>(
    batch: &RecordBatch,
    name: &str,
    wanted: Option<&'a [u8]>,
) -> Result<Ids<'a>, QueryError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let ids = column(batch, name)?.as_fixed_size_binary_opt();
    let ids = ids.ok_or_else(|| fault(format!("{name} is no column of ids")))?;
    Ok(Some((ids.clone(), wanted)))
}

fn is(ids: &Ids<'_>, at: usize) -> bool {
    ids.as_ref().is_none_or(|(ids, wanted)| ids.is_valid(at) && ids.value(at) == *wanted)
}
