//! The typed answers against the oracle, wherever the rows are.

mod attribute;
mod capacity;
mod coverage;
mod find;
mod jaeger;
mod logs;
mod map;
mod slowest;
mod statement;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use headrope_testdata::oracle::{By, Kinds, OracleSpan};
use serde_json::json;

use crate::SqlRequest;
use crate::answer::latency::LatencyQuery;
use crate::answer::log::LogQuery;
use crate::answer::service::{RankScope, TopQuery, TopRow};
use crate::answer::trace::{TraceOrder, TraceQuery};
use crate::answer::{RankBy, SpanScope};
use crate::tests::{Placed, Seeded, seeded};

fn top_query(data: &Seeded, scope: RankScope, by: RankBy, spans: SpanScope) -> TopQuery {
    TopQuery { range: data.range, scope, by, reference: None, spans, service: None, limit: 1000 }
}

fn trace_query(data: &Seeded) -> TraceQuery {
    TraceQuery {
        range: data.range,
        service: None,
        operation: None,
        min_duration_ns: None,
        max_duration_ns: None,
        errors_only: false,
        tags: Vec::new(),
        order: TraceOrder::Newest,
        limit: 1000,
        cursor: None,
    }
}

fn log_query(data: &Seeded) -> LogQuery {
    LogQuery {
        range: data.range,
        text: None,
        service: None,
        min_severity: None,
        trace_id: None,
        span_id: None,
        limit: 1000,
        cursor: None,
    }
}

/// Every span the oracle knows, with its trace.
fn spans(data: &Seeded) -> Vec<(String, OracleSpan)> {
    let of = |id: &headrope_model::TraceId| {
        let id = *id;
        data.oracle.trace(&id).into_iter().map(move |s| (id.to_string(), s))
    };
    data.oracle.trace_ids().iter().flat_map(of).collect()
}

async fn rankings(data: &Seeded) {
    let pairs = [
        (RankBy::Calls, By::Calls),
        (RankBy::Slowest, By::Slowest),
        (RankBy::TotalTime, By::TotalTime),
        (RankBy::Errors, By::Errors),
    ];
    for (by, oracle_by) in pairs {
        let services = data
            .queries
            .top(&top_query(data, RankScope::Service, by, SpanScope::All))
            .await
            .unwrap()
            .rows;
        let got: Vec<&str> = services.iter().map(|r| r.service.as_str()).collect();
        let want = data.oracle.top_services(oracle_by, Kinds::All, 1000);
        assert_eq!(got, want.iter().map(|r| r.service.as_str()).collect::<Vec<_>>(), "{by:?}");
        let share: f64 = services.iter().map(|r| r.share).sum();
        assert!((share - 1.0).abs() < 1e-9, "{by:?} {share}");

        let operations = top_query(data, RankScope::Operation, by, SpanScope::All);
        let operations = data.queries.top(&operations).await.unwrap().rows;
        let want = data.oracle.top_operations(oracle_by, Kinds::All, 1000);
        let got: Vec<_> = operations
            .iter()
            .map(|r| (r.service.clone(), r.operation.clone().unwrap_or_default()))
            .collect();
        let want: Vec<_> = want.into_iter().map(|r| (r.service, r.operation)).collect();
        assert_eq!(got, want, "{by:?}");
    }
}

