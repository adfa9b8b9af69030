//! Spans and logs of a random system as OTLP.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::plan::{Harmless, Leak, Plan};
use super::resources;
use super::run::{Failure, Record, Records, What, reads};
use super::system::{Dialect, Engine, Protocol};
use crate::attrs::{Attrs, string_value};

const NANOS: i64 = 1_000_000_000;
/// PostgreSQL logs that a statement waits for a lock after this long (`deadlock_timeout`).
const LOCK_LOG_NS: i64 = NANOS;
/// Threshold of the stores' logs of slow statements.
const SLOW_NS: i64 = 150_000_000;

fn unix(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or_default()
}

/// The spans in the order in which they ended, in requests of at most `batch`.
pub(super) fn traces(
    plan: &Plan,
    records: &Records,
    batch: usize,
) -> Vec<ExportTraceServiceRequest> {
    let mut order: Vec<&Record> = records.spans.iter().collect();
    order.sort_by_key(|span| span.to);
    order.chunks_mut(batch).map(|part| request(plan, records, part)).collect()
}

fn request(plan: &Plan, records: &Records, part: &mut [&Record]) -> ExportTraceServiceRequest {
    let home = |span: &Record| (span.service, span.replica, span.release);
    part.sort_by_key(|span| home(span));
    let of_home = part.chunk_by(|a, b| home(a) == home(b)).filter_map(|spans| {
        let (service, replica, release) = home(spans.first()?);
        let scope_spans = ScopeSpans {
            scope: None,
            spans: spans.iter().map(|record| span(plan, records, record)).collect(),
            schema_url: String::new(),
        };
        Some(ResourceSpans {
            resource: Some(resources::instance(plan, service, replica, release)),
            scope_spans: vec![scope_spans],
            schema_url: String::new(),
        })
    });
    ExportTraceServiceRequest { resource_spans: of_home.collect() }
}

fn span(plan: &Plan, records: &Records, record: &Record) -> Span {
    let (name, kind) = name(plan, record.what);
    let message = record.failure.map(text).unwrap_or_default().to_owned();
    Span {
        trace_id: records.traces[record.trace].to_vec(),
        span_id: record.id.to_be_bytes().to_vec(),
        parent_span_id: if record.parent == 0 {
            Vec::new()
        } else {
            record.parent.to_be_bytes().to_vec()
        },
        name,
        kind: kind as i32,
        start_time_unix_nano: unix(record.from),
        end_time_unix_nano: unix(record.to),
        attributes: attributes(plan, record),
        status: record.failure.map(|_| Status { message, code: 2 }),
        ..Span::default()
    }
}

fn name(plan: &Plan, what: What) -> (String, SpanKind) {
    let system = &plan.system;
    match what {
        What::Answer(op) if reads(plan, op) => {
            (format!("process {}", system.operations[op].name), SpanKind::Consumer)
        }
        What::Answer(op) => (system.operations[op].name.clone(), SpanKind::Server),
        What::Ask(op) => {
            let name = &system.operations[op].name;
            let method = name.split(' ').next().unwrap_or(name).to_owned();
            (method, SpanKind::Client)
        }
        What::Query(one) => (system.statements[one].summary(), SpanKind::Client),
        What::Outside(_) => ("POST".to_owned(), SpanKind::Client),
        What::Publish(queue) => {
            (format!("send {}", system.queues[queue].topic), SpanKind::Producer)
        }
    }
}

/// What an application or a store says of a failure.
const fn text(failure: Failure) -> &'static str {
    match failure {
        Failure::Own => "unexpected value in record",
        Failure::Released => "TypeError: field `region` is missing",
        Failure::Refused => "connection refused",
        Failure::NoConnection => "timed out waiting for a connection from the pool",
        Failure::Unavailable => "503 Service Unavailable",
        Failure::Timeout => "request timed out",
        Failure::StoreDown => "connection reset by peer",
        Failure::NoSpace => "No space left on device",
        Failure::Below => "upstream request failed",
    }
}

