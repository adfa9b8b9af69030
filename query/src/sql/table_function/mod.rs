//! Functions that are tables: typed answers as rows.
//!
//! A call is planned at once and answered when its rows are asked for, by the session of the statement: over its
//! snapshot, within its memory and its time.

mod capacity;
mod rows;
mod statement;
mod verdict;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{
    Session as Planner, TableFunctionArgs, TableFunctionImpl, TableProvider,
};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use headrope_model::TimeRange;

use self::statement::Statement;
use crate::answer::capacity::{CapacityQuery, WhatIfQuery};
use crate::answer::verdict::VerdictQuery;
use crate::ask;
use crate::engine::Session;
use crate::error::QueryError;
use crate::moment;

/// A function that is a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Headroom,
    WhatIf,
    Culprits,
    Ledger,
    ServiceMap,
}

/// Lets a statement call the functions.
pub(super) fn register(state: &mut SessionState, session: &Arc<Session>) {
    let statement = Arc::new(Statement::new(Arc::clone(session)));
    for function in Function::ALL {
        let statement = Arc::clone(&statement);
        state.register_udtf(function.name(), Arc::new(Callable { function, statement }));
    }
}

impl Function {
    const ALL: [Self; 5] =
        [Self::Headroom, Self::WhatIf, Self::Culprits, Self::Ledger, Self::ServiceMap];

    const fn name(self) -> &'static str {
        match self {
            Self::Headroom => "headroom",
            Self::WhatIf => "what_if",
            Self::Culprits => "culprits",
            Self::Ledger => "ledger",
            Self::ServiceMap => "service_map",
        }
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::Headroom => "headroom(from, to)",
            Self::WhatIf => {
                "what_if(factor, from, to) or what_if(factor, from, to, service, operation)"
            }
            Self::Culprits => {
                "culprits(from, to), culprits(from, to, service) or culprits(from, to, service, operation)"
            }
            Self::Ledger => {
                "ledger(from, to), ledger(from, to, service) or ledger(from, to, service, operation)"
            }
            Self::ServiceMap => "service_map(from, to)",
        }
    }

    fn schema(self) -> SchemaRef {
        let columns = match self {
            Self::Headroom => capacity::HEADROOM,
            Self::WhatIf => capacity::WHAT_IF,
            Self::Culprits => verdict::CULPRITS,
            Self::Ledger => verdict::LEDGER,
            Self::ServiceMap => verdict::SERVICE_MAP,
        };
        let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
enum Question {
    Headroom(CapacityQuery),
    WhatIf(WhatIfQuery),
    Culprits(VerdictQuery),
    Ledger(VerdictQuery),
    ServiceMap(TimeRange),
}

#[derive(Debug)]
struct Callable {
    function: Function,
    statement: Arc<Statement>,
}

impl TableFunctionImpl for Callable {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        self.statement.call().map_err(DataFusionError::Plan)?;
        let question = question(self.function, args.exprs(), self.statement.now_ns)?;
        let (statement, schema) = (Arc::clone(&self.statement), self.function.schema());
        Ok(Arc::new(Answered { call: Arc::new(Call { question, statement, schema }) }))
    }
}

fn question(function: Function, args: &[Expr], now_ns: i64) -> Result<Question> {
    let name = function.name();
    let range = |from: &Expr, to: &Expr| range(name, (from, to), now_ns);
    let word = |rest: &[Expr], at: usize| rest.get(at).map(|arg| text(name, arg)).transpose();
    match (function, args) {
        (Function::Headroom, [from, to]) => {
            let range = range(from, to)?;
            Ok(Question::Headroom(CapacityQuery { range, service: None }))
        }
        (Function::WhatIf, [factor, from, to, rest @ ..]) if rest.len() <= 2 => {
            Ok(Question::WhatIf(WhatIfQuery {
                range: range(from, to)?,
                factor: number(name, factor)?,
                service: word(rest, 0)?.flatten(),
                operation: word(rest, 1)?.flatten(),
            }))
        }
        (Function::Culprits | Function::Ledger, [from, to, rest @ ..]) if rest.len() <= 2 => {
            let query = VerdictQuery {
                range: range(from, to)?,
                reference: None,
                service: word(rest, 0)?.flatten(),
                operation: word(rest, 1)?.flatten(),
            };
            Ok(match function {
                Function::Culprits => Question::Culprits(query),
                _ => Question::Ledger(query),
            })
        }
        (Function::ServiceMap, [from, to]) => Ok(Question::ServiceMap(range(from, to)?)),
        _ => plan_err!("{name} takes other arguments: {}", function.usage()),
    }
}