/// A ranking by change has what takes longer than in the reference, by how much longer.
async fn changes(data: &Seeded) {
    let times: Vec<i64> = spans(data).iter().map(|(_, span)| span.start_ns.cast_signed()).collect();
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    let middle = first + (last - first) / 2;
    let before = headrope_model::TimeRange::new(first, middle).unwrap();
    let now = headrope_model::TimeRange::new(middle, last + 1).unwrap();
    let of = |range, by, reference| TopQuery {
        range,
        reference,
        ..top_query(data, RankScope::Operation, by, SpanScope::All)
    };
    let total = |rows: Vec<TopRow>| -> BTreeMap<_, _> {
        rows.into_iter().map(|r| ((r.service, r.operation), r.stats.total_time_ns as f64)).collect()
    };
    let was = total(data.queries.top(&of(before, RankBy::TotalTime, None)).await.unwrap().rows);
    let is = total(data.queries.top(&of(now, RankBy::TotalTime, None)).await.unwrap().rows);
    let scale = now.duration_ns() as f64 / before.duration_ns() as f64;
    let added = |(key, ns): (&_, &f64)| (*ns - was.get(key).unwrap_or(&0.0) * scale).round() as i64;
    let mut want: Vec<i64> = is.iter().map(added).filter(|ns| *ns > 0).collect();
    want.sort_unstable_by_key(|ns| std::cmp::Reverse(*ns));
    let rows = data.queries.top(&of(now, RankBy::Change, Some(before))).await.unwrap().rows;
    let got: Vec<i64> = rows.iter().map(|r| r.since.as_ref().unwrap().added_ns).collect();
    assert_eq!(got, want);
    assert!(want.len() > 2 && want.len() < is.len(), "{} of {}", want.len(), is.len());
    for row in &rows {
        let since = row.since.as_ref().unwrap();
        let known = was.get(&(row.service.clone(), row.operation.clone()));
        assert_eq!(since.reference.as_ref().map(|r| r.total_time_ns as f64), known.copied());
    }
    let share: f64 = rows.iter().map(|r| r.share).sum();
    assert!((share - 1.0).abs() < 1e-9, "{share}");
}

/// Statements, hosts and peers rank the spans that have them.
async fn other_rankings(data: &Seeded) {
    let all = spans(data);
    let out = all.iter().filter(|(_, s)| s.kind == 3 || s.kind == 4).count() as u64;
    for (scope, having) in [
        (RankScope::Statement, "db_system_name IS NOT NULL"),
        (RankScope::Host, "host_name IS NOT NULL"),
        (RankScope::Peer, "kind IN ('CLIENT', 'PRODUCER')"),
    ] {
        let query = top_query(data, scope, RankBy::Calls, SpanScope::Entry);
        let rows = data.queries.top(&query).await.unwrap().rows;
        let query = format!("SELECT trace_id FROM spans WHERE {having}");
        let request = SqlRequest { query, max_rows: Some(1_000_000), ..SqlRequest::default() };
        let answer = data.queries.sql(&request).await.unwrap();
        let spans = match scope {
            RankScope::Host => {
                all.iter().filter(|(_, s)| s.kind == 2 || s.kind == 5 || s.parent.is_none()).count()
                    as u64
            }
            _ => answer.stats.rows,
        };
        assert_eq!(rows.iter().map(|row| row.stats.calls).sum::<u64>(), spans, "{scope:?}");
        assert!(rows.is_sorted_by(|a, b| a.stats.calls >= b.stats.calls), "{scope:?}");
        assert!(rows.len() > 2 && rows.iter().all(|row| !row.service.is_empty()), "{rows:?}");
        assert_eq!(rows[0].operation.is_some(), scope != RankScope::Host, "{rows:?}");
        assert!(scope != RankScope::Peer || spans == out);
    }
}

async fn figures(data: &Seeded) {
    let exact = data.oracle.operations(Kinds::All);
    let query = top_query(data, RankScope::Operation, RankBy::P99, SpanScope::All);
    let rows = data.queries.top(&query).await.unwrap().rows;
    assert_eq!(rows.len(), exact.len());
    for row in rows {
        let key = (row.service.clone(), row.operation.clone().unwrap());
        let want = &exact[&key];
        assert_eq!((row.stats.calls, row.stats.errors), (want.count, want.errors), "{key:?}");
        assert_eq!(u128::from(row.stats.total_time_ns.unsigned_abs()), want.total_ns);
        assert_eq!(row.stats.max_ns.unsigned_abs(), want.max_ns);
        for (got, q) in
            [(row.stats.p50_ns, 0.5), (row.stats.p95_ns, 0.95), (row.stats.p99_ns, 0.99)]
        {
            let want = want.quantile_ns(q).unwrap() as f64;
            // Half a nanosecond more, because answers are whole nanoseconds.
            let error = (got as f64 - want).abs() - 0.5;
            assert!(
                error <= want * headrope_analysis::sketch::RELATIVE_ERROR,
                "{key:?} {q} {got} {want}"
            );
        }
    }
}

