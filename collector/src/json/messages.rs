//! Every OTLP message and the JSON names of its fields.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
    any_value::Value as AnyData,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar::Value as ExemplarData, metric::Data as MetricData,
    number_data_point::Value as NumberData,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::MapAccess;

use super::kinds::{
    Base64, Bool, Double, Enum, Hex, I32, I64, List, Many, Maybe, Nested, One, Text, U32, U64,
};
use super::read::{Fields, Object, Value};

/// `"name" => field: Kind`, and for alternatives `"name" => Variant: Kind`.
macro_rules! message {
    ($type:ty {
        $($name:literal => $field:ident: $kind:ty,)*
        $(one of $slot:ident: $oneof:ident { $($choice:literal => $variant:ident: $inner:ty,)+ })?
    }) => {
        impl Fields for $type {
            fn read<'de, A: MapAccess<'de>>(
                &mut self,
                key: &str,
                value: Value<'_, A>,
            ) -> Result<(), A::Error> {
                match key {
                    $($name => self.$field = value.read::<$kind>()?.unwrap_or_default(),)*
                    $($($choice => {
                        value.choose::<$inner, $oneof>(&mut self.$slot, $oneof::$variant)?;
                    })+)?
                    _ => value.skip()?,
                }
                Ok(())
            }

            fn write(&self, object: &mut Object<'_>) {
                $(object.field::<$kind>($name, &self.$field);)*
                $(match &self.$slot {
                    $(Some($oneof::$variant(value)) => object.always::<$inner>($choice, value),)+
                    None => {}
                })?
            }
        }
    };
}

message!(ExportTraceServiceRequest { "resourceSpans" => resource_spans: Many<ResourceSpans>, });
message!(ExportMetricsServiceRequest {
    "resourceMetrics" => resource_metrics: Many<ResourceMetrics>,
});
message!(ExportLogsServiceRequest { "resourceLogs" => resource_logs: Many<ResourceLogs>, });

message!(Resource {
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "entityRefs" => entity_refs: Many<EntityRef>,
});
message!(EntityRef {
    "schemaUrl" => schema_url: Text,
    "type" => r#type: Text,
    "idKeys" => id_keys: List<Text>,
    "descriptionKeys" => description_keys: List<Text>,
});
message!(InstrumentationScope {
    "name" => name: Text,
    "version" => version: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
});
message!(KeyValue {
    "key" => key: Text,
    "value" => value: One<AnyValue>,
    "keyStrindex" => key_strindex: I32,
});
message!(AnyValue {
    one of value: AnyData {
        "stringValue" => StringValue: Text,
        "boolValue" => BoolValue: Bool,
        "intValue" => IntValue: I64,
        "doubleValue" => DoubleValue: Double,
        "arrayValue" => ArrayValue: Nested<ArrayValue>,
        "kvlistValue" => KvlistValue: Nested<KeyValueList>,
        "bytesValue" => BytesValue: Base64,
        "stringValueStrindex" => StringValueStrindex: I32,
    }
});
message!(ArrayValue { "values" => values: Many<AnyValue>, });
message!(KeyValueList { "values" => values: Many<KeyValue>, });

