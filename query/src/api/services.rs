//! Services, operations, rankings, latency, the first page.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::latency::{Latency, LatencyQuery};
use crate::answer::service::{
    DependencyRow, MetricSeries, OperationRow, Overview, RankScope, Series, ServiceRow, Top,
    TopQuery, TopRow,
};
use crate::answer::{RankBy, SpanScope};

/// Words of the `spans` parameter.
const SPANS: &str = "entry, all";

#[derive(Debug, Serialize)]
pub(super) struct Services {
    services: Vec<ServiceRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct Service {
    service: ServiceRow,
    series: Series,
}

#[derive(Debug, Serialize)]
pub(super) struct Operations<T> {
    operations: Vec<T>,
}

#[derive(Debug, Serialize)]
pub(super) struct Dependencies {
    dependencies: Vec<DependencyRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct Resources {
    series: Vec<MetricSeries>,
}

#[derive(Debug, Serialize)]
pub(super) struct Ranking {
    scope: RankScope,
    by: RankBy,
    spans: SpanScope,
    relative_error: f64,
    #[serde(flatten)]
    top: Top,
}

pub(super) async fn overview(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Overview>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(queries.overview(range).await?))
}

pub(super) async fn services(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Services>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(Services { services: queries.services(range).await? }))
}

pub(super) async fn service(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    mut args: Args,
) -> Result<Json<Service>, Problem> {
    let range = args.range()?;
    args.end()?;
    let service = queries.service(&name, range).await?;
    let series = queries.series(Some(&name), range).await?;
    Ok(Json(Service { service, series }))
}

pub(super) async fn operations_of(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    mut args: Args,
) -> Result<Json<Operations<OperationRow>>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(Operations { operations: queries.operations(&name, range).await? }))
}

pub(super) async fn dependencies(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    mut args: Args,
) -> Result<Json<Dependencies>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(Dependencies { dependencies: queries.dependencies(&name, range).await? }))
}

pub(super) async fn latency(
    State(queries): State<Queries>,
    Path(service): Path<String>,
    mut args: Args,
) -> Result<Json<Latency>, Problem> {
    let operation = args.text("operation")?;
    let spans = args.word("spans", SPANS)?;
    let range = args.range()?;
    args.end()?;
    let query = LatencyQuery { range, service, operation, spans };
    Ok(Json(queries.latency(&query).await?))
}

pub(super) async fn resources(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    mut args: Args,
) -> Result<Json<Resources>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(Resources { series: queries.resources(&name, range).await? }))
}

pub(super) async fn series(
    State(queries): State<Queries>,
    Path(name): Path<String>,
    mut args: Args,
) -> Result<Json<Series>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(queries.series(Some(&name), range).await?))
}

pub(super) async fn operations(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Operations<TopRow>>, Problem> {
    let query = TopQuery {
        scope: RankScope::Operation,
        by: RankBy::TotalTime,
        reference: None,
        spans: args.word("spans", SPANS)?,
        service: args.text("service")?,
        limit: args.limit(100)?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(Operations { operations: queries.top(&query).await?.rows }))
}

pub(super) async fn topn(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Ranking>, Problem> {
    let query = TopQuery {
        scope: args.word("scope", "service, operation, statement, host, peer")?,
        by: args.word("by", "calls, slowest, total_time, errors, p99, change")?,
        reference: args.reference()?,
        spans: args.word("spans", SPANS)?,
        service: args.text("service")?,
        limit: args.limit(20)?,
        range: args.range()?,
    };
    args.end()?;
    let (scope, by, spans) = (query.scope, query.by, query.spans);
    if query.reference.is_some() && by != RankBy::Change {
        return Err(Problem::invalid("only a ranking by=change has a reference"));
    }
    let top = queries.top(&query).await?;
    let relative_error = headrope_analysis::sketch::RELATIVE_ERROR;
    Ok(Json(Ranking { scope, by, spans, relative_error, top }))
}