async fn entry_spans(data: &Seeded) {
    let mut want: BTreeMap<String, u64> = BTreeMap::new();
    for (_, span) in
        spans(data).iter().filter(|(_, s)| s.kind == 2 || s.kind == 5 || s.parent.is_none())
    {
        *want.entry(span.service.clone()).or_default() += 1;
    }
    let query = top_query(data, RankScope::Service, RankBy::Calls, SpanScope::Entry);
    let rows = data.queries.top(&query).await.unwrap().rows;
    let got: BTreeMap<String, u64> = rows.into_iter().map(|r| (r.service, r.stats.calls)).collect();
    assert_eq!(got, want);
    let services = data.queries.services(data.range).await.unwrap();
    let names: BTreeSet<String> = services.iter().map(|s| s.service.clone()).collect();
    assert_eq!(names, data.oracle.services(Kinds::All).into_keys().collect());
    for service in services {
        assert_eq!(service.stats.calls, want.get(&service.service).copied().unwrap_or(0));
    }
}

async fn overview(data: &Seeded) {
    let overview = data.queries.overview(data.range).await.unwrap();
    assert_eq!(overview.spans, data.oracle.span_count());
    assert_eq!(overview.logs, data.oracle.log_count());
    assert_eq!(overview.points, data.oracle.point_count());
    assert_eq!(overview.services, data.oracle.services(Kinds::All).len() as u64);
    /// OTLP's number of the kind `CONSUMER`.
    const CONSUMER: i32 = 5;
    let is_root = |span: &OracleSpan| span.parent.is_none() && span.kind != CONSUMER;
    let roots = spans(data).iter().filter(|(_, span)| is_root(span)).count() as u64;
    assert_eq!((overview.totals.calls, overview.totals_of), (roots, "root"));
    assert_eq!(overview.series.points.iter().map(|p| p.calls).sum::<u64>(), roots);
    assert_eq!(overview.previous.calls, 0);
}

async fn traces_by_id(data: &Seeded) {
    for id in data.oracle.sample_traces(12, 3) {
        let trace = data.queries.trace(id, 10_000).await.unwrap();
        let want = data.oracle.trace(&id);
        let shape = |id: String, service: &str, name: &str, start: i64, duration: i64| {
            (id, service.to_owned(), name.to_owned(), start, duration)
        };
        let got: BTreeSet<_> = trace
            .spans
            .iter()
            .map(|s| shape(s.span_id.clone(), &s.service, &s.name, s.start_time.0, s.duration_ns))
            .collect();
        let want_spans: BTreeSet<_> = want
            .iter()
            .map(|s| {
                let (start, duration) = (s.start_ns as i64, s.duration_ns as i64);
                shape(s.span_id.to_string(), &s.service, &s.name, start, duration)
            })
            .collect();
        assert_eq!(got, want_spans, "{id}");
        assert_eq!(trace.span_count, want.len() as u64);
        assert_eq!(trace.log_count, data.oracle.logs_of_trace(&id), "{id}");
        for (at, span) in trace.spans.iter().enumerate() {
            if let Some(parent) = span.parent_index {
                let parent_span = &trace.spans[parent as usize];
                assert!((parent as usize) < at);
                assert_eq!(Some(&parent_span.span_id), span.parent_span_id.as_ref());
                assert_eq!(span.depth, parent_span.depth + 1);
            } else {
                assert_eq!(span.orphan, span.parent_span_id.is_some());
                assert_eq!(span.depth, 0);
            }
        }
        let query = LogQuery { range: headrope_model::TimeRange::ALL, ..log_query(data) };
        let page = data.queries.trace_logs(id, &query).await.unwrap();
        assert_eq!(page.logs.len() as u64, trace.log_count);
        // A part of the trace is a prefix of the whole.
        let part = data.queries.trace(id, 3).await.unwrap();
        assert_eq!(part.spans.as_slice(), &trace.spans[..trace.spans.len().min(3)]);
        assert_eq!(part.span_count, trace.span_count);
    }
}

