//! The first rows of an order, found without decoding the others.
//!
//! The pages of the column that orders are read best bound first; of each only what the filter and
//! the order need is decoded. Once as many rows are found as are asked for, pages whose bound is no
//! better than the last of them cannot hold another, and what is left is skipped. Only then are the
//! other columns read, of the rows that were found. This is the threshold algorithm of Fagin, Lotem
//! and Naor ("Optimal aggregation algorithms for middleware", 2003) over one sorted list, the pages
//! by their bounds.
//!
//! The node yields a superset of the rows that the sort above it keeps: sort and filter stay as they
//! are and decide.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::TryStreamExt as _;

use super::best::Order;
use super::scan::Scan;
use super::search::{Metrics, Search};

/// Most rows that are asked for; beyond, a sort of all rows is no worse.
const MOST_ROWS: usize = 16 << 10;
/// A scan that yields little more than the first rows of an order.
#[derive(Debug)]
pub(crate) struct PickExec {
    search: Arc<Search>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl PickExec {
    /// `None` when the order is not one the page index knows of, or many rows are wanted.
    pub(crate) fn try_new(
        scan: &Scan,
        filter: Option<Arc<dyn PhysicalExpr>>,
        column: usize,
        order: Order,
    ) -> Option<Self> {
        let output = scan.output().ok()?;
        let field = output.fields().get(column)?;
        let ordered = matches!(field.data_type(), DataType::Int64 | DataType::Timestamp(..));
        let rows = scan.files.iter().any(|f| f.rows.is_some());
        if !ordered || field.is_nullable() || rows || !scan.ids.is_empty() {
            return None;
        }
        // The filter is evaluated here and again above.
        if filter.as_ref().is_some_and(is_volatile) {
            return None;
        }
        if order.rows == 0 || order.rows > MOST_ROWS || scan.limit.is_some() {
            return None;
        }
        let column = field.name().clone();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Some(Self {
            search: Arc::new(Search { scan: scan.clone(), filter, column, order }),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for PickExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Search { scan, column, order, .. } = self.search.as_ref();
        let way = if order.descending { "DESC" } else { "ASC" };
        write!(f, "PickExec: {}, {} rows by {column} {way}", scan.data_set, order.rows)?;
        write!(f, ", files={}, live={}", scan.files.len(), scan.live.len())
    }
}

impl ExecutionPlan for PickExec {
    fn name(&self) -> &'static str {
        "PickExec"
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
        match &self.search.filter {
            Some(filter) => f(filter),
            None => Ok(TreeNodeRecursion::Continue),
        }
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
        if partition != 0 {
            return exec_err!("PickExec has one partition, not {}", partition + 1);
        }
        let metrics = Metrics::new(&self.metrics);
        let search = Arc::clone(&self.search);
        let found = async move { Box::pin(search.run(context, metrics)).await };
        let stream = futures::stream::once(found).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
