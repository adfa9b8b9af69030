//! The vocabulary of the call graph: operations, their steps, and what a step asks.

use super::log_lines::Line;
use super::mishaps::Mishap;
use super::ops::OpId;
use super::services::Svc;
use super::statements::Stmt;

/// How an operation is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proto {
    /// HTTP server: method and route.
    Http(&'static str, &'static str),
    /// gRPC server: `package.Service/Method`.
    Grpc(&'static str),
    /// Inside the process.
    Internal,
    /// Reads the orders topic as this consumer group.
    Consumer(&'static str),
}

/// What a step asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Another service, with a client span of our own.
    Ask(OpId),
    /// Another service, without a client span (the gateway's module makes none).
    Forward(OpId),
    /// A part of the same process.
    Local(OpId),
    /// A database or cache.
    Query(Stmt),
    /// The external payment provider, with retries.
    Charge,
    /// The orders topic.
    Publish,
}

/// A call that happens with some probability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) what: What,
    /// Probability in millionths.
    pub(crate) ppm: u32,
    /// Whether the caller can live without the answer.
    pub(crate) optional: bool,
}

impl Call {
    /// With this probability, in percent.
    pub(crate) const fn often(mut self, percent: u32) -> Self {
        self.ppm = percent * 10_000;
        self
    }

    /// The caller falls back when it fails.
    pub(crate) const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// A step of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// One call after the previous step.
    Then(Call),
    /// Several calls at once.
    Together(&'static [Call]),
}

const fn call(what: What) -> Call {
    Call { what, ppm: 1_000_000, optional: false }
}

/// Asks a service.
pub(crate) const fn ask(op: OpId) -> Call {
    call(What::Ask(op))
}

/// Forwards to a service.
pub(crate) const fn forward(op: OpId) -> Call {
    call(What::Forward(op))
}

/// Runs a local part.
pub(crate) const fn local(op: OpId) -> Call {
    call(What::Local(op))
}

/// Asks a store.
pub(crate) const fn query(stmt: Stmt) -> Call {
    call(What::Query(stmt))
}

/// Charges the card at the provider.
pub(crate) const fn charge() -> Call {
    call(What::Charge)
}

/// Publishes to the orders topic.
pub(crate) const fn publish() -> Call {
    call(What::Publish)
}

/// An operation: a span's template.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) service: Svc,
    /// Span name.
    pub(crate) name: &'static str,
    pub(crate) proto: Proto,
    /// Median of its own processing time, microseconds.
    pub(crate) work_us: f64,
    /// Shape of the log-normal processing time.
    pub(crate) sigma: f64,
    /// Part of the processing time spent on the CPU, percent.
    pub(crate) cpu_percent: u32,
    /// Probability in millionths that it goes wrong by itself, and how.
    pub(crate) mishap: Option<(Mishap, u32)>,
    pub(crate) steps: &'static [Step],
    /// Lines it may log, with probability in percent.
    pub(crate) lines: &'static [(Line, u32)],
}

impl Op {
    pub(crate) const fn new(service: Svc, name: &'static str, proto: Proto, work_us: f64) -> Self {
        Self {
            service,
            name,
            proto,
            work_us,
            sigma: 0.5,
            cpu_percent: 80,
            mishap: None,
            steps: &[],
            lines: &[],
        }
    }

    pub(crate) const fn steps(mut self, steps: &'static [Step]) -> Self {
        self.steps = steps;
        self
    }

    pub(crate) const fn lines(mut self, lines: &'static [(Line, u32)]) -> Self {
        self.lines = lines;
        self
    }

    pub(crate) const fn may(mut self, mishap: Mishap, ppm: u32) -> Self {
        self.mishap = Some((mishap, ppm));
        self
    }

    /// Every call of every step.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &'static Call> {
        self.steps.iter().flat_map(|step| match step {
            Step::Then(call) => std::slice::from_ref(call),
            Step::Together(calls) => *calls,
        })
    }
}
