//! What changed, and what people tell of changes.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::change::{ChangeQuery, ChangeRow, Changes, NewChange};

pub(super) async fn changes(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Json<Changes>, Problem> {
    let query = ChangeQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        range: args.range()?,
    };
    args.end()?;
    Ok(Json(queries.changes(&query).await?))
}

pub(super) async fn record(
    State(queries): State<Queries>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<ChangeRow>), Problem> {
    // What a page of another site sends without asking is never this type.
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let detail =
            "send the change as application/json (curl: -H 'Content-Type: application/json')";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let body = body.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let change: NewChange = serde_json::from_slice(&body)
        .map_err(|e| Problem::invalid({
        format!("the body must be JSON such as {{\"kind\": \"deployment\", \"service\": \"cart\"}}: {e}")
    }))?;
    Ok((StatusCode::CREATED, Json(queries.record_change(change).await?)))
}
