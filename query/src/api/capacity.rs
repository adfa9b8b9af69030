//! Capacity, and what gives way when traffic grows.

use axum::Json;
use axum::extract::State;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::capacity::{Capacity, CapacityQuery, WhatIf, WhatIfQuery};

pub(super) async fn capacity(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Capacity>, Problem> {
    let query = CapacityQuery { service: args.text("service")?, range: args.range()? };
    args.end()?;
    Ok(Json(queries.capacity(&query).await?))
}

pub(super) async fn what_if(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<WhatIf>, Problem> {
    let parse = |text: &str| text.parse().ok().filter(|f: &f64| f.is_finite() && *f > 0.0);
    let factor = args.parsed("factor", "a positive number", parse)?;
    let missing = || Problem::invalid("parameter factor is missing; give it as in factor=2");
    let query = WhatIfQuery {
        factor: factor.ok_or_else(missing)?,
        service: args.text("service")?,
        operation: args.text("operation")?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.what_if(&query).await?))
}
