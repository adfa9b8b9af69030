//! Repeated work in a call chain: loops of calls (N+1), retries, and reads done twice.
//!
//! What counts as a call, and what it calls, is told by the caller of these functions as a [`Call`] per
//! node: an outgoing request with its normalised operation or statement. Calls are put to the account of
//! the span that answers for them: the nearest ancestor that is not an internal span of its parent, so
//! that a helper method or an ORM's span between a handler and its statements does not hide a loop.
//!
//! The kinds overlap (a loop of equal reads is a loop and repeated reads), so their times are not added
//! to each other. Cost is `O(n log n)`, and nothing recurses.

mod find;
#[cfg(test)]
mod tests;
mod totals;

pub use find::find;
pub use totals::{RepeatKey, RepeatSums, RepeatTotals};

/// Fewest calls one after the other that are a loop. Sentry's detector of N+1 statements has the same
/// number; below it, a handler that does a few similar things is the likelier reading.
pub const LEAST_LOOP: usize = 5;

/// An outgoing call, as far as repetition is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// Normalised operation or statement, without the values of one call.
    pub target: &'a str,
    /// What tells this call from others of the same target: the statement or request with its values, a
    /// cache key, or a hash of them. `None` if unknown.
    pub identity: Option<&'a str>,
    /// Whether the call only reads.
    pub is_read: bool,
    /// Whether the instrumentation says that this is a further attempt (`http.request.resend_count`).
    pub is_resend: bool,
}

/// Which kind of repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepeatKind {
    /// The same target [`LEAST_LOOP`] or more times one after the other, retries not counted: the N+1
    /// pattern. Calls side by side are a fan-out and none.
    Loop,
    /// Further attempts: marked as such, or the same call begun after an attempt failed, or the same call
    /// begun beside an attempt of which one failed. Calls whose identity is unknown are taken as the
    /// same if their target is: in a loop where one item fails, the next item then looks like a retry.
    Retry,
    /// The same read again within the same service and trace, the first not counted. What was written in
    /// between is not known: candidates.
    DuplicateRead,
}

/// A repetition found under one caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// Which kind.
    pub kind: RepeatKind,
    /// Pre-order index of the caller.
    pub caller: usize,
    /// What was called.
    pub target: String,
    /// Pre-order indexes of the calls, ascending: of a loop all of them, else those that repeat another.
    pub calls: Vec<usize>,
    /// Of the calls, how many can be put one after the other.
    pub in_sequence: usize,
    /// How many of the calls did not fail; of retries, those that helped.
    pub succeeded: usize,
    /// Time during which at least one of the calls ran and the caller, too, nanoseconds.
    pub time_ns: i64,
    /// That time as a share of the caller's duration, 0 to 1; 0 if the caller has none.
    pub share: f64,
}
