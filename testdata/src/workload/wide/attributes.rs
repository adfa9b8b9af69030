//! The attributes of a span by what it does.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::super::fill::filled;
use super::{pods, tenant, texts};
use crate::attrs::Attrs;
use crate::dice::Dice;

/// What a span does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Answers an HTTP request.
    Answer,
    /// Sends an HTTP request.
    Ask,
    /// Asks a database.
    Query,
    /// Takes a message.
    Consume,
}

impl Shape {
    pub(super) const fn of(operation: u32) -> Self {
        match operation {
            0..3 => Self::Answer,
            3 | 4 => Self::Ask,
            5 | 6 => Self::Query,
            _ => Self::Consume,
        }
    }

    pub(super) const fn kind(self) -> SpanKind {
        match self {
            Self::Answer => SpanKind::Server,
            Self::Ask | Self::Query => SpanKind::Client,
            Self::Consume => SpanKind::Consumer,
        }
    }
}

/// Which operation of which service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) service: usize,
    pub(super) number: u32,
}

impl Operation {
    const fn place(self) -> usize {
        self.service * 8 + self.number as usize
    }
}

/// Who caused a trace; all its spans say the same of them.
pub(super) struct User {
    tenant: u32,
    request: String,
    session: String,
    id: u32,
    baggage: String,
    address: String,
    agent: String,
}

impl User {
    pub(super) fn of(dice: &mut Dice) -> Self {
        Self {
            tenant: dice.below(super::TENANTS),
            request: filled("{uuid}", dice),
            session: filled("{token}{token}", dice),
            id: dice.below(2_000_000),
            baggage: filled(texts::pick(&texts::BAGGAGE, dice), dice),
            address: filled("{ip}", dice),
            agent: filled(texts::pick(&texts::AGENTS, dice), dice),
        }
    }
}

/// What every span carries.
pub(super) fn common(user: &User, dice: &mut Dice, attrs: &mut Attrs) {
    attrs.text(super::TENANT_KEY, tenant(user.tenant));
    attrs.text("app.request.id", user.request.as_str());
    attrs.text("session.id", user.session.as_str());
    attrs.text("enduser.pseudo.id", format!("u-{:07}", user.id));
    attrs.text("app.baggage", user.baggage.as_str());
    let thread = dice.below(64);
    attrs.int("thread.id", i64::from(40 + thread));
    attrs.text("thread.name", format!("worker-{thread}"));
    let function = dice.below(texts::FUNCTIONS.len() as u32) as usize;
    attrs.text("code.function.name", texts::FUNCTIONS[function]);
    attrs.int("code.line.number", 30 + function as i64 * 17);
}

/// Adds what spans of this operation carry; returns the span's name.
pub(super) fn of_shape(
    of: Operation,
    user: &User,
    failed: bool,
    dice: &mut Dice,
    attrs: &mut Attrs,
) -> String {
    match Shape::of(of.number) {
        Shape::Answer => answer(of.place(), user, failed, dice, attrs),
        Shape::Ask => ask(of.place(), user, failed, dice, attrs),
        Shape::Query => query(of, dice, attrs),
        Shape::Consume => consume(of.place(), user, dice, attrs),
    }
}

fn status(failed: bool, dice: &mut Dice) -> i64 {
    match (failed, dice.below(20)) {
        (true, 0..14) => 500,
        (true, _) => 503,
        (false, 0..15) => 200,
        (false, 15..18) => 201,
        (false, 18) => 304,
        _ => 404,
    }
}

fn answer(at: usize, user: &User, failed: bool, dice: &mut Dice, attrs: &mut Attrs) -> String {
    let (method, route, path) = texts::ROUTES[at % texts::ROUTES.len()];
    attrs.text("http.request.method", method).text("http.route", route);
    attrs.text("url.path", filled(path, dice));
    attrs.text("url.query", filled(texts::pick(&texts::QUERIES, dice), dice));
    attrs.text("url.scheme", "https").text("network.protocol.version", "1.1");
    attrs.text("server.address", "api.example.com").int("server.port", 443);
    attrs.text("client.address", user.address.as_str());
    attrs.text("network.peer.address", filled("{ip}", dice));
    attrs.int("network.peer.port", i64::from(32_768 + dice.below(28_000)));
    attrs.text("user_agent.original", user.agent.as_str());
    attrs.list("http.request.header.referer", &[texts::pick(&texts::REFERERS, dice)]);
    attrs.list("http.response.header.etag", &[&filled("W/\"{hex}\"", dice)]);
    attrs.int("http.request.body.size", dice.log_normal(600.0, 1.0) as i64);
    attrs.int("http.response.body.size", dice.log_normal(9000.0, 1.3) as i64);
    attrs.int("http.response.status_code", status(failed, dice));
    format!("{method} {route}")
}

