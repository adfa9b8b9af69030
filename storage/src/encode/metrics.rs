//! Metric data points to rows: one row per point.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch,
    StringBuilder, StructBuilder, TimestampNanosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use headrope_model::{DataSet, schema};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    SummaryDataPoint, exemplar, number_data_point,
};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{
    Attributes, Label, Origin, OriginColumns, batch, field, hex, nanos, opt_nanos, primitive_list,
    push_count, struct_list, time_builder,
};
use super::json;

struct MetricColumns {
    name: Label,
    kind: Label,
    unit: Label,
    description: Label,
    temporality: Label,
    is_monotonic: BooleanBuilder,
    metadata: Label,
    time: TimestampNanosecondBuilder,
    start_time: TimestampNanosecondBuilder,
    value: Float64Builder,
    value_int: Int64Builder,
    count: arrow::array::UInt64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bucket_counts: ListBuilder<UInt64Builder>,
    explicit_bounds: ListBuilder<Float64Builder>,
    scale: Int32Builder,
    zero_count: UInt64Builder,
    zero_threshold: Float64Builder,
    positive_offset: Int32Builder,
    positive_counts: ListBuilder<UInt64Builder>,
    negative_offset: Int32Builder,
    negative_counts: ListBuilder<UInt64Builder>,
    quantiles: ListBuilder<StructBuilder>,
    exemplars: ListBuilder<StructBuilder>,
    flags: UInt32Builder,
    series_id: UInt64Builder,
    attributes: Attributes,
}

/// Encodes a request; rows in the order received.
pub(super) fn encode(request: &ExportMetricsServiceRequest) -> Result<RecordBatch, ArrowError> {
    let mut columns = MetricColumns::new();
    let mut origins = OriginColumns::new();
    for group in &request.resource_metrics {
        let origin = Origin::new(group.resource.as_ref(), &group.schema_url);
        for scoped in &group.scope_metrics {
            let scope = scoped.scope.as_ref();
            let seed = scope_hash(&origin, scope);
            let mut rows = 0;
            for metric in &scoped.metrics {
                rows += columns.push_metric(metric, seed)?;
            }
            origins.push_n(&origin, scope, &scoped.schema_url, rows)?;
        }
    }
    columns.finish(origins)
}

/// Hash of what identifies the emitter of a series.
fn scope_hash(origin: &Origin<'_>, scope: Option<&InstrumentationScope>) -> u64 {
    let name = scope.map_or("", |s| s.name.as_str());
    xxh3_64(origin.resource_json().as_bytes()).rotate_left(1) ^ xxh3_64(name.as_bytes())
}

/// Identity of a series: emitter, metric name and attributes in any order.
fn series_id(seed: u64, name: &str, attributes: &[KeyValue]) -> u64 {
    let mut text = String::new();
    let sum = attributes.iter().fold(0u64, |sum, pair| {
        text.clear();
        headrope_model::attr::push_key(&pair.key, &mut text);
        text.push(':');
        json::push_value(pair.value.as_ref(), &mut text);
        sum.wrapping_add(xxh3_64(text.as_bytes()))
    });
    seed.rotate_left(17) ^ xxh3_64(name.as_bytes()) ^ sum.rotate_left(31)
}

fn temporality(code: i32) -> &'static str {
    match code {
        1 => "delta",
        2 => "cumulative",
        _ => "unspecified",
    }
}

/// What every kind of point has.
struct Common<'a> {
    attributes: &'a [KeyValue],
    start: u64,
    time: u64,
    flags: u32,
    exemplars: &'a [Exemplar],
}

macro_rules! common {
    ($point:expr, $exemplars:expr) => {
        Common {
            attributes: &$point.attributes,
            start: $point.start_time_unix_nano,
            time: $point.time_unix_nano,
            flags: $point.flags,
            exemplars: $exemplars,
        }
    };
}

impl MetricColumns {
    fn new() -> Self {
        let counts = || primitive_list(UInt64Builder::new(), DataType::UInt64);
        Self {
            name: Label::new(),
            kind: Label::new(),
            unit: Label::new(),
            description: Label::new(),
            temporality: Label::new(),
            is_monotonic: BooleanBuilder::new(),
            metadata: Label::new(),
            time: time_builder(),
            start_time: time_builder(),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: UInt64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            bucket_counts: counts(),
            explicit_bounds: primitive_list(Float64Builder::new(), DataType::Float64),
            scale: Int32Builder::new(),
            zero_count: UInt64Builder::new(),
            zero_threshold: Float64Builder::new(),
            positive_offset: Int32Builder::new(),
            positive_counts: counts(),
            negative_offset: Int32Builder::new(),
            negative_counts: counts(),
            quantiles: struct_list(schema::quantile_fields()),
            exemplars: struct_list(schema::exemplar_fields()),
            flags: UInt32Builder::new(),
            series_id: UInt64Builder::new(),
            attributes: Attributes::new(),
        }
    }

