//! Log requests.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as OtlpLog, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::spans::name;
use super::{SCHEMA_URL, scope, trouble, unix};
use crate::attrs::{Attrs, string_value};
use crate::catalogue::graph::Proto;
use crate::catalogue::log_lines::{Line, Writer};
use crate::catalogue::services::{SKEWED_HOST, memory_limit};
use crate::catalogue::statements::Store;
use crate::dice::mix;
use crate::simulate::{Home, LogRecord, Shape, SpanRecord, TraceRecord, Window};
use crate::world::World;

/// Orders by who writes it, then logger; what belongs to no request comes last. Two records with the
/// same writer and home have the same resource.
fn place(log: &LogRecord) -> (Writer, Home, &'static str) {
    (log.line.writer(), log.home, log.line.template().logger)
}

/// The resource of a record.
fn resource<'a>(world: &'a World, log: &LogRecord) -> &'a Resource {
    match log.line.writer() {
        Writer::Request | Writer::Process => world.resources.instance(log.home),
        Writer::Kernel => world.resources.host(log.home.instance.host()),
        Writer::Broker => world.resources.broker(),
        Writer::Store(store) => world.resources.store(store.index()),
    }
}

/// The window's log records in the order of time, as requests of at most `batch_records`.
pub(crate) fn requests(world: &World, window: &Window) -> Vec<ExportLogsServiceRequest> {
    let mut order: Vec<&LogRecord> = window.logs.iter().collect();
    order.sort_by_key(|log| log.time_ns);
    order.chunks_mut(world.config.batch_records).map(|part| request(world, window, part)).collect()
}

fn request(world: &World, window: &Window, part: &mut [&LogRecord]) -> ExportLogsServiceRequest {
    part.sort_by_key(|log| place(log));
    let same_resource = |a: &&LogRecord, b: &&LogRecord| {
        let (a, b) = (place(a), place(b));
        let shared = matches!(a.0, Writer::Store(_) | Writer::Broker);
        a.0 == b.0 && (shared || a.1 == b.1)
    };
    let mut resource_logs = Vec::new();
    for of_resource in part.chunk_by(same_resource) {
        let Some(first) = of_resource.first() else { continue };
        let resource = resource(world, first).clone();
        let version = first.home.instance.service().version;
        let scope_logs = of_resource
            .chunk_by(|a, b| a.line.template().logger == b.line.template().logger)
            .map(|of_logger| ScopeLogs {
                scope: of_logger.first().map(|log| scope(log.line.template().logger, version)),
                log_records: of_logger.iter().map(|log| record(world, window, log)).collect(),
                schema_url: String::new(),
            })
            .collect();
        resource_logs.push(ResourceLogs {
            resource: Some(resource),
            scope_logs,
            schema_url: SCHEMA_URL.to_owned(),
        });
    }
    ExportLogsServiceRequest { resource_logs }
}

fn record(world: &World, window: &Window, log: &LogRecord) -> OtlpLog {
    let span = &window.spans[log.span as usize];
    let trace = &window.traces[span.trace as usize];
    let template = log.line.template();
    let writer = log.line.writer();
    let on_host = matches!(writer, Writer::Request | Writer::Process | Writer::Kernel);
    let skewed = log.home.instance.host() == SKEWED_HOST && on_host;
    let time_ns = log.time_ns + if skewed { world.config.clock_skew_ns } else { 0 };
    let body = if log.line == Line::OrderPlaced {
        placed(trace, log)
    } else {
        string_value(text(world, template.text, trace, span, log))
    };
    let event = if log.line == Line::OrderPlaced { "shop.order.placed" } else { "" };
    let (trace_id, span_id) = if writer != Writer::Request {
        (Vec::new(), Vec::new())
    } else {
        (trace.id.to_vec(), span.id.to_be_bytes().to_vec())
    };
    OtlpLog {
        time_unix_nano: unix(time_ns),
        // Agents read files in short turns.
        observed_time_unix_nano: unix(time_ns) + log.draws % 200_000_000,
        severity_number: template.severity as i32,
        severity_text: template.severity.text().to_owned(),
        body: Some(body),
        attributes: attributes(trace, span, log),
        dropped_attributes_count: 0,
        flags: u32::from(!trace_id.is_empty()),
        trace_id,
        span_id,
        event_name: event.to_owned(),
    }
}

/// The structured body of a placed order.
fn placed(trace: &TraceRecord, log: &LogRecord) -> AnyValue {
    let mut map = Attrs::with_capacity(6);
    map.text("event", "order_placed").int("order", trace.order() as i64);
    map.text("user", format!("u-{}", trace.user()));
    map.int("items", 1 + (trace.draws % 6) as i64);
    map.double("total", trace.cents() as f64 / 100.0);
    map.flag("express", log.draws.is_multiple_of(4));
    map.into_map()
}

