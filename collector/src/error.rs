//! What can go wrong with a collector as a whole.

use std::net::SocketAddr;

/// A failure to start or stop the collector.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// The configuration is not usable.
    #[error("collector configuration: {}", problems.join("; "))]
    Config {
        /// Every problem, one sentence each.
        problems: Vec<String>,
    },
    /// A listener could not be opened.
    #[error(
        "cannot listen for {protocol} on {addr}: {source}; free the port or choose another address"
    )]
    Bind {
        /// OTLP/gRPC or OTLP/HTTP.
        protocol: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// `serve` was called a second time.
    #[error("the collector is already serving; bind a new one")]
    AlreadyServing,
    /// Requests were still being stored when the time for draining was over.
    #[error(
        "{tasks} requests were still being stored after {seconds} s of draining; raise drain_timeout"
    )]
    NotDrained {
        /// Tasks left.
        tasks: usize,
        /// Time waited, in seconds.
        seconds: u64,
    },
}
