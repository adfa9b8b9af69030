//! Pure algorithms over the vocabulary of Headrope: no I/O, no runtime, no query engine.
//!
//! Reading order: [`trace`] (spans to call chain), [`critical_path`] (where the time of a request
//! went), [`repeat`] (work done over and over), [`sketch`] (mergeable latency quantiles),
//! [`histogram`] (buckets a person can read). [`ledger`] says where the extra time of requests went. What a verdict stands on: [`dependency`] (who needs whom),
//! [`difference`] (what slow traces have that others have not), [`change`] (when it began, and whether
//! the work is the same), [`capacity`] (how much is left), [`pattern`] (what logs and errors say), all of
//! them over [`statistics`].
#![forbid(unsafe_code)]

pub mod capacity;
pub mod change;
pub mod critical_path;
pub mod dependency;
pub mod difference;
pub mod histogram;
pub mod ledger;
#[cfg(test)]
mod noise;
pub mod pattern;
pub mod repeat;
pub mod sketch;
pub mod statement;
pub mod statistics;
pub mod trace;
pub mod verdict;

pub use critical_path::{Segment, critical_path, time_on_path};
pub use sketch::Sketch;
pub use trace::{CallChain, Node, SpanKind, SpanRecord, SpanStatus, assemble};
