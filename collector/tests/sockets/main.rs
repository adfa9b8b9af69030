//! The collector over real sockets: OTLP/HTTP, OTLP/gRPC, and hostile clients.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "helpers of a test binary")]

mod grpc;
mod hostile;
mod http;
mod support;
