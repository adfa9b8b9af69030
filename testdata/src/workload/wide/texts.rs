//! Statements, paths, agents and stack traces of the wide spans.

use crate::dice::Dice;

/// One of some texts.
pub(super) fn pick(texts: &[&'static str], dice: &mut Dice) -> &'static str {
    texts[dice.below(texts.len() as u32) as usize]
}

/// A statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) operation: &'static str,
    pub(super) collection: &'static str,
    pub(super) text: &'static str,
}

const fn statement(
    operation: &'static str,
    collection: &'static str,
    text: &'static str,
) -> Statement {
    Statement { operation, collection, text }
}

pub(super) const STATEMENTS: [Statement; 10] = [
    statement(
        "SELECT",
        "bookings",
        "SELECT b.id, b.reference, b.status, b.starts_at, c.email FROM bookings b JOIN customers c ON c.id = b.customer_id WHERE b.tenant_id = {id} AND b.status IN ('CONFIRMED', 'PENDING') AND b.starts_at >= '{day} 00:00:00' ORDER BY b.starts_at DESC LIMIT {n} OFFSET {n}",
    ),
    statement(
        "INSERT",
        "ledger_entries",
        "INSERT INTO ledger_entries (id, account_id, counter_account_id, booking_id, amount_cents, currency, value_date, memo, created_by, created_at) VALUES ('{uuid}', {id}, {id}, {id}, {bytes}, 'EUR', '{day}', 'settlement {word}', 'billing-service', now()) ON CONFLICT (id) DO NOTHING RETURNING id, created_at",
    ),
    statement(
        "UPDATE",
        "sessions",
        "UPDATE sessions SET last_seen_at = now(), expires_at = now() + interval '30 minutes', device = 'web-{n}', revision = revision + 1 WHERE id = '{uuid}' AND user_id = {id} AND revoked_at IS NULL",
    ),
    statement(
        "SELECT",
        "price_rules",
        "WITH applicable AS (SELECT r.*, row_number() OVER (PARTITION BY r.product_id ORDER BY r.priority DESC, r.valid_from DESC) AS place FROM price_rules r WHERE r.product_id IN ('{uuid}', '{uuid}', '{uuid}') AND r.valid_from <= '{day}') SELECT product_id, rule_id, factor, surcharge_cents, currency FROM applicable WHERE place = 1",
    ),
    statement(
        "SELECT",
        "documents",
        "SELECT d.id, d.owner_id, d.title, d.media_type, d.size_bytes, d.created_at FROM documents d WHERE d.owner_id = {id} AND d.title ILIKE '%{word}%' AND d.deleted_at IS NULL LIMIT 50",
    ),
    statement(
        "DELETE",
        "outbox",
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE topic = 'events.{word}' AND published_at < '{day} 04:00:00' ORDER BY id LIMIT {bytes} FOR UPDATE SKIP LOCKED)",
    ),
    statement(
        "SELECT",
        "recommendations",
        "SELECT item_id, score, reason, model_version FROM recommendations WHERE user_id = {id} AND model_version = 'two-tower-{day}' AND item_id <> ALL (ARRAY['{uuid}', '{uuid}', '{uuid}', '{uuid}']::uuid[]) ORDER BY score DESC FETCH FIRST 24 ROWS ONLY",
    ),
    statement(
        "INSERT",
        "audit_log",
        "INSERT INTO audit_log (occurred_at, actor_id, actor_kind, action, object_kind, object_id, before_state, after_state, request_id) VALUES (now(), {id}, 'user', 'document.{word}', 'document', '{uuid}', 'draft', 'published', 'req-{hex}')",
    ),
    statement(
        "SELECT",
        "invoices",
        "SELECT i.id, i.number, i.issued_on, i.due_on, i.net_cents, i.tax_cents, i.gross_cents, i.state, count(l.id) AS lines FROM invoices i JOIN invoice_lines l ON l.invoice_id = i.id WHERE i.tenant_id = {id} AND i.issued_on BETWEEN '{day}' AND '{day}' GROUP BY i.id",
    ),
    statement(
        "SELECT",
        "user_permissions",
        "SELECT p.resource, p.action, p.effect FROM user_permissions p WHERE p.user_id = {id} AND p.resource LIKE 'tenant/{id}/%' AND (p.expires_at IS NULL OR p.expires_at > now())",
    ),
];

/// Method, route, and the path that is asked for.
pub(super) const ROUTES: [(&str, &str, &str); 12] = [
    ("GET", "/api/v2/bookings/{booking_id}", "/api/v2/bookings/{id}"),
    ("POST", "/api/v2/bookings", "/api/v2/bookings"),
    ("GET", "/api/v2/accounts/{account_id}/invoices", "/api/v2/accounts/{id}/invoices"),
    ("PUT", "/api/v2/accounts/{account_id}/preferences", "/api/v2/accounts/{id}/preferences"),
    ("GET", "/api/v2/search/suggest", "/api/v2/search/suggest"),
    ("GET", "/api/v2/search/listings", "/api/v2/search/listings"),
    ("POST", "/api/v2/payments/{payment_id}/capture", "/api/v2/payments/{uuid}/capture"),
    ("GET", "/api/v2/documents/{document_id}/content", "/api/v2/documents/{uuid}/content"),
    ("PATCH", "/api/v2/documents/{document_id}", "/api/v2/documents/{uuid}"),
    ("GET", "/internal/v1/prices/{product_id}", "/internal/v1/prices/{id}"),
    ("POST", "/internal/v1/recommendations/rank", "/internal/v1/recommendations/rank"),
    ("GET", "/internal/v1/identity/tokens/{token_id}", "/internal/v1/identity/tokens/{uuid}"),
];

