//! Cuts requests so that a total is met to the record.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// Keeps the first `left` records of a list and counts them off.
fn keep<T>(records: &mut Vec<T>, left: &mut u64) {
    records.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= records.len() as u64;
}

/// Keeps the first `left` spans and counts them off.
pub(super) fn cut_spans(requests: &mut Vec<ExportTraceServiceRequest>, left: &mut u64) {
    for request in requests.iter_mut() {
        for resource in &mut request.resource_spans {
            resource.scope_spans.iter_mut().for_each(|scope| keep(&mut scope.spans, left));
            resource.scope_spans.retain(|scope| !scope.spans.is_empty());
        }
        request.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
    }
    requests.retain(|request| !request.resource_spans.is_empty());
}

/// Keeps the first `left` log records and counts them off.
pub(super) fn cut_logs(requests: &mut Vec<ExportLogsServiceRequest>, left: &mut u64) {
    for request in requests.iter_mut() {
        for resource in &mut request.resource_logs {
            resource.scope_logs.iter_mut().for_each(|scope| keep(&mut scope.log_records, left));
            resource.scope_logs.retain(|scope| !scope.log_records.is_empty());
        }
        request.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
    }
    requests.retain(|request| !request.resource_logs.is_empty());
}
