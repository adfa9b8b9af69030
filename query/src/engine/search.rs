//! The search for the first rows of an order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, AsArray as _, BooleanArray, Int64Array, RecordBatch, UInt64Array,
};
use datafusion::arrow::compute::{cast, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{exec_datafusion_err, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, conjunction_opt, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::StreamExt as _;
use headrope_storage::Segment;

use super::absent::Absent;
use super::best::{Best, Candidate, Order};
use super::scan::{File, Rows, Scan};
use crate::segment::{Known, Page, always_holds, may_hold, pages};

/// Fewest pages that are read at once.
const FIRST_PAGES: usize = 8;
/// Rows asked for that share one of the first pages: the best rows lie in as many pages at most.
const ROWS_PER_PAGE: usize = 4;
/// Fewest pages worth a task.
const TASK_PAGES: usize = 4;

/// What is searched for.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) scan: Scan,
    /// Over the scan's output.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The column that orders, an integer that is never null.
    pub(super) column: String,
    pub(super) order: Order,
}

/// What a search did.
pub(super) struct Metrics {
    pages: Count,
    pages_pruned: Count,
    pages_read: Count,
    rows_looked_at: Count,
    rows_picked: Count,
}

impl Metrics {
    pub(super) fn new(set: &ExecutionPlanMetricsSet) -> Self {
        let counter = |name| MetricBuilder::new(set).counter(name, 0);
        Self {
            pages: counter("pages"),
            pages_pruned: counter("pages_pruned"),
            pages_read: counter("pages_read"),
            rows_looked_at: counter("rows_looked_at"),
            rows_picked: counter("rows_picked"),
        }
    }
}

/// A file with its pages that may hold a row.
struct Candidates {
    /// Place of the file and page, best bound first.
    pages: Vec<(usize, Page)>,
    /// Pages before the filter.
    all: usize,
    /// What of the filter does not follow from the bounds of these pages.
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Row groups that it rules out.
    absent: Arc<Absent>,
}

/// Rows that are looked at together.
enum Part {
    /// Pages of a file, in its order.
    File(usize, Vec<Page>),
    Live(usize),
}

/// Rows and pages of a part that were looked at.
#[derive(Default)]
struct Seen {
    pages: usize,
    rows: usize,
}

impl Search {
    /// The rows, more or less.
    pub(super) async fn run(
        self: Arc<Self>,
        context: Arc<TaskContext>,
        metrics: Metrics,
    ) -> Result<SendableRecordBatchStream> {
        let search = Arc::clone(&self);
        let listed = tokio::task::spawn_blocking(move || search.candidates()).await;
        let candidates = listed.map_err(|e| exec_datafusion_err!("{e}"))??;
        metrics.pages.add(candidates.all);
        metrics.pages_pruned.add(candidates.all - candidates.pages.len());
        let best = Box::pin(self.look(&candidates, &context, &metrics)).await?;
        metrics.rows_picked.add(best.kept.len());
        let plan = self.picked(&best, context.session_config().options())?;
        CoalescePartitionsExec::new(plan).execute(0, context)
    }

    /// The pages of which the filter may let a row through.
    fn candidates(&self) -> Result<Candidates> {
        let mut footers = Vec::with_capacity(self.scan.files.len());
        let mut found: Vec<(usize, Page)> = Vec::new();
        for (at, file) in self.scan.files.iter().enumerate() {
            let footer = self.scan.footers.of(&file.segment)?;
            found.extend(pages(&footer, &self.column).into_iter().map(|page| (at, page)));
            footers.push(footer);
        }
        let all = found.len();
        let output = self.scan.output()?;
        let data_set = self.scan.data_set;
        let pages = found.iter().filter_map(|(at, page)| Some((footers.get(*at)?.as_ref(), page)));
        let known = Known { data_set, pages: pages.collect() };
        let filter = match &self.filter {
            Some(filter) => {
                let keep = may_hold(filter, &output, &known).unwrap_or_else(|| vec![true; all]);
                let kept = known.pages.iter().zip(&keep).filter(|(_, keep)| **keep);
                let known = Known { data_set, pages: kept.map(|(page, _)| *page).collect() };
                let left = split_conjunction(filter)
                    .into_iter()
                    .filter(|condition| !always_holds(condition, &output, &known))
                    .map(Arc::clone);
                let left = conjunction_opt(left);
                let mut keep = keep.into_iter();
                found.retain(|_| keep.next().unwrap_or(true));
                left
            }
            None => None,
        };
        let bound = |page: &Page| if self.order.descending { page.max } else { page.min };
        found.sort_by_key(|(_, page)| std::cmp::Reverse(self.order.rank(bound(page))));
        let absent = Arc::new(Absent::of(filter.as_ref(), &self.scan)?);
        Ok(Candidates { pages: found, all, filter, absent })
    }

    /// Looks at live rows and at pages in turn, until no page can hold a better row.
    async fn look(
        self: &Arc<Self>,
        candidates: &Candidates,
        context: &Arc<TaskContext>,
        metrics: &Metrics,
    ) -> Result<Best> {
        let mut best = Best::new(self.order);
        let live = (0..self.scan.live.len()).map(Part::Live).collect();
        self.look_at(live, candidates, &mut best, context, metrics).await?;
        let mut at_once = (self.order.rows / ROWS_PER_PAGE).max(FIRST_PAGES);
        let mut rest = candidates.pages.as_slice();
        loop {
            let worth = rest.iter().take_while(|(_, page)| {
                let bound = if self.order.descending { page.max } else { page.min };
                best.may_add(self.order.rank(bound))
            });
            let count = worth.take(at_once).count();
            let (wave, later) = rest.split_at(count);
            if wave.is_empty() {
                return Ok(best);
            }
            let parts = parts(wave, context.session_config().target_partitions());
            self.look_at(parts, candidates, &mut best, context, metrics).await?;
            rest = later;
            at_once = at_once.saturating_mul(2);
        }
    }

    async fn look_at(
        self: &Arc<Self>,
        parts: Vec<Part>,
        candidates: &Candidates,
        best: &mut Best,
        context: &Arc<TaskContext>,
        metrics: &Metrics,
    ) -> Result<()> {
        let last = best.last;
        let order = self.order;
        let tasks = parts.into_iter().map(|part| {
            let (search, context) = (Arc::clone(self), Arc::clone(context));
            let (left, absent) = (candidates.filter.clone(), Arc::clone(&candidates.absent));
            let mut best = Best::after(order, last);
            SpawnedTask::spawn(async move {
                let part = search.without_absent(part, absent).await?;
                let seen = Box::pin(search.part(&part, &mut best, context, left.as_ref())).await?;
                Ok::<_, DataFusionError>((best, seen))
            })
            .join()
        });
        let width = context.session_config().target_partitions().max(1);
        let mut found = futures::stream::iter(tasks).buffer_unordered(width);
        while let Some(done) = found.next().await {
            let (part, seen) = done.map_err(|e| exec_datafusion_err!("{e}"))??;
            metrics.pages_read.add(seen.pages);
            metrics.rows_looked_at.add(seen.rows);
            part.kept.into_iter().for_each(|candidate| best.push(candidate));
            best.cut();
        }
        Ok(())
    }

    /// A part without the row groups whose dictionaries rule the filter out.
    async fn without_absent(self: &Arc<Self>, part: Part, absent: Arc<Absent>) -> Result<Part> {
        let Part::File(at, mut pages) = part else { return Ok(part) };
        let file = self.scan.files.get(at);
        let Some(file) = file.filter(|_| absent.may_rule_out()) else {
            return Ok(Part::File(at, pages));
        };
        let (footers, segment) = (Arc::clone(&self.scan.footers), Arc::clone(&file.segment));
        let pages = tokio::task::spawn_blocking(move || {
            let footer = footers.of(&segment)?;
            let mut wrong = Ok(());
            pages.retain(|page| match absent.rules_out((at, &segment), &footer, page.group) {
                Ok(out) => !out,
                Err(e) => {
                    wrong = Err(e);
                    true
                }
            });
            wrong.map(|()| pages)
        });
        Ok(Part::File(at, pages.await.map_err(|e| exec_datafusion_err!("{e}"))??))
    }

    /// Looks at the rows of a part.
    async fn part(
        &self,
        part: &Part,
        best: &mut Best,
        context: Arc<TaskContext>,
        left: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Seen> {
        let mut seen = Seen::default();
        if let Part::File(_, pages) = part {
            if pages.is_empty() {
                return Ok(seen);
            }
            seen.pages = pages.len();
        }
        // Bounds are known of files only.
        let filter = match part {
            Part::File(..) => left.cloned(),
            Part::Live(_) => self.filter.clone(),
        };
        let needed = self.needed(filter.as_ref())?;
        let mut scan = Scan {
            projection: needed
                .iter()
                .filter_map(|at| self.scan.projection.get(*at).copied())
                .collect(),
            lookups: needed
                .iter()
                .filter_map(|at| at.checked_sub(self.scan.projection.len()))
                .filter_map(|at| self.scan.lookups.get(at).cloned())
                .collect(),
            late: false,
            exactly: true,
            files: Vec::new(),
            live: Vec::new(),
            ..self.scan.clone()
        };
        let (source, ranges) = match part {
            Part::File(at, pages) => {
                let ranges: Vec<Range<usize>> =
                    pages.iter().map(|p| p.base + p.rows.start..p.base + p.rows.end).collect();
                let segment = self.scan.files.get(*at).map(|f| Arc::clone(&f.segment));
                let rows = || Some(Rows::Ranges(ranges.clone()));
                scan.files.extend(segment.map(|segment| File { segment, rows: rows() }));
                (*at, ranges)
            }
            Part::Live(at) => {
                let batch = self.scan.live.get(*at);
                scan.live.extend(batch.cloned());
                let rows = 0..batch.map_or(0, RecordBatch::num_rows);
                (self.scan.files.len() + at, std::iter::once(rows).collect())
            }
        };
        let mut rows = ranges.into_iter().flatten();
        let schema = scan.output()?;
        let filter = filter.map(|f| reassign_expr_columns(f, &schema)).transpose()?;
        let plan = scan.plan(context.session_config().options())?;
        let mut stream = plan.execute(0, context)?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            seen.rows += batch.num_rows();
            let keep = filter.as_ref().map(|f| holds(f, &batch)).transpose()?;
            let values = integers(&batch, &self.column)?;
            for (at, value) in values.values().iter().enumerate() {
                let Some(row) = rows.next() else {
                    return exec_err!("{} yields more rows than asked for", self.scan.data_set);
                };
                if keep.as_ref().is_none_or(|keep| keep.is_valid(at) && keep.value(at)) {
                    best.push(Candidate { rank: self.order.rank(*value), source, row });
                }
            }
            best.cut();
        }
        Ok(seen)
    }

    /// Places in the scan's output of what filter and order need.
    fn needed(&self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Vec<usize>> {
        let mut needed: Vec<usize> =
            filter.into_iter().flat_map(collect_columns).map(|column| column.index()).collect();
        needed.push(self.scan.output()?.index_of(&self.column)?);
        needed.sort_unstable();
        needed.dedup();
        Ok(needed)
    }

    /// The scan of the rows that were picked.
    fn picked(&self, best: &Best, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for candidate in &best.kept {
            rows.entry(candidate.source).or_default().push(candidate.row);
        }
        let mut files: Vec<File> = Vec::new();
        let mut live: Vec<RecordBatch> = Vec::new();
        for (source, mut rows) in rows {
            rows.sort_unstable();
            if let Some(file) = self.scan.files.get(source) {
                let segment: Arc<Segment> = Arc::clone(&file.segment);
                files.push(File { segment, rows: Some(Rows::of(rows)) });
            } else if let Some(batch) = self.scan.live.get(source - self.scan.files.len()) {
                let rows: UInt64Array = rows.into_iter().map(|row| row as u64).collect();
                live.push(take_record_batch(batch, &rows)?);
            }
        }
        let scan = Scan { late: false, exactly: true, files, live, ..self.scan.clone() };
        scan.plan(config)
    }
}

/// Pages grouped by file, in the order of the file, in parts of about the same size.
fn parts(pages: &[(usize, Page)], tasks: usize) -> Vec<Part> {
    let mut pages: Vec<&(usize, Page)> = pages.iter().collect();
    pages.sort_by_key(|(file, page)| (*file, page.base, page.rows.start));
    let most = pages.len().div_ceil(tasks.max(1) * 2).max(TASK_PAGES);
    let mut parts = Vec::new();
    for of_file in pages.chunk_by(|a, b| a.0 == b.0) {
        for some in of_file.chunks(most) {
            let file = some.first().map_or(0, |(file, _)| *file);
            parts.push(Part::File(file, some.iter().map(|(_, page)| page.clone()).collect()));
        }
    }
    parts
}

fn holds(filter: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<BooleanArray> {
    let value = filter.evaluate(batch)?.into_array(batch.num_rows())?;
    let found = value.as_boolean_opt().cloned();
    found.ok_or_else(|| exec_datafusion_err!("a filter yields {}", value.data_type()))
}

fn integers(batch: &RecordBatch, column: &str) -> Result<Int64Array> {
    let missing = || exec_datafusion_err!("a batch lacks {column}");
    let array = batch.column_by_name(column).ok_or_else(missing)?;
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
