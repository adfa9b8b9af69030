//! Databases, the cache, and the statements asked of them.

use super::graph::{Call, What};
use super::ops::OPS;
use super::services::{BROKER_HOST, DATABASE_HOST, Svc};

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Store {
    /// PostgreSQL.
    Orders,
    /// MySQL.
    Catalog,
    /// Redis.
    Cache,
}

/// Facts about a store.
#[derive(Debug)]
pub(crate) struct StoreFacts {
    pub(crate) address: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) port: i64,
    pub(crate) system: &'static str,
    pub(crate) namespace: &'static str,
    pub(crate) host: usize,
}

/// Every store, in the order of [`Store`].
pub(crate) static STORES: [StoreFacts; 3] = [
    StoreFacts {
        address: "orders-db.shop.svc",
        peer: "10.42.5.101",
        port: 5432,
        system: "postgresql",
        namespace: "orders",
        host: DATABASE_HOST,
    },
    StoreFacts {
        address: "catalog-db.shop.svc",
        peer: "10.42.6.102",
        port: 3306,
        system: "mysql",
        namespace: "catalog",
        host: BROKER_HOST,
    },
    StoreFacts {
        address: "cart-cache.shop.svc",
        peer: "10.42.5.103",
        port: 6379,
        system: "redis",
        namespace: "0",
        host: DATABASE_HOST,
    },
];

impl Store {
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn facts(self) -> &'static StoreFacts {
        &STORES[self.index()]
    }
}

/// A parameterised statement or command.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) store: Store,
    pub(crate) operation: &'static str,
    /// Table; empty for the cache.
    pub(crate) table: &'static str,
    /// `db.query.summary`, also the span's name.
    pub(crate) summary: &'static str,
    /// `db.query.text`.
    pub(crate) text: &'static str,
    /// Median execution time, microseconds.
    pub(crate) median_us: f64,
    /// Shape of the log-normal execution time.
    pub(crate) sigma: f64,
    /// Most rows returned.
    pub(crate) rows: u32,
}

