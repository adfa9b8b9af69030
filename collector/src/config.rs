//! What a collector can be told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

/// Configuration of a collector: plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorConfig {
    /// Where OTLP/gRPC listens; port 0 picks a free port.
    pub grpc_addr: SocketAddr,
    /// Where OTLP/HTTP listens; port 0 picks a free port.
    pub http_addr: SocketAddr,
    /// Largest request body in bytes, before and after decompression.
    pub max_message_bytes: usize,
    /// Largest single span, log record or data point (with its resource) in bytes of protobuf.
    pub max_record_bytes: usize,
    /// Bytes that all requests together may hold in memory (bodies, inflated bodies, decoded
    /// messages) before new ones are told to come back later. `None`: eight times
    /// `max_message_bytes`, enough for a few of the largest messages at a time.
    pub max_in_flight_bytes: Option<usize>,
    /// Requests that are decoded and stored at the same time; more wait.
    pub max_concurrent_requests: usize,
    /// Open connections on each listener; more wait in the kernel.
    pub max_connections: usize,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
    /// How long a new connection may stay without a complete request head.
    pub first_request_timeout: Duration,
    /// How long an HTTP/1.1 connection may stay idle between requests. Exporters send every few
    /// seconds to a minute and reuse connections, so this must be well above a minute.
    pub idle_timeout: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
    /// Web origins that browsers may send from: `https://shop.example`, `https://*.example`, or
    /// `*` for any. Empty: no cross-origin requests.
    pub cors_origins: Vec<String>,
    /// Request headers allowed to browsers besides the usual ones.
    pub cors_headers: Vec<String>,
}

impl Default for CollectorConfig {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc_addr: loopback(4317),
            http_addr: loopback(4318),
            max_message_bytes: 64 << 20,
            max_record_bytes: 1 << 20,
            max_in_flight_bytes: None,
            max_concurrent_requests: 256,
            max_connections: 4096,
            body_timeout: Duration::from_secs(30),
            first_request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(10),
            cors_origins: Vec::new(),
            cors_headers: Vec::new(),
        }
    }
}

impl CollectorConfig {
    /// The limit for all requests in flight together, in bytes.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.max_in_flight_bytes.unwrap_or(self.max_message_bytes.saturating_mul(8))
    }

    /// Every problem with the configuration, one sentence each; empty if there is none.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, problem: &str| {
            if !ok {
                problems.push(problem.to_owned());
            }
        };
        let message = self.max_message_bytes;
        check((1024..=1 << 30).contains(&message), "max_message_bytes must be from 1 KiB to 1 GiB");
        check(self.max_record_bytes >= 1024, "max_record_bytes must be at least 1 KiB");
        check(
            self.in_flight_bytes() >= message.saturating_mul(2),
            "max_in_flight_bytes must be at least twice max_message_bytes",
        );
        check(self.max_concurrent_requests > 0, "max_concurrent_requests must be above 0");
        check(self.max_concurrent_requests <= 65_536, "max_concurrent_requests is at most 65536");
        check(self.max_connections > 0, "max_connections must be above 0");
        check(self.max_connections <= 1 << 20, "max_connections is at most 1048576");
        for (name, value) in [
            ("body_timeout", self.body_timeout),
            ("first_request_timeout", self.first_request_timeout),
            ("idle_timeout", self.idle_timeout),
            ("drain_timeout", self.drain_timeout),
        ] {
            check(!value.is_zero(), &format!("{name} must be above 0"));
        }
        for origin in &self.cors_origins {
            check(
                origin_is_valid(origin),
                &format!(
                    "cors_origins: {origin:?} is not an origin; write scheme://host[:port], scheme://*.domain or *"
                ),
            );
        }
        for header in &self.cors_headers {
            check(
                header.parse::<HeaderName>().is_ok(),
                &format!("cors_headers: {header:?} is not a header name"),
            );
        }
        problems
    }
}

fn origin_is_valid(origin: &str) -> bool {
    if origin == "*" {
        return true;
    }
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let host = host.strip_prefix("*.").unwrap_or(host);
    !scheme.is_empty()
        && !host.is_empty()
        && !host.contains(['*', '/', '?', '#', '@', ' '])
        && HeaderValue::from_str(origin).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_valid_and_every_problem_is_named() {
        assert_eq!(CollectorConfig::default().validate(), Vec::<String>::new());
        let bad = CollectorConfig {
            max_message_bytes: 0,
            max_concurrent_requests: 0,
            body_timeout: Duration::ZERO,
            cors_origins: ["http://a.example/", "a.example", "https://*.a.example", "*"]
                .map(str::to_owned)
                .to_vec(),
            cors_headers: vec!["a b".to_owned()],
            ..CollectorConfig::default()
        };
        let problems = bad.validate();
        assert_eq!(problems.len(), 6, "{problems:?}");
    }
}
