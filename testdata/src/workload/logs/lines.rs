//! The templates of the log lines, the most frequent first.

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber::{Debug, Error, Info, Warn};

/// A template of lines.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) severity: SeverityNumber,
    pub(super) logger: &'static str,
    pub(super) text: &'static str,
}

const fn line(severity: SeverityNumber, logger: &'static str, text: &'static str) -> Line {
    Line { severity, logger, text }
}

/// Lines without a stack trace; how often one comes falls with its place (Zipf).
pub(super) const LINES: [Line; 36] = [
    line(
        Info,
        "access",
        "GET /api/v1/{word}/{id} HTTP/1.1 status=200 bytes={bytes} duration_ms={ms} remote={ip} request={hex} agent=\"Mozilla/5.0 (X11; Linux x86_64)\"",
    ),
    line(
        Info,
        "access",
        "POST /api/v1/orders HTTP/1.1 status=201 bytes={bytes} duration_ms={ms} remote={ip} request={hex} customer={id} items={n}",
    ),
    line(
        Debug,
        "cache",
        "cache lookup key={word}:{id}:{word} region=eu-central result=hit age_s={n} size={bytes} generation={n} shard={n} owner={ip}",
    ),
    line(
        Info,
        "orders",
        "order {id} accepted for customer {id}: {n} items, reserved in warehouse {word}, waiting for payment authorization, correlation {session}",
    ),
    line(
        Debug,
        "sql",
        "statement finished in {ms} ms: SELECT id, state, total FROM orders WHERE customer_id = {id} AND state = '{word}' LIMIT {n}, connection {session}",
    ),
    line(
        Info,
        "payments",
        "payment {entity} authorized by provider {word} after {ms} ms, amount {bytes} cents, attempt {n}, merchant {id}",
    ),
    line(
        Info,
        "sessions",
        "session {session} renewed for user {id} from {ip}, device {word}, expires in {n} minutes, previous expiry {day}, scope {word} {word}",
    ),
    line(
        Warn,
        "pool",
        "connection pool orders-{n} is nearly exhausted: active={n} idle={n} waiting={n} longest_wait_ms={ms}, oldest statement held by {word} worker on {ip}",
    ),
    line(
        Info,
        "mailer",
        "message {entity} handed to relay {ip}: template={word} locale=de-DE recipient_hash={session} size={bytes} queue_delay_ms={ms}",
    ),
    line(
        Info,
        "search",
        "query \"{word} {word}\" answered in {ms} ms: {n} hits of {id}, {n} facets, index generation {id}, rewritten as \"{word} OR {word}\"",
    ),
    line(
        Debug,
        "scheduler",
        "job {word}-{id} picked by runner {ip} after {ms} ms in the queue, priority {n}, attempt {n}, lease {session}, deadline {day}",
    ),
    line(
        Info,
        "inventory",
        "stock of item {id} in {word} changed from {n} to {n} by reservation {session}, threshold {n}, supplier {word}, next delivery {day}",
    ),
    line(
        Info,
        "ledger",
        "entry {entity} posted: account {id} to account {id}, amount {bytes} cents, value date {day}, memo {word} {word}, batch {id}",
    ),
    line(
        Warn,
        "http",
        "upstream {word}.internal answered {n} times with status 503 within {n} s, circuit is half open, next probe in {ms} ms, correlation {session}",
    ),
    line(
        Debug,
        "auth",
        "token {session} introspected for client {word}, subject {id}, scopes \"{word} {word} {word}\", cached for {n} s, issuer https://id.example.com",
    ),
    line(
        Info,
        "deploy",
        "configuration {word}.{word} reloaded from revision {session}: {n} keys changed, {n} listeners told, took {ms} ms, source {ip}",
    ),
    line(
        Info,
        "kafka",
        "partition {n} of topic {word}.events assigned, position {id}, lag {bytes}, generation {n}, coordinator {ip}, member {entity}",
    ),
    line(
        Debug,
        "gc",
        "collection {id} finished: young {ms} ms, {bytes} KiB freed, {bytes} KiB promoted, heap {n} percent used, cause {word} allocation",
    ),
    line(
        Info,
        "export",
        "report {word}-{day} rendered for tenant {id}: {bytes} rows, {n} pages, {ms} ms, stored under reports/{word}/{entity}.pdf",
    ),
    line(
        Warn,
        "quota",
        "tenant {id} used {n} percent of its {word} quota, window ends {day}, limit {bytes} per minute, caller {ip}, policy {word}",
    ),
    line(
        Info,
        "webhook",
        "delivery {entity} to https://hooks.example.net/{word} answered 204 after {ms} ms, attempt {n}, payload {bytes} bytes, signature {session}",
    ),
    line(
        Info,
        "pricing",
        "price of product {id} computed as {bytes} cents from {n} rules, winning rule {id} ({word}), channel {word}, valid until {day}",
    ),
    line(
        Debug,
        "trace",
        "sampling decision for {session}: ratio {n} percent, parent decision {word}, rule {word}-{n}, budget left {bytes} spans this minute",
    ),
    line(
        Info,
        "upload",
        "part {n} of upload {entity} stored: {bytes} bytes in {ms} ms, checksum {session}, bucket {word}-documents, client {ip}",
    ),
    line(
        Warn,
        "clock",
        "clock of {word}-node-{n} is {ms} ms away from the reference {ip}, stratum {n}, last adjusted {day}, tolerance {n} ms",
    ),
    line(
        Info,
        "recommend",
        "ranked {bytes} candidates for user {id} with model {word}-{day} in {ms} ms, {n} filtered as seen, best score 0.{n}, trace {session}",
    ),
    line(
        Info,
        "dns",
        "resolver answered {word}.{word}.svc.cluster.local with {ip} and {ip} in {ms} ms, ttl {n} s, server {ip}, flags recursion",
    ),
    line(
        Info,
        "backup",
        "snapshot {entity} of volume {word}-{n} finished: {bytes} MiB changed since {day}, {ms} s, retained as weekly, verified {session}",
    ),
    line(
        Debug,
        "lock",
        "lock {word}/{id} taken by {entity} after {ms} ms, {n} waiters, fencing token {id}, lease {n} s, previous holder {ip}",
    ),
    line(
        Warn,
        "retry",
        "attempt {n} of 5 to reach {word}.payments.example.com failed, connection reset by peer after {ms} ms, next attempt in {n} s, correlation {session}",
    ),
    line(
        Info,
        "audit",
        "user {id} changed {word} of document {entity} from \"{word}\" to \"{word}\", client {ip}, reason {word} {word}, approved by {id}",
    ),
    line(
        Info,
        "flags",
        "flag {word}-{word} evaluated {bytes} times in the last minute, {n} percent on, {n} rules, revision {session}, environment production",
    ),
    line(
        Info,
        "stream",
        "window {day} of stream {word} closed with {bytes} records, {n} late, watermark {id}, checkpoint {session} written in {ms} ms",
    ),
    line(
        Warn,
        "disk",
        "volume {word}-data-{n} is {n} percent full, {bytes} MiB left, grows by {bytes} MiB a day, cleanup of {word} due on {day}",
    ),
    line(
        Info,
        "rollout",
        "rollout of {word}-service to revision {session}: {n} of {n} pods ready, {n} restarts, started {day}, strategy surge, zone {word}",
    ),
    line(
        Info,
        "tax",
        "tax for invoice {id} computed by rule set {word}-{day}: net {bytes} cents, rate {n} percent, country {word}, rounding {word}, ref {session}",
    ),
];

