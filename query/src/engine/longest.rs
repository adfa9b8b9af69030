//! The traces that took longest, from their parts and without a statement.
//!
//! A statement groups the parts of all traces by the text of their ids, which takes more memory than queries may use from some
//! ten million traces on. Parts are sorted by trace id in each file, so the ids are gone through range by range: of each
//! range the pages of all files that may hold it are read, and only its traces are held.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{AsArray as _, FixedSizeBinaryArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::datatypes::TimestampNanosecondType as Timestamp;
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use foldhash::fast::RandomState;
use futures::{StreamExt as _, stream};
use headrope_model::{DataSet, TimeRange};
use headrope_storage::{Segment, Snapshot};
use parquet::errors::ParquetError;

use crate::segment::{Footer, Footers, IdPage, Positioned, each_batch, joined, pages_with_bounds};

/// Parts that are held at a time, about.
pub(super) const PARTS: usize = 1 << 19;
/// Bytes that a trace takes while it is held: its id and times, in a table that is up to half empty.
const BYTES: usize = 72;
/// Points at which the ids of a page are taken to be, evenly between its least and its greatest.
const POINTS: usize = 8;
/// Ranges that are gone through side by side.
const SIDE_BY_SIDE: usize = 2;

const COLUMNS: [&str; 3] = ["trace_id", "start_time", "end_time"];

/// How long a trace took, and its id; the order is that of the list, shortest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Long {
    /// Nanoseconds from its earliest start to its latest end.
    pub(crate) length_ns: i64,
    pub(crate) id: u128,
}

/// Pages of a file that may hold parts.
struct File {
    segment: Arc<Segment>,
    footer: Arc<Footer>,
    pages: Vec<IdPage>,
}

/// Which traces are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// Parts that start in it make up a trace.
    pub(crate) within: TimeRange,
    /// A part of the trace runs at some time of it.
    pub(crate) touches: TimeRange,
    /// It stands below this in the list.
    pub(crate) below: Option<Long>,
    /// How many at most.
    pub(crate) most: usize,
}

/// Everything that is read, the same for each range of ids.
struct Parts {
    files: Vec<File>,
    live: Vec<RecordBatch>,
    wish: Wish,
}

/// What is known of a trace.
#[derive(Clone, Copy)]
struct Times {
    start: i64,
    end: i64,
    touches: bool,
}

/// The traces that took longest of those that are wanted, longest first; `held` parts or so are held at a time.
///
/// # Errors
/// When a file cannot be read or is damaged, and when there is not enough memory.
pub(super) async fn longest(
    footers: &Arc<Footers>,
    snapshot: &Arc<Snapshot>,
    pool: &Arc<dyn MemoryPool>,
    wish: Wish,
    held: usize,
) -> Result<Vec<Long>> {
    let (of, over) = (Arc::clone(footers), Arc::clone(snapshot));
    let open = move || Parts::open(&of, &over, wish);
    let parts = tokio::task::spawn_blocking(open).await.map_err(|e| exec_datafusion_err!("{e}"))?;
    let parts = Arc::new(parts?);
    let read = |(from, to): (u128, u128)| {
        let parts = Arc::clone(&parts);
        let memory = MemoryConsumer::new("lengths of traces").register(pool);
        tokio::task::spawn_blocking(move || parts.longest(from, to, &memory))
    };
    let mut read = stream::iter(parts.ranges(held)).map(read).buffer_unordered(SIDE_BY_SIDE);
    let mut found: Vec<Long> = Vec::new();
    while let Some(of_range) = read.next().await {
        found.extend(of_range.map_err(|e| exec_datafusion_err!("{e}"))??);
        found.sort_unstable_by_key(|one| Reverse(*one));
        found.truncate(wish.most);
    }
    Ok(found)
}

impl Parts {
    /// Blocks on the disk.
    fn open(footers: &Footers, snapshot: &Snapshot, wish: Wish) -> Result<Self> {
        let overlaps = |min: i64, max: i64| wish.within.overlaps_closed(min, max);
        let mut files = Vec::new();
        let segments = snapshot.segments(DataSet::TraceParts).iter();
        for segment in segments.filter(|s| overlaps(s.meta().min_time, s.meta().max_time)) {
            let footer = footers.of(segment)?;
            let pages = pages_with_bounds(&footer, "trace_id");
            files.push(File { segment: Arc::clone(segment), footer, pages });
        }
        let live = snapshot.live(DataSet::TraceParts).iter();
        let live = live.filter(|l| overlaps(l.min_time, l.max_time)).map(|l| l.batch.clone());
        Ok(Self { files, live: live.collect(), wish })
    }

