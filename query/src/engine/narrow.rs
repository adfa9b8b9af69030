//! The rule that makes scans read less for what is asked above them.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions};

use super::attributes;
use super::best::Order;
use super::group::GroupExec;
use super::node::ScanExec;
use super::pick::PickExec;

/// Replaces scans below a sort with a limit by such that yield little more than the rows the sort
/// keeps, partial aggregations by labels by such that work on codes, and all other scans by the engine's
/// own nodes.
#[derive(Debug)]
pub(crate) struct Narrow;

impl PhysicalOptimizerRule for Narrow {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| single_attributes(node, config)).data()?;
        let narrowed = plan
            .transform_down(|node| {
                let narrow = match first_rows(&node)? {
                    Some(narrow) => Some(narrow),
                    None => by_labels(&node, config.execution.target_partitions)?,
                };
                Ok(narrow.map_or_else(|| Transformed::no(node), Transformed::yes))
            })
            .data()?;
        let unwrap = |node: Arc<dyn ExecutionPlan>| {
            Ok(match node.downcast_ref::<ScanExec>() {
                Some(scan) => Transformed::yes(Arc::clone(scan.plan())),
                None => Transformed::no(node),
            })
        };
        narrowed.transform_up(unwrap).data()
    }

    fn name(&self) -> &'static str {
        "headrope_narrow"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A filter over a scan that asks for single attributes: the scan yields these instead of whole maps.
fn single_attributes(
    node: Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(filter) = node.downcast_ref::<FilterExec>() else { return Ok(Transformed::no(node)) };
    let Some(scan) = filter.input().downcast_ref::<ScanExec>() else {
        return Ok(Transformed::no(node));
    };
    let (mut scan, columns) = (scan.scan().clone(), scan.scan().projection.len());
    let options = Arc::new(config.clone());
    let predicate = attributes::single(filter.predicate(), columns, &mut scan.lookups, &options)?;
    if scan.lookups.is_empty() {
        return Ok(Transformed::no(node));
    }
    let mut kept: Vec<usize> = match filter.projection() {
        Some(places) => places.to_vec(),
        None => (0..columns).collect(),
    };
    let mut needed: BTreeSet<usize> =
        collect_columns(&predicate).into_iter().map(|column| column.index()).collect();
    needed.extend(&kept);
    // Columns that nobody needs any more are left out, so those behind them move up.
    let place = |old: usize| needed.range(..old).count();
    scan.projection = needed.iter().filter_map(|at| scan.projection.get(*at).copied()).collect();
    kept.iter_mut().for_each(|at| *at = place(*at));
    let moved = |expr: Arc<dyn PhysicalExpr>| {
        Ok(match expr.downcast_ref::<Column>() {
            Some(c) => {
                let column = Column::new(c.name(), place(c.index()));
                Transformed::yes(Arc::new(column) as Arc<dyn PhysicalExpr>)
            }
            None => Transformed::no(expr),
        })
    };
    let predicate = predicate.transform(moved).data()?;
    let input = Arc::new(ScanExec::new(scan, config)?);
    let filter = FilterExecBuilder::new(predicate, input).apply_projection(Some(kept))?.build()?;
    Ok(Transformed::yes(Arc::new(filter)))
}

/// What does the work of a partial aggregation by labels over a scan.
fn by_labels(
    plan: &Arc<dyn ExecutionPlan>,
    partitions: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let group = GroupExec::instead_of(aggregate, partitions)?;
    Ok(group.map(|group| Arc::new(group) as _))
}

/// A sort with a limit over a scan, with the scan replaced.
fn first_rows(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(sort) = plan.downcast_ref::<SortExec>() else { return Ok(None) };
    let (Some(rows), key) = (sort.fetch(), sort.expr().first()) else { return Ok(None) };
    let Some(column) = key.expr.downcast_ref::<Column>() else { return Ok(None) };
    let order = Order {
        rows,
        descending: key.options.descending,
        // Equal rows are told apart by the further keys.
        with_equals: sort.expr().len() > 1,
    };
    match below(sort.input(), column.index(), order)? {
        Some(input) => Ok(Some(with_input(plan, input)?)),
        None => Ok(None),
    }
}

fn with_input(
    plan: &Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(vec![input], options)
}

/// The input of a sort by one of its columns, with the scan at its end replaced.
fn below(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    order: Order,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let from = projection.expr().get(column);
        let Some(from) = from.and_then(|e| e.expr.downcast_ref::<Column>()) else {
            return Ok(None);
        };
        let input = below(projection.input(), from.index(), order)?;
        return input.map(|input| with_input(plan, input)).transpose();
    }
    let (scan, filter, column) = match plan.downcast_ref::<FilterExec>() {
        Some(filter) => {
            let column = match filter.projection() {
                Some(places) => places.get(column).copied(),
                None => Some(column),
            };
            (filter.input(), Some(Arc::clone(filter.predicate())), column)
        }
        None => (plan, None, Some(column)),
    };
    let (Some(scan), Some(column)) = (scan.downcast_ref::<ScanExec>(), column) else {
        return Ok(None);
    };
    let Some(pick) = PickExec::try_new(scan.scan(), filter.clone(), column, order) else {
        return Ok(None);
    };
    let pick: Arc<dyn ExecutionPlan> = Arc::new(pick);
    if filter.is_some() { with_input(plan, pick).map(Some) } else { Ok(Some(pick)) }
}
