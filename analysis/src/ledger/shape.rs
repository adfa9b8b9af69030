//! Which children the spans of an operation have, in two windows.

use std::collections::BTreeSet;

use super::{Operation, Part, Profile};
use crate::difference::fisher;
use crate::statistics::benjamini_hochberg;

/// Expected share of wrong changes among those reported.
const FALSE_DISCOVERIES: f64 = 0.01;
/// Largest p-value of a single comparison that may go along with others.
const PERHAPS: f64 = 0.05;
/// Children that spans which end early lack at least, on average.
const LEAST_LOST: f64 = 0.5;
/// Fewest spans of an operation in each window that tell of its children.
const LEAST_SPANS: u64 = 10;

/// Spans of an operation have a child more or less often than before.
#[derive(Debug, Clone, PartialEq)]
pub struct ShapeChange {
    /// The operation.
    pub parent: Operation,
    /// What it calls or does.
    pub child: Operation,
    /// Share of its spans with such a child in the reference, 0 to 1.
    pub reference: f64,
    /// The same in the window.
    pub window: f64,
    /// Such children of a span on average, in the reference and in the window.
    pub each: (f64, f64),
    /// Spans of the operation in the reference and in the window.
    pub spans: (u64, u64),
    /// Two-sided p-value of Fisher's exact test, not corrected.
    pub p_value: f64,
}

/// The changes of shape that chance does not explain, the largest difference of shares first. What an operation lacks
/// because it is called less often itself is no change of it.
#[must_use]
pub fn shapes(reference: &Profile, window: &Profile) -> Vec<ShapeChange> {
    let pairs: BTreeSet<_> = reference.children.keys().chain(window.children.keys()).collect();
    let spans = |of: &Profile, operation| of.visits.get(operation).copied().unwrap_or_default();
    let changes = pairs.into_iter().filter_map(|pair| {
        let (parent, child) = pair;
        let (n, m) = (spans(reference, parent), spans(window, parent));
        if n < LEAST_SPANS || m < LEAST_SPANS {
            return None;
        }
        let (was, was_count) = reference.children.get(pair).copied().unwrap_or_default();
        let (is, is_count) = window.children.get(pair).copied().unwrap_or_default();
        Some(ShapeChange {
            parent: parent.clone(),
            child: child.clone(),
            reference: was as f64 / n as f64,
            window: is as f64 / m as f64,
            each: (was_count as f64 / n as f64, is_count as f64 / m as f64),
            spans: (n, m),
            p_value: p_value((is, m), (was, n)),
        })
    });
    let all: Vec<ShapeChange> = changes.collect();
    let p_values: Vec<f64> = all.iter().map(|change| change.p_value).collect();
    let kept = benjamini_hochberg(&p_values, FALSE_DISCOVERIES);
    let mut found: Vec<ShapeChange> =
        all.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(change, _)| change).collect();
    let size = |change: &ShapeChange| (change.window - change.reference).abs();
    found.sort_by(|a, b| {
        let order = size(b).total_cmp(&size(a));
        order.then_with(|| (&a.parent, &a.child).cmp(&(&b.parent, &b.child)))
    });
    found
}

/// Spans of an operation end right after something that more often went on before.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlyEnd {
    /// The operation.
    pub parent: Operation,
    /// The last thing it now does; `None`: it does nothing.
    pub last: Option<Part>,
    /// Of its spans that do this at all, the share that ends with it in the reference, 0 to 1.
    pub reference: f64,
    /// The same in the window.
    pub window: f64,
    /// Such spans in the reference and in the window.
    pub spans: (u64, u64),
    /// Two-sided p-value of Fisher's exact test, not corrected.
    pub p_value: f64,
    /// Whether chance does not explain it, though many were compared. Others may go along with one that is sure.
    pub is_sure: bool,
}

/// How many children fewer a span of an operation has, those it has more of left out.
fn lost(reference: &Profile, window: &Profile, parent: &Operation) -> f64 {
    let spans = |of: &Profile| of.visits.get(parent).copied().unwrap_or_default() as f64;
    let each = |of: &Profile, pair: &(Operation, Operation)| {
        let count = of.children.get(pair).map_or(0, |(_, count)| *count) as f64;
        count / spans(of).max(1.0)
    };
    let first = (parent.clone(), Operation { service: "".into(), name: "".into() });
    let own = reference.children.range(&first..).map(|(pair, _)| pair);
    let own = own.take_while(|(of, _)| of == parent);
    own.map(|pair| (each(reference, pair) - each(window, pair)).max(0.0)).sum()
}

/// The operations that end earlier than before and perhaps not by chance, the largest rise first. What is compared are spans
/// that did the same up to there, so that another mix of requests behind one name is none; and what is no longer done is
/// at least half as much, so that of calls side by side another one that ends last is none.
#[must_use]
pub fn early_ends(reference: &Profile, window: &Profile) -> Vec<EarlyEnd> {
    let of = |profile: &Profile, parent: &Operation, last: &Option<Part>| {
        let ended = profile.last.get(&(parent.clone(), last.clone())).copied().unwrap_or_default();
        let all = match last {
            None => profile.visits.get(parent).copied(),
            Some(part) => {
                let pair = (parent.clone(), part.operation.clone());
                profile.children.get(&pair).map(|(with, _)| *with)
            }
        };
        (ended, all.unwrap_or_default())
    };
    let all: Vec<EarlyEnd> = window
        .last
        .keys()
        .filter_map(|(parent, last)| {
            let ((was, n), (is, m)) = (of(reference, parent, last), of(window, parent, last));
            if n == 0 || m == 0 {
                return None;
            }
            Some(EarlyEnd {
                parent: parent.clone(),
                last: last.clone(),
                reference: was as f64 / n as f64,
                window: is as f64 / m as f64,
                spans: (n, m),
                p_value: p_value((is, m), (was, n)),
                is_sure: false,
            })
        })
        .collect();
    // Operations with few spans would only make the others harder to tell.
    let many = |end: &EarlyEnd| end.spans.0.min(end.spans.1) >= LEAST_SPANS;
    let p_values: Vec<f64> =
        all.iter().map(|end| if many(end) { end.p_value } else { 1.0 }).collect();
    let kept = benjamini_hochberg(&p_values, FALSE_DISCOVERIES);
    let mut found: Vec<EarlyEnd> = all
        .into_iter()
        .zip(kept)
        .map(|(end, kept)| EarlyEnd { is_sure: kept && many(&end), ..end })
        .filter(|end| end.window > end.reference && end.p_value < PERHAPS)
        .filter(|end| {
            let ends_early = (end.window - end.reference) * end.spans.1 as f64;
            let spans = window.visits.get(&end.parent).copied().unwrap_or_default() as f64;
            lost(reference, window, &end.parent) * spans >= ends_early * LEAST_LOST
        })
        .collect();
    found.sort_by(|a, b| {
        let order = (b.window - b.reference).total_cmp(&(a.window - a.reference));
        order.then_with(|| (&a.parent, &a.last).cmp(&(&b.parent, &b.last)))
    });
    found
}

fn p_value((is, m): (u64, u64), (was, n): (u64, u64)) -> f64 {
    let [is, m, was, n] = [is, m, was, n].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    fisher(is, m, was, n)
}
