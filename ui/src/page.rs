//! One module per page.

pub(crate) mod logs;
pub(crate) mod operation;
pub(crate) mod overview;
pub(crate) mod search;

pub(crate) mod service;
pub(crate) mod services;
pub(crate) mod spark;
pub(crate) mod sql;
pub(crate) mod trace;
pub(crate) mod trace_data;
pub(crate) mod traces;
pub(crate) mod verdict;

/// What to do when nothing is stored: the addresses to send to.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) grpc: String,
    pub(crate) http: String,
    pub(crate) wider: String,
}

impl Start {
    pub(crate) fn new(ui: &crate::Ui, view: &crate::view::View) -> Self {
        Self {
            grpc: ui.config.otlp_grpc.clone(),
            http: ui.config.otlp_http.clone(),
            wider: view.without("to").set("from", "now-7d").to_string(),
        }
    }
}
