//! Functions that are tables: `headroom` and `what_if`, the typed answers as rows.
//!
//! A call is planned at once and answered when its rows are asked for, by the session of the statement: over its
//! snapshot, within its memory and its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
};
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
use headrope_model::time::now_ns;

use crate::answer::capacity::{
    Band, CapacityQuery, ClassCapacity, ServiceCapacity, Unknown, WhatIfQuery, WhatIfRow,
};
use crate::ask;
use crate::engine::Session;
use crate::error::QueryError;
use crate::moment;

/// Most calls in one statement: each is a question of its own.
const MOST_CALLS: usize = 8;

/// A function that is a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Headroom,
    WhatIf,
}

/// Lets a statement call the functions.
pub(super) fn register(state: &mut SessionState, session: &Arc<Session>) {
    let calls = Arc::new(AtomicUsize::new(0));
    for function in [Function::Headroom, Function::WhatIf] {
        let (session, calls) = (Arc::clone(session), Arc::clone(&calls));
        state.register_udtf(function.name(), Arc::new(Callable { function, session, calls }));
    }
}

impl Function {
    const fn name(self) -> &'static str {
        match self {
            Self::Headroom => "headroom",
            Self::WhatIf => "what_if",
        }
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::Headroom => "headroom(from, to)",
            Self::WhatIf => {
                "what_if(factor, from, to) or what_if(factor, from, to, service, operation)"
            }
        }
    }

    fn schema(self) -> SchemaRef {
        use DataType::{Boolean, Float64, Int64, Utf8View};
        let columns: &[(&str, DataType)] = match self {
            Self::Headroom => &[
                ("service", Utf8View),
                ("version", Utf8View),
                ("host_type", Utf8View),
                ("instances", Int64),
                ("rate", Float64),
                ("peak_rate", Float64),
                ("safe_rate", Float64),
                ("safe_rate_low", Float64),
                ("safe_rate_high", Float64),
                ("basis", Utf8View),
                ("knee", Float64),
                ("ceiling", Float64),
                ("capacity", Float64),
                ("headroom", Float64),
                ("headroom_low", Float64),
                ("headroom_high", Float64),
                ("cpu_ms_per_request", Float64),
                ("cpu_ms_per_request_low", Float64),
                ("cpu_ms_per_request_high", Float64),
                ("cpu_utilization", Float64),
                ("cpus", Float64),
                ("exhausted", Utf8View),
                ("unknown", Utf8View),
            ],
            Self::WhatIf => &[
                ("service", Utf8View),
                ("peak_rate", Float64),
                ("peak_rate_then", Float64),
                ("grows", Float64),
                ("capacity", Float64),
                ("load_then", Float64),
                ("breaks", Boolean),
                ("breaks_at", Float64),
                ("instances", Int64),
                ("instances_then", Int64),
                ("unknown", Utf8View),
            ],
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
}

#[derive(Debug)]
struct Callable {
    function: Function,
    session: Arc<Session>,
    calls: Arc<AtomicUsize>,
}

impl TableFunctionImpl for Callable {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        if self.calls.fetch_add(1, Ordering::Relaxed) >= MOST_CALLS {
            return plan_err!("a statement may call headroom and what_if {MOST_CALLS} times");
        }
        let question = question(self.function, args.exprs())?;
        let (session, schema) = (Arc::clone(&self.session), self.function.schema());
        Ok(Arc::new(Answered { call: Arc::new(Call { question, session, schema }) }))
    }
}

