//! What the collector hands over: an accepted request, with the bytes to log.

use bytes::Bytes;
use headrope_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

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

impl Export {
    /// Decodes uncompressed OTLP protobuf.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(signal: Signal, payload: &[u8]) -> Result<Self, prost::DecodeError> {
        Ok(match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::decode(payload)?),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::decode(payload)?),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::decode(payload)?),
        })
    }
}

/// An accepted request; `payload` is uncompressed OTLP protobuf, to be logged.
#[derive(Debug, Clone)]
pub enum Submission {
    /// A request whose records are all accepted as they are. Its rows are read from the payload when
    /// somebody wants to see them.
    Plain {
        /// What it carries.
        signal: Signal,
        /// Number of records.
        records: u64,
        /// The request as received.
        payload: Bytes,
    },
    /// Any other request.
    Decoded {
        /// The accepted records.
        export: Export,
        /// Decodes to exactly `export`: after a partial success it is the accepted subset, encoded
        /// again.
        payload: Bytes,
    },
}

impl Submission {
    /// The signal it carries.
    #[must_use]
    pub const fn signal(&self) -> Signal {
        match self {
            Self::Plain { signal, .. } => *signal,
            Self::Decoded { export, .. } => export.signal(),
        }
    }

    /// Uncompressed OTLP protobuf.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        match self {
            Self::Plain { payload, .. } | Self::Decoded { payload, .. } => payload,
        }
    }
}