message!(ResourceSpans {
    "resource" => resource: One<Resource>,
    "scopeSpans" => scope_spans: Many<ScopeSpans>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeSpans {
    "scope" => scope: One<InstrumentationScope>,
    "spans" => spans: Many<Span>,
    "schemaUrl" => schema_url: Text,
});
message!(Span {
    "traceId" => trace_id: Hex,
    "spanId" => span_id: Hex,
    "traceState" => trace_state: Text,
    "parentSpanId" => parent_span_id: Hex,
    "flags" => flags: U32,
    "name" => name: Text,
    "kind" => kind: Enum,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "endTimeUnixNano" => end_time_unix_nano: U64,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "events" => events: Many<Event>,
    "droppedEventsCount" => dropped_events_count: U32,
    "links" => links: Many<Link>,
    "droppedLinksCount" => dropped_links_count: U32,
    "status" => status: One<Status>,
});
message!(Status { "message" => message: Text, "code" => code: Enum, });
message!(Event {
    "timeUnixNano" => time_unix_nano: U64,
    "name" => name: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
});
message!(Link {
    "traceId" => trace_id: Hex,
    "spanId" => span_id: Hex,
    "traceState" => trace_state: Text,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "flags" => flags: U32,
});

message!(ResourceLogs {
    "resource" => resource: One<Resource>,
    "scopeLogs" => scope_logs: Many<ScopeLogs>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeLogs {
    "scope" => scope: One<InstrumentationScope>,
    "logRecords" => log_records: Many<LogRecord>,
    "schemaUrl" => schema_url: Text,
});
message!(LogRecord {
    "timeUnixNano" => time_unix_nano: U64,
    "observedTimeUnixNano" => observed_time_unix_nano: U64,
    "severityNumber" => severity_number: Enum,
    "severityText" => severity_text: Text,
    "body" => body: One<AnyValue>,
    "attributes" => attributes: Many<KeyValue>,
    "droppedAttributesCount" => dropped_attributes_count: U32,
    "flags" => flags: U32,
    "traceId" => trace_id: Hex,
    "spanId" => span_id: Hex,
    "eventName" => event_name: Text,
});

message!(ResourceMetrics {
    "resource" => resource: One<Resource>,
    "scopeMetrics" => scope_metrics: Many<ScopeMetrics>,
    "schemaUrl" => schema_url: Text,
});
message!(ScopeMetrics {
    "scope" => scope: One<InstrumentationScope>,
    "metrics" => metrics: Many<Metric>,
    "schemaUrl" => schema_url: Text,
});
message!(Metric {
    "name" => name: Text,
    "description" => description: Text,
    "unit" => unit: Text,
    "metadata" => metadata: Many<KeyValue>,
    one of data: MetricData {
        "gauge" => Gauge: Nested<Gauge>,
        "sum" => Sum: Nested<Sum>,
        "histogram" => Histogram: Nested<Histogram>,
        "exponentialHistogram" => ExponentialHistogram: Nested<ExponentialHistogram>,
        "summary" => Summary: Nested<Summary>,
    }
});
message!(Gauge { "dataPoints" => data_points: Many<NumberDataPoint>, });
message!(Sum {
    "dataPoints" => data_points: Many<NumberDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
    "isMonotonic" => is_monotonic: Bool,
});
message!(Histogram {
    "dataPoints" => data_points: Many<HistogramDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
});
message!(ExponentialHistogram {
    "dataPoints" => data_points: Many<ExponentialHistogramDataPoint>,
    "aggregationTemporality" => aggregation_temporality: Enum,
});
message!(Summary { "dataPoints" => data_points: Many<SummaryDataPoint>, });
message!(NumberDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "exemplars" => exemplars: Many<Exemplar>,
    "flags" => flags: U32,
    one of value: NumberData {
        "asDouble" => AsDouble: Double,
        "asInt" => AsInt: I64,
    }
});
message!(HistogramDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: Maybe<Double>,
    "bucketCounts" => bucket_counts: List<U64>,
    "explicitBounds" => explicit_bounds: List<Double>,
    "exemplars" => exemplars: Many<Exemplar>,
    "flags" => flags: U32,
    "min" => min: Maybe<Double>,
    "max" => max: Maybe<Double>,
});
message!(ExponentialHistogramDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: Maybe<Double>,
    "scale" => scale: I32,
    "zeroCount" => zero_count: U64,
    "positive" => positive: One<Buckets>,
    "negative" => negative: One<Buckets>,
    "flags" => flags: U32,
    "exemplars" => exemplars: Many<Exemplar>,
    "min" => min: Maybe<Double>,
    "max" => max: Maybe<Double>,
    "zeroThreshold" => zero_threshold: Double,
});
message!(Buckets { "offset" => offset: I32, "bucketCounts" => bucket_counts: List<U64>, });
message!(SummaryDataPoint {
    "attributes" => attributes: Many<KeyValue>,
    "startTimeUnixNano" => start_time_unix_nano: U64,
    "timeUnixNano" => time_unix_nano: U64,
    "count" => count: U64,
    "sum" => sum: Double,
    "quantileValues" => quantile_values: Many<ValueAtQuantile>,
    "flags" => flags: U32,
});
message!(ValueAtQuantile { "quantile" => quantile: Double, "value" => value: Double, });
message!(Exemplar {
    "filteredAttributes" => filtered_attributes: Many<KeyValue>,
    "timeUnixNano" => time_unix_nano: U64,
    "spanId" => span_id: Hex,
    "traceId" => trace_id: Hex,
    one of value: ExemplarData {
        "asDouble" => AsDouble: Double,
        "asInt" => AsInt: I64,
    }
});