fn question(function: Function, args: &[Expr]) -> Result<Question> {
    let name = function.name();
    match (function, args) {
        (Function::Headroom, [from, to]) => {
            let range = range(name, from, to)?;
            Ok(Question::Headroom(CapacityQuery { range, service: None }))
        }
        (Function::WhatIf, [factor, from, to, rest @ ..]) if rest.len() <= 2 => {
            let word = |at: usize| rest.get(at).map(|arg| text(name, arg)).transpose();
            Ok(Question::WhatIf(WhatIfQuery {
                range: range(name, from, to)?,
                factor: number(name, factor)?,
                service: word(0)?.flatten(),
                operation: word(1)?.flatten(),
            }))
        }
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

fn range(name: &str, from: &Expr, to: &Expr) -> Result<TimeRange> {
    let (from, to) = (time(name, from)?, time(name, to)?);
    match TimeRange::new(from, to) {
        Some(range) => Ok(range),
        None => plan_err!("the first time of {name} is later than the second; swap them"),
    }
}

/// A timestamp, or text as the API takes it.
fn time(name: &str, arg: &Expr) -> Result<i64> {
    let value = literal(name, arg)?;
    let said = match value {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
            text.clone()
        }
        ScalarValue::Int64(number) => number.map(|number| number.to_string()),
        _ => None,
    };
    if let Some(said) = said {
        return moment::parse(&said, now_ns())
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
    session: Arc<Session>,
    schema: SchemaRef,
}

impl PartitionStream for Call {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (session, question) = (Arc::clone(&self.session), self.question.clone());
        let schema = Arc::clone(&self.schema);
        let answer = async move {
            let columns = Box::pin(columns(&session, &question)).await.map_err(outward)?;
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

async fn columns(session: &Session, question: &Question) -> Result<Vec<ArrayRef>, QueryError> {
    match question {
        Question::Headroom(query) => {
            let answer = ask::capacity::capacity(session, query).await?;
            let rows = answer.services.iter();
            let rows: Vec<Row<'_>> =
                rows.flat_map(|s| s.classes.iter().map(move |c| (s, c))).collect();
            Ok(headroom(&rows))
        }
        Question::WhatIf(query) => {
            Ok(what_if(&ask::capacity::what_if(session, query).await?.services))
        }
    }
}

type Row<'a> = (&'a ServiceCapacity, &'a ClassCapacity);

fn texts<'a, T: 'a>(rows: &'a [T], of: impl Fn(&'a T) -> Option<&'a str>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringViewArray>())
}

fn doubles<T>(rows: &[T], of: impl Fn(&T) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<Float64Array>())
}

fn counts<T>(rows: &[T], of: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    let count = |row: &T| of(row).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    Arc::new(rows.iter().map(count).collect::<Int64Array>())
}

fn headroom(rows: &[Row<'_>]) -> Vec<ArrayRef> {
    let value = |band: Option<Band>| band.map(|band| band.value);
    let low = |band: Option<Band>| band.map(|band| band.low);
    let high = |band: Option<Band>| band.map(|band| band.high);
    let because = |unknown: &[Unknown]| {
        let lines = unknown.iter().map(|u| format!("{}: {}", u.what, u.because));
        Some(lines.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    };
    let unknown: Vec<Option<String>> = rows.iter().map(|(_, c)| because(&c.unknown)).collect();
    vec![
        texts(rows, |(s, _)| Some(s.service.as_str())),
        texts(rows, |(_, c)| c.version.as_deref()),
        texts(rows, |(_, c)| c.host_type.as_deref()),
        counts(rows, |(_, c)| Some(c.instances)),
        doubles(rows, |(_, c)| Some(c.rate)),
        doubles(rows, |(_, c)| Some(c.peak_rate)),
        doubles(rows, |(_, c)| value(c.safe_rate)),
        doubles(rows, |(_, c)| low(c.safe_rate)),
        doubles(rows, |(_, c)| high(c.safe_rate)),
        texts(rows, |(_, c)| c.basis),
        doubles(rows, |(_, c)| value(c.knee)),
        doubles(rows, |(_, c)| c.ceiling),
        doubles(rows, |(_, c)| value(c.capacity)),
        doubles(rows, |(_, c)| value(c.headroom)),
        doubles(rows, |(_, c)| low(c.headroom)),
        doubles(rows, |(_, c)| high(c.headroom)),
        doubles(rows, |(_, c)| value(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| low(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| high(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| c.cpu_utilization),
        doubles(rows, |(_, c)| c.cpus),
        texts(rows, |(s, _)| s.growth.as_ref().and_then(|g| g.exhausted.as_deref())),
        texts(&unknown, |text| text.as_deref()),
    ]
}

fn what_if(rows: &[WhatIfRow]) -> Vec<ArrayRef> {
    vec![
        texts(rows, |r| Some(r.service.as_str())),
        doubles(rows, |r| Some(r.peak_rate)),
        doubles(rows, |r| Some(r.peak_rate_then)),
        doubles(rows, |r| Some(r.grows)),
        doubles(rows, |r| r.capacity),
        doubles(rows, |r| r.load_then),
        Arc::new(rows.iter().map(|r| r.breaks).collect::<BooleanArray>()),
        doubles(rows, |r| r.breaks_at),
        counts(rows, |r| Some(r.instances)),
        counts(rows, |r| r.instances_then),
        texts(rows, |r| r.unknown.as_deref()),
    ]
}
