//! What a protobuf request will cost, before it is decoded.
//!
//! Two bytes on the wire can become a struct of 300 in memory, so a small body may decode to
//! gigabytes. One pass over the wire format, without allocating, counts the records and the memory
//! their decoded form takes; only then is the memory reserved and the message decoded.

use std::mem::size_of;

use headrope_model::Signal;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, SummaryDataPoint, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};

/// prost refuses messages nested deeper than this.
const MAX_DEPTH: u32 = 100;
/// Smallest heap block a short string or id takes.
const HEAP: usize = 32;

/// What a request will cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Spans, log records or data points.
    pub(crate) records: u64,
    /// Estimated bytes of the decoded message.
    pub(crate) bytes: usize,
}

/// A body that is not protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// A length points behind the end.
    #[error("a field is longer than the message it is in")]
    Truncated,
    /// A varint is longer than ten bytes.
    #[error("a number is not a valid varint")]
    Varint,
    /// A wire type that OTLP does not use.
    #[error("a field has an unknown wire type")]
    WireType,
    /// Messages nested too deep.
    #[error("messages are nested deeper than 100 levels")]
    Depth,
}

/// Field numbers of OTLP messages are below this.
const FIELDS: usize = 17;

/// A message type: what one costs, and the fields below it that cost something.
struct Shape {
    /// Bytes of one decoded message outside its parent.
    size: usize,
    /// Further bytes per byte on the wire.
    per_byte: usize,
    /// 1 if it is a record.
    records: u64,
    /// Whether there is nothing below.
    leaf: bool,
    /// Whether it is an attribute value.
    value: bool,
    /// By field number.
    children: [Option<&'static Self>; FIELDS],
}

/// A message held inline in its parent.
const fn inline(fields: &[(usize, &'static Shape)]) -> Shape {
    let mut children = [None; FIELDS];
    let mut at = 0;
    while at < fields.len() {
        children[fields[at].0] = Some(fields[at].1);
        at += 1;
    }
    Shape { size: 0, per_byte: 0, records: 0, leaf: fields.is_empty(), value: false, children }
}

/// An element of a vector. Vectors grow by doubling: count each element one and a half times.
const fn element<T>(heap: usize, fields: &[(usize, &'static Shape)]) -> Shape {
    Shape { size: size_of::<T>() * 3 / 2 + heap, ..inline(fields) }
}

const fn record<T>(heap: usize, fields: &[(usize, &'static Shape)]) -> Shape {
    Shape { records: 1, ..element::<T>(heap, fields) }
}

static STRING: Shape = element::<String>(HEAP, &[]);
static TEXT: Shape = Shape { size: HEAP, ..inline(&[]) };
static VALUE: Shape =
    Shape { value: true, ..inline(&[(1, &TEXT), (5, &ARRAY), (6, &KEY_VALUES), (7, &TEXT)]) };
static VALUE_ELEMENT: Shape = Shape { size: size_of::<AnyValue>() * 3 / 2, ..VALUE };
static ARRAY: Shape = inline(&[(1, &VALUE_ELEMENT)]);
static KEY_VALUES: Shape = inline(&[(1, &KEY_VALUE)]);
static KEY_VALUE: Shape = element::<KeyValue>(HEAP, &[(2, &VALUE)]);
static ENTITY: Shape = element::<EntityRef>(HEAP, &[(3, &STRING), (4, &STRING)]);
static RESOURCE: Shape = inline(&[(1, &KEY_VALUE), (3, &ENTITY)]);
static SCOPE: Shape = inline(&[(3, &KEY_VALUE)]);

static TRACES: Shape = inline(&[(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape = element::<ResourceSpans>(0, &[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Shape = element::<ScopeSpans>(0, &[(1, &SCOPE), (2, &SPAN)]);
static SPAN: Shape = record::<Span>(4 * HEAP, &[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK)]);
static EVENT: Shape = element::<span::Event>(HEAP, &[(3, &KEY_VALUE)]);
static LINK: Shape = element::<span::Link>(2 * HEAP, &[(4, &KEY_VALUE)]);

static LOGS: Shape = inline(&[(1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape = element::<ResourceLogs>(0, &[(1, &RESOURCE), (2, &SCOPE_LOGS)]);
static SCOPE_LOGS: Shape = element::<ScopeLogs>(0, &[(1, &SCOPE), (2, &LOG)]);
static LOG: Shape = record::<LogRecord>(3 * HEAP, &[(5, &VALUE), (6, &KEY_VALUE)]);

static METRICS: Shape = inline(&[(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape =
    element::<ResourceMetrics>(0, &[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Shape = element::<ScopeMetrics>(0, &[(1, &SCOPE), (2, &METRIC)]);
static METRIC: Shape = element::<Metric>(
    3 * HEAP,
    &[
        (5, &NUMBERS),
        (7, &NUMBERS),
        (9, &HISTOGRAMS),
        (10, &EXPONENTIALS),
        (11, &SUMMARIES),
        (12, &KEY_VALUE),
    ],
);
static NUMBERS: Shape = inline(&[(1, &NUMBER)]);
static NUMBER: Shape = record::<NumberDataPoint>(0, &[(7, &KEY_VALUE), (5, &EXEMPLAR)]);
static HISTOGRAMS: Shape = inline(&[(1, &HISTOGRAM)]);
static HISTOGRAM: Shape =
    record::<HistogramDataPoint>(2 * HEAP, &[(9, &KEY_VALUE), (8, &EXEMPLAR)]);
static EXPONENTIALS: Shape = inline(&[(1, &EXPONENTIAL)]);
static EXPONENTIAL: Shape = record::<ExponentialHistogramDataPoint>(
    2 * HEAP,
    &[(1, &KEY_VALUE), (8, &BUCKETS), (9, &BUCKETS), (11, &EXEMPLAR)],
);
/// Counts are varints: one byte on the wire, eight in memory.
static BUCKETS: Shape = Shape { per_byte: 12, ..inline(&[]) };
static SUMMARIES: Shape = inline(&[(1, &SUMMARY)]);
static SUMMARY: Shape = record::<SummaryDataPoint>(0, &[(7, &KEY_VALUE), (6, &QUANTILE)]);
static QUANTILE: Shape = element::<ValueAtQuantile>(0, &[]);
static EXEMPLAR: Shape = element::<Exemplar>(2 * HEAP, &[(7, &KEY_VALUE)]);

/// Measures an export request of `signal`.
///
/// # Errors
/// When the body is not protobuf. Every body that prost decodes is measured, except that groups,
/// which no OTLP version ever had, are refused.
pub(crate) fn measure(signal: Signal, body: &[u8]) -> Result<Size, WireError> {
    let shape = match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    };
    let mut size = Size { records: 0, bytes: body.len() };
    walk(body, shape, 0, &mut size)?;
    Ok(size)
}

fn walk(mut body: &[u8], shape: &Shape, depth: u32, size: &mut Size) -> Result<(), WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError::Depth);
    }
    while !body.is_empty() {
        let tag = varint(&mut body)?;
        match tag & 7 {
            0 => varint(&mut body).map(drop)?,
            1 => take(&mut body, 8).map(drop)?,
            5 => take(&mut body, 4).map(drop)?,
            2 => {
                let len = varint(&mut body)?;
                let inner = take(&mut body, len)?;
                let field = usize::try_from(tag >> 3).unwrap_or(usize::MAX);
                if let Some(Some(child)) = shape.children.get(field) {
                    size.bytes += child.size + child.per_byte * inner.len();
                    size.records += child.records;
                    if child.value && is_short_string(inner) {
                        size.bytes += HEAP;
                    } else if !child.leaf {
                        walk(inner, child, depth + 1, size)?;
                    }
                }
            }
            _ => return Err(WireError::WireType),
        }
    }
    Ok(())
}

/// Whether an attribute value is one string of less than 128 bytes, as most are.
#[inline]
fn is_short_string(message: &[u8]) -> bool {
    matches!(message, [0x0a, len, rest @ ..] if *len < 0x80 && rest.len() == usize::from(*len))
}

#[inline]
fn take<'a>(body: &mut &'a [u8], len: u64) -> Result<&'a [u8], WireError> {
    let len = usize::try_from(len).map_err(|_| WireError::Truncated)?;
    let (head, tail) = body.split_at_checked(len).ok_or(WireError::Truncated)?;
    *body = tail;
    Ok(head)
}

#[inline]
fn varint(body: &mut &[u8]) -> Result<u64, WireError> {
    match body {
        [byte, tail @ ..] if *byte < 0x80 => {
            let value = u64::from(*byte);
            *body = tail;
            Ok(value)
        }
        _ => long_varint(body),
    }
}

fn long_varint(body: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, tail) = body.split_first().ok_or(WireError::Truncated)?;
        *body = tail;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            return Ok(value);
        }
    }
    Err(WireError::Varint)
}

#[cfg(test)]
mod tests;
