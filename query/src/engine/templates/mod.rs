//! Log records counted by the templates that segments keep of their bodies, without SQL.
//!
//! What is read of a segment are codes: template, service and severity of each record. Bodies are read only
//! of records that a template says little of, or that have none, as those that are live; of many of one
//! kind, some, chosen by a hash of their place.

mod part;

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::UInt32Array;
use datafusion::arrow::compute::take;
use headrope_analysis::change::SLICES;
use headrope_model::{DataSet, TimeRange};
use headrope_storage::{Segment, Snapshot};
use parquet::file::statistics::Statistics;

use self::part::Part;
use super::fault::fault;
use super::machine::Machine;
use super::row_group::RowGroup;
use crate::column::Texts;
use crate::error::QueryError;
use crate::segment::{Positioned, each_batch};

/// The column of templates, and the mark that stands in them for a value (`docs/format/segment.md`).
const TEMPLATE: &str = "body_template";
pub(crate) const MARK: char = '\u{1f}';
/// Slices of the reference, then the window.
pub(crate) const SLOTS: usize = SLICES + 1;
/// Least bodies that are read of each service, severity and template in each part.
const LEAST_BODIES: usize = 32;
/// Parts of which as many bodies are read as may be; of more parts, fewer each.
const WHOLE_PARTS: usize = 16;

/// Which records count.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    pub(crate) reference: TimeRange,
    pub(crate) window: TimeRange,
    pub(crate) service: Option<String>,
    /// Least severity number; a record without one does not count.
    pub(crate) min_severity: Option<i32>,
    /// Most bodies that are read of each service, severity and template in each part of a segment, and about
    /// as many times as many in all parts.
    pub(crate) most_bodies: usize,
}

impl Counting {
    /// The slot of a time; a time in both ranges is the window's.
    fn slot(&self, time: i64) -> Option<usize> {
        if self.window.contains(time) {
            return Some(SLICES);
        }
        let into =
            time.checked_sub(self.reference.from()).filter(|_| self.reference.contains(time))?;
        let part = into as f64 / (self.reference.duration_ns() as f64).max(1.0);
        Some(((part * SLICES as f64) as usize).min(SLICES - 1))
    }

    fn overlaps(&self, min: i64, max: i64) -> bool {
        self.window.overlaps_closed(min, max) || self.reference.overlaps_closed(min, max)
    }
}

/// A record's place: the segment's place in the snapshot, or the number of segments and the live batch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) source: usize,
    pub(crate) row: u32,
}

/// Records of one service, severity and template.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) service: Arc<str>,
    /// 0 without one.
    pub(crate) severity: i32,
    /// Their template, with [`MARK`]s for values, or the body of one of them.
    pub(crate) text: Arc<str>,
    /// What these bodies are masked ([`headrope_analysis::pattern::mask()`]); without, `text` is a template.
    pub(crate) masked: Option<String>,
    pub(crate) counts: [u64; SLOTS],
    /// Records that each one counted stands for: more than one where not all bodies were read.
    pub(crate) stand_for: u64,
    /// Some of them, those of the window first.
    pub(crate) places: Vec<Place>,
}

/// A part that is read at a time.
#[derive(Debug, Clone)]
enum Unit {
    Group { source: usize, group: usize, rows: Range<u32>, certain: bool },
    Live(usize),
}

/// Counts the log records of a snapshot.
#[derive(Debug)]
pub(crate) struct TemplateCounts {
    machine: Arc<Machine>,
    snapshot: Arc<Snapshot>,
    counting: Counting,
}

impl TemplateCounts {
    pub(crate) const fn new(
        machine: Arc<Machine>,
        snapshot: Arc<Snapshot>,
        counting: Counting,
    ) -> Self {
        Self { machine, snapshot, counting }
    }

    /// Counts all parts, as many at a time as there are cores.
    pub(crate) async fn count(self) -> Result<Vec<Kind>, QueryError> {
        let at_once = self.machine.config.partitions.max(1);
        let open = move || {
            let (mut this, units) = (self.units().map(|units| (self, units)))?;
            let most = this.counting.most_bodies;
            let each = most.saturating_mul(WHOLE_PARTS) / units.len().max(WHOLE_PARTS);
            this.counting.most_bodies = each.max(LEAST_BODIES.min(most));
            Ok::<_, QueryError>((Arc::new(this), units))
        };
        let (this, units) = tokio::task::spawn_blocking(open).await.map_err(fault)??;
        let mut kinds = Vec::new();
        for some in units.chunks(at_once) {
            let tasks = some.iter().cloned().map(|unit| {
                let this = Arc::clone(&this);
                tokio::task::spawn_blocking(move || this.read(&unit))
            });
            for read in futures::future::join_all(tasks).await {
                kinds.extend(read.map_err(fault)??);
            }
        }
        Ok(kinds)
    }

