//! When services behaved unlike before.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::anomaly::Anomalies;

pub(super) async fn anomalies(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Anomalies>, Problem> {
    let service = args.text("service")?;
    let range = args.range()?;
    args.end()?;
    Ok(Json(queries.anomalies(range, service.as_deref()).await?))
}
