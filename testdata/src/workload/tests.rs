use std::collections::{BTreeMap, BTreeSet, HashMap};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use prost::Message as _;

use super::*;

/// 2025-06-01T00:00:00Z.
const FROM_NS: i64 = 1_748_736_000_000_000_000;

fn schedule(seed: u64, records: u64) -> Schedule {
    Schedule { seed, from_ns: FROM_NS, step_ns: 100_000_000, records }
}

fn groups(resource_spans: Vec<ResourceSpans>) -> Vec<(String, Span)> {
    let mut all = Vec::new();
    for group in resource_spans {
        let attributes = group.resource.unwrap().attributes;
        let service = text_of(&attributes, "service.name").unwrap();
        let spans = group.scope_spans.into_iter().flat_map(|s| s.spans);
        all.extend(spans.map(|span| (service.clone(), span)));
    }
    all
}

fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|kv| kv.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn spans_are_sound(spans: &[(String, Span)]) {
    let ids: BTreeSet<_> = spans.iter().map(|(_, s)| s.span_id.clone()).collect();
    assert_eq!(ids.len(), spans.len(), "span ids repeat");
    for (_, span) in spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        let keys: BTreeSet<_> = span.attributes.iter().map(|kv| &kv.key).collect();
        assert_eq!(keys.len(), span.attributes.len(), "{}: keys repeat", span.name);
    }
}

/// Every workload, a request at a time, as bytes.
fn encoded(name: &str, schedule: &Schedule, number: u64) -> Vec<u8> {
    match name {
        "jaeger" => jaeger::request(schedule, number).encode_to_vec(),
        "wide" => wide::request(schedule, number).encode_to_vec(),
        "logs" => logs::request(schedule, number).encode_to_vec(),
        _ => adversarial::request(schedule, number).encode_to_vec(),
    }
}

#[test]
fn requests_depend_on_seed_and_number_alone() {
    for name in ["jaeger", "wide", "logs", "adversarial"] {
        let one = schedule(1, 100);
        let (a, b) = (encoded(name, &one, 4), encoded(name, &one, 4));
        assert!(a == b, "{name} is not deterministic");
        assert!(encoded(name, &one, 6) != a, "{name} repeats");
        assert!(encoded(name, &schedule(2, 100), 4) != a, "{name} has no seed");
    }
}

#[test]
fn requests_of_any_size_hold_the_same_records() {
    let ids = |records: u64| -> BTreeSet<(Vec<u8>, u64)> {
        let requests = (0..1200 / records).map(|n| {
            // The step follows the size, so that records keep their times.
            let schedule = Schedule { step_ns: records as i64 * 1_000, ..schedule(3, records) };
            groups(wide::request(&schedule, n).resource_spans)
        });
        requests.flatten().map(|(_, s)| (s.span_id, s.start_time_unix_nano)).collect()
    };
    assert_eq!(ids(1200), ids(100));
    assert_eq!(ids(1200).len(), 1200);
}

#[test]
fn records_spread_over_the_steps() {
    let schedule = schedule(1, 1000);
    assert_eq!(schedule.at_ns(0), FROM_NS);
    assert_eq!(schedule.at_ns(500), FROM_NS + 50_000_000);
    assert_eq!(schedule.at_ns(2001), FROM_NS + 200_100_000);
}

