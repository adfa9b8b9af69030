//! The shop as data: services, operations, statements, log lines, mishaps.

pub(crate) mod graph;
pub(crate) mod log_lines;
pub(crate) mod mishaps;
pub(crate) mod ops;
pub(crate) mod services;
pub(crate) mod statements;
pub(crate) mod versions;
