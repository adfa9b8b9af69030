//! The verdict.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::verdict::{Verdict, VerdictQuery};

pub(super) async fn verdict(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Verdict>, Problem> {
    let query = VerdictQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        operation: args.text("operation")?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.verdict(&query).await?))
}
