//! Logs: search, volume, and those of a trace.

use axum::Json;
use axum::extract::{Path, State};
use headrope_model::TimeRange;

use super::args::Args;
use super::problem::Problem;
use super::traces::trace_id;
use crate::Queries;
use crate::answer::log::{LogPage, LogQuery, LogVolume};

/// Names of severities with the OTLP number each starts at.
const SEVERITIES: [(&str, i32); 6] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

/// What [`severity`] takes.
pub(super) const SEVERITY: &str = "trace, debug, info, warn, error, fatal or a number from 1 to 24";

pub(super) fn severity(text: &str) -> Option<i32> {
    let named = SEVERITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let number = || text.parse().ok().filter(|n| (1..=24).contains(n));
    named.map(|(_, number)| *number).or_else(number)
}

/// The parameters all three share, apart from the range.
fn query(args: &mut Args) -> Result<LogQuery, Problem> {
    Ok(LogQuery {
        range: TimeRange::ALL,
        text: args.text("q")?,
        service: args.text("service")?,
        min_severity: args.parsed("severity", SEVERITY, severity)?,
        trace_id: None,
        span_id: args.parsed("span_id", "16 hex digits, not all zero", |t| t.parse().ok())?,
        limit: 100,
        cursor: None,
    })
}

fn with_trace(args: &mut Args, mut query: LogQuery) -> Result<LogQuery, Problem> {
    query.trace_id = args.parsed("trace_id", "32 hex digits, not all zero", |t| t.parse().ok())?;
    query.range = args.range()?;
    Ok(query)
}

pub(super) async fn search(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<LogPage>, Problem> {
    let query = query(&mut args)?;
    let mut query = with_trace(&mut args, query)?;
    query.limit = args.limit(100)?;
    query.cursor = args.text("cursor")?;
    args.end()?;
    Ok(Json(queries.search_logs(&query).await?))
}

pub(super) async fn volume(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<LogVolume>, Problem> {
    let query = query(&mut args)?;
    let query = with_trace(&mut args, query)?;
    args.end()?;
    Ok(Json(queries.log_volume(&query).await?))
}

pub(super) async fn of_trace(
    State(queries): State<Queries>,
    Path(id): Path<String>,
    mut args: Args,
) -> Result<Json<LogPage>, Problem> {
    let id = trace_id(&id)?;
    let mut query = query(&mut args)?;
    if let Some(range) = args.range_if_any()? {
        query.range = range;
    }
    query.limit = args.limit(100)?;
    query.cursor = args.text("cursor")?;
    args.end()?;
    Ok(Json(queries.trace_logs(id, &query).await?))
}
