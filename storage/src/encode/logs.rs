//! Log records to rows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, Int32Builder, RecordBatch, StringBuilder,
    TimestampNanosecondBuilder, UInt32Builder,
};
use arrow::error::ArrowError;
use headrope_model::DataSet;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::columns::{
    Attributes, Label, Origin, OriginColumns, batch, nanos, opt_nanos, push_count, push_id,
    time_builder,
};
use super::json;

struct LogColumns {
    time: TimestampNanosecondBuilder,
    event_time: TimestampNanosecondBuilder,
    observed_time: TimestampNanosecondBuilder,
    severity_number: Int32Builder,
    severity_text: Label,
    body: StringBuilder,
    body_type: Label,
    event_name: Label,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: UInt32Builder,
    attributes: Attributes,
    dropped_attributes: UInt32Builder,
    scratch: String,
}

/// Encodes a request; rows in the order received.
pub(super) fn encode(request: &ExportLogsServiceRequest) -> Result<RecordBatch, ArrowError> {
    let mut columns = LogColumns::new();
    let mut origins = OriginColumns::new();
    for group in &request.resource_logs {
        let origin = Origin::new(group.resource.as_ref(), &group.schema_url);
        for scoped in &group.scope_logs {
            for record in &scoped.log_records {
                columns.push(record)?;
            }
            let scope = scoped.scope.as_ref();
            origins.push_n(&origin, scope, &scoped.schema_url, scoped.log_records.len())?;
        }
    }
    columns.finish(origins)
}

impl LogColumns {
    fn new() -> Self {
        Self {
            time: time_builder(),
            event_time: time_builder(),
            observed_time: time_builder(),
            severity_number: Int32Builder::new(),
            severity_text: Label::new(),
            body: StringBuilder::new(),
            body_type: Label::new(),
            event_name: Label::new(),
            trace_id: FixedSizeBinaryBuilder::new(16),
            span_id: FixedSizeBinaryBuilder::new(8),
            flags: UInt32Builder::new(),
            attributes: Attributes::new(),
            dropped_attributes: UInt32Builder::new(),
            scratch: String::new(),
        }
    }

    fn push(&mut self, record: &LogRecord) -> Result<(), ArrowError> {
        // A record without an event time is placed where it was observed (log data model).
        let placed = match record.time_unix_nano {
            0 => record.observed_time_unix_nano,
            at => at,
        };
        self.time.append_value(nanos(placed));
        self.event_time.append_option(opt_nanos(record.time_unix_nano));
        self.observed_time.append_option(opt_nanos(record.observed_time_unix_nano));
        let severity = record.severity_number;
        self.severity_number.append_option((severity != 0).then_some(severity));
        self.severity_text.push_text(&record.severity_text);
        self.push_body(record.body.as_ref());
        self.event_name.push_text(&record.event_name);
        push_id(&mut self.trace_id, &record.trace_id);
        push_id(&mut self.span_id, &record.span_id);
        push_count(&mut self.flags, record.flags);
        self.attributes.push(&record.attributes)?;
        push_count(&mut self.dropped_attributes, record.dropped_attributes_count);
        Ok(())
    }

    /// Text as it is; anything else as canonical JSON.
    fn push_body(&mut self, body: Option<&AnyValue>) {
        self.body_type.push(body_type(body));
        match body.and_then(|b| b.value.as_ref()) {
            None => self.body.append_null(),
            Some(Value::StringValue(text)) => self.body.append_value(text),
            Some(_) => {
                self.scratch.clear();
                json::push_value(body, &mut self.scratch);
                self.body.append_value(&self.scratch);
            }
        }
    }

    fn finish(mut self, origins: OriginColumns) -> Result<RecordBatch, ArrowError> {
        let mut all: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.observed_time.finish()),
            Arc::new(self.severity_number.finish()),
            self.severity_text.finish(),
            Arc::new(self.body.finish()),
            self.body_type.finish(),
            self.event_name.finish(),
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.flags.finish()),
            self.attributes.finish(),
            Arc::new(self.dropped_attributes.finish()),
        ];
        all.extend(origins.finish());
        batch(DataSet::Logs, all)
    }
}

fn body_type(body: Option<&AnyValue>) -> &'static str {
    match body.and_then(|b| b.value.as_ref()) {
        None => "empty",
        Some(Value::StringValue(_)) => "string",
        Some(Value::BoolValue(_)) => "bool",
        Some(Value::IntValue(_) | Value::StringValueStrindex(_)) => "int",
        Some(Value::DoubleValue(_)) => "double",
        Some(Value::ArrayValue(_)) => "array",
        Some(Value::KvlistValue(_)) => "kvlist",
        Some(Value::BytesValue(_)) => "bytes",
    }
}
