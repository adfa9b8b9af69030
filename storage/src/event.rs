//! Events that the product records itself, as OTLP log records: durable, backed up and retained like those that are sent.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::export::{Export, Submission};

/// Severity number of an event: INFO.
const INFO: i32 = 9;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// When it happened, Unix nanoseconds.
    pub time_ns: u64,
    /// When it was told, Unix nanoseconds.
    pub observed_ns: u64,
    /// Who recorded it: the name of the instrumentation scope.
    pub scope: &'static str,
    /// Resource attributes.
    pub resource: Vec<(&'static str, String)>,
    /// Attributes.
    pub attributes: Vec<(&'static str, String)>,
    /// Body.
    pub body: String,
}

impl From<Event> for Submission {
    fn from(event: Event) -> Self {
        let text = |text: String| AnyValue { value: Some(Value::StringValue(text)) };
        let pair = |(key, value): (&'static str, String)| KeyValue {
            key: key.to_owned(),
            value: Some(text(value)),
            ..KeyValue::default()
        };
        let record = LogRecord {
            time_unix_nano: event.time_ns,
            observed_time_unix_nano: event.observed_ns,
            severity_number: INFO,
            severity_text: "INFO".to_owned(),
            body: Some(text(event.body)),
            attributes: event.attributes.into_iter().map(pair).collect(),
            event_name: event.name,
            ..LogRecord::default()
        };
        let scope = InstrumentationScope {
            name: event.scope.to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_logs =
            ScopeLogs { scope: Some(scope), log_records: vec![record], ..ScopeLogs::default() };
        let resource = Resource {
            attributes: event.resource.into_iter().map(pair).collect(),
            ..Resource::default()
        };
        let resource_logs = ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        };
        let export = ExportLogsServiceRequest { resource_logs: vec![resource_logs] };
        let payload = Bytes::from(export.encode_to_vec());
        Self::Decoded { export: Export::Logs(export), payload }
    }
}