    /// Appends the points of a metric; returns how many.
    fn push_metric(&mut self, metric: &Metric, seed: u64) -> Result<usize, ArrowError> {
        let mut common: Vec<Common<'_>> = Vec::new();
        let (kind, temporal, monotonic) = match &metric.data {
            None => return Ok(0),
            Some(Data::Gauge(data)) => {
                data.data_points.iter().for_each(|p| self.push_number(p));
                common.extend(data.data_points.iter().map(|p| common!(p, &p.exemplars)));
                ("gauge", None, None)
            }
            Some(Data::Sum(data)) => {
                data.data_points.iter().for_each(|p| self.push_number(p));
                common.extend(data.data_points.iter().map(|p| common!(p, &p.exemplars)));
                ("sum", Some(data.aggregation_temporality), Some(data.is_monotonic))
            }
            Some(Data::Histogram(data)) => {
                data.data_points.iter().for_each(|p| self.push_histogram(p));
                common.extend(data.data_points.iter().map(|p| common!(p, &p.exemplars)));
                ("histogram", Some(data.aggregation_temporality), None)
            }
            Some(Data::ExponentialHistogram(data)) => {
                data.data_points.iter().for_each(|p| self.push_exponential(p));
                common.extend(data.data_points.iter().map(|p| common!(p, &p.exemplars)));
                ("exponential_histogram", Some(data.aggregation_temporality), None)
            }
            Some(Data::Summary(data)) => {
                data.data_points.iter().try_for_each(|p| self.push_summary(p))?;
                common.extend(data.data_points.iter().map(|p| common!(p, &[])));
                ("summary", None, None)
            }
        };
        let metadata = (!metric.metadata.is_empty()).then(|| json::object(&metric.metadata));
        let rows = common.len();
        self.name.push_n(Some(&metric.name), rows)?;
        self.kind.push_n(Some(kind), rows)?;
        self.metadata.push_n(metadata.as_deref(), rows)?;
        self.temporality.push_n(temporal.map(temporality), rows)?;
        for point in &common {
            self.unit.push_text(&metric.unit);
            self.description.push_text(&metric.description);
            self.is_monotonic.append_option(monotonic);
            self.push_common(point, series_id(seed, &metric.name, point.attributes))?;
        }
        Ok(rows)
    }

    fn push_common(&mut self, point: &Common<'_>, series: u64) -> Result<(), ArrowError> {
        self.time.append_value(nanos(point.time));
        self.start_time.append_option(opt_nanos(point.start));
        push_count(&mut self.flags, point.flags);
        self.series_id.append_value(series);
        self.attributes.push(point.attributes)?;
        push_exemplars(&mut self.exemplars, point.exemplars)
    }

    fn push_number(&mut self, point: &NumberDataPoint) {
        match point.value {
            Some(number_data_point::Value::AsDouble(v)) => {
                self.value.append_value(v);
                self.value_int.append_null();
            }
            Some(number_data_point::Value::AsInt(v)) => {
                #[expect(clippy::cast_precision_loss, reason = "value_int keeps it exactly")]
                self.value.append_value(v as f64);
                self.value_int.append_value(v);
            }
            None => {
                self.value.append_null();
                self.value_int.append_null();
            }
        }
        self.count.append_null();
        self.push_aggregate(None, None, None);
        self.push_explicit(None);
        self.push_scaled(None);
        self.quantiles.append(false);
    }

    fn push_histogram(&mut self, point: &HistogramDataPoint) {
        self.push_no_value();
        self.count.append_value(point.count);
        self.push_aggregate(point.sum, point.min, point.max);
        self.push_explicit(Some(point));
        self.push_scaled(None);
        self.quantiles.append(false);
    }

    fn push_exponential(&mut self, point: &ExponentialHistogramDataPoint) {
        self.push_no_value();
        self.count.append_value(point.count);
        self.push_aggregate(point.sum, point.min, point.max);
        self.push_explicit(None);
        self.push_scaled(Some(point));
        self.quantiles.append(false);
    }

