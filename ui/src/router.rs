//! Addresses of pages and of what their scripts ask for.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::get;

use crate::error::PageError;
use crate::page::{
    logs, operation, overview, search, service, services, spark, sql, trace, trace_data, traces,
    verdict,
};
use crate::trace_cache::TraceCache;
use crate::view::View;
use crate::{Answers, Ui, UiConfig, assets, security};

/// The pages, their static files and the endpoints of their scripts. Everything is a GET, all state
/// is in the address, every answer carries a strict content security policy.
///
/// The SQL workbench expects `POST /api/v1/sql` on the same origin.
pub fn router(answers: Arc<dyn Answers>, config: UiConfig) -> Router {
    let traces = Arc::new(TraceCache::new(config.max_trace_spans.saturating_mul(2)));
    let ui = Ui { answers, config: Arc::new(config), traces };
    Router::new()
        .route("/", get(overview::page))
        .route("/verdict", get(verdict::page))
        .route("/services", get(services::page))
        .route("/services/{service}", get(service::page))
        .route("/services/{service}/operations/{operation}", get(operation::page))
        .route("/traces", get(traces::page))
        .route("/traces/{id}", get(trace::page))
        .route("/logs", get(logs::page))
        .route("/sql", get(sql::page))
        .route("/ui/traces/{id}/shape", get(trace_data::shape_of))
        .route("/ui/traces/{id}/rows", get(trace_data::rows_of))
        .route("/ui/traces/{id}/find", get(trace_data::find))
        .route("/ui/traces/{id}/spans/{index}", get(trace_data::span))
        .route("/ui/traces/{id}/logs", get(trace_data::logs))
        .route("/ui/search", get(search::search))
        .route("/ui/services", get(search::names))
        .route("/ui/series", get(spark::series))
        .route("/ui/prefs", get(search::prefs))
        .route("/assets/{hash}/{*name}", get(assets::serve))
        .fallback(nowhere)
        .layer(map_response(security::harden))
        .with_state(ui)
}

async fn nowhere(State(ui): State<Ui>, view: View) -> PageError {
    let shown: String = view.path().chars().take(80).collect();
    let detail = format!("There is no page at {shown}.");
    view.stop(&ui, StatusCode::NOT_FOUND, "No such page", detail)
}
