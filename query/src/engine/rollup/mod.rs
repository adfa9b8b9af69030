//! Aggregations over spans answered from roll-ups.
//!
//! A row of a roll-up stands for many spans ([`headrope_model::rollup`]). An aggregation over `spans`
//! that only needs what such a row knows gives the same over the rows of the whole steps in its range
//! of time, the spans that no row counts (live ones, segments without roll-up), and the spans of the
//! broken steps at the ends of the range. The rule puts that in its place, so whoever asks `spans`
//! gets it without knowing.
//!
//! Reading order: `statement` (what is asked for), `terms` (expressions that mean the same over both),
//! `measure` (aggregates), `pieces` (how the range is cut up), `plan` (what stands for it).

mod measure;
mod pieces;
mod plan;
mod statement;
mod terms;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The optimizer's rule.
#[derive(Debug, Default)]
pub(crate) struct UseRollups;

/// The rule runs after constants are evaluated and `DISTINCT` is an aggregation, before conditions are
/// moved into scans.
pub(crate) const AFTER: &str = "replace_distinct_aggregate";

impl OptimizerRule for UseRollups {
    fn name(&self) -> &str {
        "use_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match plan::rewrite(aggregate)? {
            Some(other) => Ok(Transformed::yes(other)),
            None => Ok(Transformed::no(plan)),
        }
    }
}
