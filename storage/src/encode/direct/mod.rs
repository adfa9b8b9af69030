//! From the wire to columns without structs in between, many requests to one batch.
//!
//! Rows are exactly those of the reference path over prost ([`super::encode`]), which the property
//! tests compare; what the views of [`crate::wire`] do not read is declined and left to it.

mod attributes;
mod cells;
mod label;
mod logs;
mod origin;
mod promoted;
mod spans;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use headrope_model::Signal;

use crate::wire::NotPlain;

/// Why a chunk of requests was not encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Declined {
    /// A message is not plain.
    #[error(transparent)]
    NotPlain(#[from] NotPlain),
    /// Text is not UTF-8, or there is more of it than a column holds.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

impl From<std::str::Utf8Error> for Declined {
    fn from(_: std::str::Utf8Error) -> Self {
        Self::NotPlain(NotPlain)
    }
}

/// Encodes the requests of one signal; rows in the order received.
///
/// # Errors
/// When any of them is not plain; nothing is encoded then.
pub(crate) fn encode<'a>(
    signal: Signal,
    payloads: impl IntoIterator<Item = &'a [u8]>,
) -> Result<RecordBatch, Declined> {
    match signal {
        Signal::Traces => spans::encode(payloads),
        Signal::Logs => logs::encode(payloads),
        Signal::Metrics => Err(NotPlain.into()),
    }
}
