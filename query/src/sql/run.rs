//! Runs a checked statement within its limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SQLOptions;
use futures::StreamExt as _;

use super::{SqlAnswer, SqlRequest, SqlStats, check, params, table_function};
use crate::engine::{Session, user};
use crate::error::QueryError;

/// Runs the statement; the caller holds a turn and bounds the time.
pub(crate) async fn run(
    session: &Arc<Session>,
    request: &SqlRequest,
    max_rows: usize,
    max_bytes: usize,
) -> Result<SqlAnswer, QueryError> {
    let started = Instant::now();
    let frame = Box::pin(plan(session, request, max_rows)).await?;
    let mut stream = Box::pin(frame.execute_stream()).await.map_err(user)?;
    let schema = stream.schema();
    let mut batches = Vec::new();
    let (mut rows, mut bytes, mut truncated) = (0usize, 0usize, false);
    while let Some(batch) = stream.next().await {
        let mut batch = compact(batch.map_err(user)?)?;
        let room = max_rows - rows;
        if batch.num_rows() > room {
            batch = batch.slice(0, room);
            truncated = true;
        }
        rows += batch.num_rows();
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        if batch.num_rows() > 0 {
            batches.push(batch);
        }
        if truncated {
            break;
        }
        if bytes > max_bytes {
            truncated = true;
            break;
        }
    }
    let (scanned, pruned) = session.segments();
    let stats = SqlStats {
        rows: rows as u64,
        elapsed_ms: millis(started.elapsed()),
        segments_scanned: scanned,
        segments_pruned: pruned,
        rollup: session.rollups(),
        truncated,
    };
    Ok(SqlAnswer { schema, batches, stats })
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

async fn plan(
    session: &Arc<Session>,
    request: &SqlRequest,
    max_rows: usize,
) -> Result<DataFrame, QueryError> {
    let statement = check::parse(&request.query)?;
    let limited = check::is_plain_query(&statement);
    let mut state = session.context().state();
    table_function::register(&mut state, session);
    let plan = Box::pin(state.statement_to_plan(statement)).await.map_err(user)?;
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(&plan)
        .map_err(|_| check::read_only())?;
    let plan = match request.params.is_empty() {
        true => plan,
        false => plan.with_param_values(params::values(&request.params)?).map_err(user)?,
    };
    all_given(&plan)?;
    ordered_aggregates(&plan)?;
    let frame = DataFrame::new(state, plan);
    if !limited {
        return Ok(frame);
    }
    // One row more than may be shown tells whether the answer was cut off.
    frame.limit(0, Some(max_rows.saturating_add(1))).map_err(user)
}

/// Makes sure that every `$name` has got a value.
fn all_given(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut missing: Vec<String> = plan.get_parameter_names().map_err(user)?.into_iter().collect();
    missing.sort();
    match missing.first() {
        None => Ok(()),
        Some(name) => Err(QueryError::Invalid(format!(
            "the query uses {name} but no such parameter was given; add it to \"params\""
        ))),
    }
}

/// Aggregates whose answer depends on the order of their rows.
const ORDERED: &[&str] = &["array_agg", "string_agg", "first_value", "last_value", "nth_value"];

/// Refuses an order inside an aggregate that takes none: the engine would hand it the order's columns
/// as further arguments, at which some of its aggregates panic (`avg` in DataFusion 55).
fn ordered_aggregates(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut wrong = None;
    let mut look = |expr: &Expr| {
        if let Expr::AggregateFunction(call) = expr {
            let takes = ORDERED.contains(&call.func.name())
                || call.func.supports_within_group_clause()
                || call.func.order_sensitivity().is_insensitive();
            if !call.params.order_by.is_empty() && !takes {
                wrong = Some(call.func.name().to_owned());
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(|node| node.apply_expressions(|expr| expr.apply(&mut look)))
        .map_err(user)?;
    match wrong {
        None => Ok(()),
        Some(name) => Err(QueryError::Invalid(format!(
            "ORDER BY inside {name}(…) has no effect on its answer; leave it out"
        ))),
    }
}

/// Lets go of text that the rows left over from a filter do not use.
fn compact(batch: RecordBatch) -> Result<RecordBatch, QueryError> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        })
        .collect();
    let options =
        datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options).map_err(|e| user(e.into()))
}
