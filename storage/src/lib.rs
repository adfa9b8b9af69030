//! From an accepted OTLP request to durable, queryable rows.
//!
//! ```text
//! Submission ─ admit ─▶ ingest log (frame, fdatasync) ─▶ backlog ─▶ acknowledged
//!                                                          │ rows, when enough or asked for
//!                                                     live buffer
//!                                                          │ cut
//!                                          sorted Parquet + text index (temp, sync, rename)
//!                                                          │ one catalog transaction: segments + watermark
//!                                                          ▼ trim the log
//! ```
//!
//! A [`Snapshot`] is the segments of one catalog version plus the live rows above its watermark:
//! every acknowledged row exactly once. Reading order: [`engine`] (what callers use), `log` (the
//! durable frames), `backlog`, `live`, `flush` (the only place that orders seal, write, sync, commit, trim),
//! `catalog`, `segment`, `rollup`, `compact`, `retention`.
#![forbid(unsafe_code)]

mod background;
mod backlog;
mod backup;
mod bodies;
mod catalog;
mod checked;
mod checksum;
mod commit;
mod compact;
pub mod config;
mod counts;
mod covers;
pub mod dense;
pub mod disk;
mod encode;
pub mod engine;
mod entry;
pub mod error;
pub mod event;
pub mod export;
pub mod failpoint;
mod files;
mod flush;
pub mod joined;
mod live;
pub mod log;
mod offsets;
mod pack;
mod rebuild;
mod recover;
mod retention;
mod rollup;
mod segment;
mod shared;
pub mod snapshot;
mod state;
pub mod text;
pub mod wire;

pub use backup::{Backup, Verified, backup, restore, verify};
pub use config::{Durability, StorageConfig};
pub use covers::Covers;
pub use engine::{Engine, Permit};
pub use error::{AppendError, StorageError};
pub use event::Event;
pub use export::{Export, Submission};
pub use rebuild::{Rebuilt, rebuild_catalog};
pub use shared::Receipt;
pub use snapshot::{LiveBatch, Segment, SegmentMeta, Snapshot};
