//! The engine: from SQL text over one snapshot to record batches.
//!
//! Reading order: [`session`](Session) (one question), `catalog` (what SQL can name), `table` (which
//! segments and live batches), `scan` (the physical plan over them), `ids`, `prune`, `texts`
//! (how rows are skipped), `machine` (what all questions share), `gate` (how many run).

mod catalog;
mod config;
mod fault;
mod gate;
mod ids;
mod machine;
mod prune;
mod rollup;
mod scan;
mod session;
mod table;
mod texts;
mod views;

#[cfg(test)]
mod tests;

pub use config::QueryConfig;
pub(crate) use fault::{internal, user};
pub(crate) use machine::Machine;
pub(crate) use session::{Params, Session};
