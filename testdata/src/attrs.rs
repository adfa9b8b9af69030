//! Attribute lists.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};

/// A list under construction.
#[derive(Debug, Default)]
pub(crate) struct Attrs(Vec<KeyValue>);

impl Attrs {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    fn push(&mut self, key: impl Into<String>, value: Value) {
        self.0.push(KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
            key_strindex: 0,
        });
    }

    pub(crate) fn text(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.push(key, Value::StringValue(value.into()));
        self
    }

    pub(crate) fn int(&mut self, key: &'static str, value: i64) -> &mut Self {
        self.push(key, Value::IntValue(value));
        self
    }

    pub(crate) fn double(&mut self, key: &'static str, value: f64) -> &mut Self {
        self.push(key, Value::DoubleValue(value));
        self
    }

    pub(crate) fn flag(&mut self, key: &'static str, value: bool) -> &mut Self {
        self.push(key, Value::BoolValue(value));
        self
    }

    pub(crate) fn list(&mut self, key: &'static str, values: &[&str]) -> &mut Self {
        let values = values.iter().map(|v| string_value(*v)).collect();
        self.push(key, Value::ArrayValue(ArrayValue { values }));
        self
    }

    pub(crate) fn take(self) -> Vec<KeyValue> {
        self.0
    }

    pub(crate) fn into_map(self) -> AnyValue {
        AnyValue { value: Some(Value::KvlistValue(KeyValueList { values: self.0 })) }
    }
}

/// A string value.
pub(crate) fn string_value(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.into())) }
}

/// The text of an attribute; empty if there is none.
pub(crate) fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.as_ref());
    match found.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}