    /// Ranges of ids that hold about so many parts each, first and last id.
    fn ranges(&self, most: usize) -> Vec<(u128, u128)> {
        let pages = self.files.iter().flat_map(|file| &file.pages);
        let mut points: Vec<(u128, usize)> = pages.flat_map(IdPage::points).collect();
        points.sort_unstable();
        let (mut cuts, mut held): (Vec<u128>, usize) = (Vec::new(), 0);
        for (id, rows) in points {
            if held >= most && id > cuts.last().copied().unwrap_or(0) {
                cuts.push(id);
                held = 0;
            }
            held += rows;
        }
        let firsts = std::iter::once(0).chain(cuts.iter().copied());
        let lasts = cuts.iter().map(|cut| cut - 1).chain([u128::MAX]);
        firsts.zip(lasts).collect()
    }

    /// The longest traces of a range of ids. Blocks on the disk.
    fn longest(&self, from: u128, to: u128, memory: &MemoryReservation) -> Result<Vec<Long>> {
        let mut times: HashMap<u128, Times, RandomState> = HashMap::default();
        for file in &self.files {
            let pages = file.pages.iter().filter(|page| page.least <= to && page.most >= from);
            let pages: Vec<&IdPage> = pages.collect();
            if pages.is_empty() {
                continue;
            }
            let open = Positioned::of(&file.segment)?;
            for of_group in pages.chunk_by(|a, b| a.group == b.group) {
                let Some(first) = of_group.first() else { continue };
                let rows = joined(of_group.iter().map(|page| &page.rows)).into_iter();
                each_batch(&file.footer, &open, first.group, rows, &COLUMNS, |batch| {
                    self.add(batch, (from, to), &mut times)
                })?;
            }
            memory.try_resize(times.len() * BYTES)?;
        }
        for batch in &self.live {
            self.add(batch, (from, to), &mut times)?;
        }
        let mut longest: BinaryHeap<Reverse<Long>> = BinaryHeap::new();
        for (id, times) in times.into_iter().filter(|(_, times)| times.touches) {
            let one = Long { length_ns: times.end.saturating_sub(times.start), id };
            if self.wish.below.is_some_and(|below| one >= below) {
                continue;
            }
            if longest.len() < self.wish.most {
                longest.push(Reverse(one));
            } else if let Some(mut least) = longest.peek_mut()
                && least.0 < one
            {
                *least = Reverse(one);
            }
        }
        Ok(longest.into_iter().map(|Reverse(one)| one).collect())
    }

    fn add(
        &self,
        batch: &RecordBatch,
        (from, to): (u128, u128),
        times: &mut HashMap<u128, Times, RandomState>,
    ) -> Result<(), ParquetError> {
        let (ids, starts, ends) = columns(batch)?;
        for row in 0..batch.num_rows() {
            let id = ids.value(row).try_into().map_or(0, u128::from_be_bytes);
            let (start, end) = (starts.value(row), ends.value(row));
            if id < from || id > to || !self.wish.within.contains(start) {
                continue;
            }
            let touches = self.wish.touches.overlaps_closed(start, end);
            let known = times.entry(id).or_insert(Times { start, end, touches });
            known.start = known.start.min(start);
            known.end = known.end.max(end);
            known.touches |= touches;
        }
        Ok(())
    }
}

impl IdPage {
    /// Where its ids are taken to be, with how many are there.
    fn points(&self) -> impl Iterator<Item = (u128, usize)> {
        let (least, step) = (self.least, (self.most - self.least) / POINTS as u128);
        let rows = self.rows.len().div_ceil(POINTS);
        (0..POINTS as u128).map(move |at| (least + step * at, rows))
    }
}

type Columns<'a> =
    (&'a FixedSizeBinaryArray, &'a PrimitiveArray<Timestamp>, &'a PrimitiveArray<Timestamp>);

fn columns(batch: &RecordBatch) -> Result<Columns<'_>, ParquetError> {
    let wrong = || ParquetError::General("trace parts have no ids or no times".to_owned());
    let [id, start, end] = COLUMNS.map(|name| batch.column_by_name(name));
    let ids = id.and_then(|id| id.as_fixed_size_binary_opt()).ok_or_else(wrong)?;
    let start = start.and_then(|start| start.as_primitive_opt()).ok_or_else(wrong)?;
    let end = end.and_then(|end| end.as_primitive_opt()).ok_or_else(wrong)?;
    Ok((ids, start, end))
}
