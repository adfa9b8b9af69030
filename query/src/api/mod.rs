//! REST under `/api/v1`, documented by `openapi.json` beside this file.
//!
//! Reading order: `router` (the routes), `args` (parameters of a request), `problem` (errors),
//! `services`, `attributes`, `map`, `traces`, `logs`, `patterns`, `differences`, `changes`, `anomalies`, `verdict`, `capacity`, `sql` (the
//! handlers).

mod anomalies;
mod args;
mod attributes;
mod capacity;
mod changes;
mod differences;
mod logs;
mod map;
mod patterns;
mod problem;
mod services;
mod sql;
mod statements;
mod traces;
mod verdict;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};

pub use args::parse_tag;
pub use problem::Problem;

use crate::Queries;

/// The OpenAPI 3.1 description of the API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Settings of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiConfig {
    /// Largest request body in bytes.
    pub max_body_bytes: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self { max_body_bytes: 1 << 20 }
    }
}

/// Every route with its methods, as the OpenAPI description names them.
pub const ROUTES: [(&str, &str); 31] = [
    ("get", "/api/openapi.json"),
    ("post", "/api/v1/sql"),
    ("get", "/api/v1/overview"),
    ("get", "/api/v1/services"),
    ("get", "/api/v1/services/{name}"),
    ("get", "/api/v1/services/{name}/operations"),
    ("get", "/api/v1/services/{name}/dependencies"),
    ("get", "/api/v1/services/{name}/latency"),
    ("get", "/api/v1/services/{name}/resources"),
    ("get", "/api/v1/services/{name}/series"),
    ("get", "/api/v1/attributes"),
    ("get", "/api/v1/coverage"),
    ("get", "/api/v1/map"),
    ("get", "/api/v1/operations"),
    ("get", "/api/v1/topn"),
    ("get", "/api/v1/statements"),
    ("get", "/api/v1/verdict"),
    ("get", "/api/v1/capacity"),
    ("get", "/api/v1/capacity/what-if"),
    ("get", "/api/v1/traces"),
    ("get", "/api/v1/traces/{id}"),
    ("get", "/api/v1/traces/{id}/critical-path"),
    ("get", "/api/v1/traces/{id}/logs"),
    ("get", "/api/v1/logs"),
    ("get", "/api/v1/logs/volume"),
    ("get", "/api/v1/logs/patterns"),
    ("get", "/api/v1/errors"),
    ("get", "/api/v1/differences"),
    ("get", "/api/v1/changes"),
    ("post", "/api/v1/changes"),
    ("get", "/api/v1/anomalies"),
];

/// The API as a router without a state of its own. Every path under `/api/v1` is answered, unknown
/// ones with a problem.
pub fn router(queries: Queries, config: ApiConfig) -> Router {
    Router::new()
        .route("/api/openapi.json", get(openapi))
        .route("/api/v1/sql", post(sql::sql))
        .route("/api/v1/overview", get(services::overview))
        .route("/api/v1/services", get(services::services))
        .route("/api/v1/services/{name}", get(services::service))
        .route("/api/v1/services/{name}/operations", get(services::operations_of))
        .route("/api/v1/services/{name}/dependencies", get(services::dependencies))
        .route("/api/v1/services/{name}/latency", get(services::latency))
        .route("/api/v1/services/{name}/resources", get(services::resources))
        .route("/api/v1/services/{name}/series", get(services::series))
        .route("/api/v1/attributes", get(attributes::attributes))
        .route("/api/v1/coverage", get(map::coverage))
        .route("/api/v1/map", get(map::map))
        .route("/api/v1/operations", get(services::operations))
        .route("/api/v1/topn", get(services::topn))
        .route("/api/v1/statements", get(statements::statements))
        .route("/api/v1/verdict", get(verdict::verdict))
        .route("/api/v1/capacity", get(capacity::capacity))
        .route("/api/v1/capacity/what-if", get(capacity::what_if))
        .route("/api/v1/traces", get(traces::search))
        .route("/api/v1/traces/{id}", get(traces::trace))
        .route("/api/v1/traces/{id}/critical-path", get(traces::critical_path))
        .route("/api/v1/traces/{id}/logs", get(logs::of_trace))
        .route("/api/v1/logs", get(logs::search))
        .route("/api/v1/logs/volume", get(logs::volume))
        .route("/api/v1/logs/patterns", get(patterns::patterns))
        .route("/api/v1/errors", get(patterns::errors))
        .route("/api/v1/differences", get(differences::differences))
        .route("/api/v1/changes", get(changes::changes).post(changes::record))
        .route("/api/v1/anomalies", get(anomalies::anomalies))
        .route("/api/v1/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(config.max_body_bytes))
        .with_state(queries)
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn unknown(uri: axum::http::Uri) -> Problem {
    Problem::not_found(format!("there is no {}; see /api/openapi.json", uri.path()))
}

async fn wrong_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    Problem::method(format!("{} does not take {method}; see /api/openapi.json", uri.path()))
}
