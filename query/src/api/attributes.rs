//! Which attributes records have.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::attribute::{AttributeQuery, Attributes};

pub(super) async fn attributes(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Attributes>, Problem> {
    let query = AttributeQuery {
        signal: args.word("signal", "spans, logs, metrics")?,
        prefix: args.text("prefix")?,
        limit: args.limit(100)?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.attributes(&query).await?))
}
