//! What arrives (signals) and what is stored (data sets).

use std::fmt;

/// One of the three OTLP signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric data points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals, in the order used everywhere.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Lower-case OTLP name: `traces`, `metrics`, `logs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// Stable one-byte code used in the ingest log.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Traces => 1,
            Self::Metrics => 2,
            Self::Logs => 3,
        }
    }

    /// Inverse of [`Signal::code`].
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Traces),
            2 => Some(Self::Metrics),
            3 => Some(Self::Logs),
            _ => None,
        }
    }

    /// The data set the signal's records are stored in.
    #[must_use]
    pub const fn data_set(self) -> DataSet {
        match self {
            Self::Traces => DataSet::Spans,
            Self::Metrics => DataSet::Metrics,
            Self::Logs => DataSet::Logs,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A stored table: one Parquet schema, one kind of segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataSet {
    /// One row per span.
    Spans,
    /// One row per trace and segment: the trace list and the trace-by-id index.
    TraceParts,
    /// One row per log record.
    Logs,
    /// One row per metric data point.
    Metrics,
    /// Spans of a step of time summed up by operation.
    OperationRollup,
    /// Spans of a step of time summed up by service instance.
    ServiceRollup,
    /// Calls of databases in a step of time summed up by statement.
    StatementRollup,
    /// Calls in a step of time summed up by who calls what.
    EdgeRollup,
}

impl DataSet {
    /// All data sets, in the order used everywhere.
    pub const ALL: [Self; 8] = [
        Self::Spans,
        Self::TraceParts,
        Self::Logs,
        Self::Metrics,
        Self::OperationRollup,
        Self::ServiceRollup,
        Self::StatementRollup,
        Self::EdgeRollup,
    ];
    /// The data sets that sum spans up.
    pub const ROLLUPS: [Self; 4] =
        [Self::OperationRollup, Self::ServiceRollup, Self::StatementRollup, Self::EdgeRollup];
    /// Number of data sets.
    pub const COUNT: usize = Self::ALL.len();

    /// Stable name, used in file names, the catalog and SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::TraceParts => "trace_parts",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::OperationRollup => "operation_rollup",
            Self::ServiceRollup => "service_rollup",
            Self::StatementRollup => "statement_rollup",
            Self::EdgeRollup => "edge_rollup",
        }
    }

    /// Place in [`DataSet::ALL`].
    #[must_use]
    pub const fn slot(self) -> usize {
        self as usize
    }

    /// Whether its rows sum up spans.
    #[must_use]
    pub const fn is_rollup(self) -> bool {
        match self {
            Self::Spans | Self::TraceParts | Self::Logs | Self::Metrics => false,
            Self::OperationRollup
            | Self::ServiceRollup
            | Self::StatementRollup
            | Self::EdgeRollup => true,
        }
    }

    /// Inverse of [`DataSet::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
