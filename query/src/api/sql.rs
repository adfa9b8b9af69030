//! `POST /api/v1/sql`.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::Queries;
use crate::sql::{Format, SqlRequest};

/// Header that carries the statistics of an answer that is not JSON.
const STATS: &str = "x-query-stats";

pub(super) async fn sql(
    State(queries): State<Queries>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let accept = headers.get(ACCEPT).and_then(|a| a.to_str().ok());
    let Some(format) = Format::negotiate(accept) else {
        let offered = Format::ALL.map(|f| f.media_type().split(';').next().unwrap_or_default());
        let detail = format!("answers are written as {}; ask for one of them", offered.join(", "));
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail));
    };
    let request: SqlRequest = serde_json::from_slice(&body).map_err(|e| {
        Problem::invalid(format!("the body must be JSON such as {{\"query\": \"SELECT 1\"}}: {e}"))
    })?;
    let answer = queries.sql(&request).await?;
    let stats = serde_json::to_string(&answer.stats).unwrap_or_default();
    let encoded = tokio::task::spawn_blocking(move || answer.encode(format))
        .await
        .map_err(|e| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))??;
    let mut response = ([(CONTENT_TYPE, format.media_type())], encoded).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(stats) = HeaderValue::from_str(&stats) {
        headers.insert(STATS, stats);
    }
    Ok(response)
}
