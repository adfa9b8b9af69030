use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use headrope_model::TimeRange;
use headrope_testdata::Shop;
use headrope_testdata::arbitrary::Dice;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::export::Export;

/// The batch with labels as plain text, so that the order of dictionaries does not matter.
fn plain(batch: &RecordBatch) -> Vec<arrow::array::ArrayRef> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Dictionary(_, value) => cast(column, value).unwrap(),
        _ => column.clone(),
    });
    columns.collect()
}

/// The reference's rows; `None` when it refuses.
fn reference(signal: Signal, payload: &[u8]) -> Option<RecordBatch> {
    let export = match signal {
        Signal::Traces => Export::Traces(ExportTraceServiceRequest::decode(payload).ok()?),
        _ => Export::Logs(ExportLogsServiceRequest::decode(payload).ok()?),
    };
    crate::encode::encode(&export).ok()
}

fn assert_same(signal: Signal, payloads: &[Vec<u8>], direct: &RecordBatch) {
    let batches: Vec<_> = payloads.iter().map(|p| reference(signal, p).unwrap()).collect();
    let schema = headrope_model::schema::stored(signal.data_set());
    assert_eq!(direct.schema(), schema);
    let expected = arrow::compute::concat_batches(&schema, &batches).unwrap();
    assert_eq!(direct.num_rows(), expected.num_rows());
    for ((field, got), want) in schema.fields().iter().zip(plain(direct)).zip(plain(&expected)) {
        assert_eq!(&got, &want, "{}", field.name());
    }
}

fn slices(payloads: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    payloads.iter().map(Vec::as_slice)
}

proptest! {
    #[test]
    fn plain_requests_give_the_rows_of_the_reference(seed: u64) {
        let mut dice = Dice::plain(seed);
        let traces: Vec<_> = (0..3).map(|_| dice.traces().encode_to_vec()).collect();
        let logs: Vec<_> = (0..3).map(|_| dice.logs().encode_to_vec()).collect();
        for (signal, payloads) in [(Signal::Traces, traces), (Signal::Logs, logs)] {
            let direct = encode(signal, slices(&payloads)).unwrap();
            assert_same(signal, &payloads, &direct);
        }
    }

    #[test]
    fn anything_else_is_declined_or_gives_the_rows_of_the_reference(seed: u64) {
        let mut dice = if seed % 3 == 0 { Dice::new(seed) } else { Dice::plain(seed) };
        for signal in [Signal::Traces, Signal::Logs] {
            let mut bytes = match signal {
                Signal::Traces => dice.traces().encode_to_vec(),
                _ => dice.logs().encode_to_vec(),
            };
            for _ in 0..dice.below(4) {
                let at = dice.below(bytes.len() as u64 + 1) as usize;
                match dice.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, dice.next() as u8),
                    // Says something twice: messages are merged, the last scalar counts.
                    2 => bytes.extend_from_within(at..),
                    _ => {
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte ^= 1 << dice.below(8);
                        }
                    }
                }
            }
            // What prost refuses never gets into the log.
            let payloads = [bytes];
            if reference(signal, &payloads[0]).is_some()
                && let Ok(direct) = encode(signal, slices(&payloads))
            {
                assert_same(signal, &payloads, &direct);
            }
        }
    }
}

#[test]
fn the_shop_is_plain() {
    let shop = Shop::new(1);
    let from = shop.config().start_ns + 600_000_000_000;
    let slice = shop.slice(TimeRange::new(from, from + 2_000_000_000).unwrap());
    let traces: Vec<_> = slice.traces.iter().map(prost::Message::encode_to_vec).collect();
    let logs: Vec<_> = slice.logs.iter().map(prost::Message::encode_to_vec).collect();
    for (signal, payloads) in [(Signal::Traces, traces), (Signal::Logs, logs)] {
        let direct = encode(signal, slices(&payloads)).unwrap();
        assert!(direct.num_rows() > 100);
        assert_same(signal, &payloads, &direct);
    }
}

#[test]
fn a_message_in_two_parts_is_declined() {
    let mut dice = Dice::plain(1);
    let request = loop {
        let request = dice.traces();
        if request.resource_spans.iter().any(|r| r.resource.is_some()) {
            break request;
        }
    };
    // Field 1 of the request, then within it field 1 (the resource) once more, empty.
    let mut group =
        request.resource_spans.iter().find(|r| r.resource.is_some()).unwrap().encode_to_vec();
    group.extend([0x0a, 0]);
    let mut bytes = vec![0x0a];
    prost::encoding::encode_varint(group.len() as u64, &mut bytes);
    bytes.extend(group);
    assert!(ExportTraceServiceRequest::decode(bytes.as_slice()).is_ok());
    assert!(encode(Signal::Traces, [bytes.as_slice()]).is_err());
}
