//! Metric data points.

use headrope_model::{RefuseReason, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    DataPointFlags, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric,
    NumberDataPoint, SummaryDataPoint, metric::Data,
};
use prost::Message;

use super::{MAX_TIME, Rules, Verdict, optional_id, unless};

/// Scales the specification defines index mappings for (metrics data model, exponential scale).
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

pub(super) fn judge(request: &mut ExportMetricsServiceRequest, rules: Rules) -> Verdict {
    let mut verdict = Verdict::default();
    for resource in &mut request.resource_metrics {
        let above = rules.resource(resource.resource.as_ref());
        for scope in &mut resource.scope_metrics {
            let above = above.or_else(|| rules.scope(scope.scope.as_ref()));
            for metric in &mut scope.metrics {
                judge_metric(metric, above, rules, &mut verdict);
            }
        }
    }
    if verdict.changed {
        for resource in &mut request.resource_metrics {
            for scope in &mut resource.scope_metrics {
                scope.metrics.retain(|metric| points(metric) > 0);
            }
            resource.scope_metrics.retain(|scope| !scope.metrics.is_empty());
        }
        request.resource_metrics.retain(|resource| !resource.scope_metrics.is_empty());
    }
    verdict
}

fn judge_metric(
    metric: &mut Metric,
    above: Option<RefuseReason>,
    rules: Rules,
    verdict: &mut Verdict,
) {
    let above = above
        .or_else(|| unless(!metric.name.is_empty(), RefuseReason::EmptyMetric))
        .or_else(|| head_size(metric, rules))
        .or_else(|| rules.depth(&metric.metadata));
    let mut keep = |point: &dyn Point| verdict.keep(above.or_else(|| fault(point, rules)));
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.retain(|p| keep(p)),
        Some(Data::Sum(sum)) => sum.data_points.retain(|p| keep(p)),
        Some(Data::Histogram(histogram)) => histogram.data_points.retain(|p| keep(p)),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.retain(|p| keep(p)),
        Some(Data::Summary(summary)) => summary.data_points.retain(|p| keep(p)),
        None => {}
    }
}

/// The part of a metric that every one of its points repeats.
fn head_size(metric: &Metric, rules: Rules) -> Option<RefuseReason> {
    let texts = metric.name.len() + metric.description.len() + metric.unit.len();
    let metadata = || metric.metadata.iter().map(Message::encoded_len).sum::<usize>();
    (rules.sizes && texts + metadata() > rules.limits.max_record_bytes)
        .then_some(RefuseReason::RecordTooLarge)
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

/// What the checks need from any kind of data point.
trait Point {
    fn times(&self) -> [u64; 2];
    fn attributes(&self) -> &[KeyValue];
    fn exemplars(&self) -> &[Exemplar];
    fn encoded_len(&self) -> usize;
    /// What is wrong with the value itself.
    fn value_fault(&self) -> Option<RefuseReason>;
}

fn fault(point: &dyn Point, rules: Rules) -> Option<RefuseReason> {
    let [start, time] = point.times();
    unless(start <= MAX_TIME && (1..=MAX_TIME).contains(&time), RefuseReason::InvalidTime)
        .or_else(|| point.value_fault())
        .or_else(|| {
            (rules.sizes && point.encoded_len() > rules.limits.max_record_bytes)
                .then_some(RefuseReason::RecordTooLarge)
        })
        .or_else(|| rules.depth(point.attributes()))
        .or_else(|| point.exemplars().iter().find_map(|e| exemplar_fault(e, rules)))
}

fn exemplar_fault(exemplar: &Exemplar, rules: Rules) -> Option<RefuseReason> {
    unless(optional_id(&exemplar.trace_id, TraceId::LEN), RefuseReason::InvalidTraceId)
        .or_else(|| {
            unless(optional_id(&exemplar.span_id, SpanId::LEN), RefuseReason::InvalidSpanId)
        })
        .or_else(|| unless(exemplar.time_unix_nano <= MAX_TIME, RefuseReason::InvalidTime))
        .or_else(|| rules.depth(&exemplar.filtered_attributes))
}

macro_rules! point {
    ($type:ty, $exemplars:expr, $fault:expr) => {
        impl Point for $type {
            fn times(&self) -> [u64; 2] {
                [self.start_time_unix_nano, self.time_unix_nano]
            }
            fn attributes(&self) -> &[KeyValue] {
                &self.attributes
            }
            fn exemplars(&self) -> &[Exemplar] {
                let read: fn(&Self) -> &[Exemplar] = $exemplars;
                read(self)
            }
            fn encoded_len(&self) -> usize {
                Message::encoded_len(self)
            }
            fn value_fault(&self) -> Option<RefuseReason> {
                let check: fn(&Self) -> Option<RefuseReason> = $fault;
                check(self)
            }
        }
    };
}

point!(NumberDataPoint, |p| &p.exemplars, |p| {
    let stale = p.flags & DataPointFlags::NoRecordedValueMask as u32 != 0;
    unless(p.value.is_some() || stale, RefuseReason::EmptyMetric)
});
point!(HistogramDataPoint, |p| &p.exemplars, |p| {
    let increasing = p.explicit_bounds.windows(2).all(|pair| pair[0] < pair[1])
        && !p.explicit_bounds.iter().any(|bound| bound.is_nan());
    let both_empty = p.bucket_counts.is_empty() && p.explicit_bounds.is_empty();
    let one_longer = p.bucket_counts.len() == p.explicit_bounds.len() + 1;
    unless(increasing && (both_empty || one_longer), RefuseReason::InvalidHistogram)
});
point!(ExponentialHistogramDataPoint, |p| &p.exemplars, |p| {
    let buckets = [&p.positive, &p.negative].into_iter().flatten().all(indexes_fit);
    unless(buckets && SCALES.contains(&p.scale), RefuseReason::InvalidHistogram)
});
point!(SummaryDataPoint, |_| &[], |_| None);

/// Whether the index of the last bucket fits 32 bits.
fn indexes_fit(buckets: &Buckets) -> bool {
    i32::try_from(buckets.bucket_counts.len())
        .is_ok_and(|len| buckets.offset.checked_add(len).is_some())
}
