//! OTLP/HTTP: `POST /v1/traces`, `/v1/metrics`, `/v1/logs`, protobuf or JSON.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::post;
use headrope_model::{RefuseReason, Signal};
use tonic::Code;

use crate::body::Framing;
use crate::config::CollectorConfig;
use crate::cors;
use crate::counters::Transport;
use crate::inflate::Encoding;
use crate::pipeline::{Envelope, Format, Pipeline};
use crate::refusal::Refusal;
use crate::respond;
use crate::sink::Sink;

/// The routes of the HTTP listener.
pub(crate) fn router<S: Sink>(pipeline: &Arc<Pipeline<S>>, config: &CollectorConfig) -> Router {
    let mut router = Router::new();
    for signal in Signal::ALL {
        let handler = move |State(pipeline): State<Arc<Pipeline<S>>>, request: Request| async move {
            export(&pipeline, signal, request).await
        };
        router = router.route(&format!("/v1/{signal}"), post(handler));
    }
    let router = router
        .method_not_allowed_fallback(|request: Request| async move {
            let format = format(request.headers()).unwrap_or(Format::Json);
            let message = "send telemetry with POST";
            let status = StatusCode::METHOD_NOT_ALLOWED;
            respond::http_error(status, Code::Unimplemented, format, message)
        })
        .fallback(|request: Request| async move {
            let format = format(request.headers()).unwrap_or(Format::Json);
            let path = request.uri().path();
            let message =
                format!("there is no {path}; OTLP is at /v1/traces, /v1/metrics, /v1/logs");
            respond::http_error(StatusCode::NOT_FOUND, Code::NotFound, format, &message)
        })
        .with_state(Arc::clone(pipeline));
    match cors::layer(&config.cors_origins, &config.cors_headers) {
        Some(layer) => router.layer(layer),
        None => router,
    }
}

async fn export<S: Sink>(
    pipeline: &Arc<Pipeline<S>>,
    signal: Signal,
    request: Request,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let format_or_json = format(&head.headers).unwrap_or(Format::Json);
    let declared = body.size_hint().lower();
    let outcome = match envelope(signal, &head.headers) {
        Ok(_) if declared > pipeline.max_message_bytes as u64 => {
            let refusal = Refusal::too_large(pipeline.max_message_bytes);
            Err(pipeline.refuse(signal, Transport::Http, refusal))
        }
        Ok(envelope) => pipeline.export(envelope, &mut body).await,
        Err(refusal) => Err(pipeline.refuse(signal, Transport::Http, refusal)),
    };
    match outcome {
        Ok(accepted) => respond::http_success(signal, format_or_json, &accepted),
        Err(refusal) => {
            // A client that asked first whether to send the body has not begun to.
            if !head.headers.contains_key(header::EXPECT) {
                pipeline.discard(&refusal, body);
            }
            respond::http_refusal(signal, format_or_json, &refusal)
        }
    }
}

fn envelope(signal: Signal, headers: &HeaderMap) -> Result<Envelope, Refusal> {
    let format = format(headers)?;
    Ok(Envelope {
        signal,
        transport: Transport::Http,
        framing: Framing::Whole,
        format,
        encoding: encoding(headers)?,
    })
}

/// The media type, whatever its parameters.
fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let value = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let media_type = value.unwrap_or("").split(';').next().unwrap_or("").trim();
    [Format::Protobuf, Format::Json]
        .into_iter()
        .find(|format| media_type.eq_ignore_ascii_case(format.media_type()))
        .ok_or_else(|| {
            let got = format_args!("the content type was {media_type:?}");
            Refusal::new(RefuseReason::UnsupportedMediaType, got)
        })
}

/// At most one content coding.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let name = values.next().map_or("", |value| value.to_str().unwrap_or("?"));
    match (Encoding::parse(name), values.next()) {
        (Some(encoding), None) => Ok(encoding),
        _ => Err(Refusal::new(
            RefuseReason::UnsupportedEncoding,
            format_args!("the content encoding was {name:?}"),
        )),
    }
}
