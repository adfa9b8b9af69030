//! Rankings and percentiles, exact.

use std::collections::BTreeMap;

use super::{Group, GroupKey, Oracle};

/// What a ranking orders by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Number of spans.
    Calls,
    /// Longest duration, nanoseconds.
    Slowest,
    /// Sum of durations, nanoseconds.
    TotalTime,
    /// Number of spans with error status.
    Errors,
}

/// Which spans a ranking looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Every span.
    All,
    /// Server and consumer spans: the calls a service answered.
    Entry,
}

/// One line of a ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Service.
    pub service: String,
    /// Operation; empty in a ranking of services.
    pub operation: String,
    /// The value ordered by (a count or nanoseconds).
    pub value: u128,
}

/// Exact figures of one service or operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationStats {
    /// Spans.
    pub count: u64,
    /// Spans with error status.
    pub errors: u64,
    /// Sum of durations, nanoseconds.
    pub total_ns: u128,
    /// Longest duration, nanoseconds.
    pub max_ns: u64,
    /// Every duration in nanoseconds, ascending.
    pub durations: Vec<u64>,
}

impl OperationStats {
    fn add(&mut self, group: &Group) {
        self.count += group.durations.len() as u64;
        self.errors += group.errors;
        self.total_ns += group.total_ns;
        self.max_ns = self.max_ns.max(group.max_ns);
        self.durations.extend_from_slice(&group.durations);
    }

    /// The `q` quantile (0 to 1) by nearest rank: the smallest duration that at least `q` of all
    /// durations do not exceed. `None` when there are none.
    #[must_use]
    pub fn quantile_ns(&self, q: f64) -> Option<u64> {
        let rank = (q.clamp(0.0, 1.0) * self.durations.len() as f64).ceil() as usize;
        self.durations.get(rank.saturating_sub(1)).copied()
    }

    fn value(&self, by: By) -> u128 {
        match by {
            By::Calls => u128::from(self.count),
            By::Slowest => u128::from(self.max_ns),
            By::TotalTime => self.total_ns,
            By::Errors => u128::from(self.errors),
        }
    }
}

impl Oracle {
    /// Figures per service name.
    #[must_use]
    pub fn services(&self, kinds: Kinds) -> BTreeMap<String, OperationStats> {
        self.grouped(kinds, |key| self.names.text(key.service).to_owned())
    }

    /// Figures per (service, operation).
    #[must_use]
    pub fn operations(&self, kinds: Kinds) -> BTreeMap<(String, String), OperationStats> {
        self.grouped(kinds, |key| {
            (self.names.text(key.service).to_owned(), self.names.text(key.name).to_owned())
        })
    }

    fn grouped<K: Ord>(
        &self,
        kinds: Kinds,
        name: impl Fn(&GroupKey) -> K,
    ) -> BTreeMap<K, OperationStats> {
        let mut out: BTreeMap<K, OperationStats> = BTreeMap::new();
        for (key, group) in &self.groups {
            if kinds == Kinds::All || Self::is_entry(key.kind) {
                out.entry(name(key)).or_default().add(group);
            }
        }
        out.values_mut().for_each(|stats| stats.durations.sort_unstable());
        out
    }

    /// The first `n` services: largest value first, equal values by name.
    #[must_use]
    pub fn top_services(&self, by: By, kinds: Kinds, n: usize) -> Vec<Ranked> {
        let rows = self.services(kinds).into_iter().map(|(service, stats)| Ranked {
            service,
            operation: String::new(),
            value: stats.value(by),
        });
        first(rows.collect(), n)
    }

    /// The first `n` operations: largest value first, equal values by service, then operation.
    #[must_use]
    pub fn top_operations(&self, by: By, kinds: Kinds, n: usize) -> Vec<Ranked> {
        let rows = self.operations(kinds).into_iter().map(|((service, operation), stats)| Ranked {
            service,
            operation,
            value: stats.value(by),
        });
        first(rows.collect(), n)
    }
}

fn first(mut rows: Vec<Ranked>, n: usize) -> Vec<Ranked> {
    rows.sort_by(|a, b| {
        b.value
            .cmp(&a.value)
            .then_with(|| a.service.cmp(&b.service))
            .then_with(|| a.operation.cmp(&b.operation))
    });
    rows.truncate(n);
    rows
}
