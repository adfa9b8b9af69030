//! Depth of attribute values.

use headrope_model::RefuseReason;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use super::Rules;

impl Rules {
    /// Whether the attribute values are nested deeper than the limit.
    pub(super) fn depth(self, attributes: &[KeyValue]) -> Option<RefuseReason> {
        attributes.iter().find_map(|attribute| self.value_depth(attribute.value.as_ref()))
    }

    /// Whether a value is nested deeper than the limit.
    pub(super) fn value_depth(self, value: Option<&AnyValue>) -> Option<RefuseReason> {
        let deep = value.is_some_and(|value| exceeds(value, self.limits.max_depth));
        deep.then_some(RefuseReason::TooDeep)
    }
}

/// Decoders limit nesting on their own, so this recursion is bounded even without `levels`.
fn exceeds(value: &AnyValue, levels: usize) -> bool {
    let within = |inner: &AnyValue| levels == 0 || exceeds(inner, levels - 1);
    match &value.value {
        Some(Value::ArrayValue(array)) => levels == 0 || array.values.iter().any(within),
        Some(Value::KvlistValue(list)) => {
            levels == 0 || list.values.iter().filter_map(|kv| kv.value.as_ref()).any(within)
        }
        _ => false,
    }
}
