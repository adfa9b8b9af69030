//! Services, their instances and the hosts they run on.

use super::statements::Store;

/// Instances of each service.
pub(crate) const REPLICAS: usize = 3;
/// Hosts.
pub(crate) const HOSTS: usize = 6;
/// Cores of each host.
pub(crate) const CORES: f64 = 16.0;
/// Cores one container may use.
pub(crate) const CONTAINER_CORES: f64 = 4.0;
/// Memory of each host in bytes.
pub(crate) const HOST_MEMORY: f64 = 68_719_476_736.0;
/// The host whose clock is ahead.
pub(crate) const SKEWED_HOST: usize = 3;
/// The host that the cpu incident saturates; no middleware runs there.
pub(crate) const BUSY_HOST: usize = 1;
/// CPU utilisation of the host with the runaway process, unless told otherwise.
pub(crate) const BUSY_LOAD: f64 = 0.985;
/// The host that the noisy-neighbour incident disturbs unless told otherwise.
pub(crate) const NOISY_HOST: usize = 2;
/// Connections of each instance's pool to a store.
pub(crate) const POOL_SIZE: f64 = 20.0;
/// The host of orders-db and cart-cache.
pub(crate) const DATABASE_HOST: usize = 4;
/// The host of catalog-db and the broker.
pub(crate) const BROKER_HOST: usize = 5;
/// Host names, by number.
pub(crate) const HOST_NAMES: [&str; HOSTS] =
    ["shop-node-1", "shop-node-2", "shop-node-3", "shop-node-4", "shop-node-5", "shop-node-6"];
/// Host addresses, by number.
pub(crate) const HOST_ADDRESSES: [&str; HOSTS] =
    ["10.20.0.11", "10.20.0.12", "10.20.0.13", "10.20.0.14", "10.20.0.15", "10.20.0.16"];

/// A service of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Svc {
    EdgeGateway,
    WebFrontend,
    Checkout,
    Cart,
    Catalog,
    Search,
    Recommendation,
    Pricing,
    Inventory,
    Payment,
    Shipping,
    Orders,
    Notification,
    Fraud,
    UserAuth,
}

/// What a service is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Nginx,
    Node,
    Go,
    Dotnet,
    Java,
    Python,
    Rust,
    Ruby,
}

/// Facts about a service.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) svc: Svc,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) language: Language,
    pub(crate) port: i64,
    /// Resident memory of a quiet instance, bytes.
    pub(crate) memory: f64,
}

const MIB: f64 = 1_048_576.0;

const fn service(
    svc: Svc,
    name: &'static str,
    version: &'static str,
    language: Language,
    port: i64,
    mebibytes: f64,
) -> Service {
    Service { svc, name, version, language, port, memory: mebibytes * MIB }
}

/// Every service, in the order of [`Svc`].
pub(crate) static SERVICES: [Service; 15] = [
    service(Svc::EdgeGateway, "edge-gateway", "1.27.2", Language::Nginx, 8443, 96.0),
    service(Svc::WebFrontend, "web-frontend", "5.12.0", Language::Node, 3000, 310.0),
    service(Svc::Checkout, "checkout", "1.9.3", Language::Go, 7001, 120.0),
    service(Svc::Cart, "cart", "3.7.4", Language::Dotnet, 7002, 260.0),
    service(Svc::Catalog, "catalog", "2.14.1", Language::Java, 8080, 1150.0),
    service(Svc::Search, "search", "4.2.0", Language::Java, 8081, 1900.0),
    service(Svc::Recommendation, "recommendation", "0.31.5", Language::Python, 7003, 540.0),
    service(Svc::Pricing, "pricing", "1.4.0", Language::Rust, 7004, 64.0),
    service(Svc::Inventory, "inventory", "2.2.8", Language::Go, 7005, 140.0),
    service(Svc::Payment, "payment", "6.0.2", Language::Java, 8082, 980.0),
    service(Svc::Shipping, "shipping", "1.1.19", Language::Ruby, 9292, 380.0),
    service(Svc::Orders, "orders", "3.3.0", Language::Java, 8083, 1250.0),
    service(Svc::Notification, "notification", "2.0.6", Language::Node, 3100, 210.0),
    service(Svc::Fraud, "fraud", "0.9.2", Language::Python, 7006, 820.0),
    service(Svc::UserAuth, "user-auth", "4.8.1", Language::Go, 7007, 110.0),
];

/// Memory one container of the service may use, bytes.
pub(crate) const fn memory_limit(service: &Service) -> f64 {
    service.memory * 1.6
}

