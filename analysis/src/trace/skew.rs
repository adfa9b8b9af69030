//! Clock-skew repair, after the adjuster of Jaeger (`clockskew` in its query service) with one
//! difference: spans that cross a message queue are left where they are, because a consumer may
//! rightly begin long after its producer ended.

use super::link::Forest;
use super::{SpanKind, SpanRecord};

/// Moves spans in place and returns what was added to each record's start.
pub(super) fn repair(forest: &mut Forest) -> Vec<i64> {
    let mut skews = vec![0; forest.records.len()];
    let mut pending: Vec<usize> = forest.roots().collect();
    while let Some(parent) = pending.pop() {
        let kids = forest.children.get(parent).map_or(&[][..], Vec::as_slice);
        pending.extend_from_slice(kids);
        for &child in kids {
            let skew = match forest.records.get(parent) {
                Some(p) => delta(p, skews[parent], &forest.records[child]),
                None => 0,
            };
            skews[child] = shift(&mut forest.records[child], skew);
        }
    }
    skews
}

/// What to add to the child's start. The parent has been repaired already, by `parent_skew`.
fn delta(parent: &SpanRecord, parent_skew: i64, child: &SpanRecord) -> i64 {
    if same_clock(parent, child) {
        return parent_skew;
    }
    if parent.kind == SpanKind::Producer || child.kind == SpanKind::Consumer {
        return 0;
    }
    let (parent_end, child_end) =
        (parent.start_ns + parent.duration_ns, child.start_ns + child.duration_ns);
    if child.duration_ns > parent.duration_ns {
        // The parent gave up before its callee did: all that is known is who began first.
        return (parent.start_ns - child.start_ns).max(0);
    }
    if child.start_ns >= parent.start_ns && child_end <= parent_end {
        return 0;
    }
    // The network is taken to cost the same on the way there and back.
    let gap = (parent.duration_ns - child.duration_ns) / 2;
    parent.start_ns + gap - child.start_ns
}

fn same_clock(a: &SpanRecord, b: &SpanRecord) -> bool {
    if a.host.is_empty() || b.host.is_empty() { a.service == b.service } else { a.host == b.host }
}

/// Moves the span without changing its duration and returns how far it went; the ends of what a
/// timestamp can say are the limit.
fn shift(record: &mut SpanRecord, by: i64) -> i64 {
    let latest = i64::MAX - record.duration_ns;
    let start = record.start_ns.saturating_add(by).clamp(0, latest);
    let moved = start - record.start_ns;
    record.start_ns = start;
    moved
}
