//! The engine: from SQL text over one snapshot to record batches.
//!
//! Reading order: [`session`](Session) (one question), `catalog` (what SQL can name), `table` (which
//! segments and live batches), `scan` (the physical plan over them), `attributes`
//! (maps over columns), `joined` (columns that files keep as others), `reader` (its files), `ids`,
//! `prune`, `texts` (how rows are skipped), `node` (a scan in a plan), `narrow` (the rule that
//! replaces it), `pick`, `search`, `best` and `absent` (the first rows of an order), `group`, `sums` and `labels`
//! (aggregates by labels), `found` and `rows` (the spans of a trace), `longest` (the traces that took longest), `lines` and `row_group`
//! (log records found without SQL), `templates` (log records counted without SQL), `names` (which attributes there are), `machine` (what all questions share), `gate`
//! (how many run).

mod absent;
mod attributes;
mod best;
mod catalog;
mod config;
mod extent;
mod fault;
mod found;
mod gate;
mod group;
mod ids;
mod joined;
mod labels;
mod lines;
mod longest;
mod machine;
mod names;
mod narrow;
mod node;
mod pick;
mod prune;
mod reader;
mod rollup;
mod row_group;
mod rows;
mod scan;
mod search;
mod session;
mod sums;
mod table;
mod templates;
mod texts;
mod views;

#[cfg(test)]
mod tests;

pub use config::QueryConfig;
pub(crate) use fault::{internal, user};
pub(crate) use found::Found;
pub(crate) use lines::{Due, Line, Lines, Read, Wanted};
pub(crate) use longest::{Long, Wish};
pub(crate) use machine::Machine;
pub(crate) use names::{KeyCount, column_of, keys};
pub(crate) use rows::Part;
pub(crate) use session::{Params, Session};
pub(crate) use templates::{Counting, Kind, MARK, Place, TemplateCounts};