pub(super) const QUERIES: [&str; 6] = [
    "page={n}&size=25&sort=starts_at%2Cdesc&locale=de-DE&state={token}",
    "q={word}+{word}&category={word}&min_price={n}&max_price={bytes}&currency=EUR&session={uuid}",
    "include=customer%2Clines%2Cpayments&fields%5Bbooking%5D=id%2Creference%2Cstatus&as_of={day}&signature={token}",
    "utm_source=newsletter&utm_medium=email&utm_campaign={word}-{day}&gclid={token}",
    "expand=rules&products={id}%2C{id}%2C{id}&date={day}&channel=web&nonce={hex}",
    "cursor={uuid}&limit=50&filter=state%3Aopen&tz=Europe%2FBerlin",
];

pub(super) const AGENTS: [&str; 16] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "axios/1.9.0",
    "Apache-HttpClient/5.4.4 (Java/21.0.6)",
];

pub(super) const REFERERS: [&str; 5] = [
    "https://www.example.com/",
    "https://www.example.com/de/angebote/sommer",
    "https://www.example.com/account/bookings",
    "https://www.google.com/",
    "https://partner.example.net/embed/widget",
];

pub(super) const BAGGAGE: [&str; 3] = [
    "flags=checkout-v3;key={token}{token};digest={token}",
    "flags=checkout-v2;key={token}{token};digest={token}",
    "flags=new-ranking;key={token}{token};digest={token}",
];

pub(super) const TOPICS: [&str; 6] = [
    "bookings.confirmed",
    "payments.captured",
    "documents.published",
    "accounts.updated",
    "prices.changed",
    "notifications.requested",
];

pub(super) const FUNCTIONS: [&str; 12] = [
    "BookingController.find",
    "BookingService.confirm",
    "LedgerRepository.append",
    "PreferenceService.store",
    "SuggestHandler.handle",
    "internal/documents.(*Store).Content",
    "internal/gateway.(*Proxy).ServeHTTP",
    "TokenService.introspect",
    "Dispatcher.dispatch",
    "pricing.engine.rules.apply_rules",
    "recommend.rank.rank_candidates",
    "reporting.jobs.nightly.run",
];

/// Type and message of an exception.
pub(super) const ERRORS: [(&str, &str); 6] = [
    (
        "java.sql.SQLTransientConnectionException",
        "HikariPool-1 - Connection is not available, request timed out after 30000ms",
    ),
    (
        "org.springframework.dao.DeadlockLoserDataAccessException",
        "ERROR: deadlock detected; process {id} waits for ShareLock on transaction {id}",
    ),
    (
        "java.net.SocketTimeoutException",
        "Read timed out after {ms} ms while waiting for pricing-engine",
    ),
    ("TokenExpiredError", "jwt expired at {day}T09:14:07.000Z for subject u-{id}"),
    ("pricing.errors.RuleConflict", "rules {id} and {id} both claim product {id}"),
    ("context.DeadlineExceeded", "context deadline exceeded while reading object {uuid}"),
];

pub(super) const STACKS: [&str; 3] = [
    "\tat com.zaxxer.hikari.pool.HikariPool.createTimeoutException(HikariPool.java:696)\n\tat com.zaxxer.hikari.pool.HikariPool.getConnection(HikariPool.java:181)\n\tat com.zaxxer.hikari.HikariDataSource.getConnection(HikariDataSource.java:100)\n\tat org.hibernate.engine.jdbc.connections.internal.DatasourceConnectionProviderImpl.getConnection(DatasourceConnectionProviderImpl.java:126)\n\tat org.hibernate.resource.jdbc.internal.LogicalConnectionManagedImpl.acquireConnectionIfNeeded(LogicalConnectionManagedImpl.java:107)\n\tat org.springframework.orm.jpa.JpaTransactionManager.doBegin(JpaTransactionManager.java:420)\n\tat com.example.booking.BookingService.confirm(BookingService.java:{n})\n\tat com.example.booking.BookingController.create(BookingController.java:88)\n\tat jdk.internal.reflect.GeneratedMethodAccessor{n}.invoke(Unknown Source)\n\tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:885)\n\tat org.apache.tomcat.util.threads.TaskThread$WrappingRunnable.run(TaskThread.java:63)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
    "    at TokenService.introspect (/srv/app/dist/identity/token.service.js:{n}:17)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)\n    at async AuthGuard.canActivate (/srv/app/dist/identity/auth.guard.js:41:22)\n    at async GuardsConsumer.tryActivate (/srv/app/node_modules/@nestjs/core/guards/guards-consumer.js:16:17)\n    at async canActivateFn (/srv/app/node_modules/@nestjs/core/router/router-execution-context.js:135:33)\n    at async /srv/app/node_modules/@nestjs/core/router/router-proxy.js:9:17",
    "  File \"/app/pricing/engine/rules.py\", line {n}, in apply_rules\n    rule = resolve(candidates, product)\n  File \"/app/pricing/engine/resolve.py\", line {n}, in resolve\n    raise RuleConflict(first, second, product)\n  File \"/usr/local/lib/python3.12/site-packages/opentelemetry/instrumentation/dbapi/__init__.py\", line 476, in traced_execution\n    return query_method(*args, **kwargs)",
];
