//! From a socket to an acknowledged batch: OTLP over gRPC and HTTP, for traces, metrics and logs.
//!
//! ```text
//! socket ─ bytes ─ inflated ─ admitted ─ decoded ─ validated ─ appended (durable) ─ answered
//! ```
//!
//! Reading order: `pipeline` (one function per arrow), then the two doors `http` and `grpc`,
//! `listen` (connections), [`validate`] (what makes a record acceptable) and [`json`] (OTLP/JSON).
//! Both doors share one core, so a request is judged alike whichever way it comes.
#![forbid(unsafe_code)]

mod body;
mod budget;
mod config;
mod cors;
mod counters;
mod error;
mod grpc;
mod health;
mod http;
mod inflate;
pub mod json;
mod listen;
mod pipeline;
mod refusal;
#[cfg(test)]
mod replay_tests;
mod respond;
mod server;
mod sink;
mod tally;
#[cfg(test)]
#[path = "../fuzz/src/targets.rs"]
mod targets;
pub mod validate;
mod wire;

pub use config::CollectorConfig;
pub use error::CollectorError;
pub use server::Collector;
pub use sink::Sink;
pub use tally::Tally;
