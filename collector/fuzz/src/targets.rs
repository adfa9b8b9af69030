//! What must hold for any input. The first byte chooses the signal or the encoding.

use std::fmt::Debug;

use bytes::Bytes;
use headrope_model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::budget::Budget;
use crate::inflate::{Encoding, inflate};
use crate::json::{self, Document};
use crate::validate::{Limits, Verdict, judge_logs, judge_metrics, judge_traces, plain_records};
use crate::wire::{WireError, measure};

const LIMITS: Limits = Limits { max_record_bytes: 1024, max_depth: 32 };
const NOW: u64 = 1_700_000_000_000_000_000;

/// Protobuf: what decodes is measured, judged to the end, and survives JSON; what is called plain is
/// kept whole.
pub(crate) fn otlp_protobuf(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else { return };
    match choice % 3 {
        0 => protobuf(Signal::Traces, body, traces),
        1 => protobuf(Signal::Metrics, body, metrics),
        _ => protobuf(Signal::Logs, body, logs),
    }
}

/// JSON: what decodes is written and read back the same, and judged to the end.
pub(crate) fn otlp_json(input: &[u8]) {
    let Some((choice, body)) = input.split_first() else { return };
    match choice % 3 {
        0 => json_text(body, traces),
        1 => json_text(body, metrics),
        _ => json_text(body, logs),
    }
}

/// Decompression: never more than the limit, and all memory given back.
pub(crate) fn decompress(input: &[u8]) {
    const LIMIT: usize = 1 << 20;
    let Some((choice, body)) = input.split_first() else { return };
    let encoding = match choice % 4 {
        0 => Encoding::Gzip,
        1 => Encoding::Zstd,
        2 => Encoding::Deflate,
        _ => Encoding::Identity,
    };
    let budget = Budget::new(2 * LIMIT);
    let mut room = budget.open();
    if let Ok(out) = inflate(encoding, Bytes::copy_from_slice(body), LIMIT, &mut room) {
        assert!(out.len() <= LIMIT);
    }
    assert!(budget.used() <= budget.total());
    room.shrink(1);
    drop(room);
    assert_eq!(budget.used(), 0);
}

fn traces(request: &mut ExportTraceServiceRequest) -> Verdict {
    judge_traces(request, &LIMITS, true)
}

fn metrics(request: &mut ExportMetricsServiceRequest) -> Verdict {
    judge_metrics(request, &LIMITS, true)
}

fn logs(request: &mut ExportLogsServiceRequest) -> Verdict {
    judge_logs(request, &LIMITS, true, NOW)
}

fn protobuf<M>(signal: Signal, body: &[u8], judge: fn(&mut M) -> Verdict)
where
    M: Message + Document + Clone + Debug,
{
    let measured = measure(signal, body);
    let plain = plain_records(signal, body, &LIMITS);
    let Ok(request) = M::decode(body) else { return assert_eq!(plain, None) };
    match measured {
        Ok(size) => assert!(size.bytes >= body.len()),
        Err(error) => return assert_eq!(error, WireError::WireType, "prost decoded it"),
    }
    let verdict = judged(request.clone(), judge);
    if let Some(records) = plain {
        assert_eq!((verdict.accepted, verdict.refused.total()), (records, 0));
        assert!(!verdict.changed);
    }
    // JSON is nested three levels for each level of protobuf, and serde_json stops at 128.
    if let Ok(back) = json::decode::<M>(&json::encode(&request), usize::MAX) {
        assert_eq!(format!("{back:?}"), format!("{request:?}"));
    }
}

fn json_text<M>(body: &[u8], judge: fn(&mut M) -> Verdict)
where
    M: Message + Document + Clone + Debug,
{
    let Ok(request) = json::decode::<M>(body, 8 * body.len() + 1024) else { return };
    let back: M = json::decode(&json::encode(&request), usize::MAX).expect("it was just written");
    assert_eq!(format!("{back:?}"), format!("{request:?}"));
    let _verdict = judged(request, judge);
}

/// Records are kept or counted, and what is kept is kept again.
fn judged<M: Message + Clone + Debug>(mut request: M, judge: fn(&mut M) -> Verdict) -> Verdict {
    let first = judge(&mut request);
    assert!(first.changed || first.refused.total() == 0);
    let kept = format!("{request:?}");
    let second = judge(&mut request);
    assert_eq!((second.accepted, second.refused.total()), (first.accepted, 0));
    assert!(!second.changed);
    assert_eq!(format!("{request:?}"), kept);
    first
}
