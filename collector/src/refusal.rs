//! A request that was not stored: the reason, the sentence for the client, and when to retry.

use std::time::Duration;

use headrope_model::RefuseReason;
use headrope_storage::AppendError;

use crate::budget::Exhausted;
use crate::tally::Tally;

/// Longest message sent to a client: gRPC carries it in a header, and clients limit those to 8 KiB.
const MAX_MESSAGE: usize = 1024;

/// How long a client waits before it tries again when memory is short: long enough for a flush to
/// free some, short enough for exporters not to drop data.
const OVER_BUDGET_DELAY: Duration = Duration::from_secs(1);

/// How long a client waits after a failure of the disk.
const FAILED_DELAY: Duration = Duration::from_secs(5);

/// A refused request.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: RefuseReason,
    /// What was wrong, for the client's log.
    pub(crate) message: String,
    /// When to try again; `None` if trying again is of no use.
    pub(crate) retry_after: Option<Duration>,
    /// Reasons of the single records, when each of them was refused.
    pub(crate) records: Option<Box<Tally>>,
}

impl Refusal {
    /// A permanent refusal.
    pub(crate) fn new(reason: RefuseReason, detail: impl std::fmt::Display) -> Self {
        Self {
            reason,
            message: clip(format!("{}: {detail}", reason.advice())),
            retry_after: None,
            records: None,
        }
    }

    /// A refusal whose advice says it all.
    pub(crate) fn plain(reason: RefuseReason) -> Self {
        Self { reason, message: reason.advice().to_owned(), retry_after: None, records: None }
    }

    /// A refusal to be tried again after a delay.
    pub(crate) fn retry(reason: RefuseReason, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::plain(reason) }
    }

    /// None of the records was acceptable.
    pub(crate) fn every_record(tally: Tally) -> Self {
        let reason = tally.iter().max_by_key(|(_, n)| *n).map_or(RefuseReason::Malformed, |r| r.0);
        let message = clip(format!("every record was refused: {}", tally.describe()));
        Self { reason, message, retry_after: None, records: Some(Box::new(tally)) }
    }

    /// The request is larger than the limit.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(RefuseReason::MessageTooLarge, format_args!("the limit is {limit} bytes"))
    }

    /// The server failed in a way that is no fault of the request.
    pub(crate) fn failed() -> Self {
        Self::retry(RefuseReason::StorageFailed, FAILED_DELAY)
    }
}

impl From<Exhausted> for Refusal {
    fn from(exhausted: Exhausted) -> Self {
        match exhausted {
            Exhausted::Now => Self::retry(RefuseReason::OverBudget, OVER_BUDGET_DELAY),
            Exhausted::Ever => Self::new(
                RefuseReason::MessageTooLarge,
                "decoded, it would need more memory than the server gives to all requests",
            ),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Retry { reason, after } => Self::retry(reason, after),
            AppendError::Failed(cause) => {
                tracing::error!(error = %cause, "a request could not be stored");
                Self::failed()
            }
        }
    }
}

fn clip(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
