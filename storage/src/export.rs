//! What the collector hands over: an accepted request, decoded, with the bytes to log.

use bytes::Bytes;
use headrope_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A decoded OTLP export request.
#[derive(Debug, Clone, PartialEq)]
pub enum Export {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// Log records.
    Logs(ExportLogsServiceRequest),
}

impl Export {
    /// The signal it carries.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Traces(_) => Signal::Traces,
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
        }
    }
}

/// An accepted request. `payload` decodes to exactly `export`: after a partial success it is the
/// accepted subset, encoded again.
#[derive(Debug, Clone)]
pub struct Submission {
    /// The validated records.
    pub export: Export,
    /// The same as uncompressed OTLP protobuf, to be logged.
    pub payload: Bytes,
}
