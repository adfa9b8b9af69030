//! Spans.

use headrope_model::{RefuseReason, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{MAX_TIME, Rules, Verdict, optional_id, unless};

pub(super) fn judge(request: &mut ExportTraceServiceRequest, rules: Rules) -> Verdict {
    let mut verdict = Verdict::default();
    for resource in &mut request.resource_spans {
        let above = rules.resource(resource.resource.as_ref());
        for scope in &mut resource.scope_spans {
            let above = above.or_else(|| rules.scope(scope.scope.as_ref()));
            scope.spans.retain(|span| verdict.keep(above.or_else(|| fault(span, rules))));
        }
    }
    if verdict.changed {
        for resource in &mut request.resource_spans {
            resource.scope_spans.retain(|scope| !scope.spans.is_empty());
        }
        request.resource_spans.retain(|resource| !resource.scope_spans.is_empty());
    }
    verdict
}

fn fault(span: &Span, rules: Rules) -> Option<RefuseReason> {
    ids(span)
        .or_else(|| times(span))
        .or_else(|| rules.size(span))
        .or_else(|| rules.depth(&span.attributes))
        .or_else(|| span.events.iter().find_map(|event| rules.depth(&event.attributes)))
        .or_else(|| span.links.iter().find_map(|link| rules.depth(&link.attributes)))
}

fn ids(span: &Span) -> Option<RefuseReason> {
    let link_ok = |trace: &[u8], span: &[u8]| {
        optional_id(trace, TraceId::LEN) && optional_id(span, SpanId::LEN)
    };
    unless(TraceId::from_bytes(&span.trace_id).is_some(), RefuseReason::InvalidTraceId)
        .or_else(|| {
            unless(SpanId::from_bytes(&span.span_id).is_some(), RefuseReason::InvalidSpanId)
        })
        .or_else(|| {
            let parent = optional_id(&span.parent_span_id, SpanId::LEN);
            unless(parent, RefuseReason::InvalidParentSpanId)
        })
        .or_else(|| {
            let links = span.links.iter().all(|link| link_ok(&link.trace_id, &link.span_id));
            unless(links, RefuseReason::InvalidLink)
        })
}

fn times(span: &Span) -> Option<RefuseReason> {
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    let ok = (1..=MAX_TIME).contains(&start)
        && (1..=MAX_TIME).contains(&end)
        && span.events.iter().all(|event| event.time_unix_nano <= MAX_TIME);
    unless(ok, RefuseReason::InvalidTime)
        .or_else(|| unless(start <= end, RefuseReason::EndBeforeStart))
}
