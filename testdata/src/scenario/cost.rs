//! What each fault costs the requests of a window, fairly where two coincide.

use std::collections::BTreeMap;

use super::{Cost, EntryCost, FAILURE_NS};

/// A request takes longer if it takes this part more than without the fault.
const LONGER: f64 = 0.1;

/// What a request took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Number of the entry operation.
    pub(crate) entry: usize,
    pub(crate) ns: i64,
    pub(crate) failed: bool,
}

/// Sums over requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sum {
    requests: u64,
    added_ns: f64,
    affected: f64,
    failed: f64,
}

impl Sum {
    /// Component by component.
    fn with(self, other: Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            requests: self.requests.max(other.requests),
            added_ns: of(self.added_ns, other.added_ns),
            affected: of(self.affected, other.affected),
            failed: of(self.failed, other.failed),
        }
    }

    fn cost(self) -> Cost {
        let requests = self.requests.max(1) as f64;
        Cost {
            added_ns: self.added_ns / requests,
            affected: self.affected / requests,
            failed: self.failed,
        }
    }
}

/// What some faults together add to requests, by entry operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(BTreeMap<usize, Sum>);

impl Values {
    /// Compares requests with and without faults, the same ones in the same order.
    pub(crate) fn new(with: &[Request], without: &[Request]) -> Self {
        debug_assert_eq!(with.len(), without.len());
        let mut sums: BTreeMap<usize, Sum> = BTreeMap::new();
        for (faulty, healthy) in with.iter().zip(without) {
            let sum = sums.entry(faulty.entry).or_default();
            let added = (faulty.ns - healthy.ns) as f64;
            let fails = f64::from(faulty.failed) - f64::from(healthy.failed);
            let longer = added > LONGER * healthy.ns as f64;
            sum.requests += 1;
            sum.added_ns += added;
            sum.affected += f64::from(fails > 0.0 || longer);
            sum.failed += fails;
        }
        Self(sums)
    }
}

/// What a fault costs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Costs {
    pub(crate) overall: Cost,
    pub(crate) entries: Vec<EntryCost>,
    requests: u64,
}

impl Costs {
    fn new(sums: &BTreeMap<usize, Sum>, name: &dyn Fn(usize) -> String) -> Self {
        let mut all = Sum::default();
        let mut entries = Vec::new();
        for (entry, sum) in sums {
            let requests = all.requests + sum.requests;
            all = Sum { requests, ..all.with(*sum, |a, b| a + b) };
            if sum.affected != 0.0 || sum.failed != 0.0 {
                let operation = name(*entry);
                entries.push(EntryCost { operation, requests: sum.requests, cost: sum.cost() });
            }
        }
        Self { overall: all.cost(), entries, requests: all.requests }
    }

    /// What it costs the mean request, where a failure counts as [`FAILURE_NS`] more; at least 0.
    pub(crate) fn harm_ns(&self) -> f64 {
        let failures = self.overall.failed / self.requests.max(1) as f64;
        (self.overall.added_ns + FAILURE_NS * failures).max(0.0)
    }
}

/// The cost of each of `count` faults: of one, what it adds; of two, their Shapley values, from what
/// each adds `alone` and what both add `together`. `name` names entry operations.
pub(crate) fn costs(
    count: usize,
    alone: &[Values],
    together: &Values,
    name: &dyn Fn(usize) -> String,
) -> Vec<Costs> {
    match (count, alone) {
        (0, _) => Vec::new(),
        (2, [first, second]) => vec![
            Costs::new(&fair(first, second, together), name),
            Costs::new(&fair(second, first, together), name),
        ],
        _ => vec![Costs::new(&together.0, name)],
    }
}

/// The mean of what the first adds to nothing and to the second.
fn fair(first: &Values, second: &Values, together: &Values) -> BTreeMap<usize, Sum> {
    let nothing = Sum::default();
    let of = |values: &Values, entry: &usize| values.0.get(entry).copied().unwrap_or(nothing);
    let value = |(entry, both): (&usize, &Sum)| {
        let marginal = both.with(of(second, entry), |both, other| both - other);
        (*entry, of(first, entry).with(marginal, |alone, more| 0.5 * (alone + more)))
    };
    together.0.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(ns: &[i64], failed: &[bool]) -> Vec<Request> {
        let entry = 3;
        ns.iter().zip(failed).map(|(&ns, &failed)| Request { entry, ns, failed }).collect()
    }

    fn name(entry: usize) -> String {
        format!("GET /{entry}")
    }

    #[test]
    fn one_fault_costs_what_it_adds() {
        let healthy = requests(&[100, 100, 100, 100], &[false, false, true, false]);
        let faulty = requests(&[100, 105, 300, 90], &[false, false, true, true]);
        let costs = costs(1, &[], &Values::new(&faulty, &healthy), &name);
        let expected = Cost { added_ns: 48.75, affected: 0.5, failed: 1.0 };
        assert_eq!(costs[0].overall, expected);
        assert_eq!(costs[0].entries[0].cost, expected);
        assert!((costs[0].harm_ns() - 48.75 - FAILURE_NS / 4.0).abs() < 1e-6);
    }

    #[test]
    fn two_faults_share_what_they_add_together() {
        let none = requests(&[100, 100], &[false, false]);
        let first = requests(&[200, 100], &[false, false]);
        let second = requests(&[160, 100], &[false, true]);
        // Together they wait once for both: 40 ns less than the sum.
        let both = requests(&[220, 100], &[false, true]);
        let alone = [Values::new(&first, &none), Values::new(&second, &none)];
        let costs = costs(2, &alone, &Values::new(&both, &none), &name);
        // Shapley: (100 + 60) / 2 and (60 + 20) / 2 of the one request, halved for the mean of two.
        assert_eq!(costs[0].overall, Cost { added_ns: 40.0, affected: 0.25, failed: 0.0 });
        assert_eq!(costs[1].overall, Cost { added_ns: 20.0, affected: 0.75, failed: 1.0 });
    }
}