#[test]
fn jaeger_has_the_published_shape() {
    let schedule = schedule(1, 1000);
    let spans: Vec<_> =
        (0..20).flat_map(|n| groups(jaeger::request(&schedule, n).resource_spans)).collect();
    spans_are_sound(&spans);
    let mut traces: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut operations: BTreeMap<String, usize> = BTreeMap::new();
    for (service, span) in &spans {
        *traces.entry(span.trace_id.clone()).or_default() += 1;
        assert_eq!(span.attributes.len() as u64, jaeger::ATTRIBUTES);
        for kv in &span.attributes {
            let value = text_of(&span.attributes, &kv.key).unwrap();
            keys.entry(kv.key.clone()).or_default().insert(value);
        }
        *operations.entry(format!("{service} {}", span.name)).or_default() += 1;
    }
    assert!(traces.len() == 2000 && traces.values().all(|n| *n == 10));
    assert_eq!(keys.len() as u64, jaeger::KEYS);
    // 220,000 attributes on 97,000 pairs leave about one pair in ten out.
    let pairs: usize = keys.values().map(BTreeSet::len).sum();
    assert!((80_000..97_000).contains(&pairs), "{pairs}");
    assert_eq!(operations.len(), 100);
    assert!(operations.values().all(|n| (130..280).contains(n)), "{operations:?}");
    let bytes = jaeger::request(&schedule, 0).encode_to_vec().len() / 1000;
    assert!((350..550).contains(&bytes), "{bytes}");
}

#[test]
fn wide_spans_are_as_large_as_in_production() {
    let schedule = schedule(1, 1000);
    let (mut failed, mut tenants) = (0, BTreeMap::<String, usize>::new());
    for number in 0..20 {
        let request = wide::request(&schedule, number);
        let bytes = request.encode_to_vec();
        let per_span = bytes.len() / 1000;
        assert!((1200..1700).contains(&per_span), "{per_span}");
        let packed = zstd::bulk::compress(&bytes, 3).unwrap();
        let ratio = bytes.len() as f64 / packed.len() as f64;
        assert!((4.4..4.8).contains(&ratio), "{ratio}");
        let spans = groups(request.resource_spans);
        spans_are_sound(&spans);
        for (_, span) in &spans {
            assert!(span.attributes.len() >= 25, "{}: {}", span.name, span.attributes.len());
            let tenant = text_of(&span.attributes, wide::TENANT_KEY).unwrap();
            *tenants.entry(tenant).or_default() += 1;
            failed += span.events.len();
            let stack = |event: &Event| text_of(&event.attributes, "exception.stacktrace").unwrap();
            assert!(span.events.iter().all(|e| stack(e).lines().count() > 4));
            assert_eq!(span.events.len(), usize::from(span.status.is_some()));
        }
    }
    assert!((480..720).contains(&failed), "{failed}");
    assert_eq!(tenants.len(), wide::TENANTS as usize);
    assert!(tenants.contains_key(&wide::tenant(7)));
}

#[test]
fn wide_traces_hang_together() {
    let schedule = schedule(1, wide::SHUFFLED);
    let spans = groups(wide::request(&schedule, 1).resource_spans);
    let ids: BTreeSet<_> = spans.iter().map(|(_, s)| (&s.trace_id, &s.span_id)).collect();
    let roots = spans.iter().filter(|(_, s)| s.parent_span_id.is_empty()).count();
    assert_eq!(roots, 1800);
    for (_, span) in spans.iter().filter(|(_, s)| !s.parent_span_id.is_empty()) {
        assert!(ids.contains(&(&span.trace_id, &span.parent_span_id)));
    }
}

fn bodies(request: &ExportLogsServiceRequest) -> Vec<(&LogRecord, &str)> {
    let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
    scopes
        .flat_map(|s| &s.log_records)
        .map(|record| match record.body.as_ref().and_then(|b| b.value.as_ref()) {
            Some(Value::StringValue(text)) => (record, text.as_str()),
            other => panic!("a body that is no text: {other:?}"),
        })
        .collect()
}

