//! OTLP/gRPC with a stock client, health, and shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::support::clients::{grpc_path, http2, post};
use crate::support::messages::{good, span, spans};
use crate::support::sink::{MemorySink, Mode};
use crate::support::{start, start_with};
use headrope_collector::{Collector, CollectorConfig, CollectorError};
use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

async fn channel(addr: SocketAddr) -> Channel {
    Endpoint::new(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

async fn export(
    channel: Channel,
    encoding: Option<CompressionEncoding>,
    request: ExportTraceServiceRequest,
) -> Result<Response<ExportTraceServiceResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    if let Some(encoding) = encoding {
        client = client.send_compressed(encoding).accept_compressed(encoding);
    }
    client.ready().await.unwrap();
    let path = grpc_path(Signal::Traces).parse().unwrap();
    client.unary(Request::new(request), path, tonic_prost::ProstCodec::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_with_every_compression() {
    let running = start().await;
    let channel = channel(running.collector.grpc_addr()).await;
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let request = spans(vec![span(); 100]);
        let reply = export(channel.clone(), encoding, request.clone()).await.unwrap();
        assert_eq!(reply.into_inner().partial_success, None);
        assert_eq!(running.sink.last().payload, request.encode_to_vec(), "the bytes as they came");
    }
    let mut bad = span();
    bad.span_id.clear();
    let reply = export(channel.clone(), None, spans(vec![bad, span()])).await.unwrap();
    assert_eq!(reply.into_inner().partial_success.unwrap().rejected_spans, 1);
    let reply = export(channel.clone(), None, ExportTraceServiceRequest::default()).await.unwrap();
    assert_eq!(reply.into_inner().partial_success, None, "an empty request is a success");

    running.sink.set(Mode::Refuse(RefuseReason::OverBudget, Duration::from_secs(7)));
    let error = export(channel.clone(), None, spans(vec![span()])).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let retry = error.get_details_retry_info().unwrap();
    assert_eq!(retry.retry_delay, Some(Duration::from_secs(7)));
    running.sink.set(Mode::Take);
    running.assert_healthy().await;
    drop(channel);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_is_told_not_to_retry_what_is_too_large() {
    let running = start_with(|config| config.max_message_bytes = 1 << 20).await;
    let channel = channel(running.collector.grpc_addr()).await;
    let request = spans(vec![span(); 40_000]);
    for encoding in [None, Some(CompressionEncoding::Gzip)] {
        let error = export(channel.clone(), encoding, request.clone()).await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.get_details_retry_info().is_none());
        assert!(error.message().contains("1048576 bytes"), "{error:?}");
    }
    running.assert_healthy().await;
    drop(channel);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_at_once_on_one_connection() {
    let running = start_with(|config| config.max_concurrent_requests = 4).await;
    let channel = channel(running.collector.grpc_addr()).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..500 {
        calls.spawn(export(channel.clone(), None, spans(vec![span(); 10])));
    }
    while let Some(reply) = calls.join_next().await {
        reply.unwrap().unwrap();
    }
    assert_eq!(running.sink.records(), 5000);
    running.assert_balanced();
    drop(channel);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_content_types() {
    let running = start().await;
    let addr = running.collector.grpc_addr();
    let grpc = [("content-type", "application/grpc")];
    let reply = http2(addr, "/some.Service/Method", &grpc, vec![0; 5]).await;
    assert_eq!((reply.status, reply.code), (200, Some(Code::Unimplemented as i32)));
    let wrong = [("content-type", "application/json")];
    let reply = http2(addr, grpc_path(Signal::Logs), &wrong, b"{}".to_vec()).await;
    assert_eq!(reply.status, 415);
    let typed = [("content-type", "application/grpc+proto")];
    let framed = crate::support::clients::frame(false, &good(Signal::Logs));
    let reply = http2(addr, grpc_path(Signal::Logs), &typed, framed).await;
    assert!(reply.ok(), "{reply:?}");
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_sink() {
    let running = start().await;
    let channel = channel(running.collector.grpc_addr()).await;
    let mut client = HealthClient::new(channel);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let traces = "opentelemetry.proto.collector.trace.v1.TraceService";
    for service in ["", traces] {
        let status = client.check(ask(service)).await.unwrap().into_inner().status;
        assert_eq!(status, 1, "serving");
    }
    assert_eq!(client.check(ask("nobody")).await.unwrap_err().code(), Code::NotFound);

    let mut watch = client.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    running.sink.set(Mode::Refuse(RefuseReason::DiskFull, Duration::from_secs(1)));
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "not serving");
    assert_eq!(client.check(ask(traces)).await.unwrap().into_inner().status, 2);

    // An open watch does not hold up a shutdown.
    running.stop.cancel();
    while watch.message().await.is_ok_and(|message| message.is_some()) {}
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_finishes_what_is_in_flight() {
    let running = start().await;
    running.sink.set(Mode::Hold);
    let (grpc, http) = (running.collector.grpc_addr(), running.collector.http_addr());
    let over_grpc = tokio::spawn(export(channel(grpc).await, None, spans(vec![span()])));
    let over_http = tokio::spawn(async move {
        let headers = [("content-type", "application/x-protobuf")];
        post(http, "/v1/logs", &headers, good(Signal::Logs)).await
    });
    while running.sink.begun.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    running.stop.cancel();
    // The listeners are closed at once.
    while tokio::net::TcpStream::connect(http).await.is_ok() {
        tokio::task::yield_now().await;
    }
    running.sink.gate.add_permits(2);
    over_grpc.await.unwrap().unwrap();
    assert_eq!(over_http.await.unwrap().status, 200);
    running.assert_balanced();
    assert_eq!(running.sink.records(), 2);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_for_ever() {
    let running = start_with(|config| config.drain_timeout = Duration::from_millis(50)).await;
    running.sink.set(Mode::Hold);
    let call = export(channel(running.collector.grpc_addr()).await, None, spans(vec![span()]));
    let call = tokio::spawn(call);
    while running.sink.begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    running.stop.cancel();
    let end = running.task.await.unwrap();
    assert!(matches!(end, Err(CollectorError::NotDrained { .. })), "{end:?}");
    assert!(call.await.unwrap().is_err(), "never acknowledged");
    running.sink.gate.add_permits(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_in_use_and_bad_configurations_are_named() {
    let running = start().await;
    let sink = Arc::new(MemorySink::default());
    let any = "127.0.0.1:0".parse().unwrap();
    let taken = CollectorConfig {
        grpc_addr: any,
        http_addr: running.collector.http_addr(),
        ..CollectorConfig::default()
    };
    let error = Collector::bind(taken, Arc::clone(&sink)).await.unwrap_err().to_string();
    assert!(error.contains("OTLP/HTTP") && error.contains("choose another address"), "{error}");
    let bad = CollectorConfig { max_connections: 0, ..CollectorConfig::default() };
    let error = Collector::bind(bad, sink).await.unwrap_err().to_string();
    assert!(error.contains("max_connections must be above 0"), "{error}");
    running.assert_healthy().await;
    let again = running.collector.serve(tokio_util::sync::CancellationToken::new()).await;
    assert!(matches!(again, Err(CollectorError::AlreadyServing)));
    running.finish().await;
}