/// Lines with a stack trace.
pub(super) const TROUBLES: [Line; 4] = [
    line(
        Error,
        "orders",
        "order {id} could not be placed for customer {id}: payment provider {word} did not answer within {ms} ms, correlation {session}",
    ),
    line(
        Error,
        "sql",
        "statement failed after {ms} ms on connection {session}: deadlock detected while updating stock of item {id}, transaction {id} was rolled back",
    ),
    line(
        Error,
        "http",
        "unhandled failure in POST /api/v1/{word}/{id} from {ip} after {ms} ms, answered 500, request {session}, session {session}",
    ),
    line(
        Error,
        "kafka",
        "record at position {id} of topic {word}.events partition {n} was rejected and parked: schema {word} version {n} does not match, key {entity}",
    ),
];

/// Type of an exception and its frames.
pub(super) const STACKS: [(&str, &str); 3] = [
    (
        "java.util.concurrent.TimeoutException",
        "\tat com.example.payment.ProviderClient.await(ProviderClient.java:{n})\n\tat com.example.payment.PaymentService.authorize(PaymentService.java:141)\n\tat com.example.orders.OrderService.place(OrderService.java:{n})\n\tat com.example.orders.OrderController.create(OrderController.java:57)\n\tat jdk.internal.reflect.GeneratedMethodAccessor{n}.invoke(Unknown Source)\n\tat org.springframework.web.method.support.InvocableHandlerMethod.doInvoke(InvocableHandlerMethod.java:255)\n\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)\n\tat org.apache.catalina.core.StandardWrapperValve.invoke(StandardWrapperValve.java:178)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
    ),
    (
        "sqlalchemy.exc.OperationalError",
        "Traceback (most recent call last):\n  File \"/srv/app/api/views.py\", line {n}, in dispatch\n    return handler(request, **params)\n  File \"/srv/app/stock/service.py\", line {n}, in reserve\n    session.execute(update(Stock).where(Stock.item_id == item))\n  File \"/usr/lib/python3.12/site-packages/sqlalchemy/engine/base.py\", line 1967, in _exec_single_context\n    self.dialect.do_execute(cursor, str_statement, effective_parameters, context)",
    ),
    (
        "TypeError",
        "    at resolveSchema (/srv/app/dist/schema/registry.js:{n}:31)\n    at async Consumer.handle (/srv/app/dist/consumer.js:{n}:9)\n    at async Runner.processEachBatch (/srv/app/node_modules/kafkajs/src/consumer/runner.js:213:9)\n    at async Runner.handleBatch (/srv/app/node_modules/kafkajs/src/consumer/runner.js:301:5)",
    ),
];
