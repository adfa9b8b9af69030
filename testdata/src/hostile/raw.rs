//! Bodies that are not protobuf, or not the protobuf they claim to be.

use headrope_model::Signal;
use prost::Message as _;

use super::records::{deep_span, span, trace_request};
use super::{Answer, Case};

/// Replaced by bytes that are no UTF-8.
const MARKER: &[u8; 8] = b"@MARKER@";

/// A request whose span name is not UTF-8, which protobuf forbids for strings.
fn invalid_utf8(at_ns: u64) -> Vec<u8> {
    let mut bad = span(1, at_ns);
    bad.name = String::from_utf8_lossy(MARKER).into_owned();
    let mut body = trace_request(vec![span(0, at_ns), bad]).encode_to_vec();
    if let Some(at) = body.windows(MARKER.len()).position(|w| w == MARKER) {
        body[at..at + MARKER.len()].copy_from_slice(b"\xff\xfe\xc0\x80\xed\xa0\x80\xf5");
    }
    body
}

fn truncated(at_ns: u64) -> Vec<u8> {
    let mut body = trace_request(vec![span(0, at_ns), span(1, at_ns)]).encode_to_vec();
    body.truncate(body.len() - 5);
    body
}

/// A good request with a field of the future behind it, which a decoder must skip.
fn unknown_field(at_ns: u64) -> Vec<u8> {
    let mut body = trace_request(vec![span(0, at_ns)]).encode_to_vec();
    // Field 1000, length-delimited, three bytes.
    body.extend([0xc2, 0x3e, 3, 1, 2, 3]);
    body
}

pub(super) fn cases(at_ns: u64) -> Vec<Case> {
    let bad = |name, body: Vec<u8>| Case::new(name, Signal::Traces, body, Answer::Malformed);
    let fine =
        |name, body, records| Case::new(name, Signal::Traces, body, Answer::Accepted { records });
    let very_deep = trace_request(vec![span(0, at_ns), deep_span(2000, at_ns)]).encode_to_vec();
    vec![
        bad("invalid UTF-8 in a string", invalid_utf8(at_ns)),
        bad("truncated protobuf", truncated(at_ns)),
        bad("text instead of protobuf", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        bad("endless varint", vec![0xff; 32]),
        bad("length beyond the end", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        bad("wrong wire type", vec![0x08, 0x01]),
        bad("field number zero", vec![0x00, 0x00]),
        bad("unclosed group", vec![0x0b, 0x0b, 0x0b]),
        bad("attribute 2000 levels deep", very_deep),
        fine("empty body", Vec::new(), 0),
        fine("unknown field", unknown_field(at_ns), 1),
    ]
}
