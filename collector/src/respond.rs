//! answer → bytes: the same outcome as OTLP/gRPC and OTLP/HTTP say it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::inflate::Encoding;
use crate::pipeline::Format;
use crate::refusal::Refusal;
use crate::tally::Accepted;

impl Format {
    /// The media type of requests and responses.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// How a refusal is called in gRPC and in HTTP. Only what a client may retry gets a code that the
/// OTLP specification lists as retryable.
fn codes(reason: RefuseReason) -> (Code, StatusCode) {
    use RefuseReason as R;
    match reason {
        R::MessageTooLarge => (Code::ResourceExhausted, StatusCode::PAYLOAD_TOO_LARGE),
        R::UnsupportedMediaType => (Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        R::UnsupportedEncoding => (Code::Unimplemented, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        R::OverBudget | R::DiskFull | R::ShuttingDown | R::StorageFailed => {
            (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
        }
        R::RateLimited => (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS),
        R::RequestTimeout => (Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT),
        R::Aborted => (Code::Cancelled, StatusCode::BAD_REQUEST),
        R::InvalidTraceId
        | R::InvalidSpanId
        | R::InvalidParentSpanId
        | R::InvalidLink
        | R::InvalidTime
        | R::EndBeforeStart
        | R::RecordTooLarge
        | R::TooDeep
        | R::EmptyMetric
        | R::InvalidHistogram
        | R::Malformed
        | R::BadCompression => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
    }
}

/// The field of an export request that holds its data.
const fn root_field(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "resource_spans",
        Signal::Metrics => "resource_metrics",
        Signal::Logs => "resource_logs",
    }
}

/// A refusal as a gRPC status with its details.
pub(crate) fn status(signal: Signal, refusal: &Refusal) -> Status {
    let (code, _) = codes(refusal.reason);
    let details = match (code, refusal.retry_after) {
        (_, Some(after)) => ErrorDetails::with_retry_info(Some(after)),
        (Code::InvalidArgument, None) => {
            ErrorDetails::with_bad_request_violation(root_field(signal), refusal.message.as_str())
        }
        (_, None) => ErrorDetails::new(),
    };
    Status::with_error_details(code, refusal.message.as_str(), details)
}

/// A refusal as an HTTP response: a `google.rpc.Status` in the request's format.
pub(crate) fn http_refusal(signal: Signal, format: Format, refusal: &Refusal) -> Response<Body> {
    let (code, http) = codes(refusal.reason);
    let body = match format {
        // The details of a tonic status are the encoded google.rpc.Status.
        Format::Protobuf => Bytes::copy_from_slice(status(signal, refusal).details()),
        Format::Json => {
            let details = match (code, refusal.retry_after) {
                (_, Some(after)) => json!([{
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}s", after.as_secs_f64()),
                }]),
                (Code::InvalidArgument, None) => json!([{
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{
                        "field": root_field(signal),
                        "description": refusal.message,
                    }],
                }]),
                (_, None) => json!([]),
            };
            let status =
                json!({"code": code as i32, "message": refusal.message, "details": details});
            Bytes::from(status.to_string())
        }
    };
    let mut response = http_response(http, format, body);
    let headers = response.headers_mut();
    if let Some(after) = refusal.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    if refusal.reason == RefuseReason::UnsupportedEncoding {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(Encoding::ACCEPTED));
    }
    response
}

/// An HTTP error that concerns no signal, as a `google.rpc.Status`.
pub(crate) fn http_error(
    http: StatusCode,
    code: Code,
    format: Format,
    message: &str,
) -> Response<Body> {
    let body = match format {
        Format::Protobuf => {
            tonic_types::Status { code: code as i32, message: message.to_owned(), details: vec![] }
                .encode_to_vec()
        }
        Format::Json => json!({"code": code as i32, "message": message}).to_string().into_bytes(),
    };
    http_response(http, format, body.into())
}

/// A success as an HTTP response.
pub(crate) fn http_success(signal: Signal, format: Format, accepted: &Accepted) -> Response<Body> {
    let body = match format {
        Format::Protobuf => success_protobuf(signal, accepted),
        Format::Json => success_json(signal, accepted),
    };
    http_response(StatusCode::OK, format, body)
}

fn http_response(http: StatusCode, format: Format, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = http;
    let media_type = HeaderValue::from_static(format.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// What a client reads about the records that were left out.
fn partial(accepted: &Accepted) -> Option<(i64, String)> {
    let rejected = accepted.refused.total();
    (rejected > 0).then(|| {
        let all = accepted.stored + rejected;
        let why = accepted.refused.describe();
        let message = format!("{rejected} of {all} records were refused: {why}");
        (i64::try_from(rejected).unwrap_or(i64::MAX), message)
    })
}

/// The export response message: `partial_success` is unset unless something was left out.
pub(crate) fn success_protobuf(signal: Signal, accepted: &Accepted) -> Bytes {
    let partial = partial(accepted);
    let bytes = match signal {
        Signal::Traces => ExportTraceServiceResponse {
            partial_success: partial.map(|(rejected_spans, error_message)| {
                ExportTracePartialSuccess { rejected_spans, error_message }
            }),
        }
        .encode_to_vec(),
        Signal::Metrics => ExportMetricsServiceResponse {
            partial_success: partial.map(|(rejected_data_points, error_message)| {
                ExportMetricsPartialSuccess { rejected_data_points, error_message }
            }),
        }
        .encode_to_vec(),
        Signal::Logs => ExportLogsServiceResponse {
            partial_success: partial.map(|(rejected_log_records, error_message)| {
                ExportLogsPartialSuccess { rejected_log_records, error_message }
            }),
        }
        .encode_to_vec(),
    };
    Bytes::from(bytes)
}

fn success_json(signal: Signal, accepted: &Accepted) -> Bytes {
    let Some((rejected, message)) = partial(accepted) else { return Bytes::from_static(b"{}") };
    let field = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let body = json!({"partialSuccess": {field: rejected.to_string(), "errorMessage": message}});
    Bytes::from(body.to_string())
}

/// At least one second: clients read 0 as "at once".
fn whole_seconds(delay: Duration) -> u64 {
    let up = u64::from(delay.subsec_nanos() > 0);
    (delay.as_secs() + up).max(1)
}
