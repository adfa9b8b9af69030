//! The service map, and what is known of its nodes.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::coverage::Coverage;
use crate::answer::map::Map;

pub(super) async fn map(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Map>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(queries.map(range).await?))
}

pub(super) async fn coverage(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Coverage>, Problem> {
    let range = args.range()?;
    args.end()?;
    Ok(Json(queries.coverage(range).await?))
}