fn literal<'a>(name: &str, arg: &'a Expr) -> Result<&'a ScalarValue> {
    match arg {
        Expr::Literal(value, _) => Ok(value),
        Expr::Placeholder(_) => plan_err!(
            "{name} is planned before parameters are known; write its arguments out, as in now() - INTERVAL '7 days'"
        ),
        _ => plan_err!("arguments of {name} must be constants, not {arg}"),
    }
}

fn number(name: &str, arg: &Expr) -> Result<f64> {
    match literal(name, arg)?.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(value))) => Ok(value),
        _ => plan_err!("factor {arg} of {name} must be a number, for example 2"),
    }
}

fn text(name: &str, arg: &Expr) -> Result<Option<String>> {
    match literal(name, arg)?.cast_to(&DataType::Utf8) {
        Ok(ScalarValue::Utf8(value)) => Ok(value),
        _ => plan_err!("service and operation of {name} must be text, not {arg}"),
    }
}

fn range(name: &str, (from, to): (&Expr, &Expr), now_ns: i64) -> Result<TimeRange> {
    let (from, to) = (time(name, from, now_ns)?, time(name, to, now_ns)?);
    match TimeRange::new(from, to) {
        Some(range) => Ok(range),
        None => plan_err!("the first time of {name} is later than the second; swap them"),
    }
}

/// A timestamp, or text as the API takes it.
fn time(name: &str, arg: &Expr, now_ns: i64) -> Result<i64> {
    let value = literal(name, arg)?;
    let said = match value {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
            text.clone()
        }
        ScalarValue::Int64(number) => number.map(|number| number.to_string()),
        _ => None,
    };
    if let Some(said) = said {
        return moment::parse(&said, now_ns)
            .map_err(|why| DataFusionError::Plan(format!("{name}: {why}")));
    }
    let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    match value.cast_to(&utc) {
        Ok(ScalarValue::TimestampNanosecond(Some(ns), _)) => Ok(ns),
        _ => plan_err!("{name} takes a timestamp or text such as 'now-7d', not {value}"),
    }
}

/// A call as a table.
#[derive(Debug)]
struct Answered {
    call: Arc<Call>,
}

#[async_trait]
impl TableProvider for Answered {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.call.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Planner,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let call = Arc::clone(&self.call) as Arc<dyn PartitionStream>;
        let plan =
            StreamingTableExec::try_new(self.schema(), vec![call], projection, [], false, limit)?;
        Ok(Arc::new(plan))
    }
}

/// A call that is answered when it is run.
#[derive(Debug)]
struct Call {
    question: Question,
    statement: Arc<Statement>,
    schema: SchemaRef,
}

impl PartitionStream for Call {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (statement, question) = (Arc::clone(&self.statement), self.question.clone());
        let schema = Arc::clone(&self.schema);
        let answer = async move {
            let columns = Box::pin(columns(&statement, &question)).await.map_err(outward)?;
            Ok(RecordBatch::try_new(schema, columns)?)
        };
        let stream = futures::stream::once(Box::pin(answer));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream))
    }
}

/// An error of ours inside the engine, which hands it back as it is.
fn outward(error: QueryError) -> DataFusionError {
    match error {
        QueryError::TooLarge(text) => DataFusionError::ResourcesExhausted(text),
        QueryError::Invalid(text) => DataFusionError::Execution(text),
        other => DataFusionError::Execution(other.to_string()),
    }
}

async fn columns(statement: &Statement, question: &Question) -> Result<Vec<ArrayRef>, QueryError> {
    let session = &statement.session;
    Ok(match question {
        Question::Headroom(query) => {
            capacity::headroom(&ask::capacity::capacity(session, query).await?)
        }
        Question::WhatIf(query) => {
            capacity::what_if(&ask::capacity::what_if(session, query).await?)
        }
        Question::Culprits(query) => verdict::culprits(&*statement.verdict(query).await?),
        Question::Ledger(query) => verdict::ledger(&*statement.verdict(query).await?),
        Question::ServiceMap(range) => {
            verdict::service_map(&Box::pin(ask::map::map(session, *range)).await?)
        }
    })
}
