//! What can go wrong in an operation, and how each language names it.

use super::services::Language;

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Mishap {
    NotFound,
    BadCredentials,
    NoSession,
    Declined,
    OutOfStock,
    Timeout,
    Deadlock,
    NullValue,
    Upstream,
    Unavailable,
    BadData,
    /// No connection of the pool within the timeout.
    NoConnection,
    /// Nothing listens at the callee's address.
    Refused,
    /// The cache does not answer.
    StoreDown,
    /// The database's volume is full.
    NoSpace,
    /// The cache's volume is full.
    ReadOnlyCache,
    /// The broker's volume is full.
    BrokerDisk,
}

/// Facts about a failure.
#[derive(Debug)]
pub(crate) struct MishapFacts {
    /// HTTP status the operation answers.
    pub(crate) status: u16,
    /// Exception message and status message.
    pub(crate) message: &'static str,
    /// Exception type: Java, Python, Go, Node, .NET, other.
    types: [&'static str; 6],
}

static FACTS: [MishapFacts; 17] = [
    MishapFacts {
        status: 404,
        message: "no such entity",
        types: [
            "com.shop.common.NotFoundException",
            "NotFoundError",
            "*errs.NotFound",
            "NotFoundError",
            "Shop.Common.NotFoundException",
            "NotFound",
        ],
    },
    MishapFacts {
        status: 401,
        message: "password does not match",
        types: [
            "com.shop.auth.BadCredentialsException",
            "PermissionError",
            "*auth.BadCredentials",
            "UnauthorizedError",
            "System.UnauthorizedAccessException",
            "BadCredentials",
        ],
    },
    MishapFacts {
        status: 401,
        message: "no valid session",
        types: [
            "com.shop.auth.NoSessionException",
            "PermissionError",
            "*auth.NoSession",
            "UnauthorizedError",
            "System.UnauthorizedAccessException",
            "NoSession",
        ],
    },
    MishapFacts {
        status: 402,
        message: "card declined by issuer",
        types: [
            "com.shop.payment.CardDeclinedException",
            "CardDeclined",
            "*payment.Declined",
            "PaymentError",
            "Shop.Payment.DeclinedException",
            "Declined",
        ],
    },
    MishapFacts {
        status: 409,
        message: "not enough stock to reserve",
        types: [
            "com.shop.inventory.OutOfStockException",
            "OutOfStock",
            "*inventory.OutOfStock",
            "ConflictError",
            "Shop.Inventory.OutOfStockException",
            "OutOfStock",
        ],
    },
    MishapFacts {
        status: 504,
        message: "deadline exceeded while waiting for the answer",
        types: [
            "java.util.concurrent.TimeoutException",
            "TimeoutError",
            "context.deadlineExceededError",
            "TimeoutError",
            "System.TimeoutException",
            "Timeout::Error",
        ],
    },
    MishapFacts {
        status: 500,
        message: "deadlock detected: process waits for ShareLock on transaction",
        types: [
            "org.postgresql.util.PSQLException",
            "psycopg.errors.DeadlockDetected",
            "*pgconn.PgError",
            "DatabaseError",
            "Npgsql.PostgresException",
            "PG::TRDeadlockDetected",
        ],
    },
    MishapFacts {
        status: 500,
        message: "value must not be null",
        types: [
            "java.lang.NullPointerException",
            "AttributeError",
            "runtime.Error",
            "TypeError",
            "System.NullReferenceException",
            "NoMethodError",
        ],
    },
    MishapFacts {
        status: 502,
        message: "a required service failed",
        types: [
            "com.shop.common.UpstreamException",
            "UpstreamError",
            "*errs.Upstream",
            "UpstreamError",
            "Grpc.Core.RpcException",
            "UpstreamError",
        ],
    },
    MishapFacts {
        status: 503,
        message: "service unavailable",
        types: [
            "com.shop.common.UnavailableException",
            "ConnectionError",
            "*net.OpError",
            "FetchError",
            "System.Net.Http.HttpRequestException",
            "Unavailable",
        ],
    },
    MishapFacts {
        status: 500,
        message: "cannot parse the stored document",
        types: [
            "com.fasterxml.jackson.core.JsonParseException",
            "json.decoder.JSONDecodeError",
            "*json.SyntaxError",
            "SyntaxError",
            "System.Text.Json.JsonException",
            "serde_json::Error",
        ],
    },
    MishapFacts {
        status: 503,
        message: "connection is not available, request timed out after 2500 ms",
        types: [
            "java.sql.SQLTransientConnectionException",
            "sqlalchemy.exc.TimeoutError",
            "context.deadlineExceededError",
            "TimeoutError",
            "System.TimeoutException",
            "ActiveRecord::ConnectionTimeoutError",
        ],
    },
    MishapFacts {
        status: 503,
        message: "connection refused",
        types: [
            "java.net.ConnectException",
            "ConnectionRefusedError",
            "*net.OpError",
            "ECONNREFUSED",
            "System.Net.Sockets.SocketException",
            "Errno::ECONNREFUSED",
        ],
    },
    MishapFacts {
        status: 503,
        message: "connection to cart-cache.shop.svc:6379 refused",
        types: [
            "redis.clients.jedis.exceptions.JedisConnectionException",
            "redis.exceptions.ConnectionError",
            "*net.OpError",
            "ConnectionError",
            "StackExchange.Redis.RedisConnectionException",
            "Redis::CannotConnectError",
        ],
    },
    MishapFacts {
        status: 500,
        message: "could not extend file \"base/16411/24603\": No space left on device",
        types: [
            "org.postgresql.util.PSQLException",
            "psycopg.errors.DiskFull",
            "*pgconn.PgError",
            "DatabaseError",
            "Npgsql.PostgresException",
            "PG::DiskFull",
        ],
    },
    MishapFacts {
        status: 500,
        message: "MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist to disk",
        types: [
            "redis.clients.jedis.exceptions.JedisDataException",
            "redis.exceptions.ResponseError",
            "proto.RedisError",
            "ReplyError",
            "StackExchange.Redis.RedisServerException",
            "Redis::CommandError",
        ],
    },
    MishapFacts {
        status: 500,
        message: "disk error when trying to access log file on the disk",
        types: [
            "org.apache.kafka.common.errors.KafkaStorageException",
            "KafkaStorageError",
            "kafka.KafkaStorageError",
            "KafkaJSProtocolError",
            "Confluent.Kafka.KafkaException",
            "Rdkafka::RdkafkaError",
        ],
    },
];

impl Mishap {
    pub(crate) fn facts(self) -> &'static MishapFacts {
        &FACTS[self as usize]
    }

    /// The exception type in the given language.
    pub(crate) fn type_in(self, language: Language) -> &'static str {
        let column = match language {
            Language::Java => 0,
            Language::Python => 1,
            Language::Go => 2,
            Language::Node => 3,
            Language::Dotnet => 4,
            Language::Nginx | Language::Rust | Language::Ruby => 5,
        };
        self.facts().types[column]
    }

    /// Whether the caller is to blame (status below 500).
    pub(crate) fn is_callers(self) -> bool {
        self.facts().status < 500
    }
}

/// The gRPC status name that stands for an HTTP status.
pub(crate) const fn grpc_name(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}
