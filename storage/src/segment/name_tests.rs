//! What files say of their attributes' names against every row looked at.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use headrope_model::attr::ValueType;
use headrope_model::{RollupSet, Signal, schema};
use headrope_testdata::arbitrary::Dice;
use proptest::prelude::*;
use prost::Message as _;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::tests::footer;
use super::*;
use crate::dense::tests::batches as spans;
use crate::dense::{Names, WHOLE, value_of};
use crate::encode::direct;

/// Values by level, key and type.
type Counted = BTreeMap<(&'static str, String, &'static str), u64>;

/// The members of an object, repeated ones too.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        from.deserialize_map(Members)
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "double",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(o) if o.contains_key("$bytes") => "bytes",
        Value::Object(o) if o.contains_key("$double") => "double",
        Value::Object(_) => "map",
    }
}

/// The attributes of every row.
fn counted(batches: &[RecordBatch]) -> Counted {
    let mut counted = Counted::new();
    let mut count = |level, key: &str, value: &Value| {
        *counted.entry((level, key.to_owned(), type_of(value))).or_default() += 1;
    };
    for batch in batches {
        let whole = batch.column_by_name(WHOLE).unwrap();
        let whole = cast(whole, &schema::attributes_type()).unwrap();
        let map = whole.as_map();
        for row in (0..map.len()).map(|row| map.value(row)) {
            let text = |at: usize| cast(row.column(at), &DataType::Utf8).unwrap();
            let (keys, values) = (text(0), text(1));
            for (key, value) in keys.as_string::<i32>().iter().zip(values.as_string::<i32>()) {
                count("record", key.unwrap(), &serde_json::from_str(value.unwrap()).unwrap());
            }
        }
        for (level, column) in [("resource", "resource"), ("scope", "scope_attributes")] {
            let column = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
            for object in column.as_string::<i32>().iter().flatten() {
                let Object(members) = serde_json::from_str(object).unwrap();
                for (key, value) in members {
                    count(level, key.strip_prefix('$').unwrap_or(&key), &value);
                }
            }
        }
    }
    counted
}

fn said(names: &Names) -> Counted {
    assert!(names.is_complete());
    let by_type = names.iter().flat_map(|(level, key, counts)| {
        let counts = ValueType::ALL.into_iter().zip(*counts).filter(|(_, n)| *n > 0);
        counts.map(move |(t, n)| ((level.name(), key.to_owned(), t.name()), n))
    });
    by_type.collect()
}

fn names(dir: &Path, meta: &SegmentMeta) -> Names {
    let footer = footer(&paths(dir, meta.data_set, &meta.id).0);
    let metadata = footer.file_metadata().key_value_metadata();
    Names::read(|key| value_of(metadata, key))
}

fn nowhere() -> Origin {
    Origin { covers: None, data_sets: Vec::new(), rollups: RollupSet::default() }
}

fn write_all(
    dir: &Path,
    data_set: DataSet,
    batches: &[RecordBatch],
    most: usize,
) -> Option<SegmentMeta> {
    let inputs: Vec<&RecordBatch> = batches.iter().collect();
    write_groups(dir, data_set, &inputs, nowhere(), most).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn files_name_every_attribute(seed: u64, most in 1_usize..60) {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice::plain(seed);
        let (one, other) = (spans(&mut dice), spans(&mut dice));
        let mut live = Names::default();
        for batch in &one {
            live.add(Names::of_batch(batch).unwrap());
        }
        prop_assert_eq!(said(&live), counted(&one));
        let write = |batches| write_all(dir.path(), DataSet::Spans, batches, most);
        let (Some(first), Some(second)) = (write(&one), write(&other)) else { return Ok(()) };
        prop_assert_eq!(said(&names(dir.path(), &first)), counted(&one));
        let all = counted(&[one, other].concat());
        let inputs = [first, second];
        if let Some(copied) = copy::copy(dir.path(), DataSet::Spans, 1, &inputs, 0).unwrap() {
            prop_assert_eq!(said(&names(dir.path(), &copied)), all.clone());
        }
        let path = |meta: &SegmentMeta| paths(dir.path(), DataSet::Spans, &meta.id).0;
        let files: Vec<_> = inputs.iter().map(path).collect();
        let merged = slices::merge(dir.path(), 1, &files, nowhere(), most).unwrap();
        prop_assert_eq!(said(&names(dir.path(), &merged)), all);
    }

    #[test]
    fn files_name_attributes_of_logs(seed: u64, most in 1_usize..60) {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice::plain(seed);
        let payloads: Vec<_> = (0..4).map(|_| dice.logs().encode_to_vec()).collect();
        let batch = direct::encode(Signal::Logs, payloads.iter().map(Vec::as_slice)).unwrap();
        let all = counted(std::slice::from_ref(&batch));
        prop_assert_eq!(said(&Names::of_batch(&batch).unwrap()), all.clone());
        let written = write_all(dir.path(), DataSet::Logs, &[batch], most);
        if let Some(meta) = written {
            prop_assert_eq!(said(&names(dir.path(), &meta)), all);
        }
    }
}

/// Too many keys are counted for the most frequent ones, and the file says that some are missing.
#[test]
fn too_many_keys_are_cut() {
    let mut names = Names::default();
    for number in 0..10_000_u64 {
        let mut counts = crate::dense::names::TypeCounts::default();
        counts[ValueType::Int.slot()] = if number % 100 == 0 { 1000 } else { 1 };
        names.count_all(
            headrope_model::attr::AttributeLevel::Record,
            &format!("key {number}"),
            &counts,
        );
    }
    let written = names.write().unwrap();
    let names = Names::read(|_| written.value.as_deref());
    assert!(!names.is_complete());
    let frequent = names.iter().filter(|(_, _, counts)| counts.iter().sum::<u64>() == 1000).count();
    assert_eq!(frequent, 100);
    assert!(names.iter().count() <= 2048, "{}", names.iter().count());
    assert!(!Names::read(|_| None).is_complete());
}
