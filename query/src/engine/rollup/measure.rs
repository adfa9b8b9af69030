//! Aggregates over rows that each stand for several spans.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable as _, cast, lit, when};

use super::terms::{self, Needs, column};
use crate::function::latency_sketch_of_rollup;

/// A column that both parts of the union yield.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Input {
    /// An expression over the roll-up's columns.
    Term(Expr),
    /// Number of spans.
    Calls,
    /// Sum of their durations.
    Total,
    /// Least duration.
    Least,
    /// Greatest duration.
    Greatest,
    /// First start.
    First,
    /// Last start.
    Last,
    /// Duration of a single span.
    Duration,
    /// Sketch of several.
    Sketch,
}

/// The columns of the union, each once; a column is named by its place.
#[derive(Debug, Default)]
pub(super) struct Inputs(Vec<Input>);

impl Inputs {
    /// The column, as the aggregation names it.
    pub(super) fn take(&mut self, input: Input) -> Expr {
        let at = self.0.iter().position(|known| *known == input).unwrap_or_else(|| {
            self.0.push(input);
            self.0.len() - 1
        });
        column(&name(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (String, &Input)> {
        self.0.iter().enumerate().map(|(at, input)| (name(at), input))
    }
}

fn name(at: usize) -> String {
    format!("c{at}")
}

/// What stands for one aggregate: aggregates over the union, and how its value is made of them.
pub(super) struct Replaced {
    pub(super) aggregates: Vec<Expr>,
    /// Takes the aggregates' columns.
    pub(super) value: fn(Vec<Expr>) -> Result<Expr>,
}

/// What stands for an aggregate over spans; `None` if it needs more of a span than a roll-up has.
pub(super) fn replace(
    aggregate: &Expr,
    spans: &DFSchema,
    inputs: &mut Inputs,
    needs: &mut Needs,
) -> Result<Option<Replaced>> {
    let aggregate = aggregate.clone().unalias();
    let Expr::AggregateFunction(AggregateFunction { func, params }) = &aggregate else {
        return Ok(None);
    };
    let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = params;
    if !order_by.is_empty() || null_treatment.is_some() {
        return Ok(None);
    }
    let filter = match filter {
        None => None,
        Some(filter) => match terms::over_rollup(filter, needs)? {
            Some(filter) => Some(Box::new(inputs.take(Input::Term(filter)))),
            None => return Ok(None),
        },
    };
    let only = |expr: Expr| Some((vec![expr], first as fn(Vec<Expr>) -> Result<Expr>));
    let replaced = match (func.name(), args.as_slice(), *distinct) {
        ("count", [Expr::Literal(value, _)], false) if !value.is_null() => {
            Some((vec![sum(inputs.take(Input::Calls))], or_zero as _))
        }
        ("sum", [arg], false) if is_duration(arg) => only(sum(inputs.take(Input::Total))),
        ("min", [arg], false) if is_duration(arg) => only(min(inputs.take(Input::Least))),
        ("max", [arg], false) if is_duration(arg) => only(max(inputs.take(Input::Greatest))),
        ("min", [arg], false) if is(arg, "start_time") => only(min(inputs.take(Input::First))),
        ("max", [arg], false) if is(arg, "start_time") => only(max(inputs.take(Input::Last))),
        ("avg", [arg], false) if is_duration(uncast(arg)) => {
            let total = cast(inputs.take(Input::Total), DataType::Float64);
            Some((vec![sum(total), sum(inputs.take(Input::Calls))], ratio as _))
        }
        ("latency_sketch", [arg], false) if is_duration(arg) => {
            let args = vec![inputs.take(Input::Duration), inputs.take(Input::Sketch)];
            only(call(&latency_sketch_of_rollup(), args, false))
        }
        // Terms are the same for all spans of a row.
        ("sum", [arg], false) if arg.get_type(spans)? == DataType::Int64 => {
            let Some(term) = terms::over_rollup(arg, needs)? else { return Ok(None) };
            only(sum(inputs.take(Input::Term(term)) * inputs.take(Input::Calls)))
        }
        ("min" | "max", [arg], _) | ("count", [arg], true) => {
            let Some(term) = terms::over_rollup(arg, needs)? else { return Ok(None) };
            only(call(func, vec![inputs.take(Input::Term(term))], *distinct))
        }
        _ => None,
    };
    let Some((mut aggregates, value)) = replaced else { return Ok(None) };
    for aggregate in &mut aggregates {
        if let Expr::AggregateFunction(call) = aggregate {
            call.params.filter.clone_from(&filter);
        }
    }
    Ok(Some(Replaced { aggregates, value }))
}

fn call(func: &Arc<AggregateUDF>, args: Vec<Expr>, distinct: bool) -> Expr {
    let func = Arc::clone(func);
    Expr::AggregateFunction(AggregateFunction::new_udf(func, args, distinct, None, vec![], None))
}

/// Whether an aggregate is the number of rows.
pub(super) fn counts_rows(aggregate: &Expr) -> bool {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = aggregate else {
        return false;
    };
    func.name() == "count"
        && params.filter.is_none()
        && matches!(params.args.as_slice(), [Expr::Literal(..)])
}

fn is(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

fn is_duration(expr: &Expr) -> bool {
    is(expr, "duration_ns")
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if *cast.field.data_type() == DataType::Float64 => &cast.expr,
        other => other,
    }
}

fn first(values: Vec<Expr>) -> Result<Expr> {
    Ok(values.into_iter().next().unwrap_or_default())
}

/// A count of nothing is zero, a sum of nothing null.
fn or_zero(values: Vec<Expr>) -> Result<Expr> {
    let count = first(values)?;
    when(count.clone().is_null(), lit(0i64)).otherwise(count)
}

fn ratio(values: Vec<Expr>) -> Result<Expr> {
    let mut values = values.into_iter();
    let (total, calls) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    Ok(total / cast(calls, DataType::Float64))
}
