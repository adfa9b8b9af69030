//! Capacity over planted data, through storage and SQL.

mod planted;

use headrope_model::TimeRange;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use self::planted::{FROM, MINUTE, Planted, Told, send};
use crate::answer::capacity::{CapacityQuery, ServiceCapacity, WhatIfQuery};
use crate::error::QueryError;
use crate::tests::{Placed, empty, resource, rows, seeded, traces};
use crate::{Queries, QueryConfig, SqlRequest};

const PLANTED: Planted = Planted {
    seed: 1,
    minutes: 360,
    instances: 2,
    lambda: 0.3,
    sigma: 0.05,
    kappa: 0.002,
    reach: 0.97,
    cost: [0.1, 0.3],
    idle: 0.05,
    cpus: 2.0,
    told: Told::Time,
    whole: false,
};

fn planted() -> impl Strategy<Value = (Planted, bool)> {
    let told = prop::sample::select(vec![Told::Time, Told::Pod, Told::Share, Told::Host]);
    let law = (0.15f64..0.4, 0.02f64..0.15, 0.001f64..0.01);
    (any::<u16>(), law, (0.05f64..0.2, 0.05f64..0.2), told, any::<bool>()).prop_map(
        |(seed, (lambda, sigma, kappa), (a, b), told, flushed)| {
            let seed = u64::from(seed) + 1;
            let law = Planted { lambda, sigma, kappa, ..PLANTED };
            // Requests may use all of its CPU, and no more.
            let cpus = 0.1 + law.knee_and_ceiling().1 * a.max(b);
            (Planted { seed, cost: [a, b], told, cpus, ..law }, flushed)
        },
    )
}

