//! Span attributes by the stable semantic conventions; shipping still uses the names of 2022.

use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::spans::failed;
use super::trouble;
use crate::attrs::Attrs;
use crate::catalogue::graph::Proto;
use crate::catalogue::mishaps::{Mishap, grpc_name};
use crate::catalogue::ops::OpId;
use crate::catalogue::services::{Language, Svc};
use crate::catalogue::statements::{Stmt, Store};
use crate::simulate::{Shape, SpanRecord, TraceRecord};

/// The attributes of a span.
pub(super) fn attributes(trace: &TraceRecord, span: &SpanRecord) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(14);
    let old = span.home.instance.service().svc == Svc::Shipping;
    match span.shape {
        Shape::Answer(op) => match op.facts().proto {
            Proto::Http(method, route) if old => {
                attrs.text("http.method", method).text("http.target", trace.path(route));
                attrs.text("http.route", route).text("http.scheme", "http");
                attrs.int("http.status_code", i64::from(span.status));
                attrs.text("net.host.name", host_name(Svc::Shipping)).int("net.host.port", 9292);
            }
            Proto::Http(method, route) => http_server(trace, span, method, route, &mut attrs),
            Proto::Grpc(method) => {
                attrs.text("rpc.system.name", "grpc").text("rpc.method", method);
                attrs.text("rpc.response.status_code", grpc_name(span.status));
                server(span.home.instance.service().svc, &mut attrs);
                attrs.text("network.peer.address", span.peer.address());
                business(op, trace, span, &mut attrs);
            }
            Proto::Internal => internal(op, trace, span, &mut attrs),
            Proto::Consumer(group) => consumer(group, trace, span, &mut attrs),
        },
        Shape::Ask(op) => ask(op, trace, span, &mut attrs),
        Shape::Query(stmt) if old => {
            let facts = stmt.facts();
            attrs.text("db.system", facts.store.facts().system);
            attrs.text("db.name", facts.store.facts().namespace);
            attrs.text("db.statement", facts.text).text("db.operation", facts.operation);
            attrs.text("db.sql.table", facts.table);
            attrs.text("net.peer.name", facts.store.facts().address);
            attrs.int("net.peer.port", facts.store.facts().port);
        }
        Shape::Query(stmt) => query(stmt, span, &mut attrs),
        Shape::Charge(attempt) => charge(attempt, span, &mut attrs),
        Shape::Publish => publish(trace, span, &mut attrs),
    }
    if let Some(mishap) = span.mishap.filter(|m| failed(span, *m)) {
        let kind = trouble::charge_error(span.shape, mishap)
            .unwrap_or_else(|| mishap.type_in(span.home.instance.service().language));
        attrs.text("error.type", kind);
    }
    if span.home.instance.service().language == Language::Java {
        attrs.int("thread.id", 30 + (span.draws % 200) as i64);
    }
    attrs.take()
}

fn host_name(svc: Svc) -> String {
    format!("{}.shop.svc", svc.facts().name)
}

fn server(svc: Svc, attrs: &mut Attrs) {
    attrs.text("server.address", host_name(svc)).int("server.port", svc.facts().port);
}

fn http_server(
    trace: &TraceRecord,
    span: &SpanRecord,
    method: &'static str,
    route: &'static str,
    attrs: &mut Attrs,
) {
    let svc = span.home.instance.service().svc;
    let edge = svc == Svc::EdgeGateway;
    attrs.text("http.request.method", method);
    attrs.text("url.scheme", if edge { "https" } else { "http" });
    attrs.text("url.path", trace.path(route)).text("http.route", route);
    attrs.int("http.response.status_code", i64::from(span.status));
    attrs.text("network.protocol.version", if edge { "2" } else { "1.1" });
    if route == "/search" {
        attrs.text("url.query", format!("q={}", trace.term().replace(' ', "+")));
    }
    if matches!(svc, Svc::EdgeGateway | Svc::WebFrontend) {
        attrs.text("server.address", "shop.example").int("server.port", 443);
        attrs.text("client.address", trace.address());
        attrs.text("user_agent.original", trace.agent());
        attrs.text("enduser.id", format!("u-{}", trace.user()));
    } else {
        server(svc, attrs);
        attrs.text("network.peer.address", span.peer.address());
    }
}

fn ask(op: OpId, trace: &TraceRecord, span: &SpanRecord, attrs: &mut Attrs) {
    let svc = op.facts().service;
    match op.facts().proto {
        Proto::Grpc(method) => {
            attrs.text("rpc.system.name", "grpc").text("rpc.method", method);
            attrs.text("rpc.response.status_code", grpc_name(span.status));
        }
        Proto::Http(method, route) => {
            attrs.text("http.request.method", method);
            attrs.text(
                "url.full",
                format!("http://{}:{}{}", host_name(svc), svc.facts().port, trace.path(route)),
            );
            attrs.int("http.response.status_code", i64::from(span.status));
            attrs.text("network.protocol.version", "1.1");
        }
        Proto::Internal | Proto::Consumer(_) => {}
    }
    server(svc, attrs);
    attrs.text("network.peer.address", span.peer.address());
    attrs.text("service.peer.name", svc.facts().name);
}

