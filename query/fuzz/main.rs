//! Throws mutated SQL, parameters and REST requests at the query engine over a small data set and
//! looks for panics, for rows that changed and for answers that break their own limits.
//!
//! ```text
//! cargo run --release -p headrope-query --example fuzz_query -- --seconds 600 [--seed N]
//! ```

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use headrope_model::TimeRange;
use headrope_query::api::{ApiConfig, router};
use headrope_query::sql::Format;
use headrope_query::{Queries, QueryConfig, QueryError, SqlRequest};
use headrope_storage::{Engine, Export, StorageConfig, Submission};
use headrope_testdata::{Shop, Slice};
use prost::Message as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Rows an answer may have here.
const MAX_ROWS: usize = 200;
/// Panics seen, wherever they were caught.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Words and values that mean something to the parser, the planner or the engine.
const PIECES: &[&str] = &[
    "SELECT",
    "*",
    "FROM",
    "spans",
    "logs",
    "metrics",
    "traces",
    "services",
    "trace_parts",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "HAVING",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "UNION ALL",
    "WITH RECURSIVE",
    "AS",
    "CASE WHEN",
    "THEN",
    "ELSE",
    "END",
    "CAST(",
    "::bigint",
    "::text",
    "INTERVAL '1 minute'",
    "count(*)",
    "sum(",
    "attr(attributes, 'a')",
    "attr_num(",
    "attr_json(resource, ",
    "latency_sketch(duration_ns)",
    "p(",
    "sketch_merge(",
    "time_bucket(",
    "latency_bucket(",
    "text_match(body, ",
    "has_tag(",
    "(",
    ")",
    ",",
    "=",
    "<>",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "0",
    "-1",
    "9223372036854775807",
    "1e308",
    "0.1",
    "'x'",
    "''",
    "'\u{0}'",
    "'%'",
    "'2024-01-01'",
    "NULL",
    "TRUE",
    "$a",
    "$b",
    "$from",
    "trace_id",
    "span_id",
    "start_time",
    "time",
    "duration_ns",
    "name",
    "service_name",
    "attributes",
    "events",
    "links",
    "body",
    "severity_number",
    "now()",
    "OVER (PARTITION BY name)",
    "DISTINCT",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "SHOW TABLES",
    "DESCRIBE",
    "DROP TABLE spans",
    "INSERT INTO spans",
    "COPY spans TO 'f'",
    "SET x = 1",
    ";",
    "--",
    "/*",
    "unnest(events)",
    "array_agg(",
    "generate_series(1, 9)",
    "[1, 2]",
    "{a: 1}",
    "map(['k'], ['v'])",
    "X'00ff'",
    "'\u{1F600}'",
    "\"",
    "'",
    "regexp_like(name, '(a|b)+')",
    "date_bin(",
    "extract(year from start_time)",
    "to_timestamp(",
    "lag(duration_ns) OVER ()",
    "VALUES (1)",
];

/// A small deterministic source of choices (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }
}

struct Options {
    seconds: u64,
    seed: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 10, seed: 1 };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|v| v.parse().ok());
        match (name.as_str(), value) {
            ("--seconds", Some(n)) => options.seconds = n,
            ("--seed", Some(n)) => options.seed = n,
            _ => return Err(format!("{name}: usage is --seconds N --seed N")),
        }
    }
    Ok(options)
}

/// Splits into pieces that a mutation may move.
fn tokens(sql: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = false;
    for c in sql.chars() {
        let is_word = c.is_alphanumeric() || c == '_' || c == '$' || c == '.';
        match out.last_mut() {
            Some(last) if is_word && word => last.push(c),
            _ => out.push(c.to_string()),
        }
        word = is_word;
    }
    out
}

