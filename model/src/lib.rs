//! The vocabulary of Headrope: identifiers, time, attribute text, semantic-convention names, the
//! reasons for refusing a record, and the one list of columns.
//!
//! Everything here is pure: no I/O, no runtime, no query engine. Reading order: [`signal`] (what
//! arrives and what is stored), [`schema`] (the columns), [`attr`] (how an attribute value is
//! written), then [`id`], [`time`] and [`refuse`].
#![forbid(unsafe_code)]

pub mod attr;
pub mod id;
pub mod json;
pub mod metric;
pub mod refuse;
pub mod rollup;
pub mod schema;
pub mod semconv;
pub mod signal;
pub mod time;

pub use id::{SpanId, TraceId};
pub use refuse::RefuseReason;
pub use rollup::RollupSet;
pub use signal::{DataSet, Signal};
pub use time::TimeRange;
