//! The expected answers against naive ones over every request that is sent.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use super::super::ask::{Answer, Question};
use super::case::{column, same};
use super::spans::{Rank, Spans, largest};
use super::*;

fn workload(name: Name, signal: Option<Signal>, records: u64, distinct: u64) -> Workload {
    let args = WorkloadArgs {
        workload: name,
        signal,
        records,
        batch: 500,
        distinct,
        seed: 3,
        traces_per_second: 400,
    };
    Workload::generate(&args.recipe(UNTIL_NS).unwrap()).unwrap()
}

/// Every span that is sent, with its service.
fn sent(workload: &Workload) -> Vec<(String, Span)> {
    let mut all = Vec::new();
    for number in 0..workload.requests() {
        let body = workload.request(number).unwrap().body;
        for resource in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let service = marks::service_name(resource.resource.unwrap().attributes.iter());
            let spans = resource.scope_spans.into_iter().flat_map(|s| s.spans);
            all.extend(spans.map(|span| (service.clone(), span)));
        }
    }
    all
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start(span: &Span) -> i64 {
    i64::try_from(span.start_time_unix_nano).unwrap()
}

fn duration(span: &Span) -> i64 {
    i64::try_from(span.end_time_unix_nano - span.start_time_unix_nano).unwrap()
}

/// The workloads that the answers are compared for: several rounds, the last of which is cut off.
fn workloads() -> Vec<Workload> {
    let of = |name, records, distinct| workload(name, None, records, distinct);
    vec![of(Name::Shop, 50_000, 6000), of(Name::Wide, 7000, 3000), of(Name::Jaeger, 9000, 4000)]
}

#[test]
fn rankings_are_those_of_what_is_sent() {
    for workload in workloads() {
        let spans = Spans::of(&workload).unwrap();
        let mut expected: BTreeMap<(String, String), Rank> = BTreeMap::new();
        for (service, span) in sent(&workload).iter().filter(|(_, s)| duration(s) > 2_000_000) {
            let rank = expected.entry((service.clone(), span.name.clone())).or_default();
            rank.service.clone_from(service);
            rank.operation.clone_from(&span.name);
            rank.calls += 1;
            rank.errors += u64::from(span.status.as_ref().is_some_and(|s| s.code == 2));
            rank.total_ns += duration(span);
            rank.slowest_ns = rank.slowest_ns.max(duration(span));
        }
        let mut found = spans.ranks(true, |span| span.duration > 2_000_000);
        found.sort_by_key(|rank| (rank.service.clone(), rank.operation.clone()));
        assert_eq!(found, expected.into_values().collect::<Vec<_>>());
        let services = spans.ranks(false, |_| true);
        assert_eq!(services.iter().map(|r| r.calls).sum::<u64>(), workload.records());
    }
}

#[test]
fn lists_are_those_of_what_is_sent() {
    for workload in workloads() {
        let spans = Spans::of(&workload).unwrap();
        let all = sent(&workload);
        let group = spans.one_percent_groups()[0];
        let (service, name) = spans.names(group);
        let matching = || all.iter().filter(|(s, span)| s == service && span.name == name);
        let expected = largest(20, matching().map(|(_, s)| start(s)));
        assert_eq!(spans.newest(20, |s| s.group == group), expected);
        let mut by_trace: BTreeMap<&[u8], i64> = BTreeMap::new();
        for (_, span) in matching() {
            let at = by_trace.entry(&span.trace_id).or_insert(i64::MIN);
            *at = start(span).max(*at);
        }
        let expected = largest(20, by_trace.iter().map(|(id, at)| (*at, hex(id))));
        let expected: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
        assert_eq!(spans.newest_traces(20, |s| s.group == group), expected);
        assert_eq!(spans.slowest(100), largest(100, all.iter().map(|(_, s)| duration(s))));
        let (from, to) = spans.range();
        assert!(all.iter().all(|(_, s)| (from..to).contains(&start(s))));
    }
}

#[test]
fn traces_are_those_of_what_is_sent() {
    for workload in workloads() {
        let spans = Spans::of(&workload).unwrap();
        let mut traces: BTreeMap<String, (i64, i64, u64, BTreeSet<String>)> = BTreeMap::new();
        for (service, span) in sent(&workload) {
            let trace = traces.entry(hex(&span.trace_id)).or_insert((
                i64::MAX,
                i64::MIN,
                0,
                BTreeSet::new(),
            ));
            trace.0 = trace.0.min(start(&span));
            trace.1 = trace.1.max(start(&span) + duration(&span));
            trace.2 += 1;
            trace.3.insert(service);
        }
        for word in 0..2000 {
            let (id, count) = spans.any_trace(headrope_testdata::workload::draw(1, word));
            assert_eq!(traces.get(&id).map(|t| t.2), Some(count), "{id}");
        }
        for service in 0..spans.services() {
            let name = spans.service(service);
            let of_service = traces.iter().filter(|(_, t)| t.3.contains(name));
            let expected = largest(20, of_service.map(|(id, t)| (t.1 - t.0, id.clone())));
            assert_eq!(spans.slowest_traces(20, service), expected);
        }
    }
}

