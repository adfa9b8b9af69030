//! Where the extra time of requests went: a window against a reference, without a rest that nobody owns.
//!
//! A [`Profile`] folds the critical paths of requests into parts: whose own work, which way between a call
//! and what serves it, which call to something that sends no spans. The path covers the duration of the
//! request exactly, so the parts add up to it, and so do their differences ([`ledger`]): each [`Line`] says
//! what of the change of the mean is its part's, split into being waited for more often and for longer.
//! Requests of different entries (the operation of the root) are compared entry by entry, so that another mix is no
//! line of any service.
//!
//! Beside time, a profile counts the shapes of call chains ([`shapes`]): which children the spans of an
//! operation have. A handler that returns early, or a release that asks for more, shows there even where no
//! time was lost. And it counts where failures of requests began.

use std::sync::Arc;

mod build;
mod compare;
mod profile;
mod shape;
#[cfg(test)]
mod tests;

pub use build::ProfileBuilder;
pub use compare::{EntryChange, Ledger, Line, ledger};
pub use profile::{Entry, EntryProfile, PartSum, Profile, WorkSum};
pub use shape::{EarlyEnd, ShapeChange, early_ends, shapes};

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    /// `service.name`.
    pub service: Arc<str>,
    /// Span name.
    pub name: Arc<str>,
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wait {
    /// The operation's own work, whatever kept it from getting on.
    Work,
    /// The way to a service and back: from the begin of a call to the begin of the span that serves it, and
    /// from its end to the end of the call. Network, and queues on either side.
    Way(Arc<str>),
    /// Something called that sends no spans of its own: a database, a cache, somebody else's service.
    Remote(Peer),
}

/// What is called and sends no spans of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// Its name: system and namespace of a database, destination of messages, address.
    pub name: Arc<str>,
    /// Whether it is a database, cache or queue; otherwise a service.
    pub is_store: bool,
    /// What is asked of it: the normalised statement.
    pub statement: Option<Arc<str>>,
}

/// A part of the time of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part {
    /// Whose span is on the path.
    pub operation: Operation,
    /// What it waits for.
    pub wait: Wait,
}
