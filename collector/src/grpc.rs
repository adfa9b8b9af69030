//! OTLP/gRPC: three unary methods and the health service.
//!
//! The message is taken from its length prefix here rather than by tonic's codec, for three
//! reasons: the bytes that go to the ingest log are the bytes that came; an oversized message must
//! be `RESOURCE_EXHAUSTED` (tonic says `OUT_OF_RANGE`, which OTLP clients retry for ever); and
//! refusals of any kind are counted.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use bytes::{BufMut as _, Bytes, BytesMut};
use headrope_model::{RefuseReason, Signal};
use http_body_util::{BodyExt as _, Full};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic_health::pb::health_server::HealthServer;

use crate::body::{Framing, GRPC_PREFIX};
use crate::counters::Transport;
use crate::health::{SERVICES, SinkHealth};
use crate::inflate::Encoding;
use crate::pipeline::{Envelope, Format, Pipeline};
use crate::refusal::Refusal;
use crate::respond;
use crate::sink::Sink;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");

/// The routes of the gRPC listener.
pub(crate) fn router<S: Sink>(pipeline: &Arc<Pipeline<S>>, stop: CancellationToken) -> Router {
    let health = HealthServer::new(SinkHealth { sink: Arc::clone(&pipeline.sink), stop });
    let mut router = Router::new();
    for (signal, service) in SERVICES {
        let handler = move |State(pipeline): State<Arc<Pipeline<S>>>, request: Request| async move {
            export(&pipeline, signal, request).await
        };
        router = router.route(&format!("/{service}/Export"), post(handler));
    }
    router
        .with_state(Arc::clone(pipeline))
        .route_service("/grpc.health.v1.Health/{method}", health)
        .fallback(|request: Request| async move {
            let path = request.uri().path();
            failure(Status::unimplemented(format!("there is no method {path}")))
        })
}

async fn export<S: Sink>(
    pipeline: &Arc<Pipeline<S>>,
    signal: Signal,
    request: Request,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let envelope = match envelope(signal, &head.headers) {
        Ok(envelope) => envelope,
        Err(refusal) => {
            let refusal = pipeline.refuse(signal, Transport::Grpc, refusal);
            if refusal.reason == RefuseReason::UnsupportedMediaType {
                // gRPC over HTTP/2: anything else than application/grpc is answered by HTTP.
                return respond::http_refusal(signal, Format::Json, &refusal);
            }
            return failure(respond::status(signal, &refusal));
        }
    };
    match pipeline.export(envelope, &mut body).await {
        Ok(accepted) => success(&respond::success_protobuf(signal, &accepted)),
        Err(refusal) => {
            pipeline.discard(&refusal, body);
            failure(respond::status(signal, &refusal))
        }
    }
}

fn envelope(signal: Signal, headers: &HeaderMap) -> Result<Envelope, Refusal> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let media_type = text("content-type").unwrap_or_default();
    let plain = matches!(media_type, "application/grpc" | "application/grpc+proto")
        || media_type.starts_with("application/grpc;");
    if !plain {
        let detail = format_args!("this is OTLP/gRPC, the content type was {media_type:?}");
        return Err(Refusal::new(RefuseReason::UnsupportedMediaType, detail));
    }
    let encoding = text("grpc-encoding").unwrap_or("identity");
    let encoding = Encoding::parse(encoding).ok_or_else(|| {
        Refusal::new(RefuseReason::UnsupportedEncoding, format_args!("got {encoding:?}"))
    })?;
    Ok(Envelope {
        signal,
        transport: Transport::Grpc,
        framing: Framing::Grpc,
        format: Format::Protobuf,
        encoding,
    })
}

/// A response message with its trailers.
fn success(message: &[u8]) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(GRPC_PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::<Bytes>::new(framed.freeze()).with_trailers(std::future::ready(Some(Ok::<
        _,
        std::convert::Infallible,
    >(
        trailers,
    ))));
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(ACCEPT_ENCODING, ENCODINGS);
    response
}

/// An error: headers only.
fn failure(status: Status) -> Response<Body> {
    let mut response = status.into_http::<Body>();
    response.headers_mut().insert(ACCEPT_ENCODING, ENCODINGS);
    response
}
