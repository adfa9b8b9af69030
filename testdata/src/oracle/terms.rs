//! Log terms: what a full-text search by token finds.

use std::collections::{HashMap, HashSet};

use headrope_model::attr;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// The searchable text of a log body: a string as it is, anything else as canonical JSON.
#[must_use]
pub fn body_text(body: &AnyValue) -> String {
    match &body.value {
        Some(Value::StringValue(text)) => text.clone(),
        _ => {
            let mut out = String::new();
            push_json(body, &mut out);
            out
        }
    }
}

fn push_json(value: &AnyValue, out: &mut String) {
    match &value.value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("null"),
        Some(Value::StringValue(v)) => attr::push_str(v, out),
        Some(Value::BoolValue(v)) => attr::push_bool(*v, out),
        Some(Value::IntValue(v)) => attr::push_i64(*v, out),
        Some(Value::DoubleValue(v)) => attr::push_f64(*v, out),
        Some(Value::BytesValue(v)) => attr::push_bytes(v, out),
        Some(Value::ArrayValue(v)) => {
            out.push('[');
            for (at, item) in v.values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_json(item, out);
            }
            out.push(']');
        }
        Some(Value::KvlistValue(v)) => {
            out.push('{');
            for (at, pair) in v.values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                attr::push_key(&pair.key, out);
                out.push(':');
                push_json(pair.value.as_ref().unwrap_or(&AnyValue { value: None }), out);
            }
            out.push('}');
        }
    }
}

/// The terms of a text: maximal runs of alphanumeric characters, lower-cased.
pub fn tokens(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric()).filter(|t| !t.is_empty()).map(str::to_lowercase)
}

/// Counts each distinct term of the text once.
pub(super) fn count(text: &str, terms: &mut HashMap<String, u64>) {
    let distinct: HashSet<String> = tokens(text).collect();
    for term in distinct {
        *terms.entry(term).or_default() += 1;
    }
}
