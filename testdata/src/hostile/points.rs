//! Metric points that contradict themselves.

use headrope_model::{RefuseReason, Signal};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use prost::Message as _;

use super::records::resource;
use super::{Answer, Case};

fn gauge(name: &str, value: Option<Value>, at_ns: u64) -> Metric {
    let point = NumberDataPoint { time_unix_nano: at_ns, value, ..NumberDataPoint::default() };
    let data = Data::Gauge(Gauge { data_points: vec![point] });
    Metric { name: name.to_owned(), data: Some(data), ..Metric::default() }
}

fn histogram(buckets: &[u64], bounds: &[f64], at_ns: u64) -> Metric {
    let point = HistogramDataPoint {
        start_time_unix_nano: at_ns - 1,
        time_unix_nano: at_ns,
        count: buckets.iter().sum(),
        sum: Some(1.0),
        bucket_counts: buckets.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    let data = Histogram { data_points: vec![point], aggregation_temporality: 1 };
    let data = Some(Data::Histogram(data));
    Metric { name: "probe.duration".to_owned(), data, ..Metric::default() }
}

fn body(bad: Metric, at_ns: u64) -> Vec<u8> {
    let metrics = vec![gauge("probe.good", Some(Value::AsInt(1)), at_ns), bad];
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    };
    request.encode_to_vec()
}

pub(super) fn cases(at_ns: u64) -> Vec<Case> {
    let refused = |reason| Answer::Partly { accepted: 1, refused: 1, reason };
    let bad = |name, metric, reason| {
        Case::new(name, Signal::Metrics, body(metric, at_ns), refused(reason))
    };
    let odd = |name, value| {
        let metric = gauge("probe.odd", Some(Value::AsDouble(value)), at_ns);
        Case::new(name, Signal::Metrics, body(metric, at_ns), Answer::Accepted { records: 2 })
    };
    vec![
        bad(
            "histogram with a bucket too few",
            histogram(&[1, 2], &[0.1, 0.2], at_ns),
            RefuseReason::InvalidHistogram,
        ),
        bad(
            "histogram with falling bounds",
            histogram(&[1, 2, 3], &[0.2, 0.1], at_ns),
            RefuseReason::InvalidHistogram,
        ),
        bad(
            "histogram with a bound that is not a number",
            histogram(&[1, 2], &[f64::NAN], at_ns),
            RefuseReason::InvalidHistogram,
        ),
        bad("point without a value", gauge("probe.none", None, at_ns), RefuseReason::EmptyMetric),
        bad(
            "point at time zero",
            gauge("probe.zero", Some(Value::AsInt(1)), 0),
            RefuseReason::InvalidTime,
        ),
        odd("value not a number", f64::NAN),
        odd("infinite value", f64::NEG_INFINITY),
        odd("smallest value", 5e-324),
    ]
}