/// Places of all traces with a matching span, newest first.
fn places(data: &Seeded, matches: impl Fn(&OracleSpan) -> bool) -> Vec<(u64, String)> {
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for (id, span) in spans(data).into_iter().filter(|(_, s)| matches(s)) {
        let at = newest.entry(id).or_default();
        *at = (*at).max(span.start_ns);
    }
    let mut places: Vec<(u64, String)> = newest.into_iter().map(|(id, at)| (at, id)).collect();
    places.sort_by(|a, b| b.cmp(a));
    places
}

async fn pages(data: &Seeded, query: TraceQuery) -> Vec<String> {
    let mut query = query;
    let mut found = Vec::new();
    loop {
        let page = data.queries.search_traces(&query).await.unwrap();
        assert!(page.traces.len() <= query.limit);
        found.extend(page.traces.into_iter().map(|t| t.trace_id));
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => return found,
        }
    }
}

async fn search(data: &Seeded) {
    let ids = |places: Vec<(u64, String)>| places.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    let all = TraceQuery { limit: 37, ..trace_query(data) };
    assert_eq!(pages(data, all).await, ids(places(data, |_| true)));
    let failing = TraceQuery { limit: 5, errors_only: true, ..trace_query(data) };
    assert_eq!(pages(data, failing).await, ids(places(data, |s| s.status == 2)));
    let busiest = data.oracle.top_services(By::Calls, Kinds::All, 1).remove(0).service;
    let least = 2_000_000;
    let slow = TraceQuery {
        limit: 11,
        service: Some(busiest.clone()),
        min_duration_ns: Some(least),
        ..trace_query(data)
    };
    let want = places(data, |s| s.service == busiest && s.duration_ns as i64 >= least);
    assert_eq!(pages(data, slow).await, ids(want));
    let tagged = TraceQuery {
        tags: vec![("service.name".to_owned(), json!(busiest))],
        limit: 1000,
        ..trace_query(data)
    };
    assert_eq!(pages(data, tagged).await, ids(places(data, |s| s.service == busiest)));
}

async fn slowest(data: &Seeded) {
    let mut want: Vec<(u64, String)> = Vec::new();
    for id in data.oracle.trace_ids() {
        let spans = data.oracle.trace(&id);
        let from = spans.iter().map(|s| s.start_ns).min().unwrap();
        let to = spans.iter().map(|s| s.start_ns + s.duration_ns).max().unwrap();
        want.push((to - from, id.to_string()));
    }
    want.sort_by(|a, b| b.cmp(a));
    let query = TraceQuery { order: TraceOrder::Slowest, limit: 50, ..trace_query(data) };
    let got = pages(data, query.clone()).await;
    assert_eq!(got, want.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>());
    let page = data.queries.search_traces(&query).await.unwrap();
    for (summary, (duration, id)) in page.traces.iter().zip(&want) {
        assert_eq!((summary.duration_ns.unsigned_abs(), &summary.trace_id), (*duration, id));
        let spans = data.oracle.trace(&id.parse().unwrap());
        assert_eq!(summary.span_count, spans.len() as u64);
        assert_eq!(summary.has_root, spans.iter().any(|s| s.parent.is_none()));
        let names: BTreeSet<&str> = spans.iter().map(|s| s.service.as_str()).collect();
        assert_eq!(summary.services, names.into_iter().collect::<Vec<_>>());
        let first = spans.iter().find(|s| s.parent.is_none()).or(spans.first()).unwrap();
        assert_eq!((&summary.root_service, &summary.root_name), (&first.service, &first.name));
    }
}