async fn of_service(queries: &Queries, range: TimeRange, service: &str) -> ServiceCapacity {
    let query = CapacityQuery { range, service: Some(service.to_owned()) };
    let mut found = queries.capacity(&query).await.unwrap().services;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn near(got: f64, want: f64, relative: f64) -> bool {
    (got / want - 1.0).abs() <= relative
}

async fn one_case(planted: Planted, flushed: bool) {
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    send(&engine, planted).await;
    if flushed {
        engine.flush().await.unwrap();
    }
    let found = of_service(&queries, planted.range(), "back").await;
    let (knee, ceiling) = planted.knee_and_ceiling();
    let class = &found.classes[0];
    let safe = class.safe_rate.unwrap_or_else(|| panic!("{planted:?}\n{class:?}"));
    assert!(near(safe.value, knee, 0.1), "{} for {knee}: {planted:?}", safe.value);
    assert_eq!(class.basis, Some("latency"));
    assert!(safe.low <= safe.value && safe.value <= safe.high);
    assert_eq!((found.classes.len(), class.instances), (1, 2));
    assert_eq!(class.version.as_deref(), Some("1.0"));
    assert_eq!(class.host_type.as_deref(), Some("m5.large"));
    assert_eq!(class.cpu_of, Some(if planted.told == Told::Host { "host" } else { "process" }));
    assert!(near(class.cpus.unwrap(), planted.cpus, 1e-6), "{class:?}");
    assert!(class.ceiling.is_none_or(|found| near(found, ceiling, 0.1)), "{class:?} {ceiling}");
    // On average 50 % of the requests are of `a`.
    let mean = (planted.cost[0] + planted.cost[1]) / 2.0;
    let cost = class.cpu_ms_per_request.unwrap().value / 1e3;
    assert!(near(cost, mean, 0.1), "{cost} for {mean}: {planted:?}");
    for (name, cost) in ["a", "b"].into_iter().zip(planted.cost) {
        let row = found.operations.iter().find(|row| row.operation == name).unwrap();
        let got = row.cpu_ms_per_request;
        assert!(near(got.value / 1e3, cost, 0.05), "{name} {got:?} for {cost}: {planted:?}");
        assert!(got.low <= cost * 1e3 + 0.5 && cost * 1e3 <= got.high + 0.5, "{got:?} {cost}");
    }
    let headroom = found.headroom.unwrap();
    assert!(near(headroom.value, 2.0 * safe.value / found.peak_rate, 1e-9));
    assert!(headroom.low <= headroom.value && headroom.value <= headroom.high);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planted_knees_and_costs_are_recovered() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..6 {
        let (planted, flushed) = planted().new_tree(&mut runner).unwrap().current();
        one_case(planted, flushed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_of_the_bend_cpu_tells_the_safe_rate() {
    let planted = Planted { reach: 0.3, cpus: 1.0, minutes: 180, ..PLANTED };
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    send(&engine, planted).await;
    let class = of_service(&queries, planted.range(), "back").await.classes.remove(0);
    assert_eq!((class.knee, class.basis), (None, Some("cpu")), "{class:?}");
    assert!(class.unknown.iter().any(|u| u.what == "knee" && u.because.contains("not bend")));
    let full = (planted.cpus - planted.idle) / 0.2;
    let safe = class.safe_rate.unwrap();
    assert!(near(class.ceiling.unwrap(), full, 0.1), "{class:?} {full}");
    assert!(near(safe.value, 0.7 * full, 0.1) && safe.low < safe.high, "{class:?} {full}");

    // Nothing tells its CPU: nothing is said.
    let planted = Planted { told: Told::Nothing, ..planted };
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    send(&engine, planted).await;
    let found = of_service(&queries, planted.range(), "back").await;
    let class = &found.classes[0];
    assert_eq!((class.safe_rate, class.cpu_ms_per_request, found.headroom), (None, None, None));
    let whats: Vec<&str> = class.unknown.iter().map(|u| u.what).collect();
    assert_eq!(whats, ["knee", "cpu_ms_per_request"]);
    assert!(found.operations.is_empty());
    assert!(found.unknown.iter().any(|u| u.what == "capacity" && u.because.contains("CPU")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_that_grows_breaks_who_has_least() {
    let planted = Planted { minutes: 240, whole: true, ..PLANTED };
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    send(&engine, planted).await;
    engine.flush().await.unwrap();
    let ask = |factor, service: Option<&str>, operation: Option<&str>| {
        let (service, operation) = (service.map(str::to_owned), operation.map(str::to_owned));
        let query = WhatIfQuery { range: planted.range(), factor, service, operation };
        let queries = queries.clone();
        async move { queries.what_if(&query).await }
    };
    let all = ask(3.0, None, None).await.unwrap();
    let (back, front) = (&all.services[0], &all.services[1]);
    assert_eq!((back.service.as_str(), front.service.as_str()), ("back", "front"));
    assert!(near(back.peak_rate_then, 3.0 * back.peak_rate, 1e-9));
    let capacity = back.capacity.unwrap();
    assert!(near(back.breaks_at.unwrap(), capacity / back.peak_rate, 1e-9));
    assert_eq!(back.breaks, Some(true));
    let each = capacity / back.instances as f64;
    assert_eq!(back.instances_then, Some((back.peak_rate_then / each).ceil() as u64));
    assert!(front.capacity.is_none() && front.breaks.is_none());
    assert!(front.unknown.as_ref().unwrap().contains("CPU"), "{front:?}");
    assert!((all.sampled - 1.0).abs() < 1e-9);
    let asked = |operation: &str, service: &str| {
        let mut rows = all.amplification.iter();
        let row = rows.find(|r| r.entry_operation == operation && r.service == service);
        row.map(|r| r.calls_per_request)
    };
    assert_eq!((asked("GET /a", "back"), asked("GET /b", "back")), (Some(2.0), Some(1.0)));
    assert_eq!(asked("GET /a", "front"), Some(1.0));

    // Only one entry grows: by the share of the requests that it makes.
    let one = ask(3.0, Some("front"), Some("GET /a")).await.unwrap();
    let back = one.services.iter().find(|row| row.service == "back").unwrap();
    assert!(0.3 < back.grows && back.grows < 0.7, "{back:?}");
    assert!(near(back.peak_rate_then, back.peak_rate * (1.0 + 2.0 * back.grows), 1e-9));
    let breaks_at = back.breaks_at.unwrap();
    let at = ask(breaks_at.max(0.01), Some("front"), Some("GET /a")).await.unwrap();
    let back = at.services.iter().find(|row| row.service == "back").unwrap();
    assert!(breaks_at <= 0.01 || near(back.load_then.unwrap(), 1.0, 1e-6), "{back:?}");
    assert!(matches!(ask(2.0, Some("nobody"), None).await, Err(QueryError::NotFound(_))));
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(ask(factor, None, None).await, Err(QueryError::Invalid(_))));
    }
    sql_says_the_same(&queries, planted.range()).await;
    planners_examples_find_something(&queries).await;
}

async fn sql_says_the_same(queries: &Queries, range: TimeRange) {
    let (from, to) = (range.from(), range.to());
    let capacity = queries.capacity(&CapacityQuery { range, service: None }).await.unwrap();
    let sql = format!(
        "SELECT service, version, instances, safe_rate, headroom, cpu_ms_per_request, unknown \
         FROM headroom({from}, {to})"
    );
    let got = rows(queries, &sql).await;
    let want: Vec<Vec<Value>> = capacity
        .services
        .iter()
        .flat_map(|s| s.classes.iter().map(move |c| (s, c)))
        .map(|(s, c)| {
            let value = |band: Option<crate::answer::capacity::Band>| band.map(|b| b.value).into();
            let unknown: Vec<String> =
                c.unknown.iter().map(|u| format!("{}: {}", u.what, u.because)).collect();
            let unknown = Some(unknown.join("; ")).filter(|text| !text.is_empty());
            vec![
                s.service.clone().into(),
                c.version.clone().into(),
                c.instances.into(),
                value(c.safe_rate),
                value(c.headroom),
                value(c.cpu_ms_per_request),
                unknown.into(),
            ]
        })
        .collect();
    assert_eq!(got, want);
    // Times as text and as timestamps, in joins and subqueries, are the same question.
    let sql = "SELECT h.service, w.breaks, w.breaks_at > 0 \
         FROM headroom('2025-01-06', TIMESTAMP '2025-01-06T12:00:00' + INTERVAL '1 hour') h \
         JOIN what_if(3, '2025-01-06T00:00:00Z', '2025-01-06T13:00:00Z') w ON h.service = w.service \
         WHERE w.breaks ORDER BY 1";
    assert_eq!(rows(queries, sql).await, [[Value::from("back"), true.into(), true.into()]]);
    let sql = "SELECT count(*) FROM what_if(2.5, '2025-01-06', '2025-01-07', 'front', 'GET /a')";
    assert_eq!(rows(queries, sql).await, [[Value::from(2)]]);
    assert!(!rows(queries, "EXPLAIN SELECT * FROM headroom('2025-01-06', 'now')").await.is_empty());
}

/// The examples of the chapter for capacity planners, where the data has something for each.
async fn planners_examples_find_something(queries: &Queries) {
    let text = include_str!("../../../../docs/sql.md");
    let chapter = text.split("\n## ").find(|c| c.starts_with("Capacity planning")).unwrap();
    let examples: Vec<&str> =
        chapter.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 10, "{}", examples.len());
    for example in examples {
        assert!(!rows(queries, example).await.is_empty(), "nothing found:\n{example}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_functions_say_what_they_take() {
    let data = seeded(Placed::Live).await;
    let error = async |query: &str| {
        let request = SqlRequest {
            query: query.to_owned(),
            params: [("from".to_owned(), Value::from("now-1d"))].into(),
            ..SqlRequest::default()
        };
        match data.queries.sql(&request).await {
            Err(QueryError::Invalid(text)) => text,
            other => panic!("{query}: {other:?}"),
        }
    };
    let one = "(SELECT count(*) FROM headroom('now-1d', 'now'))";
    let many = format!("SELECT {}", [one; 9].join(", "));
    for (query, part) in [
        ("SELECT * FROM headroom()", "headroom(from, to)"),
        ("SELECT * FROM headroom('now', 'now-1h')", "swap"),
        ("SELECT * FROM headroom('yesterday', 'now')", "yesterday"),
        ("SELECT * FROM headroom($from, 'now')", "parameters"),
        ("SELECT * FROM what_if('now-1h', 'now')", "what_if(factor, from, to)"),
        ("SELECT * FROM what_if('twice', 'now-1h', 'now')", "number"),
        ("SELECT * FROM what_if(-2, 'now-1h', 'now')", "positive"),
        (many.as_str(), "8 times"),
    ] {
        let text = error(query).await;
        assert!(text.contains(part), "{query}: {text}");
    }
    // Seconds of data tell nothing, and say so.
    let found = data.queries.capacity(&CapacityQuery { range: data.range, service: None }).await;
    for service in found.unwrap().services {
        assert!(service.headroom.is_none() && service.growth.is_none(), "{service:?}");
        assert!(service.rate > 0.0 && service.peak_rate >= service.rate, "{service:?}");
        assert!(service.unknown.iter().any(|u| u.what == "capacity"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daily_peaks_tell_growth() {
    let (engine, queries, _dir) = empty(QueryConfig::default()).await;
    let day_ns = 1440 * MINUTE;
    let days = 28;
    for day in 0..days {
        let mut spans = Vec::new();
        for hour in 0..24 {
            let calls = if hour == 20 { 60 + 3 * day } else { 2 };
            let start = FROM + day * day_ns + hour * 60 * MINUTE + MINUTE;
            spans.extend((0..calls).map(|n| opentelemetry_proto::tonic::trace::v1::Span {
                trace_id: vec![1; 16],
                span_id: (day << 32 | hour << 16 | (n + 1)).to_be_bytes().to_vec(),
                name: "tick".to_owned(),
                kind: 2,
                start_time_unix_nano: (start + n) as u64,
                end_time_unix_nano: (start + n + 1000) as u64,
                ..Default::default()
            }));
        }
        traces(&engine, resource(&[("service.name", "clock")]), spans).await;
        if day % 9 == 5 {
            engine.flush().await.unwrap();
        }
    }
    // The last day is cut off.
    let to = FROM + days * day_ns - 6 * 60 * MINUTE;
    let found = of_service(&queries, TimeRange::new(FROM, to).unwrap(), "clock").await;
    assert_eq!(found.days.len(), 28);
    assert_eq!(found.days.iter().filter(|day| !day.is_whole).count(), 1);
    assert_eq!((found.days[0].day.as_str(), found.days[0].calls), ("2025-01-06", 106));
    assert!((found.days[3].peak_rate - 69.0 / 60.0).abs() < 1e-9, "{:?}", found.days[3]);
    let growth = found.growth.unwrap();
    assert!((growth.per_day.value - 0.05).abs() < 1e-9, "{growth:?}");
    assert!((growth.level - (60.0 + 3.0 * 26.0) / 60.0).abs() < 1e-9, "{growth:?}");
    // Nothing tells what it can take.
    assert_eq!((found.capacity, growth.exhausted), (None, None));
}
