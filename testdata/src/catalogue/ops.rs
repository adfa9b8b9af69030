//! The call graph as data: what each operation does, in which order.

use super::graph::Proto::{Consumer, Grpc, Http, Internal};
use super::graph::Step::{Then, Together};
use super::graph::{Call, Op, What, ask, charge, forward, local, publish, query};
use super::log_lines::Line;
use super::mishaps::Mishap;
use super::services::Svc;
use super::statements::Stmt;

macro_rules! ops {
    ($($(#[$doc:meta])* $id:ident = $op:expr;)+) => {
        /// An operation's number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum OpId { $($(#[$doc])* $id),+ }

        /// Every operation, in the order of [`OpId`].
        pub(crate) static OPS: &[Op] = &[$($op),+];
    };
}

impl OpId {
    pub(crate) fn facts(self) -> &'static Op {
        &OPS[self as usize]
    }

    /// Whether the operation, or anything its answer waits for, satisfies the test, which gets each
    /// operation with `None` and with each of its calls.
    pub(crate) fn reaches(self, test: &dyn Fn(Self, Option<What>) -> bool) -> bool {
        let below = |call: &Call| {
            test(self, Some(call.what))
                || match call.what {
                    What::Ask(op) | What::Forward(op) | What::Local(op) => op.reaches(test),
                    What::Query(_) | What::Charge | What::Publish => false,
                }
        };
        test(self, None) || self.facts().calls().any(below)
    }
}

/// What users ask for, with its weight.
pub(crate) static ENTRIES: [(OpId, u32); 10] = [
    (OpId::EdgeHome, 230),
    (OpId::EdgeProduct, 220),
    (OpId::EdgeSearch, 150),
    (OpId::EdgeCartAdd, 90),
    (OpId::EdgeCheckout, 125),
    (OpId::EdgeCart, 60),
    (OpId::EdgeHistory, 45),
    (OpId::EdgeOrder, 40),
    (OpId::EdgeLogin, 30),
    (OpId::EdgeRecommend, 25),
];

const fn edge(method: &'static str, route: &'static str, name: &'static str) -> Op {
    Op::new(Svc::EdgeGateway, name, Http(method, route), 140.0)
}

const fn page(method: &'static str, route: &'static str, name: &'static str, us: f64) -> Op {
    Op::new(Svc::WebFrontend, name, Http(method, route), us)
}

ops! {
    EdgeHome = edge("GET", "/", "GET /").steps(&[Then(forward(OpId::PageHome))]);
    EdgeProduct = edge("GET", "/product/{id}", "GET /product/{id}").steps(&[Then(forward(OpId::PageProduct))]);
    EdgeSearch = edge("GET", "/search", "GET /search").steps(&[Then(forward(OpId::PageSearch))]);
    EdgeCartAdd = edge("POST", "/cart/items", "POST /cart/items").steps(&[Then(forward(OpId::PageCartAdd))]);
    EdgeCart = edge("GET", "/cart", "GET /cart").steps(&[Then(forward(OpId::PageCart))]);
    EdgeCheckout = edge("POST", "/checkout", "POST /checkout").steps(&[Then(forward(OpId::PageCheckout))]);
    EdgeOrder = edge("GET", "/orders/{id}", "GET /orders/{id}").steps(&[Then(forward(OpId::PageOrder))]);
    EdgeHistory = edge("GET", "/orders", "GET /orders").steps(&[Then(forward(OpId::PageHistory))]);
    EdgeLogin = edge("POST", "/login", "POST /login").steps(&[Then(forward(OpId::PageLogin))]);
    EdgeRecommend = edge("GET", "/recommendations", "GET /recommendations").steps(&[Then(forward(OpId::PageRecommend))]);

    PageHome = page("GET", "/", "GET /", 3200.0)
        .steps(&[
            Then(ask(OpId::SessionCheck).often(55).optional()),
            Together(&[ask(OpId::CatalogFeatured), ask(OpId::RecommendFor).often(60).optional()]),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 90)]);
    PageProduct = page("GET", "/product/:id", "GET /product/:id", 2600.0)
        .steps(&[
            Then(ask(OpId::CatalogProduct)),
            Together(&[
                ask(OpId::PriceOf).optional(),
                ask(OpId::StockOf).optional(),
                ask(OpId::RecommendSimilar).often(50).optional(),
            ]),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 80)]);
    PageSearch = page("GET", "/search", "GET /search", 2800.0)
        .steps(&[
            Then(ask(OpId::SearchQuery)),
            Then(ask(OpId::PriceBatch).often(70)),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 60)]);
    PageCartAdd = page("POST", "/cart/items", "POST /cart/items", 1500.0)
        .steps(&[
            Then(ask(OpId::SessionCheck).optional()),
            Together(&[ask(OpId::PriceOf).optional(), ask(OpId::StockOf).optional()]),
            Then(ask(OpId::CartAdd)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 60)]);
    PageCart = page("GET", "/cart", "GET /cart", 1800.0)
        .steps(&[
            Then(ask(OpId::SessionCheck).optional()),
            Then(ask(OpId::CartGet)),
            Then(ask(OpId::PriceBatch)),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 50)]);
    PageCheckout = page("POST", "/checkout", "POST /checkout", 1900.0)
        .steps(&[Then(ask(OpId::SessionCheck).optional()), Then(ask(OpId::PlaceOrder))])
        .lines(&[(Line::PageRendered, 100)]);
    PageOrder = page("GET", "/orders/:id", "GET /orders/:id", 1700.0)
        .steps(&[
            Then(ask(OpId::SessionCheck).optional()),
            Together(&[ask(OpId::OrderGet), ask(OpId::ShipmentStatus).optional()]),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 50)]);
    PageHistory = page("GET", "/orders", "GET /orders", 1900.0)
        .steps(&[
            Then(ask(OpId::SessionCheck).optional()),
            Then(ask(OpId::OrderHistory)),
            Then(local(OpId::Render)),
        ])
        .lines(&[(Line::PageRendered, 100), (Line::FragmentCached, 50)]);
    PageLogin = page("POST", "/login", "POST /login", 1200.0).steps(&[Then(ask(OpId::Login))]);
    PageRecommend = page("GET", "/recommendations", "GET /recommendations", 1500.0)
        .steps(&[Then(ask(OpId::SessionCheck).often(60).optional()), Then(ask(OpId::RecommendFor))]);
    Render = Op::new(Svc::WebFrontend, "render page", Internal, 2400.0)
        .lines(&[(Line::FragmentCached, 60)]);

    SessionCheck = Op::new(Svc::UserAuth, "shop.Auth/CheckSession", Grpc("shop.Auth/CheckSession"), 260.0)
        .steps(&[Then(query(Stmt::SessionGet))])
        .lines(&[(Line::SessionChecked, 90), (Line::SessionExpired, 3)])
        .may(Mishap::NoSession, 300_000);
    Login = Op::new(Svc::UserAuth, "shop.Auth/Login", Grpc("shop.Auth/Login"), 500.0)
        .steps(&[
            Then(query(Stmt::UserByEmail)),
            Then(local(OpId::HashPassword)),
            Then(query(Stmt::SessionSet)),
        ])
        .lines(&[(Line::LoginOk, 90)]);
    HashPassword = Op::new(Svc::UserAuth, "bcrypt compare", Internal, 62_000.0)
        .may(Mishap::BadCredentials, 90_000);

    CatalogFeatured = Op::new(Svc::Catalog, "GET /api/products", Http("GET", "/api/products"), 2100.0)
        .steps(&[Then(query(Stmt::ProductsFeatured))])
        .lines(&[(Line::ProductList, 100)])
        .may(Mishap::BadData, 3_000);
    CatalogBatch = Op::new(Svc::Catalog, "POST /api/products/batch", Http("POST", "/api/products/batch"), 1500.0)
        .steps(&[Then(query(Stmt::ProductsByIds))])
        .lines(&[(Line::ProductList, 90)]);
    CatalogProduct = Op::new(Svc::Catalog, "GET /api/products/{id}", Http("GET", "/api/products/{id}"), 900.0)
        .steps(&[Then(query(Stmt::ProductGet)), Then(query(Stmt::ProductById).often(30))])
        .lines(&[(Line::ProductServed, 70), (Line::ProductMissed, 30)])
        .may(Mishap::NotFound, 20_000);

    SearchQuery = Op::new(Svc::Search, "GET /api/search", Http("GET", "/api/search"), 1800.0)
        .steps(&[
            Then(local(OpId::SearchParse)),
            Then(local(OpId::SearchExecute)),
            Then(query(Stmt::SearchFacets).often(70)),
        ])
        .lines(&[(Line::SearchDone, 95), (Line::SearchEmpty, 5), (Line::SearchRewritten, 70)])
        .may(Mishap::Timeout, 4_000);
    SearchParse = Op::new(Svc::Search, "parse query", Internal, 350.0);
    SearchExecute = Op::new(Svc::Search, "execute query", Internal, 14_000.0);

    RecommendFor = Op::new(Svc::Recommendation, "shop.Recommendation/ForUser", Grpc("shop.Recommendation/ForUser"), 2200.0)
        .steps(&[
            Then(query(Stmt::SimilarGet)),
            Then(local(OpId::Score)),
            Then(ask(OpId::CatalogBatch)),
        ])
        .lines(&[(Line::SimilarFound, 90), (Line::FeaturesLoaded, 70), (Line::ModelStale, 1)])
        .may(Mishap::NullValue, 100_000);
    RecommendSimilar = Op::new(Svc::Recommendation, "shop.Recommendation/Similar", Grpc("shop.Recommendation/Similar"), 1500.0)
        .steps(&[Then(query(Stmt::SimilarGet)), Then(ask(OpId::CatalogBatch))])
        .lines(&[(Line::SimilarFound, 90)])
        .may(Mishap::NullValue, 90_000);
    Score = Op::new(Svc::Recommendation, "score candidates", Internal, 11_000.0);

    PriceOf = Op::new(Svc::Pricing, "shop.Pricing/GetPrice", Grpc("shop.Pricing/GetPrice"), 160.0)
        .steps(&[Then(query(Stmt::PriceRules).often(35))])
        .lines(&[(Line::PriceRule, 60), (Line::PriceCached, 40)])
        .may(Mishap::NotFound, 240_000);
    PriceBatch = Op::new(Svc::Pricing, "shop.Pricing/GetPrices", Grpc("shop.Pricing/GetPrices"), 420.0)
        .steps(&[Then(query(Stmt::PriceRules))])
        .lines(&[(Line::PriceRule, 90)]);

    StockOf = Op::new(Svc::Inventory, "shop.Inventory/GetStock", Grpc("shop.Inventory/GetStock"), 220.0)
        .steps(&[Then(query(Stmt::StockBySku))])
        .lines(&[(Line::StockChecked, 85), (Line::StockLow, 2)])
        .may(Mishap::NotFound, 220_000);
    Reserve = Op::new(Svc::Inventory, "shop.Inventory/Reserve", Grpc("shop.Inventory/Reserve"), 600.0)
        .steps(&[Then(query(Stmt::StockForUpdate)), Then(query(Stmt::StockReserve))])
        .lines(&[(Line::StockReserved, 90), (Line::StockLow, 4)])
        .may(Mishap::OutOfStock, 18_000);

    CartAdd = Op::new(Svc::Cart, "POST cart/items", Http("POST", "cart/items"), 900.0)
        .steps(&[Then(query(Stmt::CartGet)), Then(query(Stmt::CartSet))])
        .lines(&[(Line::CartAdded, 85)])
        .may(Mishap::Unavailable, 5_000);
    CartGet = Op::new(Svc::Cart, "GET cart", Http("GET", "cart"), 700.0)
        .steps(&[Then(query(Stmt::CartGet))])
        .lines(&[(Line::CartLoaded, 90)])
        .may(Mishap::Unavailable, 3_000);
    CartEmpty = Op::new(Svc::Cart, "DELETE cart", Http("DELETE", "cart"), 500.0)
        .steps(&[Then(query(Stmt::CartDelete))])
        .lines(&[(Line::CartEmptied, 80)]);

    PlaceOrder = Op::new(Svc::Checkout, "shop.Checkout/PlaceOrder", Grpc("shop.Checkout/PlaceOrder"), 1900.0)
        .steps(&[
            Then(ask(OpId::CartGet)),
            Together(&[ask(OpId::PriceBatch), ask(OpId::ShippingQuote)]),
            Then(ask(OpId::Reserve)),
            Then(ask(OpId::FraudScore).optional()),
            Then(ask(OpId::Pay)),
            Then(ask(OpId::OrderCreate)),
            Then(ask(OpId::CartEmpty).optional()),
        ])
        .lines(&[(Line::CheckoutStarted, 100), (Line::CheckoutDone, 100), (Line::CheckoutStep, 100)]);

    ShippingQuote = Op::new(Svc::Shipping, "GET /quote", Http("GET", "/quote"), 2600.0)
        .lines(&[(Line::ShippingQuoted, 90)]);
    ShipmentStatus = Op::new(Svc::Shipping, "GET /shipments/:order", Http("GET", "/shipments/:order"), 1600.0)
        .steps(&[Then(query(Stmt::ShipmentByOrder))])
        .lines(&[(Line::ShipmentTracked, 90)])
        .may(Mishap::NullValue, 40_000);
    ShipmentPlan = Op::new(Svc::Shipping, "process orders", Consumer("shipping"), 2200.0)
        .steps(&[Then(query(Stmt::ShipmentInsert))])
        .lines(&[(Line::ShipmentPlanned, 90)]);

    FraudScore = Op::new(Svc::Fraud, "shop.Fraud/Score", Grpc("shop.Fraud/Score"), 1800.0)
        .steps(&[Then(query(Stmt::VelocityIncrement)), Then(local(OpId::FraudModel))])
        .lines(&[(Line::FraudScored, 90), (Line::FraudSuspicious, 4)])
        .may(Mishap::Timeout, 12_000);
    FraudModel = Op::new(Svc::Fraud, "predict", Internal, 9_000.0);

    Pay = Op::new(Svc::Payment, "POST /payments", Http("POST", "/payments"), 2100.0)
        .steps(&[
            Then(local(OpId::Tokenise)),
            Then(charge()),
            Then(query(Stmt::PaymentInsert)),
        ])
        .lines(&[(Line::PaymentStarted, 95), (Line::PaymentDone, 95)])
        .may(Mishap::Declined, 25_000);
    Tokenise = Op::new(Svc::Payment, "tokenise card", Internal, 1300.0);

    OrderCreate = Op::new(Svc::Orders, "POST /orders", Http("POST", "/orders"), 1900.0)
        .steps(&[
            Then(query(Stmt::OrderInsert)),
            Then(query(Stmt::OrderItems)),
            Then(query(Stmt::OrderOutbox)),
            Then(publish()),
        ])
        .lines(&[(Line::OrderCreated, 95), (Line::OrderPublished, 90), (Line::OrderPlaced, 100)])
        .may(Mishap::Deadlock, 6_000);
    OrderGet = Op::new(Svc::Orders, "GET /orders/{id}", Http("GET", "/orders/{id}"), 1000.0)
        .steps(&[Then(query(Stmt::OrderById)), Then(query(Stmt::OrderLines))])
        .lines(&[(Line::OrderRead, 90)])
        .may(Mishap::NotFound, 12_000);
    OrderHistory = Op::new(Svc::Orders, "GET /orders", Http("GET", "/orders"), 1200.0)
        .steps(&[Then(query(Stmt::OrderHistory))])
        .lines(&[(Line::HistoryRead, 80)]);

    Notify = Op::new(Svc::Notification, "process orders", Consumer("notification"), 2400.0)
        .steps(&[Then(local(OpId::SendMail))])
        .lines(&[(Line::MessageTaken, 90)]);
    SendMail = Op::new(Svc::Notification, "send mail", Internal, 24_000.0)
        .lines(&[(Line::MailSent, 85), (Line::MailDeferred, 3)]);
}
