//! SQL from outside: what is refused, how values come back, what bounds an answer.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatchReader;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Format, SqlRequest};
use crate::error::QueryError;
use crate::tests::{Placed, empty, seeded, seeded_with};
use crate::{Queries, QueryConfig};

fn request(query: &str) -> SqlRequest {
    SqlRequest { query: query.to_owned(), ..SqlRequest::default() }
}

async fn json_of(queries: &Queries, request: &SqlRequest) -> Value {
    let answer = queries.sql(request).await.unwrap();
    serde_json::from_str(&answer.json()).unwrap()
}

async fn rows(queries: &Queries, query: &str) -> Value {
    json_of(queries, &request(query)).await["rows"].clone()
}

async fn error(queries: &Queries, query: &str) -> String {
    match queries.sql(&request(query)).await {
        Err(QueryError::Invalid(text)) => text,
        other => panic!("{query}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_reading_is_allowed() {
    let (_engine, queries, dir) = empty(QueryConfig::default()).await;
    let file = dir.path().join("out.csv");
    let file = file.display();
    for query in [
        "DROP TABLE spans",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "SELECT 1 INTO t",
        "INSERT INTO spans VALUES (1)",
        "DELETE FROM spans",
        "UPDATE spans SET name = 'x'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "EXPLAIN INSERT INTO spans VALUES (1)",
        "EXPLAIN ANALYZE DELETE FROM spans",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        &format!("COPY (SELECT 1) TO '{file}'"),
        &format!("EXPLAIN COPY (SELECT 1) TO '{file}'"),
        &format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'"),
        &format!("SELECT * FROM '{file}'"),
        "SELECT * FROM read_csv('/etc/passwd')",
    ] {
        let text = error(&queries, query).await;
        assert!(!text.is_empty(), "{query}");
    }
    assert!(!dir.path().join("out.csv").exists());
    for query in ["SHOW TABLES", "SHOW COLUMNS FROM spans", "DESCRIBE logs", "EXPLAIN SELECT 1"] {
        assert!(!rows(&queries, query).await.as_array().unwrap().is_empty(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_precisely() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let text = error(&queries, "SELECT servce_name FROM spans").await;
    assert!(text.contains("servce_name") && text.contains("service_name"), "{text}");
    let text = error(&queries, "SELECT 1 FROM spanz").await;
    assert!(text.contains("spanz"), "{text}");
    let text = error(&queries, "SELECT 1\n FROM spans WHERE )").await;
    assert!(text.contains("Line: 2"), "{text}");
    let text = error(&queries, "SELECT text_match(body, '\"open') FROM logs").await;
    assert!(text.contains("quote"), "{text}");
    let text = error(&queries, "SELECT attr(duration_ns, 'k') FROM spans").await;
    assert!(text.contains("attr"), "{text}");
    let text =
        error(&queries, "SELECT time_bucket(INTERVAL '1 month', start_time) FROM spans").await;
    assert!(text.contains("month"), "{text}");
    let text = error(&queries, "SELECT * FROM spans WHERE service_name = $missing").await;
    assert!(text.contains("missing"), "{text}");
    let ordered = "SELECT avg(duration_ns ORDER BY start_time) FROM spans GROUP BY name";
    let text = error(&queries, ordered).await;
    assert!(text.contains("inside avg"), "{text}");
    for call in ["array_agg(name ORDER BY start_time)", "max(name ORDER BY start_time)"] {
        rows(&queries, &format!("SELECT {call} FROM spans GROUP BY kind")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_come_back_typed() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let query = "SELECT 9007199254740993 AS big, -9007199254740992 AS exact, 1.5 AS d, \
         CAST('NaN' AS DOUBLE) AS n, CAST('-inf' AS DOUBLE) AS i, 5e0 AS whole, true AS b, \
         NULL AS nothing, X'00ff' AS bytes, TIMESTAMP '2024-02-03T04:05:06.000000007' AS t, \
         [1, 2] AS list, {a: 'x\"y'} AS s, DATE '2024-02-03' AS day, map(['k'], ['v']) AS m";
    let answer = json_of(&queries, &request(query)).await;
    let want = json!([[
        "9007199254740993", -9_007_199_254_740_992_i64, 1.5, "NaN", "-Infinity", 5.0, true, null,
        "00ff", "2024-02-03T04:05:06.000000007Z", [1, 2], {"a": "x\"y"}, "2024-02-03", {"k": "v"}
    ]]);
    assert_eq!(answer["rows"], want);
    let types: Vec<&str> =
        answer["columns"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    let want = [
        "bigint",
        "bigint",
        "double",
        "double",
        "double",
        "double",
        "boolean",
        "null",
        "bytes",
        "timestamp",
        "list",
        "struct",
        "date",
        "attributes",
    ];
    assert_eq!(types, want);
    assert_eq!(answer["stats"]["rows"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_values_only() {
    let data = seeded(Placed::Mixed).await;
    let service =
        data.oracle.services(headrope_testdata::oracle::Kinds::All).into_keys().next().unwrap();
    let count = |params: Value, condition: &str| {
        let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
        let query = format!("SELECT count(*) FROM spans WHERE {condition}");
        let request = SqlRequest { query, params, ..SqlRequest::default() };
        let queries = data.queries.clone();
        async move { json_of(&queries, &request).await["rows"][0][0].clone() }
    };
    let exact = &data.oracle.services(headrope_testdata::oracle::Kinds::All)[&service];
    assert_eq!(count(json!({"s": service}), "service_name = $s").await, exact.count);
    let injection = format!("{service}' OR 'a' = 'a");
    assert_eq!(count(json!({"s": injection}), "service_name = $s").await, 0);
    let from = json!({"type": "timestamp", "value": "2025-01-06T00:10:00Z"});
    assert_eq!(count(json!({"f": from}), "start_time < $f").await, 0);
    assert_eq!(count(json!({"f": from}), "start_time >= $f").await, data.oracle.span_count());
    assert_eq!(count(json!({"$d": -1}), "duration_ns > $d").await, data.oracle.span_count());
    assert_eq!(count(json!({"n": null}), "duration_ns > $n").await, 0);
    for bad in
        [json!([1]), json!({"type": "blob", "value": 1}), json!({"type": "bigint", "value": "x"})]
    {
        let request =
            SqlRequest { params: BTreeMap::from([("x".to_owned(), bad)]), ..request("SELECT $x") };
        assert!(matches!(data.queries.sql(&request).await, Err(QueryError::Invalid(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a text parameter holds, it comes back as it is.
    #[test]
    fn text_survives(text in any::<String>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let back = runtime.block_on(async {
            let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
            let params = BTreeMap::from([("x".to_owned(), Value::String(text.clone()))]);
            let request = SqlRequest { params, ..request("SELECT $x AS x") };
            json_of(&queries, &request).await["rows"][0][0].clone()
        });
        prop_assert_eq!(back, Value::String(text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_bounded() {
    let config = QueryConfig { max_rows: 50, default_rows: 10, ..QueryConfig::default() };
    let data = seeded_with(Placed::Mixed, config).await;
    let run = |query: &str, max_rows, timeout_ms| {
        let request = SqlRequest { max_rows, timeout_ms, ..request(query) };
        let queries = data.queries.clone();
        async move { queries.sql(&request).await }
    };
    for (asked, rows) in [(None, 10), (Some(3), 3), (Some(1000), 50), (Some(0), 0)] {
        let answer = run("SELECT * FROM spans", asked, None).await.unwrap();
        assert_eq!((answer.stats.rows, answer.stats.truncated), (rows, true));
    }
    let answer = run("SELECT * FROM spans LIMIT 10", None, None).await.unwrap();
    assert_eq!((answer.stats.rows, answer.stats.truncated), (10, false));
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) a";
    let slow = run(endless, None, Some(50)).await;
    assert!(matches!(slow, Err(QueryError::Timeout(_))), "{slow:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_turns_run_out_politely() {
    let config = QueryConfig {
        memory_bytes: 1 << 20,
        spill_bytes: 0,
        concurrent: 1,
        waiting: 0,
        ..QueryConfig::default()
    };
    let data = seeded_with(Placed::Live, config).await;
    let greedy = "SELECT array_agg(a.span_id || b.value) FROM spans a CROSS JOIN \
         generate_series(1, 200) b GROUP BY a.span_id";
    let refused = data.queries.sql(&request(greedy)).await;
    assert!(matches!(refused, Err(QueryError::TooLarge(_))), "{refused:?}");
    let queries = data.queries.clone();
    let endless = SqlRequest {
        timeout_ms: Some(20_000),
        ..request("SELECT count(*) FROM generate_series(1, 100000000000)")
    };
    let holder = tokio::spawn(async move { queries.sql(&endless).await });
    // Asking while the turn is still free could take it, and the endless query would be refused.
    let machine = data.queries.machine();
    while machine.gate.free() > 0 {
        assert!(!holder.is_finished(), "the endless query ended");
        tokio::task::yield_now().await;
    }
    let busy = data.queries.sql(&request("SELECT 1")).await;
    assert!(matches!(busy, Err(QueryError::Busy(_))), "{busy:?}");
    // A client that goes away gives its turn back.
    holder.abort();
    let _ = holder.await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = data.queries.sql(&request("SELECT 1")).await {
        assert!(matches!(error, QueryError::Busy(_)) && std::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_cannot_be_planned_safely_are_refused() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let chain = |n: usize, piece: &str| format!("SELECT 1{}", piece.repeat(n));
    for query in [
        chain(100_000, "+1"),
        chain(20_000, "+1"),
        chain(5_000, "::int"),
        format!("SELECT {}1", "-".repeat(3_000)),
        format!("SELECT {}1", "NOT ".repeat(3_000)),
        format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000)),
        format!("SELECT 1 FROM {}spans", "spans, ".repeat(400)),
        chain(300, " UNION ALL SELECT 1"),
        {
            let parts: Vec<String> = (1..12)
                .map(|n| format!("w{n} AS (SELECT * FROM w{} a, w{} b)", n - 1, n - 1))
                .collect();
            format!("WITH w0 AS (SELECT 1 AS x), {} SELECT count(*) FROM w11", parts.join(", "))
        },
    ] {
        assert!(!error(&queries, &query).await.is_empty());
    }
    // What is just allowed is planned without running out of stack.
    for query in [chain(790, "+1"), chain(790, "::int"), chain(48, " UNION ALL SELECT 1")] {
        queries.sql(&request(&query)).await.unwrap();
    }
    let list: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let query = format!("SELECT count(*) FROM spans WHERE duration_ns IN ({})", list.join(","));
    queries.sql(&request(&query)).await.unwrap();
    let or: Vec<String> = (0..390).map(|n| format!("name = 'x{n}'")).collect();
    queries.sql(&request(&format!("SELECT * FROM spans WHERE {}", or.join(" OR ")))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn formats_hold_the_same_rows() {
    let data = seeded(Placed::Mixed).await;
    let query = "SELECT trace_id, start_time, duration_ns, attributes, events, resource FROM spans \
         ORDER BY start_time, span_id LIMIT 100";
    let answer = data.queries.sql(&request(query)).await.unwrap();
    let want: usize = answer.batches.iter().map(|b| b.num_rows()).sum();
    assert_eq!(want, 100);

    let arrow = answer.encode(Format::Arrow).unwrap();
    let reader =
        datafusion::arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(reader.schema(), answer.schema);
    assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), want);

    let parquet = bytes::Bytes::from(answer.encode(Format::Parquet).unwrap());
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 1024);
    let reader = reader.unwrap();
    assert_eq!(reader.schema().fields().len(), answer.schema.fields().len());
    assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), want);

    let csv = String::from_utf8(answer.encode(Format::Csv).unwrap()).unwrap();
    assert!(
        csv.starts_with("trace_id,start_time,duration_ns,attributes,events,resource\n"),
        "{csv}"
    );

    let json: Value = serde_json::from_slice(&answer.encode(Format::Json).unwrap()).unwrap();
    assert_eq!(json["rows"].as_array().unwrap().len(), want);
    assert!(json["rows"][0][3].is_object());

    let none = data.queries.sql(&request("SELECT trace_id FROM spans WHERE false")).await.unwrap();
    for format in Format::ALL {
        assert!(!none.encode(format).unwrap().is_empty(), "{format:?}");
    }
}

#[test]
fn accept_headers() {
    for (accept, want) in [
        (None, Some(Format::Json)),
        (Some("*/*"), Some(Format::Json)),
        (Some("text/csv;q=0.9, application/json"), Some(Format::Csv)),
        (Some("application/vnd.apache.arrow.stream"), Some(Format::Arrow)),
        (Some("application/vnd.apache.parquet"), Some(Format::Parquet)),
        (Some("image/png"), None),
    ] {
        assert_eq!(Format::negotiate(accept), want, "{accept:?}");
    }
}

/// Every example of the reference runs over the seeded data; those that must find something do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_references_examples_run() {
    let text = include_str!("../../../docs/sql.md");
    let examples: Vec<&str> =
        text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 15, "{}", examples.len());
    let data = seeded(Placed::Mixed).await;
    let mut empty = 0;
    for example in &examples {
        let answer = data.queries.sql(&request(example)).await;
        let answer = answer.unwrap_or_else(|e| panic!("{example}\n{e}"));
        empty += usize::from(answer.stats.rows == 0);
    }
    // The unknown trace id, the last hour of old data, and rare errors.
    assert!(empty <= 5, "{empty} examples found nothing");
}