#[test]
fn marks_are_on_one_span_in_a_hundred() {
    let workload = workload(Name::Wide, None, 20_000, 10_000);
    let spans = Spans::of(&workload).unwrap();
    assert!(!spans.marks.is_empty());
    let all = sent(&workload);
    for (at, mark) in spans.marks.iter().enumerate() {
        let has = |span: &Span| marks::of(std::slice::from_ref(mark), &span.attributes) == 1;
        let starts = all.iter().filter(|(_, s)| has(s)).map(|(_, s)| start(s));
        let expected = largest(30_000, starts);
        let share = expected.len() as f64 / all.len() as f64;
        assert!((0.004..0.025).contains(&share), "{mark:?}: {share}");
        assert_eq!(spans.newest(30_000, |s| s.marks & 1 << at != 0), expected);
    }
}

#[test]
fn log_questions_expect_what_is_sent() {
    let workload = workload(Name::Logs, None, 7000, 3000);
    let logs = logs::Logs::of(&workload).unwrap();
    let mut times = Vec::new();
    for number in 0..workload.requests() {
        let body = workload.request(number).unwrap().body;
        let request = ExportLogsServiceRequest::decode(body).unwrap();
        let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
        times.extend(scopes.flat_map(|s| &s.log_records).map(|r| r.time_unix_nano));
    }
    let kinds = logs::kinds(&logs, true);
    let kind = kinds.iter().find(|k| k.name == "3 % term, volume").unwrap();
    let case = kind.case(1, 1);
    let Question::Get { parameters, .. } = &case.question else { panic!("not a GET") };
    let to: u64 = parameters.iter().find(|(name, _)| *name == "to").unwrap().1.parse().unwrap();
    // Three lines in a hundred, give or take those of the hundred the range ends in.
    let within = times.iter().filter(|t| **t < to).count() as f64;
    let answer = |n: u64| {
        let content = json!({"info": [n], "warn": [0], "error": []});
        Answer { status: 200, content, took: Duration::ZERO }
    };
    let right: Vec<u64> = (0..7000).filter(|n| case.check(&answer(*n)).is_ok()).collect();
    assert_eq!(right.len(), 1);
    assert!((right[0] as f64 - within * 0.03).abs() < 12.0, "{right:?} of {within}");
}

#[test]
fn wrong_answers_are_told_from_right_ones() {
    let answer =
        |status, rows| Answer { status, content: json!({ "rows": rows }), took: Duration::ZERO };
    let numbers = |answer: &Answer| column(answer, 1);
    let big = "9007199254740993";
    let found = numbers(&answer(200, json!([["a", 1], ["b", big]]))).unwrap();
    assert_eq!(found, [1, 9_007_199_254_740_993]);
    assert!(numbers(&answer(200, json!([["a", null]]))).is_err());
    assert!(numbers(&answer(504, json!([]))).is_err());
    assert!(same(&[1, 2], &[1, 2]).is_ok());
    assert!(same(&[1, 2], &[1]).is_err() && same(&[1], &[2]).is_err());
}

#[test]
fn the_largest_come_first() {
    assert_eq!(largest(3, [5, 1, 9, 9, 2]), [9, 9, 5]);
    assert_eq!(largest(9, [1, 2]), [2, 1]);
}

#[test]
fn a_directory_is_used_again_for_the_same_workload_only() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = |records, seed| {
        let workload = Name::Jaeger;
        let args = WorkloadArgs {
            workload,
            signal: None,
            records,
            batch: 500,
            distinct: 500,
            seed,
            traces_per_second: 400,
        };
        args.recipe(UNTIL_NS).unwrap()
    };
    assert_eq!(store::stored(dir.path(), &recipe(1000, 1)).unwrap(), None);
    let text = serde_json::to_vec(&recipe(1000, 1)).unwrap();
    std::fs::write(dir.path().join("bench-workload.json"), text).unwrap();
    let found = store::stored(dir.path(), &recipe(900, 1)).unwrap();
    assert_eq!(found, Some(recipe(1000, 1)));
    assert!(store::stored(dir.path(), &recipe(1001, 1)).is_err());
    assert!(store::stored(dir.path(), &recipe(900, 2)).is_err());
}
