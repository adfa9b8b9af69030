//! OTLP values as canonical JSON text.

use headrope_model::attr;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Appends a value. The collector bounds the nesting, so the recursion is bounded too.
pub(crate) fn push_value(value: Option<&AnyValue>, out: &mut String) {
    match value.and_then(|v| v.value.as_ref()) {
        None => out.push_str("null"),
        Some(Value::StringValue(v)) => attr::push_str(v, out),
        Some(Value::BoolValue(v)) => attr::push_bool(*v, out),
        Some(Value::IntValue(v)) => attr::push_i64(*v, out),
        Some(Value::DoubleValue(v)) => attr::push_f64(*v, out),
        Some(Value::BytesValue(v)) => attr::push_bytes(v, out),
        Some(Value::StringValueStrindex(v)) => attr::push_i64(i64::from(*v), out),
        Some(Value::ArrayValue(v)) => {
            out.push('[');
            for (at, item) in v.values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push_value(Some(item), out);
            }
            out.push(']');
        }
        Some(Value::KvlistValue(v)) => push_object(&v.values, out),
    }
}

/// Appends key-value pairs as an object, in the order received.
pub(crate) fn push_object(pairs: &[KeyValue], out: &mut String) {
    out.push('{');
    for (at, pair) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        attr::push_key(&pair.key, out);
        out.push(':');
        push_value(pair.value.as_ref(), out);
    }
    out.push('}');
}

/// Key-value pairs as an object.
pub(crate) fn object(pairs: &[KeyValue]) -> String {
    let mut out = String::with_capacity(2 + pairs.len() * 32);
    push_object(pairs, &mut out);
    out
}

/// The string a value holds, if it holds a string.
pub(crate) fn as_str(value: Option<&AnyValue>) -> Option<&str> {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(v)) => Some(v),
        _ => None,
    }
}

/// The integer a value holds, if it holds an integer.
pub(crate) fn as_int(value: Option<&AnyValue>) -> Option<i64> {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::IntValue(v)) => Some(*v),
        _ => None,
    }
}
