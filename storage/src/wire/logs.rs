//! Log records.

use super::common::{AnyValue, KeyValue, any_value, key_value};
use super::{Fields, NotPlain, once, text};

/// A log record without its attributes; times in Unix nanoseconds.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields of opentelemetry.proto.logs.v1.LogRecord")]
pub struct LogRecord<'a> {
    pub time: u64,
    pub observed_time: u64,
    pub severity_number: u32,
    pub severity_text: &'a [u8],
    pub body: AnyValue<'a>,
    pub dropped_attributes: u32,
    pub flags: u32,
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub event_name: &'a [u8],
}

/// Reads a log record; attributes go to `attribute`.
///
/// # Errors
/// [`NotPlain`], and what `attribute` returns.
#[inline]
pub fn log_record<'a, E: From<NotPlain>>(
    message: &'a [u8],
    mut attribute: impl FnMut(KeyValue<'a>) -> Result<(), E>,
) -> Result<LogRecord<'a>, E> {
    let mut record = LogRecord {
        time: 0,
        observed_time: 0,
        severity_number: 0,
        severity_text: &[],
        body: AnyValue::Empty,
        dropped_attributes: 0,
        flags: 0,
        trace_id: &[],
        span_id: &[],
        event_name: &[],
    };
    let mut body = None;
    let mut fields = Fields::of(message);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => record.time = wire.fixed64()?,
            2 => record.severity_number = wire.low32()?,
            3 => text(&mut record.severity_text, wire)?,
            5 => once(&mut body, wire.bytes()?)?,
            6 => attribute(key_value(wire.bytes()?)?)?,
            7 => record.dropped_attributes = wire.low32()?,
            8 => record.flags = wire.fixed32()?,
            9 => record.trace_id = wire.bytes()?,
            10 => record.span_id = wire.bytes()?,
            11 => record.observed_time = wire.fixed64()?,
            12 => text(&mut record.event_name, wire)?,
            _ => {}
        }
    }
    record.body = any_value(body.unwrap_or_default())?;
    Ok(record)
}
