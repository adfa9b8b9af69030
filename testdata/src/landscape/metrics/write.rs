//! Collects the metrics of one resource.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Interval;
use crate::attrs::Attrs;

const NANOS: u64 = 1_000_000_000;

pub(super) struct Writer {
    resource: Resource,
    metrics: Vec<Metric>,
    boot_ns: u64,
    from_ns: u64,
    to_ns: u64,
}

fn tags(tags: &[(&'static str, &str)]) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(tags.len());
    tags.iter().for_each(|(key, value)| {
        attrs.text(*key, *value);
    });
    attrs.take()
}

impl Writer {
    pub(super) fn new(resource: Resource, interval: &Interval<'_>, boot: i64) -> Self {
        let ns = |second: i64| u64::try_from(second).unwrap_or_default() * NANOS;
        Self {
            resource,
            metrics: Vec::new(),
            boot_ns: ns(boot),
            from_ns: ns(interval.from),
            to_ns: ns(interval.to),
        }
    }

    fn push(&mut self, name: &str, unit: &str, data: Data) {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        self.metrics.push(Metric { name, unit, data: Some(data), ..Metric::default() });
    }

    fn point(&self, start: u64, value: f64, of: &[(&'static str, &str)]) -> NumberDataPoint {
        NumberDataPoint {
            attributes: tags(of),
            start_time_unix_nano: start,
            time_unix_nano: self.to_ns,
            value: Some(Value::AsDouble(value)),
            ..NumberDataPoint::default()
        }
    }

    pub(super) fn gauge(&mut self, name: &str, value: f64, of: &[(&'static str, &str)]) {
        let data_points = vec![self.point(0, value, of)];
        self.push(name, "", Data::Gauge(Gauge { data_points }));
    }

    fn sum(&mut self, name: &str, value: f64, of: &[(&'static str, &str)], is_monotonic: bool) {
        let data_points = vec![self.point(self.boot_ns, value, of)];
        let aggregation_temporality = AggregationTemporality::Cumulative as i32;
        self.push(name, "", Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic }));
    }

    /// A counter since the start.
    pub(super) fn count(&mut self, name: &str, value: f64, of: &[(&'static str, &str)]) {
        self.sum(name, value, of, true);
    }

    /// A sum that goes up and down.
    pub(super) fn level(&mut self, name: &str, value: f64, of: &[(&'static str, &str)]) {
        self.sum(name, value, of, false);
    }

    /// What happened in the interval, all in one bucket.
    pub(super) fn histogram(&mut self, name: &str, unit: &str, sum: f64, count: f64) {
        let point = HistogramDataPoint {
            start_time_unix_nano: self.from_ns,
            time_unix_nano: self.to_ns,
            count: count as u64,
            sum: Some(sum),
            bucket_counts: vec![count as u64],
            ..HistogramDataPoint::default()
        };
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        let data = Histogram { data_points: vec![point], aggregation_temporality };
        self.push(name, unit, Data::Histogram(data));
    }

    /// Sum and count since the start, as Prometheus clients have them.
    pub(super) fn summary(&mut self, name: &str, sum: f64, count: f64) {
        let point = SummaryDataPoint {
            start_time_unix_nano: self.boot_ns,
            time_unix_nano: self.to_ns,
            count: count as u64,
            sum,
            ..SummaryDataPoint::default()
        };
        self.push(name, "s", Data::Summary(Summary { data_points: vec![point] }));
    }

    /// What was collected, if anything was.
    pub(super) fn take(self) -> Option<ResourceMetrics> {
        (!self.metrics.is_empty()).then(|| ResourceMetrics {
            resource: Some(self.resource),
            scope_metrics: vec![ScopeMetrics {
                scope: None,
                metrics: self.metrics,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        })
    }
}
