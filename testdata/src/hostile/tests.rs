use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;

use super::*;

const AT: u64 = 1_736_121_600_000_000_000;

/// Records in the body as the reference decoder sees it; `None` if it is damaged.
fn decoded(case: &Case) -> Option<u64> {
    let body = case.body.as_slice();
    let count = match case.signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body)
            .ok()?
            .resource_spans
            .iter()
            .flat_map(|r| &r.scope_spans)
            .map(|s| s.spans.len())
            .sum::<usize>(),
        Signal::Logs => ExportLogsServiceRequest::decode(body)
            .ok()?
            .resource_logs
            .iter()
            .flat_map(|r| &r.scope_logs)
            .map(|s| s.log_records.len())
            .sum(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body)
            .ok()?
            .resource_metrics
            .iter()
            .flat_map(|r| &r.scope_metrics)
            .map(|s| s.metrics.len())
            .sum(),
    };
    Some(count as u64)
}

#[test]
fn the_reference_decoder_agrees_with_every_answer() {
    let cases = cases(AT);
    assert!(cases.len() > 35);
    let names: BTreeSet<&str> = cases.iter().map(|c| c.name).collect();
    assert_eq!(names.len(), cases.len(), "names repeat");
    for case in &cases {
        let expected = match case.answer {
            Answer::Accepted { records } => Some(records),
            Answer::Partly { accepted, refused, .. } => Some(accepted + refused),
            Answer::Malformed => None,
        };
        assert_eq!(decoded(case), expected, "{}", case.name);
    }
}

#[test]
fn oversized_requests_have_the_size_asked_for() {
    assert!(huge_attribute(10_000_000, AT).encoded_len() > 10_000_000);
    assert!(compressible(1_000_000, AT).len() > 1_000_000);
    let wide = distinct_keys(1050, 100, AT);
    let spans = &wide.resource_spans[0].scope_spans[0].spans;
    let keys: BTreeSet<&str> =
        spans.iter().flat_map(|s| &s.attributes).map(|a| a.key.as_str()).collect();
    assert_eq!((spans.len(), keys.len()), (11, 1050));
    let good = good_spans(50, AT);
    let mut oracle = crate::Oracle::new();
    oracle.fold_traces(&good);
    assert_eq!((oracle.trace_count(), oracle.ignored()), (50, 0));
    assert!(ExportTraceServiceRequest::decode(deep(40, AT).encode_to_vec().as_slice()).is_ok());
}
