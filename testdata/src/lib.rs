//! The seeded shop: a deterministic generator of OTLP traces, logs and metrics that belong
//! together, with named incidents, and an oracle that answers exactly what a backend is asked.
//!
//! Reading order: [`config`] and [`fault`] (what to generate), [`shop`] (the generator's face), `world` (the shop
//! as data: services, hosts, call graph, statements, log templates), `simulate` (one second of
//! traffic), `emit` (simulated records as OTLP), [`oracle`] (the answers), [`workload`] (requests of other
//! shapes, for benchmarks), [`landscape`] (random systems with faults), [`hostile`] (input that must be refused politely), [`arbitrary`] (whatever
//! the wire can say), [`fixtures`] (where real captured data lies).
//!
//! Nothing here reads a clock, a socket or a random device: time and the seed are inputs, and the
//! arithmetic avoids the platform's mathematical library, so the same configuration gives the same
//! bytes everywhere.
#![forbid(unsafe_code)]

pub mod arbitrary;
mod attrs;
mod catalogue;
pub mod config;
mod dice;
mod emit;
pub mod fault;
pub mod fixtures;
pub mod hostile;
pub mod landscape;
pub mod oracle;
mod plan;
pub mod scenario;
pub mod shop;
mod simulate;
mod stats;
mod traffic;
pub mod workload;
mod world;

pub use config::{Incident, Planned, ShopConfig, Truth};
pub use oracle::Oracle;
pub use shop::{Shop, Slice};
