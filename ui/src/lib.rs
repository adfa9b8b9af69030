//! Pages: server-rendered HTML over the typed answers.
//!
//! [`router`] is the door. Reading order: [`view`] (what the address says), [`frame`] (what stands
//! around each page), then one module per page under [`page`]. Every page is a GET whose whole
//! state is its address; scripts only add charts, keyboard and windows over long lists.
//! Telemetry text is hostile: templates escape it, scripts set it as text.
#![forbid(unsafe_code)]

mod answers;
mod assets;
mod chart;
mod error;
mod export;
mod frame;
pub mod number;
mod page;
mod part;
mod router;
mod security;
mod sql_text;
mod trace_cache;
pub mod url;
mod view;
pub mod window;
pub mod zone;

use std::sync::Arc;

pub use answers::{Answer, Answers};
pub use router::router;

/// What the pages need to know about the server they are served by.
#[derive(Debug, Clone)]
pub struct UiConfig {
    /// OTLP/gRPC address as clients reach it, shown where there is no data yet.
    pub otlp_grpc: String,
    /// OTLP/HTTP address as clients reach it.
    pub otlp_http: String,
    /// Zone until the reader chooses one: `UTC`, `browser` or an IANA name.
    pub time_zone: String,
    /// A line above every page, such as that the data is a demonstration.
    pub banner: Option<String>,
    /// Most spans of one trace that are held for a page.
    pub max_trace_spans: usize,
    /// The clock, Unix nanoseconds.
    pub clock: fn() -> i64,
}

impl Default for UiConfig {
    fn default() -> Self {
        Self {
            otlp_grpc: "http://127.0.0.1:4317".to_owned(),
            otlp_http: "http://127.0.0.1:4318".to_owned(),
            time_zone: "UTC".to_owned(),
            banner: None,
            max_trace_spans: 100_000,
            clock: headrope_model::time::now_ns,
        }
    }
}

/// What every handler shares.
#[derive(Clone)]
pub(crate) struct Ui {
    answers: Arc<dyn Answers>,
    config: Arc<UiConfig>,
    traces: Arc<trace_cache::TraceCache>,
}
