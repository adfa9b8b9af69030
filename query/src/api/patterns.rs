//! What logs say: patterns, and groups of errors.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::logs::{SEVERITY, severity};
use super::problem::Problem;
use crate::Queries;
use crate::answer::pattern::{ErrorGroups, ErrorQuery, LogPatterns, PatternQuery};

pub(super) async fn patterns(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<LogPatterns>, Problem> {
    let query = PatternQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        min_severity: args.parsed("severity", SEVERITY, severity)?,
        limit: args.limit(100)?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.log_patterns(&query).await?))
}

pub(super) async fn errors(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<ErrorGroups>, Problem> {
    let query = ErrorQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        limit: args.limit(100)?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.errors(&query).await?))
}
