//! Builders for metrics and their points.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::Interval;
use crate::attrs::Attrs;
use crate::emit::{SCHEMA_URL, scope};

/// A point's attributes and value.
pub(super) type Point = (Vec<KeyValue>, Value);

/// One text attribute.
pub(super) fn tag(key: &'static str, value: &str) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(1);
    attrs.text(key, value);
    attrs.take()
}

/// A point with one text attribute.
pub(super) fn tagged(key: &'static str, value: &str, number: f64) -> Point {
    (tag(key, value), Value::AsDouble(number))
}

/// A whole-number point with one text attribute.
pub(super) fn counted(key: &'static str, value: &str, number: f64) -> Point {
    (tag(key, value), Value::AsInt(number.max(0.0) as i64))
}

/// A whole number.
pub(super) fn whole(number: f64) -> Value {
    Value::AsInt(number.max(0.0) as i64)
}

fn numbers(start: u64, end: u64, points: Vec<Point>) -> Vec<NumberDataPoint> {
    points
        .into_iter()
        .map(|(attributes, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: end,
            exemplars: Vec::new(),
            flags: 0,
            value: Some(value),
        })
        .collect()
}

/// A metric with its data.
pub(super) fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: String::new(),
        unit: unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

impl Interval<'_> {
    /// A gauge.
    pub(super) fn gauge(&self, name: &str, unit: &str, points: Vec<Point>) -> Metric {
        let data_points = numbers(0, self.end_ns(), points);
        metric(name, unit, Data::Gauge(Gauge { data_points }))
    }

    /// A cumulative sum since the shop started; a level if not monotonic.
    pub(super) fn total(
        &self,
        name: &str,
        unit: &str,
        is_monotonic: bool,
        points: Vec<Point>,
    ) -> Metric {
        let sum = Sum {
            data_points: numbers(self.boot_ns(), self.end_ns(), points),
            aggregation_temporality: AggregationTemporality::Cumulative as i32,
            is_monotonic,
        };
        metric(name, unit, Data::Sum(sum))
    }

    /// A monotonic sum of what happened in the interval.
    pub(super) fn delta(&self, name: &str, unit: &str, points: Vec<Point>) -> Metric {
        let sum = Sum {
            data_points: numbers(self.start_ns(), self.end_ns(), points),
            aggregation_temporality: AggregationTemporality::Delta as i32,
            is_monotonic: true,
        };
        metric(name, unit, Data::Sum(sum))
    }

    /// A histogram of what happened in the interval.
    pub(super) fn histogram(
        &self,
        name: &str,
        unit: &str,
        data_points: Vec<HistogramDataPoint>,
    ) -> Metric {
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        let histogram = Histogram { data_points, aggregation_temporality };
        metric(name, unit, Data::Histogram(histogram))
    }
}

/// A histogram's point over the interval: the sum in the metric's unit, and the counts of its buckets.
pub(super) fn histogram_point(
    interval: &Interval<'_>,
    attributes: Vec<KeyValue>,
    sum: f64,
    buckets: &[u64],
    bounds: &[f64],
) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: interval.start_ns(),
        time_unix_nano: interval.end_ns(),
        count: buckets.iter().sum(),
        sum: Some(sum),
        bucket_counts: buckets.to_vec(),
        explicit_bounds: bounds.to_vec(),
        exemplars: Vec::new(),
        flags: 0,
        min: None,
        max: None,
    }
}

/// The metrics of one resource, made by one library.
pub(super) fn of(resource: &Resource, library: &str, metrics: Vec<Metric>) -> ResourceMetrics {
    ResourceMetrics {
        resource: Some(resource.clone()),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope(library, "0.117.0")),
            metrics,
            schema_url: String::new(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    }
}
