//! What services ask of databases.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::statement::{StatementQuery, Statements};

pub(super) async fn statements(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Statements>, Problem> {
    let query = StatementQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        system: args.text("system")?,
        limit: args.limit(50)?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.statements(&query).await?))
}
