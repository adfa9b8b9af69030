//! OTLP requests to rows: one record batch per request, in the stored schema of its data set.
//!
//! This is the reference path over prost structs. Nothing is lost: every field of a record has a
//! column, attributes are kept in the order received with their types (canonical JSON, see
//! [`headrope_model::attr`]); a field at its protobuf default (0, empty) is null where the column
//! allows it.

mod columns;
pub(crate) mod direct;
pub(crate) mod json;
mod logs;
mod metrics;
mod parts;
mod spans;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use headrope_model::{DataSet, Signal};

use crate::export::Export;

use parts::trace_parts;

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

/// The rows of a request by data set: its own first, then what is derived.
///
/// # Errors
/// See [`encode`].
pub(crate) fn rows(export: &Export) -> Result<Vec<(DataSet, RecordBatch)>, ArrowError> {
    with_derived(export.signal(), encode(export)?)
}

/// Rows of a signal, and what is derived from them.
///
/// # Errors
/// Only if the columns disagree with the schema, which the tests rule out.
pub(crate) fn with_derived(
    signal: Signal,
    own: RecordBatch,
) -> Result<Vec<(DataSet, RecordBatch)>, ArrowError> {
    let parts = (signal == Signal::Traces).then(|| trace_parts(&own)).transpose()?;
    let derived = parts.map(|parts| (DataSet::TraceParts, parts));
    Ok(std::iter::once((signal.data_set(), own)).chain(derived).collect())
}
