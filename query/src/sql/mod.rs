//! SQL from outside: checked, bounded, read-only.
//!
//! Reading order: `check` (what may run), `params` (typed named parameters), `run` (deadline, row
//! and byte caps), `table_function` (typed answers as rows), `json` (rows as JSON text), `encode` (JSON, CSV, Arrow, Parquet), `name` (names
//! of types).

mod check;
mod encode;
mod json;
mod name;
mod params;
mod run;
mod table_function;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use encode::Format;
pub use name::type_name;
pub(crate) use run::run;

/// A question in SQL.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One `SELECT`, `WITH`, `EXPLAIN`, `DESCRIBE` or `SHOW` statement.
    pub query: String,
    /// Values of the parameters `$name`: text, number, boolean, null, or
    /// `{"type": "timestamp", "value": …}`.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Rows after which the answer is cut off.
    #[serde(default)]
    pub max_rows: Option<usize>,
    /// Milliseconds the question may take, waiting for its turn included.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// What an answer cost.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SqlStats {
    /// Rows in the answer.
    pub rows: u64,
    /// Milliseconds from the question to the last row.
    pub elapsed_ms: u64,
    /// Segments that were read.
    pub segments_scanned: u64,
    /// Segments that were skipped without opening them.
    pub segments_pruned: u64,
    /// The roll-ups that were read: `operation`, `service`, `statement`, `edge`, or several.
    pub rollup: Option<String>,
    /// Whether rows were cut off by the row or the byte cap.
    pub truncated: bool,
}

/// An answer to a question in SQL.
#[derive(Debug, Clone)]
pub struct SqlAnswer {
    /// Columns.
    pub schema: SchemaRef,
    /// Rows.
    pub batches: Vec<RecordBatch>,
    /// What it cost.
    pub stats: SqlStats,
}
