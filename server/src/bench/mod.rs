//! Benchmarks that a user can repeat: `headrope bench`.
//!
//! They measure a server process from outside, over its sockets and through `/proc`, and know
//! nothing of how it stores.

mod child;
mod client;
pub(crate) mod ingest;
mod report;
mod workload;
