//! Repetitions of many chains, summed.

use std::collections::{BTreeMap, BTreeSet};

use super::find::{calls, find_in};
use super::{Call, RepeatKind};
use crate::trace::CallChain;

/// Who repeats what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepeatKey {
    /// Service of the caller; empty for a parent that was never received.
    pub service: String,
    /// Operation of the caller: its span name.
    pub operation: String,
    /// What is called.
    pub target: String,
}

/// Sums over the callers of a key. All are additive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepeatSums {
    /// Calls of the caller that made at least one call to the target.
    pub callers: u64,
    /// Their durations, nanoseconds.
    pub caller_ns: u128,
    /// Calls to the target. `calls / callers` is the fan-out of the edge.
    pub calls: u64,
    /// Callers with a loop.
    pub loops: u64,
    /// Calls in loops. `loop_calls / loops` is the N+1 factor.
    pub loop_calls: u64,
    /// Time in loops, nanoseconds.
    pub loop_ns: u128,
    /// Further attempts.
    pub retries: u64,
    /// Further attempts that did not fail.
    pub retries_succeeded: u64,
    /// Time in further attempts, nanoseconds.
    pub retry_ns: u128,
    /// Reads done again.
    pub duplicate_reads: u64,
    /// Time in reads done again, nanoseconds.
    pub duplicate_ns: u128,
}

impl RepeatSums {
    /// Adds other sums of the same key.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.callers, other.callers),
            (&mut self.calls, other.calls),
            (&mut self.loops, other.loops),
            (&mut self.loop_calls, other.loop_calls),
            (&mut self.retries, other.retries),
            (&mut self.retries_succeeded, other.retries_succeeded),
            (&mut self.duplicate_reads, other.duplicate_reads),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for (mine, theirs) in [
            (&mut self.caller_ns, other.caller_ns),
            (&mut self.loop_ns, other.loop_ns),
            (&mut self.retry_ns, other.retry_ns),
            (&mut self.duplicate_ns, other.duplicate_ns),
        ] {
            *mine = mine.saturating_add(theirs);
        }
    }
}

/// Sums by key over any number of chains. Memory grows with the number of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepeatTotals {
    sums: BTreeMap<RepeatKey, RepeatSums>,
}

impl RepeatTotals {
    /// Adds a chain; see [`super::find()`] for `call_of`.
    pub fn observe<'a>(&mut self, chain: &CallChain, call_of: impl Fn(usize) -> Option<Call<'a>>) {
        let made = calls(chain, call_of);
        let pairs: BTreeSet<(usize, &str)> =
            made.iter().map(|m| (m.caller, m.call.target)).collect();
        for (caller, target) in pairs {
            let whole = chain.nodes.get(caller).map_or(0, |n| n.duration_ns);
            let sums = self.of(chain, caller, target);
            sums.callers += 1;
            sums.caller_ns += u128::from(whole.max(0).unsigned_abs());
        }
        for m in &made {
            self.of(chain, m.caller, m.call.target).calls += 1;
        }
        for repeat in find_in(chain, &made) {
            let (count, ns) =
                (repeat.calls.len() as u64, u128::from(repeat.time_ns.unsigned_abs()));
            let sums = self.of(chain, repeat.caller, &repeat.target);
            match repeat.kind {
                RepeatKind::Loop => {
                    sums.loops += 1;
                    sums.loop_calls += count;
                    sums.loop_ns += ns;
                }
                RepeatKind::Retry => {
                    sums.retries += count;
                    sums.retries_succeeded += repeat.succeeded as u64;
                    sums.retry_ns += ns;
                }
                RepeatKind::DuplicateRead => {
                    sums.duplicate_reads += count;
                    sums.duplicate_ns += ns;
                }
            }
        }
    }

    /// Adds other totals.
    pub fn merge(&mut self, other: &Self) {
        for (key, sums) in &other.sums {
            self.sums.entry(key.clone()).or_default().merge(sums);
        }
    }

    /// The sums in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&RepeatKey, &RepeatSums)> {
        self.sums.iter()
    }

    fn of(&mut self, chain: &CallChain, caller: usize, target: &str) -> &mut RepeatSums {
        let node = chain.nodes.get(caller);
        let key = RepeatKey {
            service: node.map(|n| n.service.to_string()).unwrap_or_default(),
            operation: node.map(|n| n.name.to_string()).unwrap_or_default(),
            target: target.to_owned(),
        };
        self.sums.entry(key).or_default()
    }
}
