//! What is different about one set of traces against another.
//!
//! A trace is a set of *facts*: numbers that the caller gives to attribute values, states of machines,
//! operations that occurred, and whatever else a trace can have or lack. A fact counts once per trace,
//! however many spans have it, so that one trace of ten thousand spans does not outvote the rest.
//!
//! Each fact is tested by Fisher's exact test for being more or less frequent in the traces in focus (slow
//! or failed ones) than in the normal ones, and the many tests are corrected for (Benjamini and
//! Hochberg). Facts that mark nearly the same traces are folded into one line. Of the lines, a small
//! subset is chosen that holds most of the excess.

mod exact;
mod fold;
#[cfg(test)]
mod tests;

pub use exact::fisher;

use std::collections::BTreeMap;

use crate::statistics::benjamini_hochberg;

/// Fewest traces, of both sets together, that a fact must mark to be looked at.
pub const LEAST_SUPPORT: usize = 5;
/// Expected share of wrong lines among those reported (false discovery rate).
pub const FALSE_DISCOVERIES: f64 = 0.05;
/// Jaccard index from which on two facts mark the same traces: at most one in ten is marked by one only.
pub const SAME_TRACES: f64 = 0.9;
/// Share of the excess that the chosen lines should hold.
pub const HELD: f64 = 0.8;

/// A slow or failed trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FocusTrace {
    /// Its facts, in any order, repeats allowed.
    pub facts: Vec<u32>,
    /// What it adds to the excess: nanoseconds over the reference, or 1 for a failed trace.
    pub excess: u64,
}

/// A difference between the sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The fact that differs most of those folded into this line.
    pub fact: u32,
    /// Other facts that mark nearly the same traces, ascending.
    pub also: Vec<u32>,
    /// Whether the fact is more frequent in focus; otherwise it is more often missing there.
    pub more: bool,
    /// Traces in focus with the fact.
    pub focus_count: usize,
    /// Normal traces with the fact.
    pub normal_count: usize,
    /// Share of the traces in focus with the fact, 0 to 1.
    pub focus_share: f64,
    /// Share of the normal traces with the fact, 0 to 1.
    pub normal_share: f64,
    /// Two-sided p-value of Fisher's exact test, not corrected.
    pub p_value: f64,
    /// Share of the excess that is in the traces with the fact (without it, if `more` is false), 0 to 1.
    pub excess_share: f64,
}

impl Difference {
    /// Difference of the shares, -1 to 1, positive for a fact more frequent in focus.
    #[must_use]
    pub fn effect(&self) -> f64 {
        self.focus_share - self.normal_share
    }
}

/// All differences and the few that matter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Differences {
    /// Every line, the greatest difference of shares first.
    pub lines: Vec<Difference>,
    /// Positions in `lines` of the chosen subset, in the order chosen.
    pub subset: Vec<usize>,
    /// Share of the excess in the traces that the subset marks, 0 to 1.
    pub held: f64,
    /// Share of the normal traces that the subset marks as well, 0 to 1.
    pub normal_marked: f64,
    /// Facts that were tested.
    pub tested: usize,
}

/// The traces that have a fact, by number, ascending; those in focus come first.
struct Marked {
    fact: u32,
    traces: Vec<u32>,
    focus: usize,
}

/// Compares traces in focus with normal ones. The order of traces and of facts does not matter; ties
/// are broken by the number of the fact. Empty if either set is. The subset is chosen greedily: always the
/// line that adds most of the excess less what it adds of the normal traces (Youden's J), until
/// [`HELD`] of the excess is held or no line adds more of it than of the normal traces. It is small, not
/// provably the smallest.
#[must_use]
pub fn differences(focus: &[FocusTrace], normal: &[Vec<u32>]) -> Differences {
    differences_by(focus, normal, |_| None)
}

/// As [`differences`], with facts that say the same thing more or less strongly, as thresholds of one number
/// do: facts of one family with the same direction become one line, whatever traces they mark.
#[must_use]
pub fn differences_by(
    focus: &[FocusTrace],
    normal: &[Vec<u32>],
    family: impl Fn(u32) -> Option<u32>,
) -> Differences {
    if focus.is_empty() || normal.is_empty() {
        return Differences::default();
    }
    let log_factorial = exact::log_factorials(focus.len() + normal.len());
    let marked = marked(focus, normal);
    let test = |m: &Marked| {
        exact::test(&log_factorial, focus.len(), normal.len(), m.focus, m.traces.len() - m.focus)
    };
    let p_values: Vec<f64> = marked.iter().map(test).collect();
    let tested = marked.len();
    let kept = benjamini_hochberg(&p_values, FALSE_DISCOVERIES);
    let mut lines: Vec<(Difference, Marked)> = marked
        .into_iter()
        .zip(p_values)
        .zip(kept)
        .filter(|(_, kept)| *kept)
        .map(|((m, p), _)| (line(&m, p, focus, normal.len()), m))
        .filter(|(d, _)| d.effect() != 0.0)
        .collect();
    lines.sort_by(|(a, _), (b, _)| {
        let size = b.effect().abs().total_cmp(&a.effect().abs());
        size.then(a.p_value.total_cmp(&b.p_value)).then(a.fact.cmp(&b.fact))
    });
    let lines = fold::fold(lines, family);
    let chosen = fold::subset(&lines, focus, normal.len());
    Differences { lines: lines.into_iter().map(|(d, _)| d).collect(), tested, ..chosen }
}

/// Facts with enough support, ascending.
fn marked(focus: &[FocusTrace], normal: &[Vec<u32>]) -> Vec<Marked> {
    let mut traces: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let all = focus.iter().map(|t| &t.facts).chain(normal);
    for (number, facts) in (0u32..).zip(all) {
        for fact in facts {
            let list = traces.entry(*fact).or_default();
            if list.last() != Some(&number) {
                list.push(number);
            }
        }
    }
    traces
        .into_iter()
        .filter(|(_, traces)| traces.len() >= LEAST_SUPPORT)
        .map(|(fact, traces)| {
            let in_focus = |n: &u32| (*n as usize) < focus.len();
            Marked { fact, focus: traces.partition_point(in_focus), traces }
        })
        .collect()
}

fn line(m: &Marked, p_value: f64, focus: &[FocusTrace], normal: usize) -> Difference {
    let normal_count = m.traces.len() - m.focus;
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let (focus_share, normal_share) = (share(m.focus, focus.len()), share(normal_count, normal));
    let more = focus_share > normal_share;
    let total: u128 = focus.iter().map(|t| u128::from(t.excess)).sum();
    let with = m.traces.iter().filter_map(|t| focus.get(*t as usize));
    let with: u128 = with.map(|t| u128::from(t.excess)).sum();
    let held = if more { with } else { total - with };
    Difference {
        fact: m.fact,
        also: Vec::new(),
        more,
        focus_count: m.focus,
        normal_count,
        focus_share,
        normal_share,
        p_value,
        excess_share: if total > 0 { held as f64 / total as f64 } else { 0.0 },
    }
}
