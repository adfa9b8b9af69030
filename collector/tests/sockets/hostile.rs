//! What hostile and broken clients get: the right status and reason, counted, and a healthy server.

use std::time::Duration;

use crate::support::clients::{Reply, frame, grpc_frame, post_json};
use crate::support::messages::{
    compress, gauge, good, log, logs, metrics, point, span, spans, text,
};
use crate::support::sink::Mode;
use crate::support::{Running, TRANSPORTS, refusals, start, start_with};
use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use prost::Message;
use tonic::Code;

/// The reply is this gRPC code or HTTP status, cannot be retried, and names the reason.
fn assert_refused(reply: &Reply, code: Code, http: u16, reason: RefuseReason) {
    match reply.code {
        Some(got) => assert_eq!(got, code as i32, "{reply:?}"),
        None => assert_eq!(reply.status, http, "{reply:?}"),
    }
    assert!(reply.message().contains(reason.advice()), "{reply:?}");
    assert_eq!(reply.retry_delay(), None, "{reply:?}");
    assert_eq!(reply.header("retry-after"), None);
    if code == Code::InvalidArgument {
        assert!(reply.bad_request(), "{reply:?}");
    }
}

/// Sends the same body over every transport and expects the same refusal, counted once each.
async fn refused_everywhere(
    running: &Running,
    encoding: &str,
    body: &[u8],
    code: Code,
    http: u16,
    reason: RefuseReason,
) {
    for transport in TRANSPORTS {
        let label = [transport, reason.label()];
        let before = running.count("headrope_ingest_requests_refused", &label);
        let reply = running.send(transport, Signal::Traces, encoding, body.to_vec()).await;
        assert_refused(&reply, code, http, reason);
        let after = running.count("headrope_ingest_requests_refused", &label);
        assert_eq!(after, before + 1, "{transport} {reason:?}");
        running.assert_healthy().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_protobuf_is_bad_data() {
    let running = start().await;
    let malformed: [&[u8]; 5] = [
        b"\x0a\xff\xff\xff\xff\x0f",
        b"not protobuf at all",
        b"\x0a\x05\x12\x03\x12\x09\x0a",
        &[0xff; 64],
        b"\x0b\x0c",
    ];
    for body in malformed {
        let reason = RefuseReason::Malformed;
        refused_everywhere(&running, "identity", body, Code::InvalidArgument, 400, reason).await;
    }
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_utf8_is_bad_data() {
    let running = start().await;
    let mut body = good(Signal::Traces);
    let at = body.windows(5).position(|w| w == b"GET /").unwrap();
    body[at] = 0xff;
    let reason = RefuseReason::Malformed;
    refused_everywhere(&running, "identity", &body, Code::InvalidArgument, 400, reason).await;
    let reply = running.send("http", Signal::Traces, "identity", body).await;
    assert!(reply.message().to_lowercase().contains("utf-8"), "{reply:?}");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_wrong_compression_is_bad_data() {
    let running = start().await;
    for encoding in ["gzip", "zstd", "deflate"] {
        let whole = compress(encoding, &good(Signal::Traces));
        for body in [&whole[..whole.len() - 3], &whole[..6], b"plain"] {
            let reason = RefuseReason::BadCompression;
            refused_everywhere(&running, encoding, body, Code::InvalidArgument, 400, reason).await;
        }
    }
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zip_bombs_are_too_large_and_never_inflated() {
    let running = start_with(|config| {
        config.max_message_bytes = 8 << 20;
        config.max_in_flight_bytes = Some(32 << 20);
    })
    .await;
    let bomb = vec![0; 200 << 20];
    for encoding in ["gzip", "zstd", "deflate"] {
        let body = compress(encoding, &bomb);
        // Small enough to pass as it is; only what it inflates to is too large.
        assert!(body.len() < 8 << 20);
        let reason = RefuseReason::MessageTooLarge;
        refused_everywhere(&running, encoding, &body, Code::ResourceExhausted, 413, reason).await;
    }
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_100_mb_are_too_large() {
    let running = start().await;
    let reason = RefuseReason::MessageTooLarge;
    let body = vec![0; 100_000_000];
    refused_everywhere(&running, "identity", &body, Code::ResourceExhausted, 413, reason).await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_that_decode_to_gigabytes_are_refused_before_they_are_decoded() {
    let running = start().await;
    // 20 million empty spans: 40 MB on the wire, 8 GB as structs.
    let empty = [0x12, 0x00].repeat(20_000_000);
    let mut scope = vec![0x12];
    prost::encoding::encode_varint(empty.len() as u64, &mut scope);
    scope.extend(empty);
    let mut body = vec![0x0a];
    prost::encoding::encode_varint(scope.len() as u64, &mut body);
    body.extend(scope);
    let reason = RefuseReason::MessageTooLarge;
    refused_everywhere(&running, "identity", &body, Code::ResourceExhausted, 413, reason).await;
    let body = compress("gzip", &body);
    refused_everywhere(&running, "gzip", &body, Code::ResourceExhausted, 413, reason).await;

    let json = format!("{{\"resourceSpans\":[{}{{}}]}}", "{},".repeat(5_000_000));
    let reply = post_json(running.collector.http_addr(), Signal::Traces, &json).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_left_out_and_the_rest_is_stored() {
    let running = start().await;
    let deep = (0..33).fold(AnyValue::default(), |inner, _| AnyValue {
        value: Some(Value::ArrayValue(ArrayValue { values: vec![inner] })),
    });
    let attribute = |value| KeyValue { key: "k".into(), value: Some(value), ..KeyValue::default() };
    let change = |edit: fn(&mut opentelemetry_proto::tonic::trace::v1::Span)| {
        let mut bad = span();
        edit(&mut bad);
        bad
    };
    let mut too_deep = span();
    too_deep.attributes.push(attribute(deep));
    let mut huge = span();
    huge.attributes.push(text("blob", &"x".repeat(10_000_000)));
    let request = spans(vec![
        span(),
        change(|s| s.trace_id = vec![0; 16]),
        change(|s| s.trace_id = vec![1; 15]),
        change(|s| s.span_id.clear()),
        change(|s| s.parent_span_id = vec![1; 3]),
        change(|s| s.start_time_unix_nano = 0),
        change(|s| s.end_time_unix_nano = u64::MAX),
        change(|s| s.end_time_unix_nano = s.start_time_unix_nano - 1),
        too_deep,
        huge,
        change(|s| s.parent_span_id = vec![0; 8]),
    ]);
    for transport in TRANSPORTS {
        let reply =
            running.send(transport, Signal::Traces, "identity", request.encode_to_vec()).await;
        assert!(reply.ok(), "{reply:?}");
        let partial = ExportTraceServiceResponse::decode(&reply.body[..]).unwrap();
        let partial = partial.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 9);
        let message = partial.error_message;
        assert!(
            message.starts_with("9 of 11 records were refused: 2 invalid_trace_id"),
            "{message}"
        );
        for reason in ["1 record_too_large", "1 end_before_start", "2 invalid_time", "1 too_deep"] {
            assert!(message.contains(reason), "{message}");
        }
        assert_eq!(crate::support::sink::records(&running.sink.last().export), 2);
    }
    assert_eq!(refusals(&running, "requests").len(), 0);
    assert_eq!(refusals(&running, "records")["record_too_large"], 2);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_any_acceptable_record_is_bad_data() {
    let running = start().await;
    let mut bad = span();
    bad.trace_id.clear();
    let body = spans(vec![bad.clone(), bad]).encode_to_vec();
    let reason = RefuseReason::InvalidTraceId;
    refused_everywhere(&running, "identity", &body, Code::InvalidArgument, 400, reason).await;
    assert_eq!(refusals(&running, "records")["invalid_trace_id"], 4);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_a_value_and_no_value_is_not() {
    let running = start().await;
    let mut none = point(0.0);
    none.value = None;
    let mut stale = none.clone();
    stale.flags = 1;
    let body = metrics(vec![
        gauge("temperature", vec![point(f64::NAN), point(f64::INFINITY), none, stale]),
        gauge("", vec![point(1.0)]),
    ]);
    for transport in TRANSPORTS {
        let reply =
            running.send(transport, Signal::Metrics, "identity", body.encode_to_vec()).await;
        assert!(reply.ok(), "{reply:?}");
    }
    assert_eq!(refusals(&running, "records")["empty_metric"], 4);
    assert_eq!(running.sink.records(), 6);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_distinct_attribute_keys_over_many_spans_are_accepted() {
    let running = start().await;
    let many = |i: usize| {
        let mut span = span();
        span.attributes = (0..1000).map(|k| text(&format!("key-{i}-{k}"), "v")).collect();
        span
    };
    let body = spans((0..1000).map(many).collect()).encode_to_vec();
    for transport in TRANSPORTS {
        let reply = running.send(transport, Signal::Traces, "identity", body.clone()).await;
        assert!(reply.ok(), "{reply:?}");
    }
    let mut one = span();
    one.attributes = (0..1_000_000).map(|k| text(&format!("key-{k}"), "v")).collect();
    let body = spans(vec![one, span()]).encode_to_vec();
    for transport in TRANSPORTS {
        let reply = running.send(transport, Signal::Traces, "gzip", compress("gzip", &body)).await;
        assert!(reply.ok(), "{reply:?}");
    }
    assert_eq!(refusals(&running, "records")["record_too_large"], 2);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_budget_is_retryable_with_advice() {
    let running = start().await;
    let delay = Duration::from_millis(2500);
    let retryable = [
        (Mode::Refuse(RefuseReason::OverBudget, delay), Code::Unavailable, 503),
        (Mode::RefuseLate(RefuseReason::DiskFull, delay), Code::Unavailable, 503),
        (Mode::Refuse(RefuseReason::RateLimited, delay), Code::ResourceExhausted, 429),
        (Mode::Fail, Code::Unavailable, 503),
    ];
    for (mode, code, http) in retryable {
        for transport in TRANSPORTS {
            running.sink.set(mode);
            let body = good(Signal::Logs);
            let reply = running.send(transport, Signal::Logs, "identity", body).await;
            let wanted = if mode == Mode::Fail { Duration::from_secs(5) } else { delay };
            assert_eq!(reply.retry_delay(), Some(wanted), "{reply:?}");
            match reply.code {
                Some(got) => assert_eq!(got, code as i32),
                None => {
                    assert_eq!(reply.status, http);
                    let seconds = if mode == Mode::Fail { "5" } else { "3" };
                    assert_eq!(reply.header("retry-after"), Some(seconds));
                }
            }
            running.sink.set(Mode::Take);
            running.assert_healthy().await;
        }
    }
    // Refused after the records were known: they are counted by the same reason.
    assert_eq!(refusals(&running, "records")["disk_full"], 2);
    assert_eq!(refusals(&running, "records")["storage_failed"], 2);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_room() {
    let running = start().await;
    for transport in TRANSPORTS {
        running.sink.set(Mode::Crowded);
        let sent = running.send(transport, Signal::Logs, "identity", good(Signal::Logs));
        let let_in = async { running.sink.gate.add_permits(1) };
        let (reply, ()) = tokio::join!(sent, let_in);
        assert!(reply.ok(), "{reply:?}");
    }
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_of_requests_in_flight_is_bounded() {
    let running = start_with(|config| {
        config.max_message_bytes = 1 << 20;
        config.max_in_flight_bytes = Some(4 << 20);
    })
    .await;
    running.sink.set(Mode::Hold);
    let body = logs(vec![log(&"x".repeat(900_000))]).encode_to_vec();
    let mut calls = tokio::task::JoinSet::new();
    for i in 0..12 {
        let (http, grpc) = (running.collector.http_addr(), running.collector.grpc_addr());
        let body = body.clone();
        calls.spawn(async move {
            if i % 2 == 0 {
                let headers = [("content-type", "application/x-protobuf")];
                crate::support::clients::post(http, "/v1/logs", &headers, body).await
            } else {
                crate::support::clients::grpc_raw(grpc, Signal::Logs, "identity", body).await
            }
        });
    }
    let mut refused = 0;
    // Some are refused while the others are held; then the held ones are let through.
    while refused == 0 {
        let reply = calls.join_next().await.unwrap().unwrap();
        assert!(!reply.ok());
        assert_eq!(reply.retry_delay(), Some(Duration::from_secs(1)), "{reply:?}");
        refused += 1;
        assert!(running.count("headrope_ingest_memory_bytes", &[]) <= 4 << 20);
    }
    running.sink.gate.add_permits(100);
    let mut stored = 0;
    while let Some(reply) = calls.join_next().await {
        if reply.unwrap().ok() { stored += 1 } else { refused += 1 }
    }
    assert_eq!(stored + refused, 12);
    assert!(stored >= 1, "{stored}");
    assert_eq!(refusals(&running, "requests"), [("over_budget".to_owned(), refused)].into());
    running.sink.set(Mode::Take);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_grpc_frames_are_bad_data() {
    let running = start().await;
    let addr = running.collector.grpc_addr();
    let message = good(Signal::Traces);
    let mut longer = frame(false, &message);
    longer[4] += 1;
    let mut flag = frame(false, &message);
    flag[0] = 7;
    let two = [frame(false, &message), frame(false, &message)].concat();
    for body in [vec![], vec![0, 0], longer, flag, two] {
        let reply = grpc_frame(addr, Signal::Traces, &[], body).await;
        assert_eq!(reply.code, Some(Code::InvalidArgument as i32), "{reply:?}");
    }
    let flagged = frame(true, &message);
    let reply = grpc_frame(addr, Signal::Traces, &[], flagged).await;
    assert_eq!(reply.code, Some(Code::InvalidArgument as i32), "{reply:?}");
    let unknown = [("grpc-encoding", "snappy")];
    let reply = grpc_frame(addr, Signal::Traces, &unknown, frame(false, &message)).await;
    assert_eq!(reply.code, Some(Code::Unimplemented as i32), "{reply:?}");
    assert_eq!(reply.header("grpc-accept-encoding"), Some("identity,gzip,zstd,deflate"));
    // A length beyond the limit is refused as soon as it is read.
    let mut endless = vec![0, 0xff, 0xff, 0xff, 0xff];
    endless.extend(message);
    let reply = grpc_frame(addr, Signal::Traces, &[], endless).await;
    assert_eq!(reply.code, Some(Code::ResourceExhausted as i32), "{reply:?}");
    running.assert_healthy().await;
    running.finish().await;
}