fn mutate(dice: &mut Dice, corpus: &[Vec<String>]) -> String {
    let mut sql = corpus.get(dice.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=dice.below(4) {
        let at = dice.below(sql.len() + 1);
        match dice.below(7) {
            0 if at < sql.len() => drop(sql.remove(at)),
            1 | 2 => sql.insert(at, format!(" {} ", dice.pick(PIECES))),
            3 if at < sql.len() => sql[at] = dice.pick(PIECES).to_owned(),
            4 => {
                let other = corpus.get(dice.below(corpus.len())).cloned().unwrap_or_default();
                let from = dice.below(other.len());
                let len = dice.below(12);
                let piece = other.into_iter().skip(from).take(len);
                sql.splice(at..at, piece.collect::<Vec<_>>());
            }
            5 if !sql.is_empty() => {
                let from = dice.below(sql.len());
                let to = (from + dice.below(8)).min(sql.len());
                let piece: Vec<String> = sql.get(from..to).unwrap_or_default().to_vec();
                for _ in 0..=dice.below(3) {
                    sql.splice(from..from, piece.clone());
                }
            }
            _ => {
                let c = char::from_u32(dice.below(0x11_0000) as u32).unwrap_or('\u{fffd}');
                sql.insert(at, c.to_string());
            }
        }
    }
    sql.concat()
}

fn parameter(dice: &mut Dice) -> Value {
    match dice.below(10) {
        0 => Value::Null,
        1 => json!(dice.next() as i64),
        2 => json!(dice.next()),
        3 => json!(f64::from_bits(dice.next())),
        4 => json!(dice.below(2) == 0),
        5 => json!([1, "a"]),
        6 => json!({"type": "timestamp", "value": dice.pick(&["now-1h", "0", "x", "9e99", "-1"])}),
        7 => {
            json!({"type": dice.pick(&["bigint", "double", "text", "boolean", "?"]), "value": "1"})
        }
        8 => json!(dice.pick(PIECES)),
        _ => json!("x".repeat(dice.below(2000))),
    }
}

fn request(dice: &mut Dice, corpus: &[Vec<String>]) -> SqlRequest {
    let mut params = BTreeMap::new();
    for name in ["a", "b", "from", "service"] {
        if dice.below(3) > 0 {
            params.insert(name.to_owned(), parameter(dice));
        }
    }
    SqlRequest {
        query: mutate(dice, corpus),
        params,
        max_rows: Some(dice.below(MAX_ROWS + 1)),
        timeout_ms: Some(1000),
    }
}

/// A REST request made of parameters that mean something and values that may not.
fn uri(dice: &mut Dice) -> String {
    let path = dice.pick(&[
        "services",
        "overview",
        "topn",
        "operations",
        "traces",
        "logs",
        "logs/volume",
        "services/x",
        "services/%FF",
        "services/cart/latency",
        "traces/00",
        "traces/0102030405060708090a0b0c0d0e0f10",
    ]);
    let mut uri = format!("/api/v1/{path}?");
    for _ in 0..dice.below(6) {
        let name = dice.pick(&[
            "from",
            "to",
            "limit",
            "cursor",
            "q",
            "tags",
            "service",
            "operation",
            "min_duration",
            "max_duration",
            "status",
            "order",
            "severity",
            "trace_id",
            "span_id",
            "by",
            "scope",
            "spans",
        ]);
        let value = dice.pick(&[
            "now",
            "now-1h",
            "now-99999999w",
            "0",
            "-1",
            "9223372036854775807",
            "1e9",
            "x",
            "a=1",
            "a=\"b\"",
            "{\"a\":1}",
            "{\"a\":{}}",
            "1.5ms",
            "error",
            "newest",
            "slowest",
            "\"a b\" -c",
            "(a OR b*",
            "bjEgMSAx",
            "",
            "2025-01-06T00:10:00Z",
            "\u{0}",
            "17",
            "p99",
            "all",
        ]);
        uri.push_str(name);
        uri.push('=');
        value.bytes().for_each(|b| uri.push_str(&format!("%{b:02X}")));
        uri.push('&');
    }
    uri
}

async fn append(engine: &Engine, export: Export, payload: Vec<u8>) -> Result<(), String> {
    let permit = engine.admit(payload.len()).map_err(|e| e.to_string())?;
    let submission = Submission::Decoded { export, payload: payload.into() };
    engine.append(permit, submission).await.map(drop).map_err(|e| e.to_string())
}

async fn send(engine: &Engine, slice: Slice) -> Result<(), String> {
    for r in slice.traces {
        let payload = r.encode_to_vec();
        append(engine, Export::Traces(r), payload).await?;
    }
    for r in slice.logs {
        let payload = r.encode_to_vec();
        append(engine, Export::Logs(r), payload).await?;
    }
    for r in slice.metrics {
        let payload = r.encode_to_vec();
        append(engine, Export::Metrics(r), payload).await?;
    }
    Ok(())
}

/// An engine with two seconds of the shop, half in segments.
async fn seeded(dir: &std::path::Path) -> Result<Arc<Engine>, String> {
    let mut config = StorageConfig::new(dir.join("data"));
    config.min_free_bytes = 0;
    (config.retain_traces, config.retain_logs, config.retain_metrics) = (None, None, None);
    (config.flush_age, config.maintenance_interval) =
        (Duration::from_secs(86_400), Duration::from_secs(86_400));
    let engine = Engine::open(config).await.map_err(|e| e.to_string())?;
    let shop = Shop::new(1);
    let from = shop.config().start_ns + 600_000_000_000;
    for second in 0..2 {
        let at = from + second * 1_000_000_000;
        let range = TimeRange::new(at, at + 1_000_000_000).ok_or("a range")?;
        send(&engine, shop.slice(range)).await?;
        if second == 0 {
            engine.flush().await.map_err(|e| e.to_string())?;
        }
    }
    Ok(engine)
}

async fn count(queries: &Queries) -> Result<String, String> {
    let query = "SELECT count(*), sum(duration_ns) FROM spans UNION ALL \
         SELECT count(*), sum(severity_number) FROM logs UNION ALL \
         SELECT count(*), count(value) FROM metrics";
    let request = SqlRequest { query: query.to_owned(), ..SqlRequest::default() };
    let answer = queries.sql(&request).await.map_err(|e| e.to_string())?;
    let json: Value = serde_json::from_str(&answer.json()).map_err(|e| e.to_string())?;
    let mut rows: Vec<String> =
        json["rows"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    rows.sort();
    Ok(rows.join(" "))
}

fn files(dir: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path().display().to_string()))
        .collect();
    names.sort();
    names
}

