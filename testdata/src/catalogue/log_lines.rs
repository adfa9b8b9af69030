//! What the services log. Placeholders in braces are filled from the trace (order, user, sku, term,
//! session, ip, carrier) or the record (n, ms, cents, attempt).

use super::statements::Store;

/// Severity of a line, with its OTLP number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Severity {
    Debug = 5,
    Info = 9,
    Warn = 13,
    Error = 17,
}

impl Severity {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// A log template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) severity: Severity,
    /// Logger, the scope name.
    pub(crate) logger: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! lines {
    ($($(#[$doc:meta])* $id:ident = $severity:ident $logger:literal, $text:literal;)+) => {
        /// A log template's number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Line { $($(#[$doc])* $id),+ }

        static TEMPLATES: &[Template] = &[$(Template {
            severity: Severity::$severity, logger: $logger, text: $text,
        }),+];
    };
}

lines! {
    /// One line per request at the gateway.
    Access = Info "nginx.access", "{ip} - - {request} {status} {bytes} {seconds}";
    PageRendered = Info "web.render", "rendered page for user {user} in {ms} ms with {n} fragments";
    FragmentCached = Debug "web.cache", "fragment cache hit key=product:{sku} age={n}s";
    FragmentMissing = Warn "web.render", "rendered without an optional fragment for user {user}: upstream failed, showing the default";
    SessionChecked = Debug "auth.session", "session {session} is valid for user {user}";
    SessionExpired = Info "auth.session", "session {session} expired {n} minutes ago, issuing a new one";
    LoginOk = Info "auth.login", "user {user} logged in from {ip}";
    LoginRefused = Warn "auth.login", "login refused for user {user} from {ip}: bad credentials, attempt {attempt}";
    CheckoutStarted = Info "checkout.flow", "checkout started order={order} user={user} items={n}";
    CheckoutDone = Info "checkout.flow", "checkout completed order={order} total_cents={cents} in {ms} ms";
    CheckoutStep = Debug "checkout.flow", "order={order} step finished, {n} steps left";
    CartLoaded = Debug "Shop.Cart.CartStore", "Loaded cart of user {user} with {n} lines";
    CartAdded = Info "Shop.Cart.CartService", "Added {n} x {sku} to the cart of user {user}";
    CartEmptied = Info "Shop.Cart.CartService", "Emptied the cart of user {user} after order {order}";
    ProductServed = Debug "com.shop.catalog.ProductService", "Product {sku} served from cache, age {n} s";
    ProductMissed = Info "com.shop.catalog.ProductService", "Cache miss for product {sku}, reading from catalog-db";
    ProductList = Info "com.shop.catalog.ListService", "Listed {n} products in {ms} ms";
    ProductGone = Info "com.shop.catalog.ProductService", "Product {sku} is no longer sold";
    SearchDone = Info "com.shop.search.QueryService", "query \"{term}\" matched {n} products in {ms} ms";
    SearchEmpty = Info "com.shop.search.QueryService", "query \"{term}\" matched nothing, suggesting spelling";
    SearchRewritten = Debug "com.shop.search.Rewriter", "rewrote \"{term}\" with {n} synonyms";
    SimilarFound = Info "recommendation.model", "scored {n} candidates for user {user} in {ms} ms";
    ModelStale = Warn "recommendation.model", "model is {n} hours old, expected a refresh every 6 hours";
    FeaturesLoaded = Debug "recommendation.features", "loaded {n} features for user {user}";
    PriceRule = Debug "pricing::rules", "applied {n} rules to {sku}, final price {cents}";
    PriceCached = Debug "pricing::cache", "price of {sku} served from cache";
    StockChecked = Debug "inventory.stock", "stock of {sku} is {n}";
    StockReserved = Info "inventory.reserve", "reserved {n} x {sku} for order {order}";
    StockLow = Warn "inventory.stock", "stock of {sku} is low: {n} left, reorder point reached";
    PaymentStarted = Info "com.shop.payment.PaymentService", "Charging {cents} cents for order {order}";
    PaymentDone = Info "com.shop.payment.PaymentService", "Payment for order {order} authorised in {ms} ms";
    PaymentRetry = Warn "com.shop.payment.ProviderClient", "Provider api.payments.example did not answer for order {order}, retry {attempt} of 2";
    PaymentDeclined = Warn "com.shop.payment.PaymentService", "Payment for order {order} declined by issuer";
    OrderCreated = Info "com.shop.orders.OrderService", "Order {order} created for user {user}, {n} lines, total {cents}";
    OrderPublished = Debug "com.shop.orders.Outbox", "Published OrderPlaced for {order} to topic orders partition {attempt}";
    OrderRead = Debug "com.shop.orders.OrderService", "Order {order} read for user {user}";
    HistoryRead = Info "com.shop.orders.HistoryService", "Order history of user {user} has {n} orders, read in {ms} ms";
    /// A structured body.
    OrderPlaced = Info "com.shop.orders.Events", "order placed";
    ShippingQuoted = Info "shipping.quote", "quoted {carrier} for order {order}: {cents} cents, {n} days";
    ShipmentPlanned = Info "shipping.planner", "planned shipment of order {order} with {carrier}";
    ShipmentTracked = Debug "shipping.tracking", "shipment of order {order} is with {carrier}";
    FraudScored = Info "fraud.scoring", "order {order} scored 0.{n} by model v7 for user {user}";
    FraudSuspicious = Warn "fraud.scoring", "order {order} of user {user} looks suspicious: velocity {n} per hour from {ip}";
    MailSent = Info "notification.mail", "sent order confirmation for {order} to user {user} in {ms} ms";
    MailDeferred = Warn "notification.mail", "mail for order {order} deferred by relay, attempt {attempt}";
    MessageTaken = Debug "notification.consumer", "took message at offset {n} of topic orders for {order}";
    /// An optional dependency failed.
    Fallback = Warn "resilience", "optional dependency failed after {ms} ms, continuing with fallback";
    /// The operation failed by itself; carries the exception.
    Failed = Error "error", "{operation} failed: {error}";
    /// The operation failed because something it needs failed.
    Gave = Error "error", "{operation} gave up: a required call failed: {error}";
    /// A statement took longer than the server's threshold; written by the database.
    SlowStatement = Warn "postgresql", "duration: {ms} ms  execute <unnamed>: {statement}";
    /// The same of MySQL.
    SlowQuery = Warn "mysqld", "Query_time: {seconds}  Lock_time: 0.000004  Rows_examined: {rows}  {statement}";
    /// Written by PostgreSQL when a statement has waited for `deadlock_timeout` (`log_lock_waits`).
    LockWait = Info "postgresql", "process {pid} still waiting for ShareLock on transaction {transaction} after 1000.{millis} ms";
    LockAcquired = Info "postgresql", "process {pid} acquired ShareLock on transaction {transaction} after {ms} ms";
    /// SQLSTATE 53100.
    NoSpace = Error "postgresql", "could not extend file \"base/16411/24603.{n}\": No space left on device";
    CacheDiskFull = Error "redis", "Write error saving DB on disk: No space left on device";
    BrokerDiskFull = Error "kafka.log.LogManager", "Error while writing to checkpoint file /var/lib/data/kafka/orders-{attempt}: java.io.IOException: No space left on device";
    PoolTimeout = Warn "pool", "connection is not available, request timed out after 2500 ms (total=20, active=20, idle=0, waiting={n})";
    /// Written by the kernel of the host.
    OutOfMemory = Error "kernel", "Memory cgroup out of memory: Killed process {pid} ({executable}) anon-rss:{kilobytes}kB, oom_score_adj:984";
    /// The first line of a process.
    Started = Info "main", "{service} {version} started in {n} s";
    /// A feature that was not there before.
    FlagEvaluated = Info "feature.flags", "flag express-checkout evaluated to variant {attempt} for user {user}";
}

/// Who writes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Writer {
    /// An instance, in the context of a span.
    Request,
    /// An instance, outside any request.
    Process,
    /// The kernel of the instance's host.
    Kernel,
    /// The broker, in a log of its own.
    Broker,
    /// A store, in a log of its own.
    Store(Store),
}

impl Line {
    /// Who writes it.
    pub(crate) const fn writer(self) -> Writer {
        match self {
            Self::SlowStatement | Self::LockWait | Self::LockAcquired | Self::NoSpace => {
                Writer::Store(Store::Orders)
            }
            Self::SlowQuery => Writer::Store(Store::Catalog),
            Self::CacheDiskFull => Writer::Store(Store::Cache),
            Self::BrokerDiskFull => Writer::Broker,
            Self::OutOfMemory => Writer::Kernel,
            Self::Started => Writer::Process,
            _ => Writer::Request,
        }
    }

    pub(crate) fn template(self) -> &'static Template {
        &TEMPLATES[self as usize]
    }
}
