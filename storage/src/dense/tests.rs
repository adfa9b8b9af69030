//! Taking attributes apart and putting them together again gives the same attributes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, MapArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use headrope_model::{DataSet, Signal};
use headrope_testdata::arbitrary::Dice;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::encode::direct;

/// Entries of a row, by key; of equal keys in the order they have.
fn row(map: &MapArray, at: usize) -> Vec<(String, String)> {
    let entries = map.value(at);
    let (keys, values) =
        (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
    let mut row: Vec<_> = (0..entries.len())
        .map(|i| (keys.value(i).to_owned(), values.value(i).to_owned()))
        .collect();
    row.sort_by(|a, b| a.0.cmp(&b.0));
    row
}

/// Keys that clash with promoted columns: canonical and older names, of the right and the wrong type,
/// repeated, and such that need escapes.
const KEYS: [&str; 9] = [
    "http.request.method",
    "http.method",
    "url.path",
    "http.target",
    "server.port",
    "net.peer.port",
    "db.query.text",
    "$odd\"key\\",
    "app.note",
];

fn value(dice: &mut Dice) -> AnyValue {
    let value = match dice.below(7) {
        0 => any_value::Value::IntValue(i64::from(dice.below(3) as u32)),
        1 => any_value::Value::DoubleValue(1.0),
        2 => any_value::Value::StringValue("a \"quoted\" \\ text\n".to_owned()),
        3 => any_value::Value::BoolValue(true),
        _ => any_value::Value::StringValue(format!("v{}", dice.below(4))),
    };
    AnyValue { value: Some(value) }
}

/// Spans whose attributes are drawn from [`KEYS`], now and then repeated.
pub(crate) fn batches(dice: &mut Dice) -> Vec<RecordBatch> {
    let mut out = Vec::new();
    for _ in 0..3 {
        let mut request: ExportTraceServiceRequest = dice.traces();
        let scopes = request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
        for span in scopes.flat_map(|s| &mut s.spans) {
            if dice.below(4) == 0 {
                continue;
            }
            span.attributes = (0..dice.below(6))
                .map(|_| KeyValue {
                    key: KEYS[dice.below(KEYS.len() as u64) as usize].to_owned(),
                    value: Some(value(dice)),
                    ..KeyValue::default()
                })
                .collect();
        }
        let bytes = request.encode_to_vec();
        out.push(direct::encode(Signal::Traces, [bytes.as_slice()]).unwrap());
    }
    out
}

/// The columns a file would have, with the promoted ones as they are.
fn columns(batches: &[RecordBatch], picks: &[(usize, usize)], dense: &[String]) -> RecordBatch {
    let refs: Vec<_> = batches.iter().collect();
    let census = Census::of(&refs).unwrap();
    let mut split = split(&census, &refs, picks, dense, promoted(DataSet::Spans)).unwrap();
    let mut fields = vec![Field::new(REST, DataType::Utf8, true)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(split.rest.clone())];
    for (key, cells) in dense.iter().zip(&mut split.dense) {
        if cells.repeats() {
            cells.sort();
        }
        fields.push(Field::new(column_name(key), DataType::Utf8, true));
        arrays.push(Arc::new(cells.array()));
    }
    for p in promoted(DataSet::Spans) {
        let parts: Vec<_> =
            refs.iter().map(|b| b.column_by_name(p.column).unwrap().as_ref()).collect();
        let array = arrow::compute::interleave(&parts, picks).unwrap();
        fields.push(Field::new(p.column, array.data_type().clone(), true));
        arrays.push(array);
    }
    // What the file says of its rest is true.
    let rest = split.rest.iter().flatten();
    let keys: std::collections::BTreeSet<String> = rest
        .flat_map(headrope_model::json::members)
        .map(|(key, _)| headrope_model::json::key(key).into_owned())
        .collect();
    let said = split.tally.write();
    let said = rest_keys(|name| said.iter().find(|kv| kv.key == name)?.value.as_deref());
    assert_eq!(said, Some(keys));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

proptest! {
    #[test]
    fn attributes_come_back(seed: u64, chosen in prop::collection::btree_set(0..KEYS.len(), 0..6)) {
        let mut dice = Dice::plain(seed);
        let batches = batches(&mut dice);
        let picks: Vec<(usize, usize)> = batches
            .iter()
            .enumerate()
            .flat_map(|(b, batch)| (0..batch.num_rows()).rev().map(move |r| (b, r)))
            .collect();
        let mut dense: Vec<String> = chosen.into_iter().map(|at| KEYS[at].to_owned()).collect();
        dense.sort();
        let file = columns(&batches, &picks, &dense);
        let layout = Layout::of(&file.schema(), promoted(DataSet::Spans)).unwrap();
        let take = |places: Vec<usize>| -> Vec<ArrayRef> {
            places.into_iter().map(|at| Arc::clone(file.column(at))).collect()
        };
        let got = layout.assemble(&take(layout.columns()), picks.len()).unwrap();
        let plain = |b: &RecordBatch| {
            cast(b.column_by_name(WHOLE).unwrap(), &headrope_model::schema::attributes_type()).unwrap()
        };
        let wholes: Vec<ArrayRef> = batches.iter().map(plain).collect();
        for (at, (batch, of)) in picks.iter().enumerate() {
            let want = row(wholes[*batch].as_map(), *of);
            prop_assert_eq!(row(&got, at), want.clone());
            // One key at a time: of repeated keys the first counts.
            for key in KEYS.iter().chain(&["absent"]) {
                let first = want.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
                let find = layout.find(key, |_| true);
                let mut scratch = String::new();
                let columns = take(find.columns());
                let found = find.on(&columns).unwrap();
                prop_assert_eq!(found.get(at, &mut scratch), first, "{}", key);
            }
        }
    }

    #[test]
    fn dense_keys_are_on_many_rows(counts in prop::collection::vec(0u64..2000, 0..300), rows in 0u64..100_000) {
        let keys: Vec<String> = (0..counts.len()).map(|at| format!("k{at:03}")).collect();
        let all = || keys.iter().map(String::as_str).zip(counts.iter().copied());
        let chosen = tally::choose(all(), rows);
        prop_assert!(chosen.len() <= MAX_DENSE);
        prop_assert!(chosen.is_sorted());
        for (key, count) in all() {
            if chosen.iter().any(|k| k == key) {
                prop_assert!(count * 100 >= rows && count >= tally::MIN_VALUES);
            }
        }
    }
}

#[test]
fn text_is_read_however_it_is_encoded() {
    let plain = StringArray::from(vec![Some("a"), None, Some("b")]);
    let view = cast(&plain, &DataType::Utf8View).unwrap();
    let dictionary = cast(&plain, &headrope_model::schema::label_type()).unwrap();
    for array in [Arc::new(plain) as ArrayRef, view, dictionary] {
        let texts = texts::Texts::of(&array).unwrap();
        let got: Vec<_> = (0..4).map(|row| texts.get(row)).collect();
        assert_eq!(got, [Some("a"), None, Some("b"), None]);
    }
}
