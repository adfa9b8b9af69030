//! Attributes that about one span in a hundred has, to be searched for.

use std::collections::{HashMap, HashSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// Requests that are looked at to find them.
pub(super) const SAMPLE: usize = 20;
/// Most that are kept; each has a bit of a span's `marks`.
const MOST: usize = 8;
/// Longest value that is considered, in bytes.
const MAX_VALUE: usize = 64;

/// A key with a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) key: String,
    /// As canonical JSON.
    pub(super) value: String,
}

/// Attributes on 0.5 to 2 % of the spans, the nearest to 1 % first. Their keys are on spans alone, so
/// that a search through events, links, scopes and resources finds the same spans.
///
/// # Errors
/// When a request cannot be read.
pub(super) fn near_one_percent(
    requests: impl Iterator<Item = anyhow::Result<ExportTraceServiceRequest>>,
) -> anyhow::Result<Vec<Mark>> {
    let mut counts: HashMap<Mark, u64> = HashMap::new();
    let mut elsewhere: HashSet<String> = HashSet::new();
    let mut all = 0u64;
    for request in requests {
        for resource in request?.resource_spans {
            let outer = resource.resource.into_iter().flat_map(|r| r.attributes);
            elsewhere.extend(outer.map(|kv| kv.key));
            for scope in resource.scope_spans {
                let of_scope = scope.scope.into_iter().flat_map(|s| s.attributes);
                elsewhere.extend(of_scope.map(|kv| kv.key));
                for span in scope.spans {
                    all += 1;
                    let events = span.events.into_iter().flat_map(|e| e.attributes);
                    let links = span.links.into_iter().flat_map(|l| l.attributes);
                    elsewhere.extend(events.chain(links).map(|kv| kv.key));
                    for mark in span.attributes.iter().filter_map(mark) {
                        *counts.entry(mark).or_default() += 1;
                    }
                }
            }
        }
    }
    let mut near: Vec<(u64, Mark)> = counts
        .into_iter()
        .filter(|(mark, n)| (all..=4 * all).contains(&(n * 200)) && !elsewhere.contains(&mark.key))
        .map(|(mark, n)| ((n * 100).abs_diff(all), mark))
        .collect();
    near.sort();
    Ok(near.into_iter().take(MOST).map(|(_, mark)| mark).collect())
}

/// An attribute whose value is text, a whole number or a truth value.
fn mark(attribute: &KeyValue) -> Option<Mark> {
    let value = match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) if text.len() <= MAX_VALUE => {
            serde_json::Value::from(text.as_str())
        }
        Value::IntValue(number) => serde_json::Value::from(*number),
        Value::BoolValue(truth) => serde_json::Value::from(*truth),
        _ => return None,
    };
    Some(Mark { key: attribute.key.clone(), value: value.to_string() })
}

/// A bit for each mark that is among the attributes.
pub(super) fn of(marks: &[Mark], attributes: &[KeyValue]) -> u16 {
    let mut found = 0;
    for attribute in attributes {
        if !marks.iter().any(|m| m.key == attribute.key) {
            continue;
        }
        let Some(this) = mark(attribute) else { continue };
        for (at, _) in marks.iter().enumerate().filter(|(_, m)| **m == this) {
            found |= 1 << at;
        }
    }
    found
}

/// The service's name among the attributes of a resource.
pub(super) fn service_name<'a>(mut attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let name = attributes.find(|kv| kv.key == "service.name");
    match name.and_then(|kv| kv.value.as_ref()).and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(name)) => name.clone(),
        _ => "unknown_service".to_owned(),
    }
}
