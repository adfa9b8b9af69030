//! HTTP/1.1, HTTP/2 and gRPC over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use headrope_model::Signal;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_types::RpcStatusExt as _;

/// An answer, of gRPC or HTTP.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// gRPC status code, if there is one.
    pub code: Option<i32>,
    pub headers: HeaderMap,
    /// Response message or HTTP body.
    pub body: Bytes,
    /// The error, if there is one and it is protobuf.
    pub error: Option<tonic_types::Status>,
}

impl Reply {
    pub fn ok(&self) -> bool {
        self.status == 200 && self.code.unwrap_or(0) == 0
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn message(&self) -> String {
        self.error.as_ref().map(|e| e.message.clone()).unwrap_or_default()
    }

    /// The delay in RetryInfo.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.error.as_ref()?.get_details_retry_info()?.retry_delay
    }

    pub fn bad_request(&self) -> bool {
        self.error.as_ref().is_some_and(|e| e.get_details_bad_request().is_some())
    }
}

async fn collect(response: Response<hyper::body::Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let body = collected.to_bytes();
    let mut headers = head.headers;
    headers.extend(trailers);
    let code = headers.get("grpc-status").map(|v| v.to_str().unwrap().parse().unwrap());
    let protobuf = headers.get("content-type").is_some_and(|v| v == "application/x-protobuf");
    let error = if let Some(details) = headers.get("grpc-status-details-bin") {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
        let raw = engine.decode(details.as_bytes()).unwrap();
        Some(tonic_types::Status::decode(&raw[..]).unwrap())
    } else {
        (protobuf && head.status != 200).then(|| tonic_types::Status::decode(body.clone()).unwrap())
    };
    let body = if code.is_some() && body.len() >= 5 { body.slice(5..) } else { body };
    Reply { status: head.status.as_u16(), code, headers, body, error }
}

fn request(
    method: Method,
    uri: String,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(Bytes::from(body))).unwrap()
}

/// One HTTP/1.1 request on a connection of its own.
pub async fn http(
    addr: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let host = addr.to_string();
    let headers: Vec<_> = headers.iter().copied().chain([("host", host.as_str())]).collect();
    let response = sender.send_request(request(method, path.to_owned(), &headers, body)).await;
    let reply = collect(response.unwrap()).await;
    drop(sender);
    connection.abort();
    reply
}

pub async fn post(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    http(addr, Method::POST, path, headers, body).await
}

pub async fn post_json(addr: SocketAddr, signal: Signal, body: &str) -> Reply {
    let headers = [("content-type", "application/json")];
    post(addr, &format!("/v1/{signal}"), &headers, body.as_bytes().to_vec()).await
}

/// One HTTP/2 request with prior knowledge.
pub async fn http2(addr: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let uri = format!("http://{addr}{path}");
    let response = sender.send_request(request(Method::POST, uri, headers, body)).await.unwrap();
    let reply = collect(response).await;
    connection.abort();
    reply
}

pub fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

/// A gRPC frame around a message.
pub fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut framed = vec![u8::from(compressed)];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed
}

/// One gRPC call with the message as given.
pub async fn grpc_raw(addr: SocketAddr, signal: Signal, encoding: &str, body: Vec<u8>) -> Reply {
    let framed = frame(encoding != "identity", &body);
    grpc_frame(addr, signal, &[("grpc-encoding", encoding)], framed).await
}

/// One gRPC call with the body as given.
pub async fn grpc_frame(
    addr: SocketAddr,
    signal: Signal,
    more: &[(&str, &str)],
    body: Vec<u8>,
) -> Reply {
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    headers.extend(more);
    http2(addr, grpc_path(signal), &headers, body).await
}

/// Sends bytes as they are and reads until the server closes or nothing comes for a while.
pub async fn raw(addr: SocketAddr, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for part in parts {
        stream.write_all(part).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