/// Instances in all.
pub(crate) const INSTANCES: usize = SERVICES.len() * REPLICAS;

impl Svc {
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn facts(self) -> &'static Service {
        &SERVICES[self.index()]
    }

    /// The database to which the service keeps a pool of connections.
    pub(crate) const fn pool(self) -> Option<Store> {
        match self {
            Self::Orders | Self::Inventory | Self::Payment | Self::UserAuth | Self::Shipping => {
                Some(Store::Orders)
            }
            Self::Catalog | Self::Search | Self::Pricing => Some(Store::Catalog),
            _ => None,
        }
    }

    /// The number of the service's `replica`-th instance.
    pub(crate) const fn instance(self, replica: usize) -> Instance {
        Instance((self.index() * REPLICAS + replica) as u8)
    }
}

/// One process of a service; its number is below [`INSTANCES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instance(pub(crate) u8);

impl Instance {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..INSTANCES).map(|n| Self(n as u8))
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn service(self) -> &'static Service {
        &SERVICES[self.index() / REPLICAS]
    }

    pub(crate) const fn replica(self) -> usize {
        self.index() % REPLICAS
    }

    /// The host it runs on: replicas sit on three different hosts, and the mix of services differs
    /// from host to host.
    pub(crate) const fn host(self) -> usize {
        const OFFSET: [usize; REPLICAS] = [0, 1, 3];
        (self.index() / REPLICAS + OFFSET[self.replica()]) % HOSTS
    }

    /// The container's address.
    pub(crate) fn address(self) -> String {
        format!("10.42.{}.{}", self.host() + 1, 20 + self.index())
    }
}

/// The library names a language's instrumentation uses as scopes, and its runtime.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) sdk: &'static str,
    pub(crate) sdk_version: &'static str,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) executable: &'static str,
    pub(crate) server_scope: &'static str,
    pub(crate) client_scope: &'static str,
    pub(crate) database_scope: &'static str,
}

macro_rules! runtime {
    ($sdk:literal $sdkv:literal, $name:literal $version:literal $exe:literal, $server:literal, $client:literal, $db:literal) => {
        Runtime {
            sdk: $sdk,
            sdk_version: $sdkv,
            name: $name,
            version: $version,
            executable: $exe,
            server_scope: $server,
            client_scope: $client,
            database_scope: $db,
        }
    };
}

static NGINX: Runtime =
    runtime!("cpp" "1.16.1", "nginx" "1.27.2" "nginx", "nginx", "nginx", "nginx");
static NODE: Runtime = runtime!("nodejs" "1.30.1", "nodejs" "22.13.0" "node",
    "@opentelemetry/instrumentation-express", "@opentelemetry/instrumentation-http", "@opentelemetry/instrumentation-ioredis");
static GO: Runtime = runtime!("go" "1.34.0", "go" "go1.23.4" "server",
    "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
    "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "github.com/exaring/otelpgx");
static DOTNET: Runtime = runtime!("dotnet" "1.10.0", ".NET" "9.0.1" "dotnet",
    "Microsoft.AspNetCore", "System.Net.Http", "OpenTelemetry.Instrumentation.StackExchangeRedis");
static JAVA: Runtime = runtime!("java" "1.46.0", "OpenJDK Runtime Environment" "21.0.5+11-LTS" "java",
    "io.opentelemetry.tomcat-10.0", "io.opentelemetry.java-http-client", "io.opentelemetry.jdbc");
static PYTHON: Runtime = runtime!("python" "1.29.0", "cpython" "3.12.8" "python3",
    "opentelemetry.instrumentation.grpc", "opentelemetry.instrumentation.requests", "opentelemetry.instrumentation.redis");
static RUST: Runtime = runtime!("rust" "0.33.0", "rustc" "1.84.0" "pricing",
    "tonic-tracing-opentelemetry", "tonic-tracing-opentelemetry", "redis-otel");
static RUBY: Runtime = runtime!("ruby" "1.6.0", "ruby" "3.3.6" "puma",
    "OpenTelemetry::Instrumentation::Rack", "OpenTelemetry::Instrumentation::Net::HTTP", "OpenTelemetry::Instrumentation::PG");

impl Language {
    pub(crate) const fn runtime(self) -> &'static Runtime {
        match self {
            Self::Nginx => &NGINX,
            Self::Node => &NODE,
            Self::Go => &GO,
            Self::Dotnet => &DOTNET,
            Self::Java => &JAVA,
            Self::Python => &PYTHON,
            Self::Rust => &RUST,
            Self::Ruby => &RUBY,
        }
    }
}
