//! Clients that send until the server ends.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::ledger::{Kind, Ledger, Request, State};
use crate::common::{Server, agent};

const CLIENTS: u64 = 4;
/// Longest load before a fail point that is not reached is given up.
const LONGEST: Duration = Duration::from_secs(5);
/// Age of the records that retention is to drop: more than it keeps by default.
const DECOY_AGE: Duration = Duration::from_secs(400 * 86_400);

/// How a round ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// `kill -9` after this time.
    Kill(Duration),
    /// The process aborts when it passes a place for the nth time.
    FailPoint { name: String, hit: u32 },
}

impl End {
    /// The variable that makes the server end so.
    pub(crate) fn setting(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Kill(_) => None,
            Self::FailPoint { name, hit } => Some(("HEADROPE_FAILPOINT", format!("{name}={hit}"))),
        }
    }
}

/// How a round ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The process aborted, it was not killed.
    pub(crate) by_itself: bool,
}

/// Sends from several clients until the server has ended, and notes what was answered.
pub(crate) fn run(
    server: &mut Server,
    ledger: &mut Ledger,
    end: &End,
    seed: u64,
) -> anyhow::Result<Outcome> {
    if matches!(end, End::FailPoint { name, .. } if name.starts_with("retention")) {
        // A segment of nothing but old rows is what retention drops.
        let _ = send_decoys(server);
    }
    let next = AtomicU64::new(ledger.next);
    let stop = AtomicBool::new(false);
    let address = server.otlp_http.clone();
    let (outcome, sent) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(client));
                let (address, next, stop) = (&address, &next, &stop);
                scope.spawn(move || client_loop(address, next, stop, rng))
            })
            .collect();
        let outcome = wait_and_kill(server, end);
        stop.store(true, Ordering::Relaxed);
        let sent: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (outcome, sent)
    });
    for requests in sent {
        ledger.requests.extend(requests.map_err(|_| anyhow::anyhow!("a client panicked"))??);
    }
    let checked = ledger.checked;
    ledger.requests[checked..].sort_by_key(|request| request.numbers.start);
    ledger.next = next.into_inner();
    outcome
}

fn wait_and_kill(server: &mut Server, end: &End) -> anyhow::Result<Outcome> {
    let limit = match end {
        End::Kill(after) => *after,
        End::FailPoint { .. } => LONGEST,
    };
    let began = Instant::now();
    let mut by_itself = false;
    while began.elapsed() < limit && !by_itself {
        std::thread::sleep(Duration::from_millis(1));
        by_itself = server.exited()?.is_some();
    }
    let status = server.kill()?;
    let expected = matches!(end, End::FailPoint { .. });
    ensure!(!by_itself || expected, "the server ended by itself with {status}");
    Ok(Outcome { by_itself })
}

fn client_loop(
    address: &str,
    next: &AtomicU64,
    stop: &AtomicBool,
    mut rng: ChaCha8Rng,
) -> anyhow::Result<Vec<Request>> {
    let agent = agent();
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let count = rng.random_range(1..40);
        let start = next.fetch_add(count, Ordering::Relaxed);
        let numbers = start..start + count;
        let kind = Kind::ALL[rng.random_range(0..Kind::ALL.len())];
        let padding = rng.random_range(0..200);
        let state = send(&agent, address, kind, numbers.clone(), padding)?;
        sent.push(Request { kind, numbers, state });
        match state {
            State::Stored => {}
            State::Absent => std::thread::sleep(Duration::from_millis(5)),
            State::Unknown => break,
        }
    }
    Ok(sent)
}

/// Sends a request and says what its answer means.
fn send(
    agent: &ureq::Agent,
    address: &str,
    kind: Kind,
    numbers: Range<u64>,
    padding: usize,
) -> anyhow::Result<State> {
    let (path, body) = encode(kind, numbers, padding, "crash", now());
    let answer = agent
        .post(format!("http://{address}{path}"))
        .header("content-type", "application/x-protobuf")
        .send(&body[..]);
    let Ok(mut response) = answer else { return Ok(State::Unknown) };
    let status = response.status().as_u16();
    let Ok(answer) = response.body_mut().read_to_vec() else { return Ok(State::Unknown) };
    match status {
        // An answer with content would be a partial success, and every record is valid.
        200 if answer.is_empty() => Ok(State::Stored),
        200 => {
            ensure!(rejected(kind, &answer)? == 0, "records were rejected: {answer:?}");
            Ok(State::Stored)
        }
        429 | 503 => Ok(State::Absent),
        500 | 502 | 504 => Ok(State::Unknown),
        other => anyhow::bail!("{path}: status {other}: {}", String::from_utf8_lossy(&answer)),
    }
}

