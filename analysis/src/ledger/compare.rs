//! Two profiles against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Entry, EntryProfile, Part, PartSum, Profile};

/// What a part adds to the change of the time of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The part.
    pub part: Part,
    /// Nanoseconds added to the mean request of the window; negative if it got faster. The lines of a ledger add
    /// up to [`Ledger::excess_ns`].
    pub excess_ns: f64,
    /// What of it comes from spans of this part being more or fewer a request, at the reference's time each.
    pub by_count_ns: f64,
    /// What of that comes from more of them in each request that has any; the rest from more requests that have some.
    pub by_each_count_ns: f64,
    /// What of it comes from waiting longer for each.
    pub by_time_ns: f64,
    /// The excess over its standard error: about normal when nothing changed and requests are many. 0 without
    /// enough requests to tell.
    pub z: f64,
    /// How far apart the times waited for each span on the path are in the two windows, on the scale of logarithms, over
    /// the standard error: what happened to most of them. 0 without enough to tell.
    pub z_each: f64,
    /// What the mean request of the window would take less if each span of this part on the path took its typical (geometric
    /// mean) time, nanoseconds; not negative.
    pub gain_ns: f64,
    /// The typical (geometric mean) time waited for a span on the path in the window over that in the reference;
    /// 1 if either has none.
    pub ratio: f64,
    /// What the excess by time is for a request that has the part, as a share of what such requests took in the
    /// reference (of the window if that has none).
    pub harm: f64,
    /// The same of the excess by more of them in each request.
    pub harm_of_count: f64,
    /// Spans of this part in the reference, and time waited for each, nanoseconds.
    pub reference: (u64, f64),
    /// The same in the window.
    pub window: (u64, f64),
}

/// An entry in both windows.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryChange {
    /// Where requests enter.
    pub entry: Entry,
    /// Requests in the reference and in the window.
    pub requests: (u64, u64),
    /// Their mean durations, nanoseconds; 0 without requests.
    pub mean_ns: (f64, f64),
    /// How many failed.
    pub failed: (u64, u64),
}

/// The change of the time of requests, part by part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    /// By how much the mean request of the window takes longer than the same requests took in the reference,
    /// nanoseconds.
    pub excess_ns: f64,
    /// What those requests took in the reference, nanoseconds.
    pub reference_ns: f64,
    /// Its lines, the largest excess first, then by part. They add up to `excess_ns`.
    pub lines: Vec<Line>,
    /// Of each service that worked on compared requests, what all its work together adds to the mean request over the
    /// standard error of that: what slows every operation a little shows here first. 0 without enough requests to tell.
    pub work_z: BTreeMap<Arc<str>, f64>,
    /// Every entry of either window.
    pub entries: Vec<EntryChange>,
    /// Requests of the window whose entry the reference knows, and all: the share the ledger speaks of.
    pub compared: (u64, u64),
}

/// Compares a window with a reference. Entries that only one of them has are listed and not compared. Of each other
/// entry the difference of the means is split over its parts, and weighs as much as it has requests in the window.
#[must_use]
pub fn ledger(reference: &Profile, window: &Profile) -> Ledger {
    let names: BTreeSet<&Entry> = reference.entries.keys().chain(window.entries.keys()).collect();
    let both = |name: &Entry| Some((reference.entries.get(name)?, window.entries.get(name)?));
    let compared: u64 = names.iter().filter_map(|name| both(name)).map(|(_, w)| w.requests).sum();
    let mut found = Ledger { compared: (compared, window.requests()), ..Ledger::default() };
    let mut lines: BTreeMap<Part, Sum> = BTreeMap::new();
    let mut work: BTreeMap<Arc<str>, Excess> = BTreeMap::new();
    for name in names {
        found.entries.push(change(name, reference.entries.get(name), window.entries.get(name)));
        let Some((was, is)) = both(name) else { continue };
        if was.requests == 0 || is.requests == 0 || compared == 0 {
            continue;
        }
        let weight = is.requests as f64 / compared as f64;
        let (n, m) = (was.requests as f64, is.requests as f64);
        found.reference_ns += weight * was.time_ns / n;
        found.excess_ns += weight * (is.time_ns / m - was.time_ns / n);
        let parts: BTreeSet<&Part> = was.parts.keys().chain(is.parts.keys()).collect();
        for part in parts {
            let before = was.parts.get(part).copied().unwrap_or_default();
            let after = is.parts.get(part).copied().unwrap_or_default();
            lines.entry(part.clone()).or_default().add(weight, (n, before), (m, after));
        }
        let services: BTreeSet<&Arc<str>> = was.work.keys().chain(is.work.keys()).collect();
        for service in services {
            let time = |of: &EntryProfile| {
                of.work.get(service).map_or((0.0, 0.0), |sum| (sum.time_ns, sum.square_ns))
            };
            let excess = work.entry(service.clone()).or_default();
            excess.add(weight, (n, time(was)), (m, time(is)));
        }
    }
    found.work_z = work.into_iter().map(|(service, change)| (service, change.z())).collect();
    found.lines = lines.into_iter().map(|(part, sum)| sum.line(part, compared as f64)).collect();
    found.lines.sort_by(|a, b| b.excess_ns.total_cmp(&a.excess_ns).then(a.part.cmp(&b.part)));
    found
}

