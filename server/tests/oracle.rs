//! The seeded shop through the socket, judged by its oracle: counts, rankings, percentiles, logs and
//! whole traces, before any flush, after a flush, after merging, and after `kill -9` and a restart.
//!
//! `HEADROPE_ORACLE_SPANS` sets the size (default 40,000; the full run is 1,000,000), half as many
//! log lines come with them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod common;

use std::collections::BTreeMap;

use common::{Server, Start};
use headrope_testdata::oracle::{By, Kinds};
use headrope_testdata::{Oracle, Shop};
use prost::Message as _;
use serde_json::Value;

/// 2025-01-06T00:00:00Z.
const START_NS: i64 = 1_736_121_600_000_000_000;
/// The whole of the generated time.
const WINDOW: &str = "from=2025-01-01T00:00:00Z&to=2025-03-01T00:00:00Z";
/// Traces compared span by span.
const SAMPLE: usize = 100;

fn start(dir: &std::path::Path) -> Server {
    let settings = [
        // Nothing is flushed unless the test asks; nothing is too old.
        ("HEADROPE_STORAGE__FLUSH_BYTES", "8GiB".to_owned()),
        ("HEADROPE_STORAGE__MEMORY_BUDGET", "8GiB".to_owned()),
        ("HEADROPE_STORAGE__FLUSH_AGE", "1h".to_owned()),
        ("HEADROPE_STORAGE__MAINTENANCE_INTERVAL", "1h".to_owned()),
        ("HEADROPE_STORAGE__COMPACT_FAN_IN", "2".to_owned()),
        ("HEADROPE_STORAGE__RETAIN_TRACES", "forever".to_owned()),
        ("HEADROPE_STORAGE__RETAIN_LOGS", "forever".to_owned()),
        ("HEADROPE_STORAGE__RETAIN_METRICS", "forever".to_owned()),
    ];
    match Server::start(&dir.join("data"), &dir.join("server.log"), &settings).unwrap() {
        Start::Ready(server) => *server,
        Start::Exited(status) => panic!("the server ended with {status}"),
    }
}

fn send(server: &Server, signal: &str, body: &[u8]) {
    let url = format!("http://{}/v1/{signal}", server.otlp_http);
    let mut response = common::agent()
        .post(url)
        .header("content-type", "application/x-protobuf")
        .send(body)
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer = response.body_mut().read_to_vec().unwrap();
    assert!(answer.is_empty(), "a partial success for good data");
}

fn get(server: &Server, path: &str) -> Value {
    let url = format!("http://{}{path}", server.ui);
    let mut response = common::agent().get(url).call().unwrap();
    let text = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
    assert_eq!(response.status(), 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_u64().unwrap_or_else(|| panic!("{other} is not a count")),
    }
}

fn count(server: &Server, query: &str) -> u64 {
    number(&server.sql(query).unwrap()[0][0])
}

fn by_name(server: &Server, query: &str) -> BTreeMap<String, u64> {
    let rows = server.sql(query).unwrap();
    rows.iter().map(|row| (row[0].as_str().unwrap().to_owned(), number(&row[1]))).collect()
}

struct Check<'a> {
    server: &'a Server,
    oracle: &'a Oracle,
    stage: &'static str,
}

