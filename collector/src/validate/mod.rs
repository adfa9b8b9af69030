//! Which records are stored. A bad record is left out and its reason counted; the rest of its
//! request is kept.
//!
//! What is decided where the OTLP specification leaves a choice:
//! - A span without an end time is refused as `invalid_time`: it was never finished.
//! - An all-zero parent span id means no parent. An all-zero trace id of a log record, an exemplar
//!   or a link means none (the API specification lets SDKs record links to invalid contexts).
//! - A log record without any time gets the receive time as its observed time.
//! - A metric without data points is an empty envelope: there is nothing to store or to refuse.
//!   Data points of a metric without a name, or without a value and without the flag
//!   "no recorded value", are refused as `empty_metric`. NaN and infinities are values.
//! - A start time after the time of a data point is kept: real exporters send it after a reset.
//! - A resource or scope that is too large or too deep takes all its records with it.

mod attributes;
mod logs;
mod metrics;
mod plain;
mod traces;

use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::tally::Tally;

/// Largest accepted time: Unix nanoseconds are kept as signed 64-bit numbers.
const MAX_TIME: u64 = i64::MAX as u64;

/// What a record may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of protobuf of one record, or of one resource or scope.
    pub max_record_bytes: usize,
    /// Levels of arrays and maps within an attribute value or body.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_record_bytes: 1 << 20, max_depth: 32 }
    }
}

/// The outcome for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records kept.
    pub accepted: u64,
    /// Records removed, by reason.
    pub refused: Tally,
    /// Whether the request is no longer what was received.
    pub changed: bool,
}

impl Verdict {
    /// Counts one record; true if it is kept.
    fn keep(&mut self, fault: Option<RefuseReason>) -> bool {
        match fault {
            None => {
                self.accepted += 1;
                true
            }
            Some(reason) => {
                self.refused.add(reason, 1);
                self.changed = true;
                false
            }
        }
    }
}

/// What the checks of one request have in common.
#[derive(Debug, Clone, Copy)]
struct Rules {
    limits: Limits,
    /// Whether sizes need to be looked at.
    sizes: bool,
}

/// Removes the spans that cannot be stored. `may_be_large` is false if no record can exceed the
/// size limit.
pub fn judge_traces(
    request: &mut ExportTraceServiceRequest,
    limits: &Limits,
    may_be_large: bool,
) -> Verdict {
    traces::judge(request, Rules { limits: *limits, sizes: may_be_large })
}

/// Removes the data points that cannot be stored.
pub fn judge_metrics(
    request: &mut ExportMetricsServiceRequest,
    limits: &Limits,
    may_be_large: bool,
) -> Verdict {
    metrics::judge(request, Rules { limits: *limits, sizes: may_be_large })
}

/// Removes the log records that cannot be stored. `now_ns` is the receive time in Unix nanoseconds.
pub fn judge_logs(
    request: &mut ExportLogsServiceRequest,
    limits: &Limits,
    may_be_large: bool,
    now_ns: u64,
) -> Verdict {
    logs::judge(request, Rules { limits: *limits, sizes: may_be_large }, now_ns)
}

/// The number of records of a protobuf request that [`judge_traces`] or [`judge_logs`] would all keep
/// as they are; `None` if that cannot be said without decoding it.
#[must_use]
pub fn plain_records(signal: Signal, payload: &[u8], limits: &Limits) -> Option<u64> {
    plain::records(signal, payload, limits)
}

impl Rules {
    fn size<M: Message>(self, message: &M) -> Option<RefuseReason> {
        (self.sizes && message.encoded_len() > self.limits.max_record_bytes)
            .then_some(RefuseReason::RecordTooLarge)
    }

    fn resource(self, resource: Option<&Resource>) -> Option<RefuseReason> {
        let resource = resource?;
        self.size(resource).or_else(|| self.depth(&resource.attributes))
    }

    fn scope(self, scope: Option<&InstrumentationScope>) -> Option<RefuseReason> {
        let scope = scope?;
        self.size(scope).or_else(|| self.depth(&scope.attributes))
    }
}

/// A fault unless `ok`.
fn unless(ok: bool, reason: RefuseReason) -> Option<RefuseReason> {
    (!ok).then_some(reason)
}

/// An id that may be absent: empty, or `len` bytes.
fn optional_id(id: &[u8], len: usize) -> bool {
    id.is_empty() || id.len() == len
}

#[cfg(test)]
mod tests;
