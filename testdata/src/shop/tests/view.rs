//! The shop's output, flattened for tests.

use std::collections::BTreeMap;

use headrope_model::TimeRange;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::trace::v1::Span;

use super::super::{NANOS, Shop};
use crate::config::ShopConfig;
use crate::oracle::body_text;

pub(crate) const START: i64 = 1_736_121_600 * NANOS;

/// Seconds after the default start.
pub(crate) fn range(from: i64, to: i64) -> TimeRange {
    assert_eq!(START, ShopConfig::default().start_ns);
    TimeRange::new(START + from * NANOS, START + to * NANOS).unwrap()
}

pub(crate) fn flat(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes
        .iter()
        .map(|kv| (kv.key.clone(), kv.value.as_ref().map(body_text).unwrap_or_default()))
        .collect()
}

pub(crate) struct Seen {
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) span: Span,
}

impl Seen {
    pub(crate) fn service(&self) -> &str {
        &self.resource["service.name"]
    }

    pub(crate) fn ns(&self) -> u64 {
        self.span.end_time_unix_nano - self.span.start_time_unix_nano
    }

    pub(crate) fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|s| s.code == 2)
    }

    pub(crate) fn is(&self, service: &str, name: &str) -> bool {
        self.service() == service && self.span.name == name
    }
}

pub(crate) fn spans(shop: &Shop, from: i64, to: i64) -> Vec<Seen> {
    spans_of(shop.slice(range(from, to)).traces)
}

pub(crate) fn spans_of(requests: Vec<ExportTraceServiceRequest>) -> Vec<Seen> {
    let mut out = Vec::new();
    for request in requests {
        for resource in request.resource_spans {
            let flat_resource = flat(&resource.resource.unwrap_or_default().attributes);
            for span in resource.scope_spans.into_iter().flat_map(|s| s.spans) {
                let attributes = flat(&span.attributes);
                out.push(Seen { resource: flat_resource.clone(), attributes, span });
            }
        }
    }
    out
}

pub(crate) struct Measured {
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) metric: Metric,
}

pub(crate) fn metrics(shop: &Shop, from: i64, to: i64) -> Vec<Measured> {
    metrics_of(shop.slice(range(from, to)).metrics)
}

pub(crate) fn metrics_of(requests: Vec<ExportMetricsServiceRequest>) -> Vec<Measured> {
    let mut out = Vec::new();
    for request in requests {
        for resource in request.resource_metrics {
            let flat_resource = flat(&resource.resource.unwrap_or_default().attributes);
            for metric in resource.scope_metrics.into_iter().flat_map(|s| s.metrics) {
                out.push(Measured { resource: flat_resource.clone(), metric });
            }
        }
    }
    out
}

/// Number points of a metric: resource, attributes, value.
pub(crate) fn numbers<'a>(
    all: &'a [Measured],
    name: &'a str,
) -> impl Iterator<Item = (&'a BTreeMap<String, String>, BTreeMap<String, String>, f64)> + 'a {
    all.iter().filter(move |m| m.metric.name == name).flat_map(|m| {
        let points = match &m.metric.data {
            Some(Data::Gauge(d)) => d.data_points.as_slice(),
            Some(Data::Sum(d)) => d.data_points.as_slice(),
            _ => &[],
        };
        points.iter().map(|p| {
            let value = match p.value {
                Some(Number::AsDouble(v)) => v,
                Some(Number::AsInt(v)) => v as f64,
                None => f64::NAN,
            };
            (&m.resource, flat(&p.attributes), value)
        })
    })
}

pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value;
        count += 1.0;
    }
    assert!(count > 0.0, "nothing to average");
    sum / count
}

pub(crate) fn quantile(values: impl Iterator<Item = u64>, q: f64) -> f64 {
    let mut values: Vec<u64> = values.collect();
    assert!(!values.is_empty(), "nothing to rank");
    values.sort_unstable();
    values[((values.len() - 1) as f64 * q) as usize] as f64
}