#[test]
fn log_lines_have_the_stated_sizes_and_frequencies() {
    let schedule = schedule(1, 1000);
    let (mut stacks, mut in_trace, mut bytes) = (0, 0, 0);
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut templates: BTreeSet<String> = BTreeSet::new();
    for number in 0..20 {
        let request = logs::request(&schedule, number);
        bytes += request.encode_to_vec().len();
        assert_eq!(request.resource_logs.len(), 8);
        for (record, body) in bodies(&request) {
            assert!(logs::LINE_BYTES.contains(&body.len()), "{}: {body}", body.len());
            stacks += usize::from(text_of(&record.attributes, "exception.stacktrace").is_some());
            in_trace += usize::from(!record.trace_id.is_empty());
            assert_eq!(record.trace_id.is_empty(), record.span_id.is_empty());
            templates.extend(text_of(&record.attributes, "log.logger"));
            for word in body.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
                *words.entry(word.to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(stacks, 1000, "exactly one line in twenty");
    assert!((15_000..17_000).contains(&in_trace), "{in_trace}");
    assert!((300..500).contains(&(bytes / 20_000)), "{}", bytes / 20_000);
    assert_eq!(words.get(logs::COMMON_TERM), Some(&600), "exactly 3 %");
    assert!(templates.len() > 30, "{}", templates.len());
    // A heavy head and a long tail.
    let mut counts: Vec<usize> = words.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let head: usize = counts.iter().take(100).sum();
    let all: usize = counts.iter().sum();
    assert!(head * 5 > all * 2, "{head} of {all}");
    assert!(counts.iter().filter(|n| **n == 1).count() > 20_000);
}

#[test]
fn terms_are_where_they_are_said_to_be() {
    let schedule = Schedule { records: logs::BLOCK_LINES, ..schedule(5, 1) };
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut common = 0;
    for (_, body) in bodies(&logs::request(&schedule, 1)) {
        let mut of_line = body.split(|c: char| !c.is_alphanumeric());
        common += usize::from(body.contains(logs::COMMON_TERM));
        assert!(!body.contains(&logs::absent_term(5, 1)[..3]), "{body}");
        if let Some(term) = of_line.find(|word| word.starts_with(logs::RARE_PREFIX)) {
            *found.entry(term.to_owned()).or_default() += 1;
        }
    }
    let named: BTreeMap<String, usize> =
        (0..logs::RARE_TERMS).map(|t| (logs::rare_term(5, 1, t), 5)).collect();
    assert_eq!(found, named);
    assert_eq!(common as u64, logs::BLOCK_LINES * 3 / 100);
    for term in 0..logs::RARE_TERMS {
        for line in logs::rare_lines(5, 1, term) {
            assert_eq!(line / logs::BLOCK_LINES, 1);
            assert_eq!(logs::rare_term_of(5, line), Some(logs::rare_term(5, 1, term)));
        }
    }
    let lines = (0..1000).filter(|line| logs::has_common_term(5, *line)).count();
    assert_eq!(lines, 30);
}

#[test]
fn adversarial_spans_burst_everything() {
    let schedule = schedule(1, 5000);
    let requests: Vec<_> = (0..4).map(|n| adversarial::request(&schedule, n)).collect();
    let sizes: Vec<usize> =
        requests.iter().map(|r| groups(r.resource_spans.clone()).len()).collect();
    assert_eq!(sizes, [5000, 1, 5000, 1]);
    let spans: Vec<_> = requests.into_iter().flat_map(|r| groups(r.resource_spans)).collect();
    spans_are_sound(&spans);
    let keys: BTreeSet<_> = spans.iter().map(|(_, s)| &s.attributes[0].key).collect();
    assert_eq!(keys.len(), spans.len());
    let sizes: Vec<usize> =
        spans.iter().map(|(_, s)| s.encoded_len()).filter(|n| *n > 10_000).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|n| (adversarial::LARGE_VALUE..1 << 20).contains(n)));
    let mut traces: HashMap<&[u8], usize> = HashMap::new();
    spans.iter().for_each(|(_, s)| *traces.entry(&s.trace_id).or_default() += 1);
    assert_eq!(traces.values().max(), Some(&5001), "every second span");
    let times = || spans.iter().map(|(_, s)| s.start_time_unix_nano);
    let hours = (times().max().unwrap() - times().min().unwrap()) / 3_600_000_000_000;
    assert_eq!(hours, 48);
}