impl Check<'_> {
    fn all(&self) {
        self.totals();
        self.rankings();
        self.percentiles();
        self.log_terms();
        self.traces();
        eprintln!("{}: equal to the oracle", self.stage);
    }

    fn totals(&self) {
        let (server, oracle, stage) = (self.server, self.oracle, self.stage);
        assert_eq!(count(server, "SELECT count(*) FROM spans"), oracle.span_count(), "{stage}");
        assert_eq!(count(server, "SELECT count(*) FROM logs"), oracle.log_count(), "{stage}");
        assert_eq!(count(server, "SELECT count(*) FROM metrics"), oracle.point_count(), "{stage}");
        let traces = u64::try_from(oracle.trace_count()).unwrap();
        assert_eq!(count(server, "SELECT count(*) FROM traces"), traces, "{stage}");
        let errors = "SELECT count(*) FROM spans WHERE status_code = 'ERROR'";
        assert_eq!(count(server, errors), oracle.error_count(), "{stage}");
        let spans = oracle.services(Kinds::All).into_iter().map(|(s, stats)| (s, stats.count));
        let query = "SELECT service_name, count(*) FROM spans GROUP BY 1";
        assert_eq!(by_name(server, query), spans.collect(), "{stage}");
        let query = "SELECT service_name, count(*) FROM logs GROUP BY 1";
        assert_eq!(by_name(server, query), oracle.logs_by_service(), "{stage}");
        let query = "SELECT name, count(*) FROM metrics GROUP BY 1";
        assert_eq!(&by_name(server, query), oracle.points_by_metric(), "{stage}");
    }

    fn rankings(&self) {
        let measures = [
            ("calls", By::Calls, "calls"),
            ("slowest", By::Slowest, "max_ns"),
            ("total_time", By::TotalTime, "total_time_ns"),
            ("errors", By::Errors, "errors"),
        ];
        for (spans, kinds) in [("all", Kinds::All), ("entry", Kinds::Entry)] {
            for (name, by, field) in measures {
                for scope in ["service", "operation"] {
                    let want = match scope {
                        "service" => self.oracle.top_services(by, kinds, 20),
                        _ => self.oracle.top_operations(by, kinds, 20),
                    };
                    let path = format!(
                        "/api/v1/topn?scope={scope}&by={name}&spans={spans}&limit=20&{WINDOW}"
                    );
                    let answer = get(self.server, &path);
                    let rows = answer["rows"].as_array().or_else(|| answer.as_array()).unwrap();
                    let found: Vec<_> = rows
                        .iter()
                        .map(|row| {
                            let operation = row["operation"].as_str().unwrap_or_default();
                            let service = row["service"].as_str().unwrap();
                            (
                                service.to_owned(),
                                operation.to_owned(),
                                u128::from(number(&row[field])),
                            )
                        })
                        .collect();
                    let want: Vec<_> =
                        want.into_iter().map(|r| (r.service, r.operation, r.value)).collect();
                    assert_eq!(found, want, "{}: {path}", self.stage);
                }
            }
        }
    }

    /// Percentiles within the error the answer states.
    fn percentiles(&self) {
        for (service, stats) in self.oracle.services(Kinds::All) {
            let query = format!(
                "SELECT p(s, 0.5), p(s, 0.95), p(s, 0.99) FROM (SELECT latency_sketch(duration_ns) AS s \
                 FROM spans WHERE service_name = '{service}')"
            );
            let row = &self.server.sql(&query).unwrap()[0];
            for (value, q) in row.iter().zip([0.5, 0.95, 0.99]) {
                let exact = stats.quantile_ns(q).unwrap() as f64;
                let found = value.as_f64().unwrap();
                let error = (found - exact).abs() / exact.max(1.0);
                let limit = headrope_analysis::sketch::RELATIVE_ERROR + 1e-9;
                assert!(error <= limit, "{}: {service} p{q}: {found} for {exact}", self.stage);
            }
        }
    }

    /// The most frequent, a middling and the rarest word, and one that does not occur.
    fn log_terms(&self) {
        let mut terms: Vec<_> = self.oracle.terms().unwrap().iter().collect();
        terms.sort_by_key(|(term, n)| (**n, (*term).clone()));
        let picks =
            [0, terms.len() / 2, terms.len() - 1].map(|at| (terms[at].0.as_str(), *terms[at].1));
        for (term, want) in picks.into_iter().chain([("zyxwvut", 0)]) {
            let query = format!("SELECT count(*) FROM logs WHERE text_match(body, '{term}')");
            assert_eq!(count(self.server, &query), want, "{}: {term}", self.stage);
            let page = get(self.server, &format!("/api/v1/logs?q={term}&limit=1000&{WINDOW}"));
            let found = u64::try_from(page["logs"].as_array().unwrap().len()).unwrap();
            assert_eq!(found, want.min(1000), "{}: {term}", self.stage);
        }
    }

    fn traces(&self) {
        for id in self.oracle.sample_traces(SAMPLE, 11) {
            let trace = get(self.server, &format!("/api/v1/traces/{id}"));
            let mut found: Vec<_> = trace["spans"]
                .as_array()
                .unwrap()
                .iter()
                .map(|span| {
                    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
                    (
                        text("span_id"),
                        text("parent_span_id"),
                        text("service"),
                        text("name"),
                        number(&span["duration_ns"]),
                        text("status_code"),
                    )
                })
                .collect();
            found.sort();
            let mut want: Vec<_> = self
                .oracle
                .trace(&id)
                .into_iter()
                .map(|span| {
                    let status = ["UNSET", "OK", "ERROR"][usize::try_from(span.status).unwrap()];
                    (
                        span.span_id.to_string(),
                        span.parent.map(|p| p.to_string()).unwrap_or_default(),
                        span.service,
                        span.name,
                        span.duration_ns,
                        status.to_owned(),
                    )
                })
                .collect();
            want.sort();
            assert_eq!(found, want, "{}: trace {id}", self.stage);
            assert_eq!(
                number(&trace["log_count"]),
                self.oracle.logs_of_trace(&id),
                "{}: {id}",
                self.stage
            );
        }
    }
}

/// Sends a shop's telemetry and tells the oracle.
fn feed(server: &Server, oracle: &mut Oracle, seed: u64, spans: u64) {
    for slice in Shop::new(seed).exactly(START_NS, spans, spans / 2) {
        oracle.fold(&slice);
        slice.traces.iter().for_each(|r| send(server, "traces", &r.encode_to_vec()));
        slice.logs.iter().for_each(|r| send(server, "logs", &r.encode_to_vec()));
        slice.metrics.iter().for_each(|r| send(server, "metrics", &r.encode_to_vec()));
    }
}

fn flush(server: &Server) {
    assert_eq!(server.post("/api/v1/admin/flush", &Value::Null).unwrap().0, 204);
}

#[test]
fn the_shop_equals_its_oracle_at_every_stage() {
    let spans: u64 = std::env::var("HEADROPE_ORACLE_SPANS")
        .map_or(40_000, |text| text.parse().expect("HEADROPE_ORACLE_SPANS is a number"));
    let dir = tempfile::tempdir().unwrap();
    let mut server = start(dir.path());
    let mut oracle = Oracle::new();
    feed(&server, &mut oracle, 5, spans);
    assert_eq!((oracle.span_count(), oracle.log_count()), (spans, spans / 2));
    Check { server: &server, oracle: &oracle, stage: "live" }.all();
    flush(&server);
    Check { server: &server, oracle: &oracle, stage: "flushed" }.all();
    // A second helping, so that segments meet live rows and a merge has something to merge.
    feed(&server, &mut oracle, 6, spans / 10);
    Check { server: &server, oracle: &oracle, stage: "segments and live rows" }.all();
    flush(&server);
    assert_eq!(server.post("/api/v1/admin/compact", &Value::Null).unwrap().0, 204);
    Check { server: &server, oracle: &oracle, stage: "merged" }.all();
    server.kill().unwrap();
    let mut server = start(dir.path());
    eprintln!("restart to ready: {:?}", server.ready_after);
    Check { server: &server, oracle: &oracle, stage: "killed and restarted" }.all();
    assert!(server.stop().unwrap().success());
}