fn query(stmt: Stmt, span: &SpanRecord, attrs: &mut Attrs) {
    let (facts, store) = (stmt.facts(), stmt.facts().store.facts());
    attrs.text("db.system.name", store.system).text("db.namespace", store.namespace);
    attrs.text("db.operation.name", facts.operation);
    attrs.text("db.query.text", facts.text);
    if facts.store == Store::Cache {
        attrs.flag("db.cache.hit", span.draws % 10 < 8);
    } else {
        attrs.text("db.collection.name", facts.table).text("db.query.summary", facts.summary);
        if facts.rows > 0 {
            let rows = 1 + span.draws % u64::from(facts.rows);
            attrs.int("db.response.returned_rows", rows as i64);
        }
    }
    if span.mishap == Some(Mishap::NoSpace) {
        // SQLSTATE of class 53, insufficient resources: disk_full.
        attrs.text("db.response.status_code", "53100");
    }
    attrs.text("server.address", store.address).int("server.port", store.port);
    attrs.text("network.peer.address", store.peer);
}

fn charge(attempt: u8, span: &SpanRecord, attrs: &mut Attrs) {
    attrs.text("http.request.method", "POST");
    attrs.text("url.full", "https://api.payments.example/v2/charges");
    attrs.text("server.address", "api.payments.example").int("server.port", 443);
    attrs.text("network.peer.address", "198.18.7.40").int("network.peer.port", 443);
    attrs.text("network.protocol.version", "2");
    if attempt > 1 {
        attrs.int("http.request.resend_count", i64::from(attempt) - 1);
    }
    // A timeout has no response.
    if span.status != 504 {
        let status = if span.mishap.is_some() { 503 } else { 201 };
        attrs.int("http.response.status_code", status);
    }
}

fn kafka(operation: &'static str, kind: &'static str, span: &SpanRecord, attrs: &mut Attrs) {
    attrs.text("messaging.system", "kafka").text("messaging.destination.name", "orders");
    attrs.text("messaging.operation.name", operation).text("messaging.operation.type", kind);
    attrs.text("messaging.destination.partition.id", ["0", "1", "2"][(span.draws % 3) as usize]);
    attrs.int("messaging.kafka.offset", (span.start_ns / 1_000_000 % 100_000_000_000) / 3);
    attrs.text("server.address", "kafka.shop.svc").int("server.port", 9092);
}

fn publish(trace: &TraceRecord, span: &SpanRecord, attrs: &mut Attrs) {
    kafka("send", "send", span, attrs);
    attrs.text("messaging.client.id", "orders-producer");
    attrs.text("messaging.kafka.message.key", trace.order().to_string());
}

fn consumer(group: &'static str, trace: &TraceRecord, span: &SpanRecord, attrs: &mut Attrs) {
    kafka("process", "process", span, attrs);
    attrs.text("messaging.consumer.group.name", group);
    attrs.text("messaging.kafka.message.key", trace.order().to_string());
}

/// Attributes the shop's own code adds to its calls.
fn business(op: OpId, trace: &TraceRecord, span: &SpanRecord, attrs: &mut Attrs) {
    match op {
        OpId::PlaceOrder => {
            attrs.text("app.order.id", trace.order().to_string());
            attrs.int("app.order.items", 1 + (trace.draws % 6) as i64);
            attrs.double("app.order.total", trace.cents() as f64 / 100.0);
            attrs.text("app.currency", "EUR");
        }
        OpId::FraudScore => {
            attrs.double("app.fraud.score", (span.draws % 1000) as f64 / 1000.0);
        }
        OpId::SessionCheck | OpId::Login => {
            attrs.text("enduser.id", format!("u-{}", trace.user()));
        }
        _ => {
            attrs.text("app.sku", format!("sku-{}", trace.product()));
        }
    }
}

fn internal(op: OpId, trace: &TraceRecord, span: &SpanRecord, attrs: &mut Attrs) {
    attrs.text("code.function.name", code_function(op));
    match op {
        OpId::SearchParse | OpId::SearchExecute => {
            attrs.text("app.search.term", trace.term());
            attrs.int("app.search.hits", (span.draws % 400) as i64);
            attrs.list("app.search.fields", &["name", "description", "brand"]);
        }
        OpId::FraudModel | OpId::Score => {
            attrs.text("app.model.version", "v7").int("app.model.features", 128);
            attrs.flag("app.model.warm", !span.draws.is_multiple_of(50));
        }
        OpId::SendMail => {
            attrs.text("app.mail.template", "order-confirmation");
        }
        _ => {
            attrs.text("enduser.id", format!("u-{}", trace.user()));
        }
    }
    attrs.text("thread.name", format!("worker-{}", span.draws % 16));
}

fn code_function(op: OpId) -> &'static str {
    match op {
        OpId::Render => "web.pages.render",
        OpId::HashPassword => "shop/userauth/internal/password.Compare",
        OpId::SearchParse => "com.shop.search.QueryParser.parse",
        OpId::SearchExecute => "com.shop.search.Index.execute",
        OpId::Score => "recommendation.model.score",
        OpId::FraudModel => "fraud.model.predict",
        OpId::Tokenise => "com.shop.payment.Vault.tokenise",
        _ => "notification.mail.send",
    }
}
