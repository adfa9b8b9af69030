//! What was sent, and what must be found of it.

use std::fmt;
use std::ops::Range;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Spans of one trace; a record's number is its span id.
    Spans,
    /// Log records; a record's number is its span id.
    Logs,
    /// Points of a gauge; a record's number is its value.
    Points,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Spans, Self::Logs, Self::Points];
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Acknowledged, or found after a crash: every record must be found exactly once.
    Stored,
    /// Refused, or not found after a crash: no record may be found.
    Absent,
    /// No answer came: all of it or nothing may be found.
    Unknown,
}

/// A request and its records' numbers, which no other request has.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    pub(crate) numbers: Range<u64>,
    pub(crate) state: State,
}

impl Request {
    pub(crate) fn len(&self) -> u64 {
        self.numbers.end - self.numbers.start
    }
}

/// All requests so far.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) requests: Vec<Request>,
    /// The first number no request has.
    pub(crate) next: u64,
    /// Requests before this one were checked one by one.
    pub(crate) checked: usize,
    /// Requests without an answer that were found, and that were not.
    pub(crate) resolved: (u64, u64),
}

impl Default for Ledger {
    fn default() -> Self {
        // A span id of zero is not valid.
        Self { requests: Vec::new(), next: 1, checked: 0, resolved: (0, 0) }
    }
}

impl Ledger {
    /// Records of a kind that must be found.
    pub(crate) fn stored(&self, kind: Kind) -> u64 {
        let stored = |r: &&Request| r.kind == kind && r.state == State::Stored;
        self.requests.iter().filter(stored).map(Request::len).sum()
    }

    /// Traces that must be found: one for each stored request of spans.
    pub(crate) fn traces(&self) -> u64 {
        let stored = |r: &&Request| r.kind == Kind::Spans && r.state == State::Stored;
        self.requests.iter().filter(stored).count() as u64
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, gone) = self.resolved;
        let absent = self.requests.iter().filter(|r| r.state == State::Absent).count() as u64;
        write!(
            f,
            "{} requests; stored {} spans, {} logs, {} points; without an answer {} ({found} found \
             whole, {gone} not at all); refused {}",
            self.requests.len(),
            self.stored(Kind::Spans),
            self.stored(Kind::Logs),
            self.stored(Kind::Points),
            found + gone,
            absent - gone,
        )
    }
}
