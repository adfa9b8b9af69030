//! One connection to an OTLP endpoint that sends encoded requests.

use std::time::Duration;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use super::workload::Signal;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Wait before a refused request is sent again, when the server names no other.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Stored.
    Acknowledged,
    /// Not stored; to be sent again after this time.
    Refused(Duration),
    /// Anything else.
    Failed(String),
}

/// A connection.
pub(crate) enum Client {
    Grpc { runtime: tokio::runtime::Runtime, grpc: Box<Grpc<Channel>>, path: PathAndQuery },
    Http { agent: ureq::Agent, url: String },
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) fn connect(
        protocol: Protocol,
        address: &str,
        signal: Signal,
    ) -> anyhow::Result<Self> {
        match protocol {
            Protocol::Grpc => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let endpoint = Endpoint::from_shared(format!("http://{address}"))?.timeout(TIMEOUT);
                let channel = runtime
                    .block_on(endpoint.connect())
                    .with_context(|| format!("cannot connect to {address}"))?;
                let path = PathAndQuery::from_static(signal.grpc_path());
                Ok(Self::Grpc { runtime, grpc: Box::new(Grpc::new(channel)), path })
            }
            Protocol::Http => {
                let agent = ureq::Agent::config_builder()
                    .http_status_as_error(false)
                    .timeout_global(Some(TIMEOUT))
                    .build()
                    .new_agent();
                Ok(Self::Http { agent, url: format!("http://{address}{}", signal.http_path()) })
            }
        }
    }

    /// Sends a request and waits for the answer.
    pub(crate) fn send(&mut self, body: Bytes) -> Answer {
        match self {
            Self::Grpc { runtime, grpc, path } => {
                let path = path.clone();
                let answer = runtime.block_on(async {
                    grpc.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
                    grpc.unary(tonic::Request::new(body), path, Raw).await
                });
                grpc_answer(answer.map(tonic::Response::into_inner))
            }
            Self::Http { agent, url } => http_answer(agent, url, &body),
        }
    }
}

fn grpc_answer(answer: Result<Bytes, Status>) -> Answer {
    match answer {
        Ok(content) => content_answer(&content),
        Err(status) => match status.code() {
            tonic::Code::ResourceExhausted | tonic::Code::Unavailable => {
                Answer::Refused(RETRY_AFTER)
            }
            _ => Answer::Failed(status.to_string()),
        },
    }
}

fn http_answer(agent: &ureq::Agent, url: &str, body: &[u8]) -> Answer {
    let sent = agent.post(url).header("content-type", "application/x-protobuf").send(body);
    let mut response = match sent {
        Ok(response) => response,
        Err(e) => return Answer::Failed(e.to_string()),
    };
    let content = match response.body_mut().read_to_vec() {
        Ok(content) => content,
        Err(e) => return Answer::Failed(e.to_string()),
    };
    match response.status().as_u16() {
        200 => content_answer(&content),
        429 | 502 | 503 | 504 => {
            let seconds = response.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let after =
                seconds.and_then(|s| s.parse().ok()).map_or(RETRY_AFTER, Duration::from_secs);
            Answer::Refused(after)
        }
        status => Answer::Failed(format!("{status}: {}", String::from_utf8_lossy(&content))),
    }
}

/// An answer with content is a partial success; nothing a workload sends is to be rejected.
fn content_answer(content: &[u8]) -> Answer {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
    use prost::Message;
    // The rejected count has the same place in the answers of all signals.
    match ExportTraceServiceResponse::decode(content) {
        Ok(answer) => match answer.partial_success {
            Some(partial) if partial.rejected_spans > 0 => Answer::Failed(format!(
                "{} records rejected: {}",
                partial.rejected_spans, partial.error_message
            )),
            _ => Answer::Acknowledged,
        },
        Err(e) => Answer::Failed(format!("the answer is no OTLP: {e}")),
    }
}

/// A codec that leaves the bytes as they are.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, content: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(content.copy_to_bytes(content.remaining())))
    }
}
