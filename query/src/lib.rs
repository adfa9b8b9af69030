//! From a question to an answer.
//!
//! ```text
//! snapshot (segments + live rows) ─▶ table providers ─▶ DataFusion ─▶ rows ─▶ typed answer ─▶ REST / page / terminal
//! ```
//!
//! [`Queries`] is the one door: each method is one typed answer of [`answer`], used alike by REST,
//! the pages and the command line.

pub mod answer;
pub mod api;
mod ask;
mod column;
mod engine;
pub mod error;
mod function;
mod moment;
mod queries;
mod segment;
pub mod sql;
#[cfg(test)]
mod tests;

pub use engine::QueryConfig;
pub use error::QueryError;
pub use queries::{Answer, Queries};
pub use sql::{SqlAnswer, SqlRequest};
