//! Which attributes records have.

use std::collections::BTreeMap;

use headrope_model::{DataSet, TimeRange};
use serde::{Deserialize, Serialize};

use super::Time;

/// Records that have attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributesOf {
    /// Spans.
    #[default]
    Spans,
    /// Log records.
    Logs,
    /// Data points of metrics.
    Metrics,
}

impl From<AttributesOf> for DataSet {
    fn from(of: AttributesOf) -> Self {
        match of {
            AttributesOf::Spans => Self::Spans,
            AttributesOf::Logs => Self::Logs,
            AttributesOf::Metrics => Self::Metrics,
        }
    }
}

/// A question for attribute keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeQuery {
    /// Whose.
    pub signal: AttributesOf,
    /// Window.
    pub range: TimeRange,
    /// Only keys that begin so.
    pub prefix: Option<String>,
    /// Rows, 1 to 1000.
    pub limit: usize,
}

/// An attribute key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attribute {
    /// The key as it was sent.
    pub key: String,
    /// What it is an attribute of: `record`, `resource` or `scope`.
    pub level: &'static str,
    /// The column of SQL that holds its values and those of its older names, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'static str>,
    /// Number of values; for a resource or a scope that of their records.
    pub values: u64,
    /// The same by type: `string`, `int`, `double`, `bool`, `bytes`, `array`, `map`, `null`.
    pub types: BTreeMap<&'static str, u64>,
    /// Earliest time of what holds it.
    pub first_time: Time,
    /// Latest time of what holds it.
    pub last_time: Time,
}

/// Attribute keys, those with most values first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// Whose.
    pub signal: AttributesOf,
    /// The keys. Counts are of all segments that overlap the window.
    pub attributes: Vec<Attribute>,
    /// Number of keys that were left off.
    pub left_off: u64,
    /// Whether no key is missing that records have: segments list so many, and those of older versions none.
    pub complete: bool,
}
