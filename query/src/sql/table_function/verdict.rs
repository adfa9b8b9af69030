//! Verdict and map, as rows.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType::{self, Boolean, Float64, Int64, Utf8View};

use super::rows::{counts, doubles, integers, texts};
use crate::answer::map::{Map, MapEdge};
use crate::answer::verdict::{CulpritRow, LedgerRow, Verdict};

pub(super) const CULPRITS: &[(&str, DataType)] = &[
    ("place", Int64),
    ("blamed", Boolean),
    ("service", Utf8View),
    ("peer", Utf8View),
    ("statement", Utf8View),
    ("operation", Utf8View),
    ("instance", Utf8View),
    ("host", Utf8View),
    ("cause", Utf8View),
    ("action", Utf8View),
    ("share", Float64),
    ("confidence", Float64),
    ("added_ns", Int64),
];

pub(super) const LEDGER: &[(&str, DataType)] = &[
    ("service", Utf8View),
    ("operation", Utf8View),
    ("wait", Utf8View),
    ("waits_for", Utf8View),
    ("statement", Utf8View),
    ("added_ns", Int64),
    ("by_count_ns", Int64),
    ("gain_ns", Int64),
    ("share", Float64),
    ("z", Float64),
    ("reference_each_ns", Int64),
    ("each_ns", Int64),
    ("reference_spans", Int64),
    ("spans", Int64),
];

pub(super) const SERVICE_MAP: &[(&str, DataType)] = &[
    ("caller", Utf8View),
    ("callee", Utf8View),
    ("kind", Utf8View),
    ("calls", Int64),
    ("errors", Int64),
    ("rate", Float64),
    ("p50_ns", Int64),
    ("p95_ns", Int64),
    ("p99_ns", Int64),
    ("strength", Utf8View),
    ("fails_with_it_low", Float64),
    ("fails_with_it_high", Float64),
];

pub(super) fn culprits(answer: &Verdict) -> Vec<ArrayRef> {
    let rows: Vec<(u64, &CulpritRow)> = (1..).zip(&answer.culprits).collect();
    let rows = rows.as_slice();
    let blamed = rows.iter().map(|(place, _)| Some(answer.confident && *place == 1));
    vec![
        counts(rows, |(place, _)| Some(*place)),
        Arc::new(blamed.collect::<BooleanArray>()),
        texts(rows, |(_, c)| Some(c.service.as_str())),
        texts(rows, |(_, c)| c.peer.as_deref()),
        texts(rows, |(_, c)| c.statement.as_deref()),
        texts(rows, |(_, c)| c.operation.as_deref()),
        texts(rows, |(_, c)| c.instance.as_deref()),
        texts(rows, |(_, c)| c.host.as_deref()),
        texts(rows, |(_, c)| Some(c.cause)),
        texts(rows, |(_, c)| Some(c.action)),
        doubles(rows, |(_, c)| Some(c.share)),
        doubles(rows, |(_, c)| Some(c.confidence)),
        integers(rows, |(_, c)| Some(c.added_ns)),
    ]
}

/// The lines, and what is left as a row without a service: `added_ns` adds up to the whole.
pub(super) fn ledger(answer: &Verdict) -> Vec<ArrayRef> {
    let ledger = &answer.ledger;
    let lines = ledger.lines.iter().map(Some);
    let rows: Vec<Option<&LedgerRow>> = lines.chain([None]).collect();
    let rows = rows.as_slice();
    let excess = ledger.excess_ns as f64;
    let rest = if excess == 0.0 { 0.0 } else { ledger.others_ns as f64 / excess };
    let of_count = |at: usize| {
        move |line: &Option<&LedgerRow>| line.and_then(|line| line.spans.get(at).copied())
    };
    vec![
        texts(rows, |line| line.map(|l| l.service.as_str())),
        texts(rows, |line| line.map(|l| l.operation.as_str())),
        texts(rows, |line| line.map(|l| l.wait)),
        texts(rows, |line| line.and_then(|l| l.to.as_deref())),
        texts(rows, |line| line.and_then(|l| l.statement.as_deref())),
        integers(rows, |line| Some(line.map_or(ledger.others_ns, |l| l.added_ns))),
        integers(rows, |line| line.map(|l| l.by_count_ns)),
        integers(rows, |line| line.map(|l| l.gain_ns)),
        doubles(rows, |line| Some(line.map_or(rest, |l| l.share))),
        doubles(rows, |line| line.map(|l| l.z)),
        integers(rows, |line| line.and_then(|l| l.each_ns.first().copied())),
        integers(rows, |line| line.and_then(|l| l.each_ns.last().copied())),
        counts(rows, of_count(0)),
        counts(rows, of_count(1)),
    ]
}

pub(super) fn service_map(answer: &Map) -> Vec<ArrayRef> {
    let rows: &[MapEdge] = &answer.edges;
    let [low, high] =
        [0, 1].map(|at| doubles(rows, move |edge| edge.dependency.given_failure.get(at).copied()));
    vec![
        texts(rows, |edge| Some(edge.caller.as_str())),
        texts(rows, |edge| Some(edge.callee.as_str())),
        texts(rows, |edge| Some(edge.kind.as_str())),
        counts(rows, |edge| Some(edge.red.calls)),
        counts(rows, |edge| Some(edge.red.errors)),
        doubles(rows, |edge| Some(edge.red.rate)),
        integers(rows, |edge| Some(edge.red.p50)),
        integers(rows, |edge| Some(edge.red.p95)),
        integers(rows, |edge| Some(edge.red.p99)),
        texts(rows, |edge| Some(edge.strength)),
        low,
        high,
    ]
}
