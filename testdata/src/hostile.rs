//! Input that a receiver must survive: requests that are wrong in one way each, with what the right
//! answer is, and constructors of oversized ones.
//!
//! Every case that is refused record by record holds one good record beside the bad ones, so that a
//! receiver which drops the whole request is caught.

mod points;
mod raw;
mod records;
#[cfg(test)]
mod tests;

use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use crate::attrs::Attrs;

/// The right answer to a hostile request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Every record is taken.
    Accepted {
        /// How many records.
        records: u64,
    },
    /// The request succeeds in part: some records are refused for this reason.
    Partly {
        /// Records taken.
        accepted: u64,
        /// Records refused.
        refused: u64,
        /// Why.
        reason: RefuseReason,
    },
    /// The whole request is refused as damaged (400 or INVALID_ARGUMENT); nothing is taken.
    Malformed,
}

/// A request that is wrong in one way.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// The signal it is sent as.
    pub signal: Signal,
    /// Protobuf body.
    pub body: Vec<u8>,
    /// The right answer.
    pub answer: Answer,
}

impl Case {
    fn new(name: &'static str, signal: Signal, body: Vec<u8>, answer: Answer) -> Self {
        Self { name, signal, body, answer }
    }
}

/// Every small case. `at_ns` (Unix nanoseconds) dates the good records.
#[must_use]
pub fn cases(at_ns: u64) -> Vec<Case> {
    let mut all = records::cases(at_ns);
    all.extend(points::cases(at_ns));
    all.extend(raw::cases(at_ns));
    all
}

/// A request with `count` good spans of service `hostile`, each in a trace of its own.
#[must_use]
pub fn good_spans(count: u64, at_ns: u64) -> ExportTraceServiceRequest {
    records::trace_request((0..count).map(|n| records::span(n, at_ns)).collect())
}

/// One good span and one whose only attribute value is `bytes` bytes long.
#[must_use]
pub fn huge_attribute(bytes: usize, at_ns: u64) -> ExportTraceServiceRequest {
    let mut bad = records::span(1, at_ns);
    let mut attrs = Attrs::with_capacity(1);
    attrs.text("huge", "x".repeat(bytes));
    bad.attributes = attrs.take();
    records::trace_request(vec![records::span(0, at_ns), bad])
}

/// Good spans that together carry `keys` distinct attribute keys, `per_span` on each.
#[must_use]
pub fn distinct_keys(keys: u64, per_span: u64, at_ns: u64) -> ExportTraceServiceRequest {
    let per_span = per_span.max(1);
    let spans = (0..keys.div_ceil(per_span)).map(|n| {
        let mut span = records::span(n, at_ns);
        let first = n * per_span;
        span.attributes = (first..keys.min(first + per_span)).map(records::numbered).collect();
        span
    });
    records::trace_request(spans.collect())
}

/// One good span and one with an attribute nested `levels` arrays deep. The reference decoder gives up
/// at 100 nested messages, which is about 46 levels: beyond that the whole request is malformed.
#[must_use]
pub fn deep(levels: usize, at_ns: u64) -> ExportTraceServiceRequest {
    records::trace_request(vec![records::span(0, at_ns), records::deep_span(levels, at_ns)])
}

/// A body of `bytes` bytes that is one valid span with a name of zeros: it compresses about a
/// thousandfold, which makes it the stuff of a decompression bomb.
#[must_use]
pub fn compressible(bytes: usize, at_ns: u64) -> Vec<u8> {
    let mut span = records::span(0, at_ns);
    span.name = "0".repeat(bytes);
    records::trace_request(vec![span]).encode_to_vec()
}