fn ask(at: usize, user: &User, failed: bool, dice: &mut Dice, attrs: &mut Attrs) -> String {
    let (method, route, path) = texts::ROUTES[at % texts::ROUTES.len()];
    let address = pods::address(at * 5 + 1);
    let query = filled(texts::pick(&texts::QUERIES, dice), dice);
    let url = format!("http://{address}:8080{}?{query}", filled(path, dice));
    attrs.text("http.request.method", method).text("url.full", url);
    attrs.text("url.template", route).text("service.peer.name", address.as_str());
    attrs.text("server.address", address).int("server.port", 8080);
    attrs.text("network.peer.address", filled("{ip}", dice)).int("network.peer.port", 8080);
    attrs.text("network.protocol.version", "1.1");
    attrs.text("http.connection.state", if dice.chance(970_000) { "reused" } else { "opened" });
    attrs.int("http.request.resend_count", i64::from(dice.chance(10_000)));
    attrs.int("http.request.body.size", dice.log_normal(500.0, 1.0) as i64);
    attrs.int("http.response.body.size", dice.log_normal(5000.0, 1.3) as i64);
    attrs.list("http.request.header.x-request-id", &[&user.request]);
    attrs.list("http.response.header.etag", &[&filled("W/\"{hex}\"", dice)]);
    attrs.int("http.response.status_code", status(failed, dice));
    format!("{method} {route}")
}

fn query(of: Operation, dice: &mut Dice, attrs: &mut Attrs) -> String {
    let statement = &texts::STATEMENTS[of.place() % texts::STATEMENTS.len()];
    let database = of.service % 3;
    attrs.text("db.system.name", "postgresql");
    attrs.text("db.namespace", ["core|public", "ledger|public", "search|public"][database]);
    attrs.text("db.operation.name", statement.operation);
    attrs.text("db.collection.name", statement.collection);
    let summary = format!("{} {}", statement.operation, statement.collection);
    attrs.text("db.query.text", filled(statement.text, dice));
    attrs.text("db.query.summary", summary.as_str());
    attrs.text("db.query.parameter.0", filled("{uuid}", dice));
    attrs.text("db.query.parameter.1", filled("{id}", dice));
    attrs.int("db.response.returned_rows", i64::from(dice.below(200)));
    attrs.text("db.response.status_code", "00000");
    attrs.text("server.address", format!("pg-{database}.rds.example.com"));
    attrs.int("server.port", 5432);
    attrs.text("network.peer.address", format!("10.12.200.{}", 11 + database));
    attrs.int("network.peer.port", 5432);
    attrs.text("db.client.connection.pool.name", "HikariPool-1");
    attrs.int("db.client.connection.wait_us", dice.log_normal(90.0, 1.0) as i64);
    summary
}

fn consume(at: usize, user: &User, dice: &mut Dice, attrs: &mut Attrs) -> String {
    let topic = texts::TOPICS[at % texts::TOPICS.len()];
    let group = format!("{}-consumer-v2", pods::SERVICES[at % pods::SERVICES.len()].name);
    let partition = dice.below(24);
    attrs.text("messaging.system", "kafka").text("messaging.destination.name", topic);
    attrs.text("messaging.operation.name", "process").text("messaging.operation.type", "process");
    attrs.text("messaging.consumer.group.name", group.as_str());
    attrs.text("messaging.client.id", format!("{group}-{}", partition % 6));
    attrs.text("messaging.destination.partition.id", partition.to_string());
    attrs.int("messaging.kafka.offset", i64::from(800_000_000 + dice.below(9_000_000)));
    attrs.text("messaging.kafka.message.key", filled("{uuid}", dice));
    attrs.text("messaging.message.id", filled("{uuid}", dice));
    attrs.text("messaging.message.conversation_id", user.request.as_str());
    attrs.text("app.event.checksum", filled("{hex}", dice));
    attrs.int("messaging.message.body.size", dice.log_normal(1800.0, 0.9) as i64);
    attrs.int("messaging.batch.message_count", i64::from(1 + dice.below(50)));
    attrs.text("server.address", format!("kafka-{}.kafka.svc.cluster.local", partition % 6));
    attrs.int("server.port", 9093);
    format!("process {topic}")
}
