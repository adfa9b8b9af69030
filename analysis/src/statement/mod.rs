//! Which way a statement got slow: asked more often, or slower at each call, and then by what.
//!
//! [`slow`] splits the time that calls of one statement by one service take more than in a reference into what more calls add and
//! what longer calls add, and looks among the readings of both ends for why calls are longer.

#[cfg(test)]
mod tests;

use crate::verdict::{Measure, Reading};

/// Calls of a statement by a service in a window.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calls {
    /// How many.
    pub calls: f64,
    /// Sum of their durations, nanoseconds.
    pub total_ns: f64,
}

impl Calls {
    /// Mean duration, nanoseconds; 0 without calls.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.calls > 0.0 { self.total_ns / self.calls } else { 0.0 }
    }

    /// The same in a window of another length, if it goes on as it does.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { calls: self.calls * factor, total_ns: self.total_ns * factor }
    }
}

/// What time was added to a statement's calls, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Added {
    /// By more calls.
    pub by_calls_ns: f64,
    /// By longer ones.
    pub by_duration_ns: f64,
}

/// Splits the difference of two windows of the same length. Both parts add up to it: each factor's change is
/// weighed with the mean of the other (Shapley's value of a product of two).
#[must_use]
pub fn added(reference: Calls, window: Calls) -> Added {
    let mean = |a: f64, b: f64| a.midpoint(b);
    Added {
        by_calls_ns: (window.calls - reference.calls) * mean(window.mean_ns(), reference.mean_ns()),
        by_duration_ns: (window.mean_ns() - reference.mean_ns())
            * mean(window.calls, reference.calls),
    }
}

/// Which way a statement is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slow {
    /// It takes about as much time as before.
    Not,
    /// It was not asked before.
    New,
    /// It is asked more often.
    MoreCalls,
    /// Calls wait for locks of the database.
    Lock,
    /// The database's disk is busy or full.
    Io,
    /// The database's CPU or memory is used up.
    Saturated,
    /// Calls wait for a connection at the client.
    PoolWait,
    /// The way to the database takes longer.
    Network,
    /// The statement itself takes longer, or what makes it so is not measured.
    Statement,
}

impl Slow {
    /// The name in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Not => "not",
            Self::New => "new",
            Self::MoreCalls => "more_calls",
            Self::Lock => "lock",
            Self::Io => "io",
            Self::Saturated => "saturated",
            Self::PoolWait => "pool_wait",
            Self::Network => "network",
            Self::Statement => "statement",
        }
    }
}

/// What else is known of a statement's database and of who asks it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Readings of the database and its hosts.
    pub store: &'a [Reading],
    /// Readings of the service that asks.
    pub caller: &'a [Reading],
    /// Nanoseconds that calls of other statements by the same service to the same database are longer, in the mean.
    pub same_way: &'a [f64],
    /// The same of calls by other services to the same database.
    pub other_ways: &'a [f64],
    /// Mean durations of the other statements of the database over those of the reference, whoever asks.
    pub growth: &'a [f64],
}

impl Surroundings<'_> {
    /// Whether half of what is asked of the database at least got slower with a statement that takes so many times as long, half
    /// as much on a logarithmic scale: a lack of the database slows most of it, while a statement that reads more keeps
    /// disk and CPU busy and slows itself.
    fn is_of_all(&self, growth: f64) -> bool {
        let alike = growth.max(0.0).sqrt().max(MORE);
        let slower = self.growth.iter().filter(|growth| **growth >= alike).count();
        slower > 0 && 2 * slower >= self.growth.len()
    }
}

/// Total time from which on a statement takes more than before, over that of the reference.
const MORE: f64 = 1.2;
/// Fewest calls in both windows that say how long they take.
pub const TELLING: f64 = 20.0;
/// Share of what this statement's calls are longer from which on others are as much longer: what is added on the way is
/// the same for each call, whatever is asked.
const ALIKE: f64 = 0.5;

/// Which way a statement is slow, and the readings of the database or the caller that prove it. `reference` is of the length of
/// the window ([`Calls::scaled`]).
#[must_use]
pub fn slow<'a>(
    reference: Calls,
    window: Calls,
    around: &Surroundings<'a>,
) -> (Slow, Vec<&'a Reading>) {
    let none = Vec::new();
    if window.calls <= 0.0 {
        return (Slow::Not, none);
    }
    if reference.calls <= 0.0 {
        return (Slow::New, none);
    }
    let few = window.calls.min(reference.calls) < TELLING;
    if few || window.total_ns < MORE * reference.total_ns {
        return (Slow::Not, none);
    }
    let more = added(reference, window);
    if more.by_calls_ns >= more.by_duration_ns {
        return (Slow::MoreCalls, none);
    }
    let of_all = around.is_of_all(window.mean_ns() / reference.mean_ns().max(f64::MIN_POSITIVE));
    let saturated = [Measure::CpuBusy, Measure::Cpu, Measure::Throttled, Measure::MemoryUsed];
    let kinds: [(Slow, &[Reading], &[Measure], bool); 5] = [
        (Slow::Lock, around.store, &[Measure::Lock], true),
        (Slow::Io, around.store, &[Measure::DiskUsed], true),
        (Slow::Io, around.store, &[Measure::DiskBusy], of_all),
        (Slow::PoolWait, around.caller, &[Measure::PoolPending, Measure::PoolWait], true),
        (Slow::Saturated, around.store, &saturated, of_all),
    ];
    for (kind, readings, measures, _) in kinds.into_iter().filter(|(.., may)| *may) {
        let proof = readings.iter().filter(|r| measures.contains(&r.measure) && r.is_raised());
        let proof: Vec<&Reading> = proof.collect();
        if !proof.is_empty() {
            return (kind, proof);
        }
    }
    let longer = window.mean_ns() - reference.mean_ns();
    let alike = |others: &[f64]| others.iter().filter(|other| **other >= ALIKE * longer).count();
    let all_here = !around.same_way.is_empty() && alike(around.same_way) == around.same_way.len();
    let none_there = !around.other_ways.is_empty() && alike(around.other_ways) == 0;
    if all_here && none_there {
        let errors = around.caller.iter().chain(around.store);
        let errors = errors.filter(|r| r.measure == Measure::NetworkErrors && r.is_raised());
        return (Slow::Network, errors.collect());
    }
    (Slow::Statement, none)
}