/// Asks one question; the error says what broke.
async fn one(
    queries: &Queries,
    api: &axum::Router,
    request: SqlRequest,
    uri: &str,
) -> Result<&'static str, String> {
    let outcome = queries.sql(&request).await;
    let kind = match &outcome {
        Ok(answer) => {
            let most = request.max_rows.unwrap_or(MAX_ROWS) as u64;
            if answer.stats.rows > most && !request.query.to_uppercase().contains("EXPLAIN") {
                return Err(format!("{} rows instead of {most}", answer.stats.rows));
            }
            for format in Format::ALL {
                let bytes = answer.encode(format);
                let is_json =
                    || serde_json::from_slice::<Value>(bytes.as_deref().unwrap_or_default());
                if format == Format::Json && is_json().is_err() {
                    return Err("the answer is not JSON".to_owned());
                }
            }
            "answered"
        }
        Err(QueryError::Invalid(_)) => "refused",
        Err(QueryError::Timeout(_)) => "timed out",
        Err(QueryError::TooLarge(_)) => "too large",
        // Whoever asks is not to blame for these: each is worth a look.
        Err(QueryError::Engine(e)) => {
            eprintln!("engine error: {e}\n{:?} {:?}", request.query, request.params);
            "engine error"
        }
        Err(_) => "other error",
    };
    let request = Request::get(uri).body(Body::empty()).map_err(|e| e.to_string())?;
    let response = api.clone().oneshot(request).await.map_err(|e| e.to_string())?;
    if response.status() == 500 {
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap_or_default();
        return Err(format!("{uri}: {}", String::from_utf8_lossy(&body)));
    }
    Ok(kind)
}

async fn run(options: Options) -> Result<BTreeMap<&'static str, u64>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let engine = seeded(dir.path()).await?;
    let config = QueryConfig { memory_bytes: 64 << 20, spill_bytes: 0, ..QueryConfig::default() };
    let queries = Queries::with_config(Arc::clone(&engine), config);
    let api = router(queries.clone(), ApiConfig::default());
    let reference = include_str!("../../docs/sql.md");
    let examples = reference.split("```sql\n").skip(1).filter_map(|r| r.split("```").next());
    let corpus: Vec<Vec<String>> = examples.map(tokens).collect();
    let (before, listed) = (count(&queries).await?, files(dir.path()));
    let version = engine.snapshot().await.map_err(|e| e.to_string())?.version();
    let mut dice = Dice(options.seed);
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(options.seconds);
    while Instant::now() < end {
        let (request, uri) = (request(&mut dice, &corpus), uri(&mut dice));
        let shown = format!("{:?} {:?} {uri}", request.query, request.params);
        let outcome =
            one(&queries, &api, request, &uri).await.map_err(|e| format!("{e}\n{shown}"))?;
        *seen.entry(outcome).or_default() += 1;
        if PANICS.load(Ordering::Relaxed) > 0 {
            return Err(format!("a panic\n{shown}"));
        }
        if engine.snapshot().await.map_err(|e| e.to_string())?.version() != version {
            return Err(format!("the data changed\n{shown}"));
        }
    }
    if count(&queries).await? != before || files(dir.path()) != listed {
        return Err("the data or the files changed".to_owned());
    }
    engine.shutdown().await.map_err(|e| e.to_string())?;
    Ok(seen)
}

fn main() -> ExitCode {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    let outcome = options().and_then(|options| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        runtime.block_on(run(options))
    });
    match outcome {
        Ok(seen) => {
            println!("{} questions: {seen:?}", seen.values().sum::<u64>());
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("finding: {text}");
            ExitCode::FAILURE
        }
    }
}
