//! What is different about slow or failed traces.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::difference::{DifferenceQuery, Differences, Focus};

pub(super) async fn differences(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Differences>, Problem> {
    let query = DifferenceQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        operation: args.text("operation")?,
        focus: args.word("focus", "slow, failed")?,
        min_duration_ns: args.duration("min_duration")?,
        range: args.range()?,
    };
    args.end()?;
    if query.focus == Focus::Failed && query.min_duration_ns.is_some() {
        return Err(Problem::invalid("min_duration belongs to focus=slow; leave one of them out"));
    }
    Ok(Json(queries.differences(&query).await?))
}
