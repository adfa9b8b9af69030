//! Who is whose parent: duplicates, shared span ids, missing parents, cycles.

use std::cmp::Ordering;
use std::collections::HashMap;

use headrope_model::SpanId;

use super::{SpanKind, SpanRecord};

/// Records with their parents resolved. Records and synthetic parents share one index space:
/// synthetic parent `k` has index `records.len() + k`.
pub(super) struct Forest {
    /// Distinct records in canonical order, times made sane.
    pub records: Vec<SpanRecord>,
    /// Ids that were named as a parent and never received.
    pub missing: Vec<SpanId>,
    /// Parent of every record, by index; `None` for roots.
    pub parents: Vec<Option<usize>>,
    /// Whether a record's parent was ignored to cut a cycle.
    pub cut: Vec<bool>,
    /// Children of every record and synthetic parent.
    pub children: Vec<Vec<usize>>,
    pub duplicates: usize,
    pub orphans: usize,
}

impl Forest {
    /// Roots: synthetic parents and records without a parent.
    pub(super) fn roots(&self) -> impl Iterator<Item = usize> + '_ {
        let n = self.records.len();
        let real = self.parents.iter().enumerate().filter(|(_, p)| p.is_none()).map(|(i, _)| i);
        real.chain(n..n + self.missing.len())
    }
}

pub(super) fn link(records: Vec<SpanRecord>) -> Forest {
    let received = records.len();
    let records = distinct(records);
    let duplicates = received - records.len();
    let groups = group_by_id(&records);
    let mut missing = Vec::new();
    let mut missing_index: HashMap<SpanId, usize> = HashMap::new();
    let mut orphans = 0;
    let mut parents: Vec<Option<usize>> = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let group = groups.get(&record.span_id).map_or(&[][..], Vec::as_slice);
        let parent = match (sharing_parent(group, i, &records), record.parent_span_id) {
            (Some(client), _) => Some(client),
            (None, None) => None,
            (None, Some(id)) => match groups.get(&id) {
                Some(candidates) => pick_parent(candidates, record, &records),
                None => {
                    orphans += 1;
                    Some(*missing_index.entry(id).or_insert_with(|| {
                        missing.push(id);
                        records.len() + missing.len() - 1
                    }))
                }
            },
        };
        parents.push(parent);
    }
    let cut = cut_cycles(&mut parents);
    let mut children = vec![Vec::new(); records.len() + missing.len()];
    for (i, parent) in parents.iter().enumerate() {
        if let Some(list) = parent.and_then(|p| children.get_mut(p)) {
            list.push(i);
        }
    }
    Forest { records, missing, parents, cut, children, duplicates, orphans }
}

/// Sane times, canonical order, and one record per (span id, kind): the earliest and, among those,
/// the longest, so that an update sent twice keeps its final form.
fn distinct(mut records: Vec<SpanRecord>) -> Vec<SpanRecord> {
    for r in &mut records {
        r.start_ns = r.start_ns.max(0);
        r.duration_ns = r.duration_ns.clamp(0, i64::MAX - r.start_ns);
    }
    records.sort_by(|a, b| {
        (a.span_id, rank(a.kind), a.kind)
            .cmp(&(b.span_id, rank(b.kind), b.kind))
            .then(content(a, b))
    });
    records.dedup_by(|later, kept| later.span_id == kept.span_id && later.kind == kept.kind);
    records.sort_by_key(|r| (r.start_ns, r.span_id, rank(r.kind), r.kind));
    records
}

/// Orders records of equal id and kind by everything they carry, so that the choice among them does
/// not depend on the order they came in.
fn content(a: &SpanRecord, b: &SpanRecord) -> Ordering {
    a.start_ns
        .cmp(&b.start_ns)
        .then(b.duration_ns.cmp(&a.duration_ns))
        .then_with(|| a.service.cmp(&b.service))
        .then_with(|| a.host.cmp(&b.host))
        .then_with(|| a.name.cmp(&b.name))
        .then(b.status.cmp(&a.status))
        .then(a.parent_span_id.cmp(&b.parent_span_id))
        .then(a.source.cmp(&b.source))
}

/// Order from caller to callee of spans that share an id.
const fn rank(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Client | SpanKind::Producer => 0,
        SpanKind::Internal | SpanKind::Unspecified => 1,
        SpanKind::Server | SpanKind::Consumer => 2,
    }
}

/// Indices of the records of each span id, caller first.
fn group_by_id(records: &[SpanRecord]) -> HashMap<SpanId, Vec<usize>> {
    let mut groups: HashMap<SpanId, Vec<usize>> = HashMap::with_capacity(records.len());
    for (i, r) in records.iter().enumerate() {
        groups.entry(r.span_id).or_default().push(i);
    }
    for group in groups.values_mut().filter(|g| g.len() > 1) {
        group.sort_by_key(|i| records.get(*i).map(|r| (rank(r.kind), r.kind)));
    }
    groups
}

/// The record before this one among those that share its id: where Zipkin's single-id propagation
/// gives client and server one id, the server is the child of the client.
fn sharing_parent(group: &[usize], index: usize, records: &[SpanRecord]) -> Option<usize> {
    let at = group.iter().position(|i| *i == index)?;
    let before = *group.get(at.checked_sub(1)?)?;
    let (caller, callee) = (records.get(before)?, records.get(index)?);
    (rank(caller.kind) < rank(callee.kind)).then_some(before)
}

/// Among the records that share the named parent id, the callee nearest to the child: one of the
/// same service if there is one, otherwise the innermost.
fn pick_parent(candidates: &[usize], child: &SpanRecord, all: &[SpanRecord]) -> Option<usize> {
    let same_service = |i: &&usize| all.get(**i).is_some_and(|r| r.service == child.service);
    candidates.iter().rev().find(same_service).or_else(|| candidates.last()).copied()
}

/// Follows parents from every record; where the walk comes back onto itself, the first record of the
/// cycle in canonical order loses its parent.
fn cut_cycles(parents: &mut [Option<usize>]) -> Vec<bool> {
    const UNSEEN: usize = usize::MAX;
    let mut seen_by = vec![UNSEEN; parents.len()];
    let mut cut = vec![false; parents.len()];
    for start in 0..parents.len() {
        let mut at = Some(start);
        // Synthetic parents lie beyond the slice and end the walk, like roots.
        while let Some(i) = at.filter(|i| *i < parents.len()) {
            if seen_by[i] == UNSEEN {
                seen_by[i] = start;
                at = parents[i];
                continue;
            }
            if seen_by[i] == start {
                let first = first_of_cycle(parents, i);
                parents[first] = None;
                cut[first] = true;
            }
            break;
        }
    }
    cut
}

fn first_of_cycle(parents: &[Option<usize>], on_cycle: usize) -> usize {
    let mut first = on_cycle;
    let mut at = parents[on_cycle];
    while let Some(i) = at.filter(|i| *i != on_cycle) {
        first = first.min(i);
        at = parents[i];
    }
    first
}
