//! Which record belongs to which trace, and how the spans of a trace nest, from numbers alone.

use crate::dice::{mix, unit};

/// The place of a record in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of the trace.
    pub(super) trace: u64,
    /// Place in the trace, from 0; 0 is the root.
    pub(super) index: u64,
    /// Number of the trace's first record.
    pub(super) first: u64,
}

/// Places a record when traces of these sizes follow each other over and over.
pub(super) fn place(sizes: &[u64], record: u64) -> Place {
    let cycle: u64 = sizes.iter().sum::<u64>().max(1);
    let mut within = record % cycle;
    for (at, size) in (0..).zip(sizes) {
        if within < *size {
            let trace = record / cycle * sizes.len() as u64 + at;
            return Place { trace, index: within, first: record - within };
        }
        within -= size;
    }
    Place { trace: record, index: 0, first: record }
}

/// A trace's id.
pub(super) fn trace_id(trace: u64) -> Vec<u8> {
    let mut id = mix(trace, 1).to_be_bytes().to_vec();
    id.extend(mix(trace, 2).to_be_bytes());
    id
}

/// The id of the span at a place of a trace.
pub(super) fn span_id(trace: u64, index: u64) -> Vec<u8> {
    mix(mix(trace, 3), index).to_be_bytes().to_vec()
}

/// The place of a span's parent; `None` for the root.
pub(super) fn parent(trace: u64, index: u64) -> Option<u64> {
    (index > 0).then(|| mix(mix(trace, 4), index) % index)
}

/// Start and end of a span, in nanoseconds after the trace's start: inside its parent's.
pub(super) fn interval(trace: u64, index: u64, length_ns: i64) -> (i64, i64) {
    let Some(parent) = parent(trace, index) else { return (0, length_ns) };
    let (from, to) = interval(trace, parent, length_ns);
    let word = mix(mix(trace, 5), index);
    let start = from + ((to - from) as f64 * 0.7 * unit(word)) as i64;
    let share = 0.05 + 0.9 * unit(mix(word, 0));
    (start, start + ((to - start) as f64 * share) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_fill_their_traces_in_order() {
        let sizes = [3, 1, 2];
        let places: Vec<_> = (0..12).map(|n| place(&sizes, n)).collect();
        let traces: Vec<_> = places.iter().map(|p| p.trace).collect();
        assert_eq!(traces, [0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 5]);
        let indexes: Vec<_> = places.iter().map(|p| p.index).collect();
        assert_eq!(indexes, [0, 1, 2, 0, 0, 1, 0, 1, 2, 0, 0, 1]);
        assert!(places.iter().zip(0..).all(|(p, n)| p.first + p.index == n));
    }

    #[test]
    fn a_span_lies_in_its_parent() {
        for trace in 0..50 {
            for index in 1..40 {
                let parent = parent(trace, index).unwrap();
                assert!(parent < index);
                let (from, to) = interval(trace, parent, 1_000_000_000);
                let (start, end) = interval(trace, index, 1_000_000_000);
                assert!(from <= start && start <= end && end <= to, "{trace} {index}");
            }
        }
    }
}