async fn logs(data: &Seeded) {
    let total: u64 = data.oracle.log_count();
    let mut seen = 0;
    let mut query = LogQuery { limit: 97, ..log_query(data) };
    let mut last = i64::MAX;
    loop {
        let page = data.queries.search_logs(&query).await.unwrap();
        for row in &page.logs {
            assert!(row.time.0 <= last);
            last = row.time.0;
        }
        seen += page.logs.len() as u64;
        match page.next {
            Some(next) => query.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, total);
    let mut terms: Vec<_> = data.oracle.terms().unwrap().iter().collect();
    terms.sort();
    let step = terms.len() / 25 + 1;
    for (term, count) in terms.into_iter().step_by(step).filter(|(_, n)| **n < 1000) {
        let query = LogQuery { text: Some(format!("\"{term}\"")), ..log_query(data) };
        let page = data.queries.search_logs(&query).await.unwrap();
        assert_eq!(page.logs.len() as u64, *count, "{term}");
        let volume = data.queries.log_volume(&query).await.unwrap();
        let sum = |v: &[u64]| v.iter().sum::<u64>();
        assert_eq!(sum(&volume.info) + sum(&volume.warn) + sum(&volume.error), *count, "{term}");
    }
    let volume = data.queries.log_volume(&log_query(data)).await.unwrap();
    let mut errors = 0;
    for service in data.oracle.logs_by_service().keys() {
        errors += data.oracle.logs_by_severity(service).range(17..).map(|(_, n)| n).sum::<u64>();
    }
    assert_eq!(volume.error.iter().sum::<u64>(), errors);
}

async fn latency(data: &Seeded) {
    let top = data.oracle.top_operations(By::Calls, Kinds::All, 1).remove(0);
    let want = &data.oracle.operations(Kinds::All)[&(top.service.clone(), top.operation.clone())];
    let latency = data
        .queries
        .latency(&LatencyQuery {
            range: data.range,
            service: top.service,
            operation: Some(top.operation),
            spans: SpanScope::Entry,
        })
        .await
        .unwrap();
    assert_eq!(latency.stats.calls, want.count);
    assert_eq!(latency.histogram.iter().map(|b| b.count).sum::<u64>(), want.count);
    assert_eq!(latency.heatmap.cells.iter().map(|c| c.count).sum::<u64>(), want.count);
    for bucket in &latency.histogram {
        let within = |d: &&u64| (bucket.from_ns..bucket.to_ns).contains(&(**d as i64));
        assert_eq!(want.durations.iter().filter(within).count() as u64, bucket.count, "{bucket:?}");
    }
    assert!(latency.heatmap.bounds_ns.is_sorted());
    assert_eq!(latency.series.points.iter().map(|p| p.calls).sum::<u64>(), want.count);
    let slowest = latency.exemplars.iter().find(|e| e.picked == "slowest").unwrap();
    assert_eq!(slowest.duration_ns.unsigned_abs(), want.max_ns);
    assert!(latency.exemplars.iter().any(|e| e.picked == "median"));
}

async fn neighbours(data: &Seeded) {
    let all = spans(data);
    for (service, _) in data.oracle.services(Kinds::All) {
        let calls =
            all.iter().filter(|(_, s)| s.service == service && (s.kind == 3 || s.kind == 4));
        let rows = data.queries.dependencies(&service, data.range).await.unwrap();
        assert_eq!(rows.iter().map(|r| r.stats.calls).sum::<u64>(), calls.count() as u64);
        let operations = data.queries.operations(&service, data.range).await.unwrap();
        let spans = all.iter().filter(|(_, s)| s.service == service).count() as u64;
        assert_eq!(operations.iter().map(|r| r.stats.calls).sum::<u64>(), spans);
    }
    let busiest = data.oracle.top_services(By::Calls, Kinds::All, 1).remove(0).service;
    let series = data.queries.resources(&busiest, data.range).await.unwrap();
    assert!(series.iter().any(|s| s.name == "process.cpu.utilization"), "{series:?}");
    assert!(series.iter().any(|s| s.name.starts_with("system.")));
    assert!(series.iter().all(|s| s.times.len() == s.values.len()));
}

async fn everything(placed: Placed) {
    let data = seeded(placed).await;
    let snapshot = data.engine.snapshot().await.unwrap();
    let segments = snapshot.segments(headrope_model::DataSet::Spans).len();
    assert_eq!(segments > 0, placed != Placed::Live);
    rankings(&data).await;
    other_rankings(&data).await;
    changes(&data).await;
    figures(&data).await;
    entry_spans(&data).await;
    overview(&data).await;
    traces_by_id(&data).await;
    search(&data).await;
    slowest(&data).await;
    logs(&data).await;
    latency(&data).await;
    neighbours(&data).await;
    data.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live() {
    everything(Placed::Live).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed() {
    everything(Placed::Flushed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed() {
    everything(Placed::Mixed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged() {
    everything(Placed::Merged).await;
}
