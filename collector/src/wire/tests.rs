use headrope_storage::Export;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message;
use prost::encoding::encode_varint;

use super::*;
use crate::pipeline::judge;
use crate::validate::Limits;
use headrope_testdata::arbitrary::Dice;

fn records(mut export: Export) -> u64 {
    let verdict = judge(&mut export, &Limits::default(), true, 1);
    verdict.accepted + verdict.refused.total()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn counts_the_records_of_any_message(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let (traces, logs, metrics) = (dice.traces(), dice.logs(), dice.metrics());
        let measured = |signal, bytes: Vec<u8>| measure(signal, &bytes).map(|s| s.records);
        prop_assert_eq!(measured(Signal::Traces, traces.encode_to_vec()), Ok(records(Export::Traces(traces))));
        prop_assert_eq!(measured(Signal::Logs, logs.encode_to_vec()), Ok(records(Export::Logs(logs))));
        prop_assert_eq!(measured(Signal::Metrics, metrics.encode_to_vec()), Ok(records(Export::Metrics(metrics))));
    }

    #[test]
    fn accepts_whatever_prost_accepts(seed in any::<u64>(), flips in 0u64..4) {
        let mut dice = Dice::new(seed);
        let mut bytes = match dice.below(3) {
            0 => dice.traces().encode_to_vec(),
            1 => dice.logs().encode_to_vec(),
            _ => dice.metrics().encode_to_vec(),
        };
        for _ in 0..flips {
            if !bytes.is_empty() {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] = dice.next() as u8;
            }
        }
        for (signal, decodes) in [
            (Signal::Traces, ExportTraceServiceRequest::decode(&bytes[..]).is_ok()),
            (Signal::Logs, ExportLogsServiceRequest::decode(&bytes[..]).is_ok()),
            (Signal::Metrics, ExportMetricsServiceRequest::decode(&bytes[..]).is_ok()),
        ] {
            let measured = measure(signal, &bytes);
            if decodes {
                prop_assert!(matches!(measured, Ok(_) | Err(WireError::WireType)), "{measured:?}");
            }
        }
    }
}

/// Wraps `content` in the length-delimited fields of `path`, outermost first.
fn wrap(path: &[u64], content: &[u8]) -> Vec<u8> {
    path.iter().rev().fold(content.to_vec(), |inner, field| {
        let mut out = Vec::new();
        encode_varint(field << 3 | 2, &mut out);
        encode_varint(inner.len() as u64, &mut out);
        out.extend(inner);
        out
    })
}

#[test]
fn empty_elements_are_measured_as_large_as_they_become() {
    const N: usize = 1000;
    let many = |path: &[u64], field: u8| wrap(path, &[field << 3 | 2, 0].repeat(N));
    let check = |what: &str, bytes: Vec<u8>, element: usize| {
        let measured = measure(Signal::Traces, &bytes).unwrap().bytes;
        let needed = N * element;
        assert!((needed..4 * needed).contains(&measured), "{what}: {measured} for {needed}");
    };
    check("resources", many(&[], 1), size_of::<ResourceSpans>());
    check("scopes", many(&[1], 2), size_of::<ScopeSpans>());
    check("spans", many(&[1, 2], 2), size_of::<Span>());
    check("attributes", many(&[1, 2, 2], 9), size_of::<KeyValue>());
    check("events", many(&[1, 2, 2], 11), size_of::<span::Event>());
    check("links", many(&[1, 2, 2], 13), size_of::<span::Link>());
    check("resource attributes", many(&[1, 1], 1), size_of::<KeyValue>());
    check("entities", many(&[1, 1], 3), size_of::<EntityRef>());
    check("entity keys", many(&[1, 1, 3], 3), size_of::<String>());
    check("array elements", many(&[1, 2, 2, 9, 2, 5], 1), size_of::<AnyValue>());
    check("map entries", many(&[1, 2, 2, 9, 2, 6], 1), size_of::<KeyValue>());
    let points = wrap(&[1, 2, 2, 5], &[0x0a, 0].repeat(N));
    let size = measure(Signal::Metrics, &points).unwrap();
    assert_eq!(size.records, N as u64);
    assert!(size.bytes >= N * size_of::<NumberDataPoint>());
    let buckets = wrap(&[1, 2, 2, 10, 1, 8, 2], &[1; N]);
    assert!(measure(Signal::Metrics, &buckets).unwrap().bytes >= N * size_of::<u64>());
}

#[test]
fn what_is_not_protobuf_is_named() {
    let of = |bytes: &[u8]| measure(Signal::Traces, bytes).unwrap_err();
    assert_eq!(of(&[0x0a, 5, 1]), WireError::Truncated);
    assert_eq!(of(&[0xff; 11]), WireError::Varint);
    assert_eq!(of(&[0x0b]), WireError::WireType);
    assert_eq!(of(&[0x09, 1, 2]), WireError::Truncated);
    let deep = (0..60).fold(Vec::new(), |inner, _| wrap(&[1, 5], &inner));
    let attribute = |value: &[u8]| wrap(&[1, 2, 2, 9, 2, 5], value);
    assert_eq!(of(&attribute(&deep)), WireError::Depth);
    assert!(ExportTraceServiceRequest::decode(&attribute(&deep)[..]).is_err());
}