const fn status(failure: Option<Failure>) -> i64 {
    match failure {
        None => 200,
        Some(Failure::Unavailable) => 503,
        Some(Failure::Timeout) => 504,
        Some(Failure::Below) => 502,
        Some(_) => 500,
    }
}

fn attributes(plan: &Plan, record: &Record) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(8);
    let old = plan.system.services[record.service].dialect == Dialect::Old;
    match record.what {
        What::Answer(op) => served(plan, op, record, old, &mut attrs),
        What::Ask(op) => {
            let callee = &plan.system.services[plan.system.operations[op].service].name;
            address(&format!("{callee}.prod.svc"), 8080, old, &mut attrs);
            protocol(plan, op, record, old, &mut attrs);
        }
        What::Query(one) => query(plan, one, old, &mut attrs),
        What::Outside(outside) => {
            let name = &plan.system.outside[outside];
            address(name, 443, old, &mut attrs);
            let (method, url) =
                if old { ("http.method", "http.url") } else { ("http.request.method", "url.full") };
            attrs.text(method, "POST").text(url, format!("https://{name}/v1"));
            let code = if old { "http.status_code" } else { "http.response.status_code" };
            if record.failure != Some(Failure::Timeout) {
                attrs.int(code, status(record.failure));
            }
        }
        What::Publish(queue) => {
            let facts = &plan.system.queues[queue];
            address(&facts.address, 9092, old, &mut attrs);
            attrs.text("messaging.system", "kafka");
            let key = if old { "messaging.destination" } else { "messaging.destination.name" };
            attrs.text(key, facts.topic.clone());
        }
    }
    if let Some(failure) = record.failure.filter(|_| !old) {
        attrs.text("error.type", format!("{failure:?}"));
    }
    attrs.take()
}

fn address(name: &str, port: i64, old: bool, attrs: &mut Attrs) {
    let keys =
        if old { ("net.peer.name", "net.peer.port") } else { ("server.address", "server.port") };
    attrs.text(keys.0, name).int(keys.1, port);
}

fn served(plan: &Plan, op: usize, record: &Record, old: bool, attrs: &mut Attrs) {
    if reads(plan, op) {
        attrs.text("messaging.system", "kafka");
        attrs.text("messaging.destination.name", plan.system.operations[op].name.clone());
        return;
    }
    protocol(plan, op, record, old, attrs);
}

fn protocol(plan: &Plan, op: usize, record: &Record, old: bool, attrs: &mut Attrs) {
    let facts = &plan.system.operations[op];
    if facts.protocol == Protocol::Grpc {
        attrs.text(if old { "rpc.system" } else { "rpc.system.name" }, "grpc");
        attrs.text("rpc.method", facts.name.clone());
        return;
    }
    let (method, route) = facts.name.split_once(' ').unwrap_or(("GET", &facts.name));
    attrs.text(if old { "http.method" } else { "http.request.method" }, method);
    attrs.text("http.route", route);
    let code = if old { "http.status_code" } else { "http.response.status_code" };
    attrs.int(code, status(record.failure));
}

fn query(plan: &Plan, one: usize, old: bool, attrs: &mut Attrs) {
    let facts = &plan.system.statements[one];
    let store = &plan.system.stores[facts.store];
    address(&store.address, store.engine.port(), old, attrs);
    if old {
        attrs.text("db.system", store.engine.system()).text("db.name", store.namespace.clone());
        attrs.text("db.statement", facts.text.clone()).text("db.operation", facts.verb);
        if !facts.table.is_empty() {
            attrs.text("db.sql.table", facts.table.clone());
        }
        return;
    }
    attrs.text("db.system.name", store.engine.system());
    attrs.text("db.namespace", store.namespace.clone());
    attrs.text("db.query.text", facts.text.clone()).text("db.query.summary", facts.summary());
}

/// A log line and who writes it.
struct Line {
    resource: Resource,
    at: i64,
    severity: i32,
    body: String,
    /// Trace and span, if it belongs to one.
    context: Option<(Vec<u8>, Vec<u8>)>,
}

