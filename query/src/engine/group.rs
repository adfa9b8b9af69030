//! Aggregates by labels, straight from the codes that segments hold.
//!
//! Takes the place of the engine's partial aggregation over a scan when rows are grouped by labels
//! alone: no text is made, compared or hashed for a row. What is summed up, the engine's own
//! accumulators sum up; their states go to its final aggregation.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::exec_datafusion_err;
use datafusion::common::tree_node::{
    Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{
    EquivalenceProperties, PhysicalExpr, conjunction_opt, split_conjunction,
};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{
    Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt as _, TryStreamExt as _};
use headrope_model::schema::{self, Column as Kind};
use parquet::errors::ParquetError;

use super::node::ScanExec;
use super::scan::Scan;
use super::sums::{Reader, State};
use crate::segment::{
    Footer, Known, Page, Positioned, always_holds, each_batch, joined, may_hold, pages,
};

/// What is aggregated.
#[derive(Debug)]
struct Question {
    scan: Scan,
    /// Over the scan's output, as the arguments of the aggregates are.
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Places in the scan's output of the labels.
    keys: Vec<usize>,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
}

/// A partial aggregation by labels over a scan.
#[derive(Debug)]
pub(crate) struct GroupExec {
    question: Arc<Question>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GroupExec {
    /// The node for a partial aggregation; `None` when it is not one by labels over a scan, or needs
    /// what only the engine can do.
    pub(crate) fn instead_of(plan: &AggregateExec, partitions: usize) -> Result<Option<Self>> {
        let groups = plan.group_expr();
        let plain = plan.mode() == &AggregateMode::Partial
            && groups.is_single()
            && !groups.expr().is_empty()
            && plan.limit_options().is_none()
            && plan.filter_expr().iter().all(Option::is_none);
        let aggregates = plan.aggr_expr().to_vec();
        let simple = |a: &Arc<AggregateFunctionExpr>| {
            !a.is_distinct() && a.order_bys().is_empty() && a.groups_accumulator_supported()
        };
        if !plain || !aggregates.iter().all(simple) {
            return Ok(None);
        }
        let Some((scan, filter, places)) = under(plan.input())? else { return Ok(None) };
        let keys = groups.expr().iter().map(|(expr, _)| {
            let expr = through(Arc::clone(expr), &places)?;
            Ok(expr.downcast_ref::<Column>().map(Column::index))
        });
        let Some(keys) = keys.collect::<Result<Option<Vec<usize>>>>()? else { return Ok(None) };
        let arguments = aggregates.iter().map(|a| {
            a.expressions().into_iter().map(|e| through(e, &places)).collect::<Result<Vec<_>>>()
        });
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let question = Question { scan, filter, keys, aggregates, arguments };
        let mut exprs = question.arguments.iter().flatten().chain(&question.filter);
        // What depends on more than its columns cannot be evaluated once for each text.
        if exprs.any(is_volatile) || !question.is_answerable() {
            return Ok(None);
        }
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Some(Self {
            question: Arc::new(question),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

/// A condition, if there is one.
type Filter = Option<Arc<dyn PhysicalExpr>>;

/// What the columns of a plan stand for.
type Places = Vec<Arc<dyn PhysicalExpr>>;

/// The scan at the end of projections and a filter, the filter, and each column of the plan as an
/// expression over the scan's output.
fn under(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<(Scan, Filter, Places)>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some((scan, filter, places)) = under(projection.input())? else { return Ok(None) };
        let exprs = projection.expr().iter().map(|e| through(Arc::clone(&e.expr), &places));
        return Ok(Some((scan, filter, exprs.collect::<Result<_>>()?)));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let Some((scan, None, places)) = under(filter.input())? else { return Ok(None) };
        let predicate = through(Arc::clone(filter.predicate()), &places)?;
        let places = match filter.projection() {
            Some(kept) => kept.iter().filter_map(|at| places.get(*at).cloned()).collect(),
            None => places,
        };
        return Ok(Some((scan, Some(predicate), places)));
    }
    let Some(scan) = plan.downcast_ref::<ScanExec>() else { return Ok(None) };
    let column = |(at, field): (usize, &FieldRef)| {
        Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>
    };
    let places = plan.schema().fields().iter().enumerate().map(column).collect();
    Ok(Some((scan.scan().clone(), None, places)))
}

/// An expression with its columns replaced by what they stand for.
fn through(expr: Arc<dyn PhysicalExpr>, places: &Places) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_down(|node| {
        let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
        let missing = || exec_datafusion_err!("{column} is beyond the columns of its input");
        let place = places.get(column.index()).ok_or_else(missing)?;
        // What it stands for is not looked at again.
        Ok(Transformed::new(Arc::clone(place), true, TreeNodeRecursion::Jump))
    })
    .data()
}

impl Question {
    /// Whether every column is of a kind that is read here.
    fn is_answerable(&self) -> bool {
        let columns = schema::columns(self.scan.data_set);
        let kind = |at: &usize| columns.get(*self.scan.projection.get(*at)?).map(|c| c.column);
        let readable = |at: &usize| {
            use Kind::{Bool, Double, Int, Int32, Label, Time, UInt, UInt32};
            let kind = kind(at);
            matches!(kind, Some(Label | Time | Int | Int32 | UInt | UInt32 | Double | Bool))
        };
        let whole = self.scan.ids.is_empty() && self.scan.limit.is_none();
        whole
            && self.scan.files.iter().all(|f| f.rows.is_none())
            && self.keys.iter().all(|at| kind(at) == Some(Kind::Label))
            && self.needed(self.filter.as_ref()).iter().all(readable)
    }

    /// Places in the scan's output of what is read, given what of the filter is left.
    fn needed(&self, filter: Option<&Arc<dyn PhysicalExpr>>) -> Vec<usize> {
        let exprs = self.arguments.iter().flatten().chain(filter);
        let mut needed: BTreeSet<usize> =
            exprs.flat_map(collect_columns).map(|column| column.index()).collect();
        needed.extend(&self.keys);
        needed.into_iter().collect()
    }

    fn names(&self, needed: &[usize]) -> Vec<&'static str> {
        let columns = schema::columns(self.scan.data_set);
        let name = |at: &usize| columns.get(*self.scan.projection.get(*at)?).map(|c| c.name);
        needed.iter().filter_map(name).collect()
    }
}

impl DisplayAs for GroupExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Question { scan, keys, .. } = self.question.as_ref();
        let names = self.question.names(keys).join(", ");
        write!(f, "GroupExec: {} by {names}", scan.data_set)?;
        write!(f, ", files={}, live={}", scan.files.len(), scan.live.len())
    }
}

impl ExecutionPlan for GroupExec {
    fn name(&self) -> &'static str {
        "GroupExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let Question { filter, arguments, .. } = self.question.as_ref();
        for expr in arguments.iter().flatten().chain(filter) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let of = self.properties.output_partitioning().partition_count();
        let pool = context.memory_pool();
        let memory = MemoryConsumer::new(format!("GroupExec[{partition}]")).register(pool);
        let counter = |name| MetricBuilder::new(&self.metrics).counter(name, partition);
        let counts = Counts { groups: counter("row_groups"), rows: counter("rows_looked_at") };
        let (question, schema) = (Arc::clone(&self.question), self.schema());
        let output = Arc::clone(&schema);
        let work = async move {
            let batches = Box::pin(question.run(partition..of, output, memory, counts)).await?;
            Ok::<_, DataFusionError>(futures::stream::iter(batches.into_iter().map(Ok)).boxed())
        };
        let stream = futures::stream::once(work).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[derive(Clone)]
struct Counts {
    groups: Count,
    rows: Count,
}

/// A piece of work.
enum Part {
    /// Rows of a row group of a file.
    Group {
        file: usize,
        group: usize,
        rows: Vec<Range<usize>>,
    },
    Live(usize),
}

impl Question {
    /// The share of one partition (`share.start` of `share.end`).
    async fn run(
        self: Arc<Self>,
        share: Range<usize>,
        schema: SchemaRef,
        memory: MemoryReservation,
        counts: Counts,
    ) -> Result<Vec<RecordBatch>> {
        let aside = |e: tokio::task::JoinError| exec_datafusion_err!("{e}");
        let question = Arc::clone(&self);
        let listed = tokio::task::spawn_blocking(move || question.parts()).await.map_err(aside)?;
        let mut state = State::new(&self.aggregates, self.keys.len())?;
        for (at, (part, filter)) in listed?.into_iter().enumerate() {
            if at % share.end.max(1) != share.start {
                continue;
            }
            let (question, counts) = (Arc::clone(&self), counts.clone());
            // One row group at a time: a question that is given up stops after the next.
            let done = tokio::task::spawn_blocking(move || {
                let rows = question.part(&part, filter.as_ref(), &mut state)?;
                counts.groups.add(1);
                counts.rows.add(rows);
                Ok::<_, DataFusionError>(state)
            });
            state = done.await.map_err(aside)??;
            memory.try_resize(state.bytes())?;
        }
        state.finish(&schema)
    }

    /// What is to be read: each part with what of the filter does not follow from its bounds.
    fn parts(&self) -> Result<Vec<(Part, Filter)>> {
        let output = self.scan.output()?;
        let mut parts: Vec<(Part, _)> =
            (0..self.scan.live.len()).map(|at| (Part::Live(at), self.filter.clone())).collect();
        let ordered = schema::time_column(self.scan.data_set);
        for (file, about) in self.scan.files.iter().enumerate() {
            let footer = self.scan.footers.of(&about.segment)?;
            let mut found = pages(&footer, ordered);
            let left = match &self.filter {
                Some(filter) => self.left(&footer, &mut found, filter, &output),
                None => None,
            };
            for of_group in found.chunk_by(|a, b| a.group == b.group) {
                let group = of_group.first().map_or(0, |page| page.group);
                let rows = joined(of_group.iter().map(|page| &page.rows));
                parts.push((Part::Group { file, group, rows }, left.clone()));
            }
        }
        Ok(parts)
    }

    /// Drops pages that the filter lets no row of through; returns what of it is left for the others.
    fn left(
        &self,
        footer: &Footer,
        found: &mut Vec<Page>,
        filter: &Arc<dyn PhysicalExpr>,
        output: &SchemaRef,
    ) -> Option<Arc<dyn PhysicalExpr>> {
        let data_set = self.scan.data_set;
        let known = Known { data_set, pages: found.iter().map(|p| (footer, p)).collect() };
        if let Some(keep) = may_hold(filter, output, &known) {
            let mut keep = keep.into_iter();
            found.retain(|_| keep.next().unwrap_or(true));
        }
        let known = Known { data_set, pages: found.iter().map(|p| (footer, p)).collect() };
        let left = split_conjunction(filter)
            .into_iter()
            .filter(|condition| !always_holds(condition, output, &known))
            .map(Arc::clone);
        conjunction_opt(left)
    }

    /// Adds the rows of a part; returns their number.
    fn part(
        &self,
        part: &Part,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        state: &mut State,
    ) -> Result<usize> {
        let needed = self.needed(filter);
        let names = self.names(&needed);
        let mut reader = Reader::new(&self.scan, &needed, filter, &self.keys, &self.arguments)?;
        let mut seen = 0;
        match part {
            Part::Group { file, group, rows } => {
                let missing = || exec_datafusion_err!("no file {file}");
                let segment = &self.scan.files.get(*file).ok_or_else(missing)?.segment;
                let footer = self.scan.footers.of(segment)?;
                let open = Positioned::of(segment)?;
                let ranges = rows.iter().cloned();
                each_batch(&footer, &open, *group, ranges, &names, |batch| {
                    seen += batch.num_rows();
                    let added = reader.add(batch, &names, state);
                    added.map_err(|e| ParquetError::External(Box::new(e)))
                })?;
            }
            Part::Live(at) => {
                let missing = || exec_datafusion_err!("no live batch {at}");
                let batch = self.scan.live.get(*at).ok_or_else(missing)?;
                seen = batch.num_rows();
                reader.add(batch, &names, state)?;
            }
        }
        Ok(seen)
    }
}
