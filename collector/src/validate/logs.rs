//! Log records.

use headrope_model::{RefuseReason, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::{MAX_TIME, Rules, Verdict, optional_id, unless};

pub(super) fn judge(request: &mut ExportLogsServiceRequest, rules: Rules, now_ns: u64) -> Verdict {
    let mut verdict = Verdict::default();
    let mut stamped = false;
    for resource in &mut request.resource_logs {
        let above = rules.resource(resource.resource.as_ref());
        for scope in &mut resource.scope_logs {
            let above = above.or_else(|| rules.scope(scope.scope.as_ref()));
            scope.log_records.retain_mut(|record| {
                if record.time_unix_nano == 0 && record.observed_time_unix_nano == 0 {
                    record.observed_time_unix_nano = now_ns;
                    stamped = true;
                }
                verdict.keep(above.or_else(|| fault(record, rules)))
            });
        }
    }
    if verdict.changed {
        for resource in &mut request.resource_logs {
            resource.scope_logs.retain(|scope| !scope.log_records.is_empty());
        }
        request.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
    }
    verdict.changed |= stamped;
    verdict
}

fn fault(record: &LogRecord, rules: Rules) -> Option<RefuseReason> {
    let times = [record.time_unix_nano, record.observed_time_unix_nano];
    unless(optional_id(&record.trace_id, TraceId::LEN), RefuseReason::InvalidTraceId)
        .or_else(|| unless(optional_id(&record.span_id, SpanId::LEN), RefuseReason::InvalidSpanId))
        .or_else(|| unless(times.iter().all(|t| *t <= MAX_TIME), RefuseReason::InvalidTime))
        .or_else(|| rules.size(record))
        .or_else(|| rules.value_depth(record.body.as_ref()))
        .or_else(|| rules.depth(&record.attributes))
}