fn attributes(trace: &TraceRecord, span: &SpanRecord, log: &LogRecord) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(4);
    match log.line {
        Line::Failed => {
            let stack = Attrs::default().take();
            let service = span.home.instance.service();
            let from_exception =
                span.mishap.map_or(stack, |m| trouble::exception(m, service, name(span), true));
            return from_exception;
        }
        Line::Gave => {
            let service = span.home.instance.service();
            return span
                .mishap
                .map(|m| trouble::exception(m, service, name(span), false))
                .unwrap_or_default();
        }
        Line::Access => {
            if let Shape::Answer(op) = span.shape
                && let Proto::Http(method, route) = op.facts().proto
            {
                attrs.text("http.request.method", method).text("http.route", route);
            }
            attrs.int("http.response.status_code", i64::from(span.status));
            attrs.text("user_agent.original", trace.agent());
        }
        line if matches!(line.writer(), Writer::Store(_) | Writer::Broker) => {
            attrs.text("log.file.path", file(line.writer()));
            attrs.int("process.pid", backend(log));
        }
        Line::OutOfMemory => {
            attrs.text("log.iostream", "kmsg");
        }
        _ => {
            attrs.text("thread.name", format!("worker-{}", log.draws % 16));
            if trace.draws.is_multiple_of(2) {
                attrs.text("log.iostream", "stdout");
            }
        }
    }
    attrs.take()
}

/// The file a store or the broker logs to.
const fn file(writer: Writer) -> &'static str {
    match writer {
        Writer::Store(Store::Orders) => "/var/log/postgresql/postgresql-16-main.log",
        Writer::Store(Store::Catalog) => "/var/log/mysql/mysql-slow.log",
        Writer::Store(Store::Cache) => "/var/log/redis/redis-server.log",
        _ => "/var/log/kafka/server.log",
    }
}

/// The process of the database that serves the connection.
fn backend(log: &LogRecord) -> i64 {
    2000 + (log.draws % 60) as i64
}

/// A template with its placeholders filled in.
fn text(
    world: &World,
    template: &str,
    trace: &TraceRecord,
    span: &SpanRecord,
    log: &LogRecord,
) -> String {
    let mut out = String::with_capacity(template.len() + 48);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else { break };
        let what = &rest[open + 1..open + close];
        match log.line.writer() {
            Writer::Request => fill(what, trace, span, log, &mut out),
            _ => match machine(world, what, log) {
                Some(text) => out.push_str(&text),
                None => fill(what, trace, span, log, &mut out),
            },
        }
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    out
}

fn fill(what: &str, trace: &TraceRecord, span: &SpanRecord, log: &LogRecord, out: &mut String) {
    let ns = (span.end_ns - span.start_ns).max(0);
    let draw = mix(log.draws, what.len() as u64);
    // Writing to a string cannot fail.
    let _ = match what {
        "user" => write!(out, "u-{}", trace.user()),
        "order" => write!(out, "{}", trace.order()),
        "sku" => write!(out, "sku-{}", trace.product()),
        "cents" => write!(out, "{}", trace.cents()),
        "session" => write!(out, "{:012x}", trace.session()),
        "n" => write!(out, "{}", 1 + draw % 60),
        "bytes" => write!(out, "{}", 400 + draw % 60_000),
        "attempt" => write!(out, "{}", 1 + draw % 2),
        "ms" => write!(out, "{}.{:03}", ns / 1_000_000, ns / 1000 % 1000),
        "seconds" => write!(out, "{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000),
        "status" => write!(out, "{}", span.status),
        other => {
            out.push_str(&word(other, trace, span));
            Ok(())
        }
    };
}

fn word(what: &str, trace: &TraceRecord, span: &SpanRecord) -> String {
    match (what, span.shape) {
        ("ip", _) => trace.address(),
        ("term", _) => trace.term().to_owned(),
        ("carrier", _) => trace.carrier().to_owned(),
        ("operation", _) => name(span).to_owned(),
        ("error", _) => span.mishap.map_or("", |m| m.facts().message).to_owned(),
        ("statement", Shape::Query(stmt)) => stmt.facts().text.to_owned(),
        ("request", Shape::Answer(op)) => match op.facts().proto {
            Proto::Http(method, route) => format!("\"{method} {} HTTP/2.0\"", trace.path(route)),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// What stores, kernels and starting processes write of themselves.
fn machine(world: &World, what: &str, log: &LogRecord) -> Option<String> {
    let service = log.home.instance.service();
    Some(match what {
        "pid" if log.line == Line::OutOfMemory => (20_000 + log.draws % 9_000).to_string(),
        "pid" => backend(log).to_string(),
        "transaction" => (8_120_000 + log.time_ns / 1_000_000_000 % 100_000).to_string(),
        "millis" => format!("{:03}", log.draws % 400),
        "rows" => (400_000 + log.draws % 1_900_000).to_string(),
        "executable" => service.language.runtime().executable.to_owned(),
        "kilobytes" => format!("{:.0}", memory_limit(service) / 1024.0),
        "service" => service.name.to_owned(),
        "version" => world.resources.version(log.home).to_owned(),
        _ => return None,
    })
}
