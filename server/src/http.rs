//! The page listener: pages, API, health, metrics, administration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use headrope_collector::Collector;
use headrope_model::metric::{self, Family};
use headrope_query::Queries;
use headrope_query::api::{self, ApiConfig};
use headrope_storage::{Engine, StorageError};
use headrope_ui::UiConfig;
use serde_json::json;

/// What the pages are made of.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) engine: Arc<Engine>,
    pub(crate) collector: Arc<Collector<Engine>>,
    pub(crate) queries: Queries,
    pub(crate) banner: Option<String>,
    /// Where backups are put.
    pub(crate) backups: PathBuf,
}

/// Addresses a node listens on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) ui: SocketAddr,
}

impl Addresses {
    /// The line `serve` prints on stdout.
    pub(crate) fn json(&self) -> String {
        json!({"listening": {
            "otlp_grpc": self.grpc.to_string(),
            "otlp_http": self.http.to_string(),
            "ui": self.ui.to_string(),
        }})
        .to_string()
    }
}

/// Everything served on the page address.
pub(crate) fn router(site: Site, addresses: Addresses) -> Router {
    let mut ui = UiConfig { banner: site.banner.clone(), ..UiConfig::default() };
    ui.otlp_grpc = format!("http://{}", addresses.grpc);
    ui.otlp_http = format!("http://{}", addresses.http);
    let pages = headrope_ui::router(Arc::new(site.queries.clone()), ui);
    let questions = api::router(site.queries.clone(), ApiConfig::default());
    let own = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/admin/flush", post(flush))
        .route("/api/v1/admin/compact", post(compact))
        .route("/api/v1/admin/backup", post(backup))
        .with_state(site);
    pages.merge(questions).merge(own)
}

/// Ready when storage takes writes.
async fn ready(State(site): State<Site>) -> Response {
    match site.engine.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reason.label())).into_response()
        }
    }
}

/// Headrope's own metrics, OpenMetrics text.
async fn metrics(State(site): State<Site>) -> Response {
    let mut families = site.collector.metrics();
    families.extend(site.engine.metrics());
    let used = u64::try_from(site.queries.memory_used()).unwrap_or(u64::MAX);
    families.push(
        Family::gauge("headrope_query_memory_bytes", "Memory of running queries.")
            .with(Vec::new(), used),
    );
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], metric::render(&families)).into_response()
}

async fn flush(State(site): State<Site>) -> Response {
    done(site.engine.flush().await)
}

/// What to merge.
#[derive(serde::Deserialize)]
struct Compaction {
    /// Also what is left over, however new it is.
    #[serde(default)]
    all: bool,
}

async fn compact(
    State(site): State<Site>,
    Query(Compaction { all }): Query<Compaction>,
) -> Response {
    done(if all { site.engine.compact_all().await } else { site.engine.compact().await })
}

/// Which backup.
#[derive(serde::Deserialize)]
struct BackupName {
    name: String,
}

/// Backs up to `backups/<name>` in the data directory; nobody can make the server write elsewhere.
async fn backup(
    State(site): State<Site>,
    Query(BackupName { name }): Query<BackupName>,
) -> Response {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        let advice = "name must be 1 to 64 letters, digits, - or _\n";
        return (StatusCode::BAD_REQUEST, advice).into_response();
    }
    let to = site.backups.join(name);
    match site.engine.backup(&to).await {
        Ok(made) => axum::Json(json!({"directory": to, "files": made.files.len()})).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn done(result: Result<(), StorageError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