    fn push_summary(&mut self, point: &SummaryDataPoint) -> Result<(), ArrowError> {
        self.push_no_value();
        self.count.append_value(point.count);
        self.push_aggregate(Some(point.sum), None, None);
        self.push_explicit(None);
        self.push_scaled(None);
        for at in &point.quantile_values {
            let row = self.quantiles.values();
            field!(row, 0, Float64Builder).append_value(at.quantile);
            field!(row, 1, Float64Builder).append_value(at.value);
            row.append(true);
        }
        self.quantiles.append(true);
        Ok(())
    }

    fn push_no_value(&mut self) {
        self.value.append_null();
        self.value_int.append_null();
    }

    fn push_aggregate(&mut self, sum: Option<f64>, min: Option<f64>, max: Option<f64>) {
        self.sum.append_option(sum);
        self.min.append_option(min);
        self.max.append_option(max);
    }

    fn push_explicit(&mut self, point: Option<&HistogramDataPoint>) {
        if let Some(point) = point {
            self.bucket_counts.values().append_slice(&point.bucket_counts);
            self.explicit_bounds.values().append_slice(&point.explicit_bounds);
        }
        self.bucket_counts.append(point.is_some());
        self.explicit_bounds.append(point.is_some());
    }

    fn push_scaled(&mut self, point: Option<&ExponentialHistogramDataPoint>) {
        self.scale.append_option(point.map(|p| p.scale));
        self.zero_count.append_option(point.map(|p| p.zero_count));
        self.zero_threshold.append_option(point.map(|p| p.zero_threshold));
        let sides = [
            (
                point.and_then(|p| p.positive.as_ref()),
                &mut self.positive_offset,
                &mut self.positive_counts,
            ),
            (
                point.and_then(|p| p.negative.as_ref()),
                &mut self.negative_offset,
                &mut self.negative_counts,
            ),
        ];
        for (side, offset, counts) in sides {
            offset.append_option(side.map(|s| s.offset));
            if let Some(side) = side {
                counts.values().append_slice(&side.bucket_counts);
            }
            counts.append(side.is_some());
        }
    }

    fn finish(mut self, origins: OriginColumns) -> Result<RecordBatch, ArrowError> {
        let mut all: Vec<ArrayRef> = vec![
            self.name.finish(),
            self.kind.finish(),
            self.unit.finish(),
            self.description.finish(),
            self.temporality.finish(),
            Arc::new(self.is_monotonic.finish()),
            self.metadata.finish(),
            Arc::new(self.time.finish()),
            Arc::new(self.start_time.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            Arc::new(self.bucket_counts.finish()),
            Arc::new(self.explicit_bounds.finish()),
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.zero_threshold.finish()),
            Arc::new(self.positive_offset.finish()),
            Arc::new(self.positive_counts.finish()),
            Arc::new(self.negative_offset.finish()),
            Arc::new(self.negative_counts.finish()),
            Arc::new(self.quantiles.finish()),
            Arc::new(self.exemplars.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.series_id.finish()),
            self.attributes.finish(),
        ];
        all.extend(origins.finish());
        batch(DataSet::Metrics, all)
    }
}

fn push_exemplars(
    list: &mut ListBuilder<StructBuilder>,
    exemplars: &[Exemplar],
) -> Result<(), ArrowError> {
    for exemplar in exemplars {
        let (double, int) = match exemplar.value {
            Some(exemplar::Value::AsDouble(v)) => (Some(v), None),
            #[expect(clippy::cast_precision_loss, reason = "value_int keeps it exactly")]
            Some(exemplar::Value::AsInt(v)) => (Some(v as f64), Some(v)),
            None => (None, None),
        };
        let id = |bytes: &[u8]| (!bytes.is_empty()).then(|| hex(bytes));
        let row = list.values();
        field!(row, 0, TimestampNanosecondBuilder).append_value(nanos(exemplar.time_unix_nano));
        field!(row, 1, Float64Builder).append_option(double);
        field!(row, 2, Int64Builder).append_option(int);
        field!(row, 3, StringBuilder).append_option(id(&exemplar.trace_id));
        field!(row, 4, StringBuilder).append_option(id(&exemplar.span_id));
        field!(row, 5, StringBuilder).append_value(json::object(&exemplar.filtered_attributes));
        row.append(true);
    }
    list.append(!exemplars.is_empty());
    Ok(())
}