    fn units(&self) -> Result<Vec<Unit>, QueryError> {
        let mut units = Vec::new();
        for (source, segment) in self.snapshot.segments(DataSet::Logs).iter().enumerate() {
            let meta = segment.meta();
            let services = meta.services.as_ref();
            let asked = self.counting.service.as_ref().zip(services);
            let may = asked.is_none_or(|(service, all)| all.contains(service));
            if may && self.counting.overlaps(meta.min_time, meta.max_time) {
                self.open(source, segment, &mut units)?;
            }
        }
        let live = self.snapshot.live(DataSet::Logs).iter().enumerate();
        let live = live.filter(|(_, batch)| self.counting.overlaps(batch.min_time, batch.max_time));
        units.extend(live.map(|(at, _)| Unit::Live(at)));
        Ok(units)
    }

    /// The row groups of a segment that may hold a record.
    fn open(
        &self,
        source: usize,
        segment: &Segment,
        units: &mut Vec<Unit>,
    ) -> Result<(), QueryError> {
        let footer = self.machine.footers.of(segment).map_err(fault)?;
        let mut first = 0;
        for (group, meta) in footer.metadata().row_groups().iter().enumerate() {
            let rows = first..first + u32::try_from(meta.num_rows()).map_err(fault)?;
            first = rows.end;
            let known = meta.columns().iter().find(|c| c.column_path().string() == "time");
            let (min, max) = match known.and_then(|column| column.statistics()) {
                Some(Statistics::Int64(times)) => (
                    times.min_opt().copied().unwrap_or(segment.meta().min_time),
                    times.max_opt().copied().unwrap_or(segment.meta().max_time),
                ),
                _ => (segment.meta().min_time, segment.meta().max_time),
            };
            let window = self.counting.window;
            let certain = window.contains(min) && window.contains(max);
            if self.counting.overlaps(min, max) {
                units.push(Unit::Group { source, group, rows, certain });
            }
        }
        Ok(())
    }

    fn read(&self, unit: &Unit) -> Result<Vec<Kind>, QueryError> {
        match unit {
            Unit::Group { source, group, rows, certain } => {
                self.group(*source, *group, rows, *certain)
            }
            Unit::Live(at) => self.live(*at),
        }
    }

    fn group(
        &self,
        source: usize,
        group: usize,
        rows: &Range<u32>,
        certain: bool,
    ) -> Result<Vec<Kind>, QueryError> {
        let missing = || fault(format!("segment {source} is gone"));
        let segment = self.snapshot.segments(DataSet::Logs).get(source).ok_or_else(missing)?;
        let footer = self.machine.footers.of(segment).map_err(fault)?;
        let file = Positioned::of(segment).map_err(fault)?;
        let mut columns = vec!["service_name", "severity_number", TEMPLATE];
        if !certain {
            columns.push("time");
        }
        let mut part = Part::new(&self.counting, source);
        let mut first = rows.start;
        let mut failed = None;
        let all = std::iter::once(0..rows.len());
        each_batch(&footer, &file, group, all, &columns, |batch| {
            failed = failed.take().or_else(|| part.add(batch, first).err());
            first += u32::try_from(batch.num_rows()).unwrap_or_default();
            Ok(())
        })
        .map_err(fault)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let reader =
            RowGroup { machine: &self.machine, segment, group, first: rows.start, len: rows.len() };
        part.finish(|rows| reader.bodies(rows))
    }

    fn live(&self, at: usize) -> Result<Vec<Kind>, QueryError> {
        let missing = || fault(format!("live batch {at} is gone"));
        let live = self.snapshot.live(DataSet::Logs).get(at).ok_or_else(missing)?;
        let source = self.snapshot.segments(DataSet::Logs).len() + at;
        let mut part = Part::new(&self.counting, source);
        part.add(&live.batch, 0)?;
        let body =
            live.batch.column_by_name("body").ok_or_else(|| fault("live logs lack bodies"))?;
        part.finish(|rows| {
            let rows = UInt32Array::from(rows.to_vec());
            let taken = take(body, &rows, None).map_err(fault)?;
            Texts::of(&taken).map_err(fault)
        })
    }
}