macro_rules! statements {
    ($($(#[$doc:meta])* $id:ident = $store:ident $operation:literal $table:literal, $median:literal us ~ $sigma:literal, rows $rows:literal, $summary:literal, $text:literal;)+) => {
        /// A statement's number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum Stmt { $($(#[$doc])* $id),+ }

        /// Every statement's number, in order.
        static NUMBERS: &[Stmt] = &[$(Stmt::$id),+];

        /// Every statement, in the order of [`Stmt`].
        pub(crate) static STATEMENTS: &[Statement] = &[$(Statement {
            store: Store::$store, operation: $operation, table: $table, summary: $summary,
            text: $text, median_us: $median, sigma: $sigma, rows: $rows,
        }),+];
    };
}

statements! {
    OrderInsert = Orders "INSERT" "orders", 1400.0 us ~ 0.45, rows 1, "INSERT orders",
        "INSERT INTO orders (id, customer_id, status, total_cents, currency, created_at) VALUES ($1, $2, $3, $4, $5, now()) RETURNING id";
    OrderItems = Orders "INSERT" "order_items", 1700.0 us ~ 0.5, rows 0, "INSERT order_items",
        "INSERT INTO order_items (order_id, line, sku, quantity, price_cents) SELECT $1, * FROM unnest($2::int[], $3::text[], $4::int[], $5::int[])";
    OrderOutbox = Orders "INSERT" "outbox", 700.0 us ~ 0.4, rows 0, "INSERT outbox",
        "INSERT INTO outbox (aggregate_id, topic, payload) VALUES ($1, $2, $3)";
    OrderById = Orders "SELECT" "orders", 800.0 us ~ 0.4, rows 1, "SELECT orders",
        "SELECT id, customer_id, status, total_cents, currency, created_at FROM orders WHERE id = $1";
    OrderLines = Orders "SELECT" "order_items", 950.0 us ~ 0.45, rows 6, "SELECT order_items",
        "SELECT line, sku, quantity, price_cents FROM order_items WHERE order_id = $1 ORDER BY line";
    /// The statement of the slow-sql incident: its index is lost.
    OrderHistory = Orders "SELECT" "orders", 9500.0 us ~ 0.4, rows 20, "SELECT orders order_items",
        "SELECT o.id, o.status, o.total_cents, count(i.line) FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.customer_id = $1 GROUP BY o.id ORDER BY o.created_at DESC LIMIT $2";
    StockForUpdate = Orders "SELECT" "stock", 900.0 us ~ 0.5, rows 4, "SELECT stock",
        "SELECT sku, on_hand, reserved FROM stock WHERE sku = ANY($1) FOR UPDATE";
    StockReserve = Orders "UPDATE" "stock", 1100.0 us ~ 0.5, rows 0, "UPDATE stock",
        "UPDATE stock SET reserved = reserved + $2 WHERE sku = $1 AND on_hand - reserved >= $2";
    StockBySku = Orders "SELECT" "stock", 600.0 us ~ 0.4, rows 1, "SELECT stock",
        "SELECT on_hand - reserved AS available FROM stock WHERE sku = $1";
    UserByEmail = Orders "SELECT" "users", 650.0 us ~ 0.4, rows 1, "SELECT users",
        "SELECT id, password_hash, locked_until FROM users WHERE lower(email) = lower($1)";
    PaymentInsert = Orders "INSERT" "payments", 1000.0 us ~ 0.4, rows 1, "INSERT payments",
        "INSERT INTO payments (order_id, provider_ref, amount_cents, state) VALUES ($1, $2, $3, $4) RETURNING id";
    ShipmentByOrder = Orders "SELECT" "shipments", 750.0 us ~ 0.4, rows 1, "SELECT shipments",
        "SELECT id, carrier, tracking_code, state, eta FROM shipments WHERE order_id = $1";
    ShipmentInsert = Orders "INSERT" "shipments", 1200.0 us ~ 0.4, rows 1, "INSERT shipments",
        "INSERT INTO shipments (order_id, carrier, state) VALUES ($1, $2, 'planned') RETURNING id";
    ProductById = Catalog "SELECT" "product", 700.0 us ~ 0.4, rows 1, "SELECT product",
        "SELECT p.id, p.name, p.description, p.image_url, p.brand_id FROM product p WHERE p.id = ?";
    ProductsFeatured = Catalog "SELECT" "product", 2600.0 us ~ 0.45, rows 24, "SELECT product",
        "SELECT p.id, p.name, p.image_url FROM product p WHERE p.featured = 1 ORDER BY p.rank LIMIT ?";
    ProductsByIds = Catalog "SELECT" "product", 1800.0 us ~ 0.45, rows 12, "SELECT product",
        "SELECT p.id, p.name, p.image_url FROM product p WHERE p.id IN (?)";
    SearchFacets = Catalog "SELECT" "facet", 3200.0 us ~ 0.5, rows 40, "SELECT facet",
        "SELECT f.name, f.value, count(*) FROM facet f WHERE f.product_id IN (?) GROUP BY f.name, f.value";
    PriceRules = Catalog "SELECT" "price_rule", 900.0 us ~ 0.4, rows 8, "SELECT price_rule",
        "SELECT id, kind, percent, min_quantity FROM price_rule WHERE active = 1 AND sku IN (?)";
    SessionGet = Cache "GET" "", 180.0 us ~ 0.5, rows 0, "GET", "GET session:?";
    SessionSet = Cache "SETEX" "", 210.0 us ~ 0.5, rows 0, "SETEX", "SETEX session:? ? ?";
    CartGet = Cache "HGETALL" "", 240.0 us ~ 0.5, rows 0, "HGETALL", "HGETALL cart:?";
    CartSet = Cache "HSET" "", 220.0 us ~ 0.5, rows 0, "HSET", "HSET cart:? ? ?";
    CartDelete = Cache "DEL" "", 190.0 us ~ 0.5, rows 0, "DEL", "DEL cart:?";
    ProductGet = Cache "GET" "", 170.0 us ~ 0.5, rows 0, "GET", "GET product:?";
    SimilarGet = Cache "LRANGE" "", 260.0 us ~ 0.5, rows 0, "LRANGE", "LRANGE similar:? ? ?";
    VelocityIncrement = Cache "INCRBY" "", 200.0 us ~ 0.5, rows 0, "INCRBY", "INCRBY velocity:? ?";
}

impl Stmt {
    pub(crate) fn facts(self) -> &'static Statement {
        &STATEMENTS[self as usize]
    }

    /// The statement with this number.
    pub(crate) fn numbered(number: usize) -> Option<Self> {
        NUMBERS.get(number).copied()
    }

    /// Whether it changes what is stored.
    pub(crate) fn writes(self) -> bool {
        !matches!(self.facts().operation, "SELECT" | "GET" | "HGETALL" | "LRANGE")
    }

    /// Whether it locks rows that a transaction may hold already.
    pub(crate) fn locks_rows(self) -> bool {
        let facts = self.facts();
        facts.store == Store::Orders
            && (facts.text.contains("FOR UPDATE") || facts.operation != "SELECT")
    }

    /// The service that asks it.
    pub(crate) fn owner(self) -> Option<Svc> {
        let asks = |call: &Call| matches!(call.what, What::Query(stmt) if stmt == self);
        OPS.iter().find(|op| op.calls().any(asks)).map(|op| op.service)
    }
}
