//! The generator's face: a shop, its time slices, and an exact amount of data.

use headrope_model::TimeRange;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::config::{ShopConfig, Truth};

/// What the shop sent for a range of time: the requests of everything that began in it. A request
/// that takes long may hold spans that end after the range, so a live sender waits some seconds
/// before it sends a slice.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// The range of time.
    pub range: TimeRange,
    /// Trace requests.
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Log requests.
    pub logs: Vec<ExportLogsServiceRequest>,
    /// Metric requests.
    pub metrics: Vec<ExportMetricsServiceRequest>,
}

/// A seeded shop. Immutable and cheap to share between threads.
#[derive(Debug, Clone)]
pub struct Shop {
    config: ShopConfig,
}

impl Shop {
    /// A shop with the default configuration and this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_config(ShopConfig { seed, ..ShopConfig::default() })
    }

    /// A shop with this configuration.
    #[must_use]
    pub fn with_config(config: ShopConfig) -> Self {
        Self { config }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ShopConfig {
        &self.config
    }

    /// What really happened, one record per planned incident.
    #[must_use]
    pub fn truths(&self) -> Vec<Truth> {
        Vec::new()
    }

    /// Everything that began in the range. Both ends are rounded down to whole batch windows, so
    /// that adjoining ranges neither overlap nor leave a gap; any cut gives the same requests.
    #[must_use]
    pub fn slice(&self, range: TimeRange) -> Slice {
        Slice { range, traces: Vec::new(), logs: Vec::new(), metrics: Vec::new() }
    }

    /// The range cut into slices of `step_s` seconds (rounded up to whole batch windows), in order
    /// of time.
    pub fn slices(&self, range: TimeRange, step_s: u32) -> impl Iterator<Item = Slice> + '_ {
        let _ = step_s;
        std::iter::once(self.slice(range))
    }

    /// Slices from `from_ns` on that hold exactly `spans` spans and `logs` log records together.
    pub fn exactly(&self, from_ns: i64, spans: u64, logs: u64) -> impl Iterator<Item = Slice> + '_ {
        let _ = (from_ns, spans, logs);
        std::iter::empty()
    }
}
