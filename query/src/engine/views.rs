//! Views over the stored tables.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{
    array_agg, bool_or, count, first_value, max, min, sum,
};
use datafusion::functions_nested::expr_fn::{array_distinct, array_sort, flatten};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit, when};
use headrope_model::rollup::STEPS_NS;
use headrope_model::{DataSet, schema};

use super::table::{Source, Table};

/// Names of the views.
pub(crate) const NAMES: [&str; 14] = [
    "traces",
    "services",
    "operation_minute",
    "operation_hour",
    "operation_day",
    "service_minute",
    "service_hour",
    "service_day",
    "statement_minute",
    "statement_hour",
    "statement_day",
    "edge_minute",
    "edge_hour",
    "edge_day",
];

/// The view of that name.
pub(crate) fn view(name: &str, source: &Source) -> Result<Option<Arc<dyn TableProvider>>> {
    let plan = match name {
        "traces" => traces(source)?,
        "services" => services(source)?,
        _ => match rolled_up(name, source)? {
            Some(plan) => plan,
            None => return Ok(None),
        },
    };
    Ok(Some(Arc::new(ViewTable::new(plan, None))))
}

fn scan(data_set: DataSet, source: &Source) -> Result<LogicalPlanBuilder> {
    let table: Arc<dyn TableProvider> = Arc::new(Table::new(data_set, source.clone()));
    LogicalPlanBuilder::scan(data_set.name(), provider_as_source(table), None)
}

/// The rows of a roll-up that sum up steps of one length.
fn rolled_up(name: &str, source: &Source) -> Result<Option<LogicalPlan>> {
    let Some((rollup, step)) = name.split_once('_') else { return Ok(None) };
    let rollup = match rollup {
        "operation" => DataSet::OperationRollup,
        "service" => DataSet::ServiceRollup,
        "statement" => DataSet::StatementRollup,
        "edge" => DataSet::EdgeRollup,
        _ => return Ok(None),
    };
    let [minute, hour, day] = STEPS_NS;
    let step = match step {
        "minute" => minute,
        "hour" => hour,
        "day" => day,
        _ => return Ok(None),
    };
    let columns = schema::columns(rollup).into_iter().map(|c| c.name);
    scan(rollup, source)?
        .filter(col("step_ns").eq(lit(step)))?
        .project(columns.filter(|name| *name != "step_ns").map(col))?
        .build()
        .map(Some)
}

/// One row per trace, from its parts in the segments. Of several roots the earliest counts.
fn traces(source: &Source) -> Result<LogicalPlan> {
    let root = |column: &str| {
        let order = vec![
            col("root_service_name").is_null().sort(true, false),
            col("start_time").sort(true, false),
            col("root_name").sort(true, false),
        ];
        first_value(col(column), order).alias(column)
    };
    let nanos = |column: &str| cast(col(column), DataType::Int64);
    let names = array_sort(
        array_distinct(flatten(col("service_name_lists"))),
        lit("ASC"),
        lit("NULLS LAST"),
    );
    scan(DataSet::TraceParts, source)?
        .aggregate(
            vec![col("trace_id")],
            vec![
                min(col("start_time")).alias("start_time"),
                max(col("end_time")).alias("end_time"),
                root("root_service_name"),
                root("root_name"),
                root("root_status_code"),
                bool_or(col("root_service_name").is_not_null()).alias("has_root"),
                sum(col("span_count")).alias("span_count"),
                sum(col("error_count")).alias("error_count"),
                array_agg(col("service_names")).alias("service_name_lists"),
            ],
        )?
        .project(vec![
            col("trace_id"),
            col("start_time"),
            col("end_time"),
            (nanos("end_time") - nanos("start_time")).alias("duration_ns"),
            col("root_service_name"),
            col("root_name"),
            col("root_status_code"),
            col("has_root"),
            col("span_count"),
            col("error_count"),
            names.alias("service_names"),
        ])?
        .build()
}

/// One row per service that sent spans.
fn services(source: &Source) -> Result<LogicalPlan> {
    let failed: Expr = when(col("status_code").eq(lit("ERROR")), lit(1i64)).otherwise(lit(0i64))?;
    scan(DataSet::Spans, source)?
        .aggregate(
            vec![col("service_name")],
            vec![
                min(col("start_time")).alias("first_seen"),
                max(col("start_time")).alias("last_seen"),
                count(lit(1i64)).alias("span_count"),
                sum(failed).alias("error_count"),
            ],
        )?
        .project(vec![
            col("service_name").alias("name"),
            col("first_seen"),
            col("last_seen"),
            col("span_count"),
            col("error_count"),
        ])?
        .build()
}
