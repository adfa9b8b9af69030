//! `/ui/series`: a service's traffic over the window, for the small lines in tables.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Ui;
use crate::error::problem;
use crate::view::View;

/// Calls per step, at most [`MOST`] of them.
#[derive(Serialize)]
struct Spark {
    calls: Vec<u64>,
}

/// Points that a small line can show.
const MOST: usize = 60;

/// `GET /ui/series?service=`.
pub(crate) async fn series(State(ui): State<Ui>, view: View) -> Response {
    match ui.answers.series(view.param("service"), view.range).await {
        Ok(series) => {
            let step = series.points.len().div_ceil(MOST).max(1);
            let calls = series.points.chunks(step).map(|c| c.iter().map(|p| p.calls).sum());
            Json(Spark { calls: calls.collect() }).into_response()
        }
        Err(error) => problem(&error),
    }
}