fn rejected(kind: Kind, answer: &[u8]) -> anyhow::Result<i64> {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    Ok(match kind {
        Kind::Spans => ExportTraceServiceResponse::decode(answer)?
            .partial_success
            .map_or(0, |p| p.rejected_spans),
        Kind::Logs => ExportLogsServiceResponse::decode(answer)?
            .partial_success
            .map_or(0, |p| p.rejected_log_records),
        Kind::Points => ExportMetricsServiceResponse::decode(answer)?
            .partial_success
            .map_or(0, |p| p.rejected_data_points),
    })
}

/// Stores spans in large requests before the first round.
pub(crate) fn preload(server: &Server, ledger: &mut Ledger, spans: u64) -> anyhow::Result<()> {
    let agent = agent();
    let end = ledger.next + spans;
    while ledger.next < end {
        let numbers = ledger.next..end.min(ledger.next + 2000);
        let mut state = State::Absent;
        while state == State::Absent {
            state = send(&agent, &server.otlp_http, Kind::Spans, numbers.clone(), 64)?;
        }
        ensure!(state == State::Stored, "no answer while storing spans before the first round");
        ledger.next = numbers.end;
        ledger.requests.push(Request { kind: Kind::Spans, numbers, state });
    }
    Ok(())
}

/// Log records that are too old to be kept, alone in a segment.
fn send_decoys(server: &Server) -> anyhow::Result<()> {
    let agent = agent();
    for _ in 0..3 {
        let time = now().saturating_sub(u64::try_from(DECOY_AGE.as_nanos())?);
        let (path, body) = encode(Kind::Logs, 1..10, 10, "decoy", time);
        agent
            .post(format!("http://{}{path}", server.otlp_http))
            .header("content-type", "application/x-protobuf")
            .send(&body[..])
            .context("cannot send decoys")?;
        server.post("/api/v1/admin/flush", &json!({}))?;
    }
    Ok(())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(text: String) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text)) }
}

fn resource(service: &str) -> Resource {
    let name = KeyValue {
        key: "service.name".to_owned(),
        value: Some(text(service.to_owned())),
        ..KeyValue::default()
    };
    Resource { attributes: vec![name], ..Resource::default() }
}

/// Path and body of a request with one record for each number.
fn encode(
    kind: Kind,
    numbers: Range<u64>,
    padding: usize,
    service: &str,
    time: u64,
) -> (&'static str, Vec<u8>) {
    let resource = Some(resource(service));
    match kind {
        Kind::Spans => {
            let spans = spans(numbers, padding, time);
            let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
            let all = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
            let request = ExportTraceServiceRequest { resource_spans: vec![all] };
            ("/v1/traces", request.encode_to_vec())
        }
        Kind::Logs => {
            let log_records = log_records(numbers, padding, time);
            let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
            let all = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
            let request = ExportLogsServiceRequest { resource_logs: vec![all] };
            ("/v1/logs", request.encode_to_vec())
        }
        Kind::Points => {
            let metrics = vec![gauge(numbers, time)];
            let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
            let all = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
            let request = ExportMetricsServiceRequest { resource_metrics: vec![all] };
            ("/v1/metrics", request.encode_to_vec())
        }
    }
}

fn spans(numbers: Range<u64>, padding: usize, time: u64) -> Vec<Span> {
    let mut trace_id = vec![7; 8];
    trace_id.extend(numbers.start.to_be_bytes());
    numbers
        .map(|number| Span {
            trace_id: trace_id.clone(),
            span_id: number.to_be_bytes().to_vec(),
            name: format!("operation {}", number % 17),
            kind: 2,
            start_time_unix_nano: time,
            end_time_unix_nano: time + number % 1_000_000,
            attributes: vec![KeyValue {
                key: "padding".to_owned(),
                value: Some(text("x".repeat(padding))),
                ..KeyValue::default()
            }],
            ..Span::default()
        })
        .collect()
}

fn log_records(numbers: Range<u64>, padding: usize, time: u64) -> Vec<LogRecord> {
    numbers
        .map(|number| LogRecord {
            time_unix_nano: time,
            trace_id: vec![9; 16],
            span_id: number.to_be_bytes().to_vec(),
            severity_number: 9,
            body: Some(text(format!("record {number} {}", "y".repeat(padding)))),
            ..LogRecord::default()
        })
        .collect()
}

fn gauge(numbers: Range<u64>, time: u64) -> Metric {
    let data_points = numbers
        .map(|number| NumberDataPoint {
            time_unix_nano: time,
            value: Some(number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(0))),
            ..NumberDataPoint::default()
        })
        .collect();
    Metric {
        name: "crash.points".to_owned(),
        unit: "1".to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points })),
        ..Metric::default()
    }
}
