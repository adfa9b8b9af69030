//! Arbitrary OTLP messages from a seed: every field of every message, edge values included. They say
//! what the wire can say, valid or not.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryDataPoint, exemplar, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// A source of choices: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
#[derive(Debug)]
pub struct Dice {
    state: u64,
    plain: bool,
}

impl Dice {
    /// Messages with everything the wire can say.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed, plain: false }
    }

    /// Messages a backend has no reason to refuse and nothing rare in them: valid ids and times, no
    /// references into a string table. Texts, values and counts are as wild as ever.
    #[must_use]
    pub const fn plain(seed: u64) -> Self {
        Self { state: seed, plain: true }
    }

    /// 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bool(&mut self) -> bool {
        self.below(2) == 0
    }

    fn u64(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => self.below(200),
            4 => 1_700_000_000_000_000_000 + self.below(1000),
            _ => self.next(),
        }
    }

    fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    fn i32(&mut self) -> i32 {
        match self.below(4) {
            0 => 0,
            1 => i32::MIN,
            2 => self.below(20) as i32 - 10,
            _ => self.next() as i32,
        }
    }

    fn f64(&mut self) -> f64 {
        let special = [0.0, 1.5, -1.0, f64::MIN_POSITIVE, f64::MAX, f64::INFINITY];
        match self.below(9) {
            0 => f64::NEG_INFINITY,
            1 => f64::NAN,
            2 => self.next() as f64,
            n @ 3..=7 => special[n as usize - 3],
            _ => Some(f64::from_bits(self.next())).filter(|v| !v.is_nan()).unwrap_or(1e-300),
        }
    }

    fn text(&mut self) -> String {
        let pieces =
            ["", "a", "service.name", "\"\\\n\u{1}\u{7f}", "漁網", "𝄞", "null", "NaN", "{}"];
        (0..self.below(3)).map(|_| pieces[self.below(9) as usize]).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(20)).map(|_| self.next() as u8).collect()
    }

    fn id(&mut self, len: usize) -> Vec<u8> {
        match if self.plain { 4 } else { self.below(5) } {
            0 => Vec::new(),
            1 => self.bytes(),
            2 => vec![0; len],
            _ => (0..len).map(|_| self.next() as u8).collect(),
        }
    }

    /// An id that may be absent.
    fn other_id(&mut self, len: usize) -> Vec<u8> {
        match self.below(3) {
            0 if self.plain => Vec::new(),
            1 if self.plain => vec![0; len],
            _ => self.id(len),
        }
    }

    fn time(&mut self) -> u64 {
        if self.plain { self.below(i64::MAX as u64) } else { self.u64() }
    }

    fn string_index(&mut self) -> i32 {
        if self.plain { 0 } else { self.i32() }
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| make(self))
    }

    fn many<T>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| make(self)).collect()
    }

    /// An attribute value with up to `depth` levels of lists and maps.
    pub fn value(&mut self, depth: u32) -> AnyValue {
        let value = match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => return AnyValue { value: None },
            1 => Value::StringValue(self.text()),
            2 => Value::BoolValue(self.bool()),
            3 => Value::IntValue(self.u64() as i64),
            4 => Value::DoubleValue(self.f64()),
            5 => Value::BytesValue(self.bytes()),
            6 if self.plain => Value::StringValue(self.text()),
            6 => Value::StringValueStrindex(self.i32()),
            7 => Value::ArrayValue(ArrayValue { values: self.many(|d| d.value(depth - 1)) }),
            _ => Value::KvlistValue(KeyValueList { values: self.many(|d| d.pair(depth - 1)) }),
        };
        AnyValue { value: Some(value) }
    }

    fn pair(&mut self, depth: u32) -> KeyValue {
        KeyValue {
            key: self.text(),
            value: self.some(|d| d.value(depth)),
            key_strindex: self.string_index(),
        }
    }

    fn attributes(&mut self) -> Vec<KeyValue> {
        self.many(|d| d.pair(3))
    }

    fn resource(&mut self) -> Option<Resource> {
        self.some(|d| Resource {
            attributes: d.attributes(),
            dropped_attributes_count: d.u32(),
            entity_refs: d.many(|d| EntityRef {
                schema_url: d.text(),
                r#type: d.text(),
                id_keys: d.many(Self::text),
                description_keys: d.many(Self::text),
            }),
        })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        self.some(|d| InstrumentationScope {
            name: d.text(),
            version: d.text(),
            attributes: d.attributes(),
            dropped_attributes_count: d.u32(),
        })
    }

    /// A request of spans.
    pub fn traces(&mut self) -> ExportTraceServiceRequest {
        let resource_spans = self.many(|d| ResourceSpans {
            resource: d.resource(),
            scope_spans: d.many(|d| ScopeSpans {
                scope: d.scope(),
                spans: d.many(Self::span),
                schema_url: d.text(),
            }),
            schema_url: d.text(),
        });
        ExportTraceServiceRequest { resource_spans }
    }

    /// A span.
    pub fn span(&mut self) -> Span {
        let (start, end) = (self.time(), self.time());
        let ordered =
            if self.plain { (start.min(end).max(1), end.max(start).max(1)) } else { (start, end) };
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.other_id(8),
            flags: self.u32(),
            name: self.text(),
            kind: self.i32(),
            start_time_unix_nano: ordered.0,
            end_time_unix_nano: ordered.1,
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            events: self.many(|d| Event {
                time_unix_nano: d.time(),
                name: d.text(),
                attributes: d.attributes(),
                dropped_attributes_count: d.u32(),
            }),
            dropped_events_count: self.u32(),
            links: self.many(|d| Link {
                trace_id: d.other_id(16),
                span_id: d.other_id(8),
                trace_state: d.text(),
                attributes: d.attributes(),
                dropped_attributes_count: d.u32(),
                flags: d.u32(),
            }),
            dropped_links_count: self.u32(),
            status: self.some(|d| Status { message: d.text(), code: d.i32() }),
        }
    }

    /// A request of log records.
    pub fn logs(&mut self) -> ExportLogsServiceRequest {
        let resource_logs = self.many(|d| ResourceLogs {
            resource: d.resource(),
            scope_logs: d.many(|d| ScopeLogs {
                scope: d.scope(),
                log_records: d.many(Self::log),
                schema_url: d.text(),
            }),
            schema_url: d.text(),
        });
        ExportLogsServiceRequest { resource_logs }
    }

    fn log(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.time(),
            observed_time_unix_nano: self.time().max(u64::from(self.plain)),
            severity_number: self.i32(),
            severity_text: self.text(),
            body: self.some(|d| d.value(3)),
            attributes: self.attributes(),
            dropped_attributes_count: self.u32(),
            flags: self.u32(),
            trace_id: self.other_id(16),
            span_id: self.other_id(8),
            event_name: self.text(),
        }
    }

    /// A request of metrics.
    pub fn metrics(&mut self) -> ExportMetricsServiceRequest {
        let resource_metrics = self.many(|d| ResourceMetrics {
            resource: d.resource(),
            scope_metrics: d.many(|d| ScopeMetrics {
                scope: d.scope(),
                metrics: d.many(Self::metric),
                schema_url: d.text(),
            }),
            schema_url: d.text(),
        });
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn metric(&mut self) -> Metric {
        let aggregation_temporality = self.i32();
        let data = match self.below(6) {
            0 => None,
            1 => Some(Data::Gauge(Gauge { data_points: self.many(Self::number) })),
            2 => Some(Data::Sum(Sum {
                data_points: self.many(Self::number),
                aggregation_temporality,
                is_monotonic: self.bool(),
            })),
            3 => Some(Data::Histogram(Histogram {
                data_points: self.many(Self::histogram),
                aggregation_temporality,
            })),
            4 => Some(Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.many(Self::exponential),
                aggregation_temporality,
            })),
            _ => Some(Data::Summary(Summary { data_points: self.many(Self::summary) })),
        };
        Metric {
            name: self.text(),
            description: self.text(),
            unit: self.text(),
            metadata: self.attributes(),
            data,
        }
    }

    fn number(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            exemplars: self.many(Self::exemplar),
            flags: self.u32(),
            value: self.some(|d| match d.bool() {
                true => number_data_point::Value::AsDouble(d.f64()),
                false => number_data_point::Value::AsInt(d.u64() as i64),
            }),
        }
    }

    fn histogram(&mut self) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.some(Self::f64),
            bucket_counts: self.many(Self::u64),
            explicit_bounds: self.many(Self::f64),
            exemplars: self.many(Self::exemplar),
            flags: self.u32(),
            min: self.some(Self::f64),
            max: self.some(Self::f64),
        }
    }

    fn exponential(&mut self) -> ExponentialHistogramDataPoint {
        let buckets = |d: &mut Self| Buckets { offset: d.i32(), bucket_counts: d.many(Self::u64) };
        ExponentialHistogramDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.some(Self::f64),
            scale: self.i32(),
            zero_count: self.u64(),
            positive: self.some(buckets),
            negative: self.some(buckets),
            flags: self.u32(),
            exemplars: self.many(Self::exemplar),
            min: self.some(Self::f64),
            max: self.some(Self::f64),
            zero_threshold: self.f64(),
        }
    }

    fn summary(&mut self) -> SummaryDataPoint {
        SummaryDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.u64(),
            time_unix_nano: self.u64(),
            count: self.u64(),
            sum: self.f64(),
            quantile_values: self.many(|d| ValueAtQuantile { quantile: d.f64(), value: d.f64() }),
            flags: self.u32(),
        }
    }

    fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.u64(),
            span_id: self.id(8),
            trace_id: self.id(16),
            value: self.some(|d| match d.bool() {
                true => exemplar::Value::AsDouble(d.f64()),
                false => exemplar::Value::AsInt(d.u64() as i64),
            }),
        }
    }
}
