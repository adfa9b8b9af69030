//! OTLP/JSON: the protobuf JSON mapping with the deviations of the OTLP specification ("JSON
//! Protobuf Encoding"): ids in hex of either case, enums as integers only, lowerCamelCase keys
//! only, unknown fields ignored.
//!
//! `messages` is one table of names that both directions share; `kinds` says how a field of each
//! kind is read and written; `read` walks the text without building a tree of it and remembers
//! where an error was; `decode` limits the memory the result may take.

mod kinds;
mod messages;
mod read;

pub use read::JsonError;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// A message that can stand alone as a JSON document: an export request of one signal. Files of
/// traces, metrics and logs (`TracesData` and so on) have the same form.
#[expect(private_bounds, reason = "the reading machinery is an inner matter of this module")]
pub trait Document: read::Fields {}

impl Document for ExportTraceServiceRequest {}
impl Document for ExportMetricsServiceRequest {}
impl Document for ExportLogsServiceRequest {}

/// Reads one document. `max_bytes` limits the memory the decoded message may take, because a few
/// bytes of JSON can stand for a large struct; `usize::MAX` for trusted input.
///
/// # Errors
/// With the path of the value that is not as it should be.
pub fn decode<M: Document>(text: &[u8], max_bytes: usize) -> Result<M, JsonError> {
    read::document(text, max_bytes)
}

/// Writes one document: compact, default values left out.
#[must_use]
pub fn encode<M: Document>(message: &M) -> Vec<u8> {
    let mut out = Vec::new();
    read::write(message, &mut out);
    out
}

#[cfg(test)]
mod tests;
