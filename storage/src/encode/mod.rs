//! OTLP requests to rows: one record batch per request, in the stored schema of its data set.
//!
//! This is the reference path over prost structs. Nothing is lost: every field of a record has a
//! column, attributes are kept in the order received with their types (canonical JSON, see
//! [`headrope_model::attr`]); a field at its protobuf default (0, empty) is null where the column
//! allows it.

mod columns;
pub(crate) mod json;
mod logs;
mod metrics;
mod parts;
mod spans;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::export::Export;

pub(crate) use parts::trace_parts;

/// Encodes a request.
///
/// # Errors
/// Only if the columns disagree with the schema, which the tests rule out.
pub(crate) fn encode(export: &Export) -> Result<RecordBatch, ArrowError> {
    match export {
        Export::Traces(request) => spans::encode(request),
        Export::Logs(request) => logs::encode(request),
        Export::Metrics(request) => metrics::encode(request),
    }
}
