//! The engine: from SQL text over one snapshot to record batches.
//!
//! Reading order: [`session`](Session) (one question), `catalog` (what SQL can name), `table` (which
//! segments and live batches), `scan` (the physical plan over them), `ids`, `prune`, `texts`
//! (how rows are skipped), `lines` and `footers` (log records found without SQL), `machine` (what all questions share), `gate` (how many run).

mod catalog;
mod config;
mod fault;
mod footers;
mod gate;
mod ids;
mod lines;
mod machine;
mod prune;
mod scan;
mod session;
mod table;
mod texts;
mod views;

#[cfg(test)]
mod tests;

pub use config::QueryConfig;
pub(crate) use fault::{internal, user};
pub(crate) use lines::{Due, Line, Lines, Read, Wanted};
pub(crate) use machine::Machine;
pub(crate) use session::{Params, Session};
pub(crate) use table::Chosen;
