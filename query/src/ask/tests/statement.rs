//! Statements of the shop: exact figures, and which way they are slow under incidents.

use headrope_model::TimeRange;
use headrope_testdata::Incident;

use crate::answer::statement::{StatementQuery, StatementRow, Statements};
use crate::answer::trace::{RepeatRow, Trace, TraceOrder, TraceQuery};
use crate::tests::{Placed, seeded, shop_under};
use crate::{Queries, SqlRequest};

fn query(range: TimeRange, reference: Option<TimeRange>) -> StatementQuery {
    StatementQuery { range, reference, service: None, system: None, limit: 1000 }
}

async fn under(incident: Option<Incident>) -> Statements {
    let shop = shop_under(incident).await;
    let (queries, window, reference) = (&shop.queries, shop.window, Some(shop.reference));
    let all = queries.statements(&query(window, reference)).await.unwrap();
    // What else asks a database says which way a statement is slow, also when one service is asked for.
    let service = all.statements.first().map(|row| row.service.clone());
    let one = StatementQuery { service: service.clone(), ..query(window, reference) };
    let one = queries.statements(&one).await.unwrap();
    let ways = |rows: &[StatementRow]| -> Vec<_> {
        let own = rows.iter().filter(|row| Some(&row.service) == service.as_ref());
        own.map(|row| (row.statement.clone(), row.slow)).collect()
    };
    assert_eq!(ways(&one.statements), ways(&all.statements));
    assert_eq!(ways(&one.statements).len(), one.statements.len());
    all
}

/// The newest traces of a window.
async fn newest(queries: &Queries, range: TimeRange) -> Vec<Trace> {
    let query = TraceQuery {
        range,
        service: None,
        operation: None,
        min_duration_ns: None,
        max_duration_ns: None,
        errors_only: false,
        tags: Vec::new(),
        order: TraceOrder::Newest,
        limit: 100,
        cursor: None,
    };
    let mut found = Vec::new();
    for row in queries.search_traces(&query).await.unwrap().traces {
        found.push(queries.trace(row.trace_id.parse().unwrap(), 10_000).await.unwrap());
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_of_statements_is_told_of_its_traces() {
    let shop = shop_under(Some(Incident::NPlusOne)).await;
    let (queries, window) = (&shop.queries, shop.window);
    let before = newest(queries, shop.reference).await;
    let loops = |traces: &[Trace]| -> Vec<(Trace, RepeatRow)> {
        let of = |trace: &Trace| {
            let own = trace.repeats.iter().filter(|repeat| repeat.kind == "loop");
            own.map(|repeat| (trace.clone(), repeat.clone())).collect::<Vec<_>>()
        };
        traces.iter().flat_map(of).collect()
    };
    assert!(loops(&before).is_empty(), "{:?}", loops(&before));
    let found = loops(&newest(queries, window).await);
    assert!(!found.is_empty());
    for (trace, repeat) in found {
        assert!(repeat.count >= 5 && repeat.count >= repeat.in_sequence, "{repeat:?}");
        let caller = &trace.spans[repeat.caller.unwrap() as usize];
        let calls = repeat.calls.iter().map(|at| &trace.spans[*at as usize]);
        let names: std::collections::BTreeSet<&str> =
            calls.clone().map(|span| span.name.as_str()).collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let time: i64 = calls.map(|span| span.duration_ns).sum();
        assert!(repeat.time_ns <= time && repeat.time_ns <= caller.duration_ns, "{repeat:?}");
        assert!((0.0..=1.0).contains(&repeat.share), "{repeat:?}");
    }
}

fn slow(found: &Statements) -> Vec<(&StatementRow, &str)> {
    let rows = found.statements.iter().filter(|row| row.slow != "not");
    rows.map(|row| (row, row.slow)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_slow_statements_in_their_own_way() {
    for (incident, statement, kind) in [
        (Incident::SlowSql, "SELECT orders order_items", "statement"),
        (Incident::Lock, "", "lock"),
        (Incident::NPlusOne, "", "more_calls"),
    ] {
        let found = under(Some(incident)).await;
        let rows = slow(&found);
        let named: Vec<_> =
            rows.iter().map(|(row, kind)| (&row.service, &row.statement, *kind)).collect();
        // What takes most time of what is slow.
        let (row, is) = *rows.first().unwrap_or_else(|| panic!("{incident}: nothing is slow"));
        assert_eq!(is, kind, "{incident}: {named:?}");
        assert!(row.statement.contains(statement), "{incident}: {named:?}");
        assert_eq!(row.because.is_empty(), kind != "lock", "{incident}: {:?}", row.because);
        assert!(row.because.iter().all(|r| r.raised && r.measures == "lock"), "{row:?}");
        let (calls, duration) = (row.added_by_calls_ns, row.added_by_duration_ns);
        assert_eq!(calls > duration, kind == "more_calls", "{row:?}");
        assert!(row.calls_per_request.is_some_and(|n| n >= 1.0), "{row:?}");
        assert!(row.critical_share.is_some_and(|share| (0.0..=1.0).contains(&share)), "{row:?}");
        if kind == "more_calls" {
            assert!(row.calls_per_request.unwrap() > 3.0, "{row:?}");
        }
    }
    let quiet = under(None).await;
    assert!(slow(&quiet).is_empty(), "{:?}", slow(&quiet));
    assert!(!quiet.stores.is_empty());
    assert!(quiet.stores.iter().any(|store| store.store.starts_with("postgresql")), "{quiet:?}");
    let measured = quiet.stores.iter().filter(|store| !store.readings.is_empty());
    assert!(measured.count() > 0, "{:?}", quiet.stores);
}

async fn count(queries: &Queries, having: &str) -> u64 {
    let query = format!("SELECT trace_id FROM spans WHERE {having}");
    let request = SqlRequest { query, max_rows: Some(1_000_000), ..SqlRequest::default() };
    queries.sql(&request).await.unwrap().stats.rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_those_of_the_spans() {
    let data = seeded(Placed::Mixed).await;
    let found = data.queries.statements(&query(data.range, None)).await.unwrap();
    assert_eq!(found.reference_chosen, "before");
    let calls = |rows: &[StatementRow]| rows.iter().map(|row| row.stats.calls).sum::<u64>();
    let all = count(&data.queries, "db_system_name IS NOT NULL").await;
    assert!(all > 100 && calls(&found.statements) == all, "{all}");
    let by_time =
        |a: &StatementRow, b: &StatementRow| a.stats.total_time_ns >= b.stats.total_time_ns;
    assert!(found.statements.is_sorted_by(by_time));
    // Nothing was sent before.
    assert!(found.statements.iter().all(|row| row.slow == "new" && row.reference.is_none()));
    assert!(found.statements.iter().all(|row| data.range.contains(row.first_seen.0)));
    let service = found.statements[0].service.clone();
    let system = found.statements[0].system.clone();
    let one = StatementQuery {
        service: Some(service.clone()),
        system: Some(system.clone()),
        limit: 2,
        ..query(data.range, None)
    };
    let some = data.queries.statements(&one).await.unwrap().statements;
    let is = |row: &&StatementRow| row.service == service && row.system == system;
    let want: Vec<&StatementRow> = found.statements.iter().filter(is).take(2).collect();
    assert_eq!(some.iter().collect::<Vec<_>>(), want);
    let nobody = TimeRange::new(0, 1).unwrap();
    let none = data.queries.statements(&query(nobody, None)).await.unwrap();
    assert!(none.statements.is_empty() && none.stores.is_empty());
}
