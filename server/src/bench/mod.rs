//! Benchmarks that a user can repeat: `headrope bench`.
//!
//! They measure a server process from outside, over its sockets and through `/proc`, and know
//! nothing of how it stores but the names of its files.
//!
//! Reading order: `workload` and `template` (what is sent), `client` and `send` (sending), `child`
//! (the server), `disk` and `machine` (what is measured beside it), `ingest`, `mixed` and `report`;
//! `ask` and `query` (questions).

mod ask;
mod child;
mod client;
mod disk;
pub(crate) mod ingest;
mod machine;
mod mixed;
pub(crate) mod query;
mod report;
mod send;
mod template;
mod workload;