/// The log records of a range of seconds, one request.
pub(super) fn logs(
    plan: &Plan,
    records: &Records,
    range: (i64, i64),
) -> Vec<ExportLogsServiceRequest> {
    let mut lines: Vec<Line> = Vec::new();
    for record in &records.spans {
        of_span(plan, records, record, &mut lines);
    }
    killed(plan, range, &mut lines);
    let resource_logs = lines.into_iter().map(|line| {
        let (trace_id, span_id) = line.context.unwrap_or_default();
        let record = LogRecord {
            time_unix_nano: unix(line.at),
            observed_time_unix_nano: unix(line.at),
            severity_number: line.severity,
            body: Some(string_value(line.body)),
            trace_id,
            span_id,
            ..LogRecord::default()
        };
        let scope_logs =
            ScopeLogs { scope: None, log_records: vec![record], schema_url: String::new() };
        let resource = Some(line.resource);
        ResourceLogs { resource, scope_logs: vec![scope_logs], schema_url: String::new() }
    });
    vec![ExportLogsServiceRequest { resource_logs: resource_logs.collect() }]
}

fn of_span(plan: &Plan, records: &Records, record: &Record, lines: &mut Vec<Line>) {
    let mut own = |severity, body: String| {
        let trace = records.traces[record.trace].to_vec();
        lines.push(Line {
            resource: resources::instance(plan, record.service, record.replica, record.release),
            at: record.to,
            severity,
            body,
            context: Some((trace, record.id.to_be_bytes().to_vec())),
        });
    };
    let milliseconds = (record.to - record.from) / 1_000_000;
    if let What::Answer(op) = record.what {
        let name = &plan.system.operations[op].name;
        if record.parent == 0 {
            own(9, format!("{name} {} in {milliseconds} ms", status(record.failure)));
        }
        match record.failure {
            Some(Failure::Below) | None => {}
            Some(failure) => own(17, format!("{name} failed: {}", text(failure))),
        }
        let second = record.from.div_euclid(NANOS);
        let novel = |what| matches!(what, Harmless::LogPattern(one) if one == record.service);
        if record.id.is_multiple_of(3) && plan.harmless(second).any(novel) {
            own(9, format!("experiment quick-path assigned variant {}", record.id % 7));
        }
    }
    if let What::Query(one) = record.what {
        let facts = &plan.system.statements[one];
        let engine = plan.system.stores[facts.store].engine;
        let mut of_store = |severity, at, body| {
            let resource = resources::store(plan, facts.store);
            lines.push(Line { resource, at, severity, body, context: None });
        };
        if record.locked_ns > LOCK_LOG_NS && engine == Engine::Postgres {
            let body =
                "process 4711 still waiting for ShareLock on transaction 815 after 1000.1 ms";
            of_store(9, record.from + LOCK_LOG_NS, body.to_owned());
        }
        if record.to - record.from > SLOW_NS && engine != Engine::Redis {
            of_store(
                13,
                record.to,
                format!("duration: {milliseconds} ms  statement: {}", facts.text),
            );
        }
        if record.failure == Some(Failure::NoSpace) {
            of_store(17, record.to, format!("could not write to file: {}", text(Failure::NoSpace)));
        }
    }
}

/// What the kernel says of processes that it kills.
fn killed(plan: &Plan, range: (i64, i64), lines: &mut Vec<Line>) {
    for second in range.0..range.1 {
        for (service, facts) in plan.system.services.iter().enumerate() {
            for replica in 0..facts.hosts.len() {
                let state = |at| plan.leak(at, service, replica).map(|leak| leak.0);
                let before = matches!(state(second - 1), Some(Leak::Growing(_)));
                if before && state(second) == Some(Leak::Refusing) {
                    lines.push(Line {
                        resource: resources::host(plan, facts.hosts[replica]),
                        at: second * NANOS,
                        severity: 17,
                        body: format!("Memory cgroup out of memory: Killed process 2{service:02}{replica} ({})", facts.name),
                        context: None,
                    });
                }
            }
        }
    }
}
