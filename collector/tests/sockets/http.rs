//! OTLP/HTTP as the specification has it.

use std::time::Duration;

use crate::support::clients::{http, http2, post, post_json, raw};
use crate::support::messages::{compress, good, span, spans};
use crate::support::sink::Mode;
use crate::support::{refusals, start, start_with};
use headrope_model::Signal;
use headrope_storage::Export;
use hyper::Method;
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn json_span(id: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[
            {{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174","name":"a",
              "startTimeUnixNano":"1","endTimeUnixNano":2}},
            {{"traceId":"{id}","spanId":"EEE19B7EC3C1B174","name":"b",
              "startTimeUnixNano":"1","endTimeUnixNano":2}}]}}]}}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn success_has_an_empty_message_in_the_format_of_the_request() {
    let running = start().await;
    let addr = running.collector.http_addr();
    for signal in Signal::ALL {
        let path = format!("/v1/{signal}");
        for encoding in ["identity", "gzip", "zstd", "deflate"] {
            let body = compress(encoding, &good(signal));
            let reply = post(addr, &path, &[PROTOBUF, ("content-encoding", encoding)], body).await;
            assert_eq!((reply.status, &reply.body[..]), (200, &b""[..]), "{encoding} {reply:?}");
            assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
            assert_eq!(running.sink.last().payload, good(signal), "the bytes as they came");
        }
        let reply = post(addr, &path, &[PROTOBUF], Vec::new()).await;
        assert_eq!(reply.status, 200, "an empty request is a success");
        let reply = post_json(addr, signal, "{}").await;
        assert_eq!((reply.status, &reply.body[..]), (200, &b"{}"[..]));
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let reply = http2(addr, "/v1/traces", &[PROTOBUF], good(Signal::Traces)).await;
    assert_eq!(reply.status, 200, "HTTP/2 with prior knowledge");
    let json = ("content-type", "Application/JSON; charset=utf-8");
    let reply = post(addr, "/v1/logs", &[json], b"{\"resourceLogs\":[]}".to_vec()).await;
    assert_eq!(reply.status, 200);
    running.assert_balanced();
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_partial_success_and_errors() {
    let running = start().await;
    let addr = running.collector.http_addr();
    let reply = post_json(addr, Signal::Traces, &json_span("00")).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let partial = &reply.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "1");
    assert!(partial["errorMessage"].as_str().unwrap().contains("1 invalid_trace_id"));

    let reply = post_json(addr, Signal::Traces, &json_span("xyz")).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let error = reply.json();
    assert_eq!(error["code"], 3);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("resourceSpans[0].scopeSpans[0].spans[1].traceId: "), "{message}");
    let detail = &error["details"][0];
    assert_eq!(detail["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(detail["fieldViolations"][0]["field"], "resource_spans");

    for bad in ["", "[]", "null", "{", "{\"resourceSpans\":{}}", "{} {}", "\u{feff}{}"] {
        let reply = post_json(addr, Signal::Traces, bad).await;
        assert_eq!(reply.status, 400, "{bad:?} {reply:?}");
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let reply = post_json(addr, Signal::Traces, &format!("{{\"unknown\":{deep}}}")).await;
    assert_eq!(reply.status, 200, "unknown fields are ignored whatever they hold");
    let (open, close) = (r#"{"arrayValue":{"values":["#, "]}}");
    let deep = format!("{}{{}}{}", open.repeat(10_000), close.repeat(10_000));
    let body = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"k","value":{deep}}}]}}}}]}}"#
    );
    let reply = post_json(addr, Signal::Traces, &body).await;
    assert_eq!(reply.status, 400, "{reply:?}");

    running
        .sink
        .set(Mode::Refuse(headrope_model::RefuseReason::OverBudget, Duration::from_millis(1500)));
    let reply = post_json(addr, Signal::Traces, &json_span("01")).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("2")));
    assert_eq!(reply.json()["details"][0]["retryDelay"], "1.5s");
    running.sink.set(Mode::Take);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_stored_as_protobuf() {
    let running = start().await;
    let id = "6B8EFFF798038103D269B633813FC60C";
    let reply = post_json(running.collector.http_addr(), Signal::Traces, &json_span(id)).await;
    assert_eq!(reply.status, 200);
    let stored = running.sink.last();
    let Export::Traces(request) = &stored.export else { panic!() };
    assert_eq!(request.resource_spans[0].scope_spans[0].spans[1].trace_id[0], 0x6b);
    assert_eq!(stored.payload, request.encode_to_vec());
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_enough_to_refuse() {
    let running = start().await;
    let addr = running.collector.http_addr();
    let body = good(Signal::Traces);
    for types in [&[][..], &[("content-type", "text/plain")]] {
        let reply = post(addr, "/v1/traces", types, body.clone()).await;
        assert_eq!(reply.status, 415, "{reply:?}");
        assert!(reply.json()["message"].as_str().unwrap().contains("application/x-protobuf"));
    }
    for encoding in ["br", "gzip, gzip", "snappy"] {
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        let reply = post(addr, "/v1/traces", &headers, body.clone()).await;
        assert_eq!(reply.status, 415, "{reply:?}");
        assert_eq!(reply.header("accept-encoding"), Some("gzip, zstd, deflate, identity"));
        assert!(reply.message().contains("gzip"));
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let reply = http(addr, method, "/v1/traces", &[PROTOBUF], Vec::new()).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{reply:?}");
        assert!(reply.message().contains("POST"));
    }
    for path in ["/", "/v1/profiles", "/v1/traces/", "/metrics"] {
        let reply = post(addr, path, &[PROTOBUF], body.clone()).await;
        assert_eq!(reply.status, 404);
        assert!(reply.message().contains(path), "{reply:?}");
    }
    let counted = refusals(&running, "requests");
    assert_eq!(counted["unsupported_media_type"], 2);
    assert_eq!(counted["unsupported_encoding"], 3);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_bodies_and_connections_kept_alive() {
    let running = start().await;
    let addr = running.collector.http_addr();
    let body = good(Signal::Traces);
    let (a, b) = body.split_at(7);
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let last = format!("{head}content-length: 0\r\nconnection: close\r\n\r\n");
    let size = |part: &[u8]| format!("{:x}\r\n", part.len()).into_bytes();
    let answer = raw(
        addr,
        &[chunked.as_bytes(), &size(a), a, b"\r\n", &size(b), b, b"\r\n0\r\n\r\n", last.as_bytes()],
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert_eq!(running.sink.last().payload, body);

    let broken = format!("{chunked}zz\r\n");
    let answer = raw(addr, &[broken.as_bytes()]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_chunked_bodies_end_at_the_limit() {
    let running = start_with(|config| config.max_message_bytes = 1 << 20).await;
    let stream = TcpStream::connect(running.collector.http_addr()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    writer.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &[b' '; 65536][..], b"\r\n"].concat();
    let endless = tokio::spawn(async move { while writer.write_all(&chunk).await.is_ok() {} });
    let mut answer = [0; 12];
    reader.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // It lets some more come in so that the answer can be read, and then hangs up.
    endless.await.unwrap();
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_answered_before_it_sends() {
    let running = start().await;
    let addr = running.collector.http_addr();
    let head = |length: usize| {
        format!(
            "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        )
    };
    let answer = raw(addr, &[head(100_000_000).as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let answer = raw(addr, &[head(2).as_bytes(), b"{}"]).await;
    assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_is_off_unless_origins_are_listed() {
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,traceparent"),
    ];
    let off = start().await;
    let addr = off.collector.http_addr();
    let reply = http(addr, Method::OPTIONS, "/v1/traces", &preflight, Vec::new()).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
    off.finish().await;

    let on = start_with(|config| config.cors_origins = vec!["https://*.example".into()]).await;
    let addr = on.collector.http_addr();
    let reply = http(addr, Method::OPTIONS, "/v1/traces", &preflight, Vec::new()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(reply.header("access-control-max-age"), Some("7200"));
    let headers = reply.header("access-control-allow-headers").unwrap();
    for name in ["content-type", "traceparent", "tracestate", "baggage", "x-requested-with"] {
        assert!(headers.contains(name), "{headers}");
    }
    let headers = [PROTOBUF, ("origin", "https://shop.example")];
    let reply = post(addr, "/v1/traces", &headers, good(Signal::Traces)).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.example"));
    let headers = [PROTOBUF, ("origin", "https://evil.test")];
    let reply = post(addr, "/v1/traces", &headers, good(Signal::Traces)).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
    on.finish().await;

    let any = start_with(|config| config.cors_origins = vec!["*".into()]).await;
    let addr = any.collector.http_addr();
    let reply = http(addr, Method::OPTIONS, "/v1/traces", &preflight, Vec::new()).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("access-control-allow-credentials"), None);
    any.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off() {
    let running = start_with(|config| {
        config.body_timeout = Duration::from_millis(100);
        config.first_request_timeout = Duration::from_millis(100);
    })
    .await;
    let addr = running.collector.http_addr();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 10\r\n\r\n{";
    let answer = raw(addr, &[head.as_bytes()]).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    for start in ["", "POST /v1/tr", "PRI * HT"] {
        assert_eq!(raw(addr, &[start.as_bytes()]).await, "", "closed without a word");
    }
    assert_eq!(refusals(&running, "requests")["request_timeout"], 1);
    running.assert_healthy().await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_counted() {
    let running = start().await;
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 10\r\n\r\n{";
    let mut stream = TcpStream::connect(running.collector.http_addr()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    while running.count("headrope_ingest_requests_in_flight", &[]) == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while running.count("headrope_ingest_requests_in_flight", &[]) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(refusals(&running, "requests"), [("aborted".to_owned(), 1)].into());

    // One that leaves after its body has arrived does not stop the storing of it.
    running.sink.set(Mode::Hold);
    let body = spans(vec![span()]).encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(running.collector.http_addr()).await.unwrap();
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    while running.count("headrope_ingest_records_in_flight", &[]) == 0 {
        tokio::task::yield_now().await;
    }
    drop(stream);
    running.sink.gate.add_permits(1);
    while running.count("headrope_ingest_records_in_flight", &[]) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.sink.records(), 1);
    running.sink.set(Mode::Take);
    running.assert_healthy().await;
    running.finish().await;
}
