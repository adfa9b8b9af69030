//! What reads less yields the same rows as what reads everything.

use headrope_model::DataSet;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{known, predicate, row};
use crate::tests::{Placed, Seeded, seeded_busy};

/// Enough for several pages in a segment.
const TRACES_PER_SECOND: f64 = 120.0;

/// Whether the first statement is answered by a node of ours; the second is not, and says the same.
async fn same(data: &Seeded, narrow: &str, node: &str, plain: &str) -> bool {
    let (plan, ..) = row(data, &format!("EXPLAIN {narrow}")).await;
    let (other, ..) = row(data, &format!("EXPLAIN {plain}")).await;
    assert!(!other.to_string().contains(node), "{plain}\n{other}");
    let (got, ..) = row(data, narrow).await;
    let (want, ..) = row(data, plain).await;
    assert_eq!(got, want, "{narrow}");
    plan.to_string().contains(node)
}

async fn first_rows(data: &Seeded, cases: usize) {
    let known = known(data);
    let strategy = (
        predicate(&known, DataSet::Spans),
        prop::sample::select(vec!["duration_ns", "start_time"]),
        any::<bool>(),
        any::<bool>(),
        1_usize..400,
    );
    let mut runner = TestRunner::deterministic();
    let mut looked_at = 0;
    for case in 0..cases {
        let (predicate, column, descending, tied, limit) =
            strategy.new_tree(&mut runner).unwrap().current();
        let predicate = if case % 5 == 0 { "true".to_owned() } else { predicate };
        let way = if descending { "DESC" } else { "ASC" };
        let opposite = if descending { "ASC" } else { "DESC" };
        // Rows that are equal in the order are told apart only where the order says how.
        let (what, then) = match tied {
            true => ("span_id, service_name, name, start_time, duration_ns", ", span_id"),
            false => (column, ""),
        };
        let from = format!("SELECT {what} FROM spans WHERE {predicate}");
        let narrow = format!("{from} ORDER BY {column} {way}{then} LIMIT {limit}");
        // An order by an expression is not one that bounds are known of.
        let negative = format!("-CAST({column} AS BIGINT) {opposite}");
        let plain = format!("{from} ORDER BY {negative}{then} LIMIT {limit}");
        // A condition that can never hold needs no scan, one on ids is answered in another way.
        let (plan, ..) = row(data, &format!("EXPLAIN {plain}")).await;
        let plan = plan.to_string();
        if plan.contains("DataSourceExec") && !plan.contains("full_filters") {
            looked_at += usize::from(same(data, &narrow, "PickExec", &plain).await);
        }
    }
    assert!(looked_at > cases / 4, "{looked_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_rows_of_an_order() {
    first_rows(&seeded_busy(Placed::Mixed, TRACES_PER_SECOND).await, 60).await;
    first_rows(&seeded_busy(Placed::Merged, TRACES_PER_SECOND).await, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_groups_without_a_value_are_not_looked_at() {
    let data = seeded_busy(Placed::Merged, TRACES_PER_SECOND).await;
    let looked_at = |condition: &'static str| {
        let data = &data;
        async move {
            let query = format!(
                "EXPLAIN ANALYZE SELECT span_id FROM spans WHERE {condition} \
                 ORDER BY start_time DESC LIMIT 20"
            );
            let (plan, ..) = row(data, &query).await;
            let plan = plan.to_string();
            assert!(plan.contains("PickExec"), "{plan}");
            !plan.contains("rows_looked_at=0")
        }
    };
    assert!(looked_at("attr(attributes, 'http.request.method') = 'GET'").await);
    assert!(!looked_at("attr(attributes, 'http.request.method') = 'BREW'").await);
    assert!(looked_at("db_system_name IS NULL").await);
    assert!(!looked_at("db_system_name = 'papyrus'").await);
    assert!(!looked_at("db_system_name LIKE '%papyrus%'").await);
}

async fn by_labels(data: &Seeded, cases: usize) {
    let known = known(data);
    let strategy = (
        predicate(&known, DataSet::Spans),
        prop::sample::subsequence(
            vec!["service_name", "name", "kind", "status_code", "db_system_name", "http_route"],
            1..4,
        ),
    );
    let mut runner = TestRunner::deterministic();
    let mut grouped = 0;
    for case in 0..cases {
        let (predicate, keys) = strategy.new_tree(&mut runner).unwrap().current();
        let predicate = if case % 5 == 0 { "duration_ns >= 0".to_owned() } else { predicate };
        if predicate.contains("_id") || predicate.contains("attr(") {
            continue;
        }
        let what = "count(*), count(status_message), sum(duration_ns), max(duration_ns), \
                    min(start_time), max(name), \
                    sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END), \
                    sum(CASE WHEN kind = 'SERVER' AND duration_ns > 1000000 THEN duration_ns END), \
                    avg(duration_ns)";
        let names = keys.join(", ");
        let from = format!("SELECT {names}, {what} FROM spans WHERE {predicate}");
        let narrow = format!("{from} GROUP BY {names} ORDER BY {names}");
        // Groups by an expression are the engine's.
        let exprs: Vec<String> = keys.iter().map(|key| format!("substr({key}, 1)")).collect();
        let renamed: Vec<String> =
            keys.iter().map(|key| format!("substr({key}, 1) AS {key}")).collect();
        let plain = format!(
            "SELECT {}, {what} FROM spans WHERE {predicate} GROUP BY {} ORDER BY {}",
            renamed.join(", "),
            exprs.join(", "),
            exprs.join(", ")
        );
        let (plan, ..) = row(data, &format!("EXPLAIN {plain}")).await;
        if plan.to_string().contains("DataSourceExec") {
            grouped += usize::from(same(data, &narrow, "GroupExec", &plain).await);
        }
    }
    assert!(grouped > cases / 4, "{grouped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregates_by_labels() {
    by_labels(&seeded_busy(Placed::Mixed, TRACES_PER_SECOND).await, 60).await;
    by_labels(&seeded_busy(Placed::Merged, TRACES_PER_SECOND).await, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_changes_from_row_to_row_is_left_alone() {
    let data = seeded_busy(Placed::Mixed, 12.0).await;
    for query in [
        "SELECT name, count(*) FROM spans WHERE service_name = 'cart' OR random() < 2 GROUP BY name",
        "SELECT span_id FROM spans WHERE random() < 2 ORDER BY start_time LIMIT 5",
    ] {
        let (plan, ..) = row(&data, &format!("EXPLAIN {query}")).await;
        let plan = plan.to_string();
        assert!(!plan.contains("GroupExec") && !plan.contains("PickExec"), "{query}\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_by_its_parts_has_all_its_spans() {
    for placed in [Placed::Live, Placed::Mixed, Placed::Merged] {
        let data = seeded_busy(placed, TRACES_PER_SECOND).await;
        for id in data.oracle.sample_traces(40, 3) {
            let query = format!(
                "SELECT span_id FROM spans WHERE lower(trace_id) = '{id}' ORDER BY span_id"
            );
            let (rows, ..) = row(&data, &query).await;
            let rows = rows.as_array().unwrap();
            let wanted: Vec<&str> = rows.iter().map(|r| r[0].as_str().unwrap()).collect();
            let trace = data.queries.trace(id, 10_000).await.unwrap();
            let mut found: Vec<&str> = trace.spans.iter().map(|s| s.span_id.as_str()).collect();
            found.sort_unstable();
            assert_eq!(found, wanted, "{placed:?} {id}");
            assert_eq!(found.len(), data.oracle.trace(&id).len());
        }
        let absent = "ffffffffffffffffffffffffffffff01".parse().unwrap();
        assert!(data.queries.trace(absent, 10).await.is_err());
    }
}