fn change(name: &Entry, was: Option<&EntryProfile>, is: Option<&EntryProfile>) -> EntryChange {
    let mean = |of: Option<&EntryProfile>| {
        of.filter(|of| of.requests > 0).map_or(0.0, |of| of.time_ns / of.requests as f64)
    };
    let count = |of: Option<&EntryProfile>| of.map_or((0, 0), |of| (of.requests, of.failed));
    let ((before, failed_before), (after, failed_after)) = (count(was), count(is));
    EntryChange {
        entry: name.clone(),
        requests: (before, after),
        mean_ns: (mean(was), mean(is)),
        failed: (failed_before, failed_after),
    }
}

/// What a time adds to the mean request, being summed up over entries.
#[derive(Default)]
struct Excess {
    ns: f64,
    variance: f64,
}

/// A time summed over some requests and the sum of its squares, with how many requests these are.
type Times = (f64, (f64, f64));

impl Excess {
    /// Returns what it adds to a request of this entry.
    fn add(&mut self, weight: f64, (n, before): Times, (m, after): Times) -> f64 {
        let excess = after.0 / m - before.0 / n;
        self.ns += weight * excess;
        self.variance += weight * weight * (variance(before, n) / n + variance(after, m) / m);
        excess
    }

    /// Over its standard error.
    fn z(&self) -> f64 {
        if self.variance > 0.0 { self.ns / self.variance.sqrt() } else { 0.0 }
    }
}

/// A line being summed up over entries.
#[derive(Default)]
struct Sum {
    excess: Excess,
    by_count: f64,
    by_each_count: f64,
    before: PartSum,
    after: PartSum,
}

impl Sum {
    fn add(&mut self, weight: f64, (n, before): (f64, PartSum), (m, after): (f64, PartSum)) {
        let times = |sum: PartSum| (sum.time_ns, sum.square_ns);
        let excess = self.excess.add(weight, (n, times(before)), (m, times(after)));
        let visits = |sum: PartSum, of: f64| sum.visits as f64 / of;
        let each =
            |sum: PartSum| if sum.visits > 0 { sum.time_ns / sum.visits as f64 } else { 0.0 };
        // Time of spans that the reference does not have, or the window no more, comes from their number alone.
        let usual = if before.visits > 0 { each(before) } else { each(after) };
        let more = visits(after, m) - visits(before, n);
        let by_count = if after.visits == 0 { excess } else { more * usual };
        self.by_count += weight * by_count;
        if before.requests > 0 && after.requests > 0 {
            let in_one = |sum: PartSum| sum.visits as f64 / sum.requests as f64;
            let have = after.requests as f64 / m;
            self.by_each_count += weight * have * (in_one(after) - in_one(before)) * usual;
        }
        self.before.merge(&before);
        self.after.merge(&after);
    }

    /// `requests` are those of the window that are compared.
    fn line(self, part: Part, requests: f64) -> Line {
        let each = |sum: &PartSum| {
            (sum.visits, if sum.visits > 0 { sum.time_ns / sum.visits as f64 } else { 0.0 })
        };
        let by_time = self.excess.ns - self.by_count;
        let (z_each, ratio) = typical(&self.before, &self.after);
        let usual = if self.before.requests > 0 { &self.before } else { &self.after };
        let request = usual.request_ns / (usual.requests as f64).max(1.0);
        let exposed = |ns: f64| ns * requests / (self.after.requests as f64).max(1.0);
        let share = |ns: f64| if request > 0.0 { exposed(ns) / request } else { 0.0 };
        Line {
            part,
            excess_ns: self.excess.ns,
            by_count_ns: self.by_count,
            by_each_count_ns: self.by_each_count,
            by_time_ns: by_time,
            z: self.excess.z(),
            z_each,
            gain_ns: self.after.above_typical() / requests.max(1.0),
            ratio,
            harm: share(by_time),
            harm_of_count: share(self.by_each_count),
            reference: each(&self.before),
            window: each(&self.after),
        }
    }
}

/// The difference of two means of logarithms over its standard error, and what it multiplies a time by.
fn typical(before: &PartSum, after: &PartSum) -> (f64, f64) {
    let moments = |sum: &PartSum| {
        let n = sum.on_path as f64;
        let mean = sum.log_sum / n;
        (n, mean, (sum.log_square / n - mean * mean).max(0.0) * n / (n - 1.0))
    };
    if before.on_path == 0 || after.on_path == 0 {
        return (0.0, 1.0);
    }
    let ((n, was, spread), (m, is, spread_now)) = (moments(before), moments(after));
    let error = (spread / n + spread_now / m).sqrt();
    // A single time has no spread.
    let known = n >= 2.0 && m >= 2.0 && error > 0.0;
    (if known { (is - was) / error } else { 0.0 }, (is - was).exp())
}

/// Sample variance of a time over `n` requests of its sum and the sum of its squares; requests without it count as 0.
fn variance((sum, squares): (f64, f64), n: f64) -> f64 {
    if n < 2.0 {
        return 0.0;
    }
    let mean = sum / n;
    ((squares / n - mean * mean) * n / (n - 1.0)).max(0.0)
}
