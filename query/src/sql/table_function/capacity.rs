//! What services can take, as rows.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::DataType::{self, Boolean, Float64, Int64, Utf8View};

use super::rows::{counts, doubles, texts};
use crate::answer::capacity::{Band, Capacity, ClassCapacity, ServiceCapacity, Unknown, WhatIf};

pub(super) const HEADROOM: &[(&str, DataType)] = &[
    ("service", Utf8View),
    ("version", Utf8View),
    ("host_type", Utf8View),
    ("instances", Int64),
    ("rate", Float64),
    ("peak_rate", Float64),
    ("safe_rate", Float64),
    ("safe_rate_low", Float64),
    ("safe_rate_high", Float64),
    ("basis", Utf8View),
    ("knee", Float64),
    ("ceiling", Float64),
    ("capacity", Float64),
    ("headroom", Float64),
    ("headroom_low", Float64),
    ("headroom_high", Float64),
    ("cpu_ms_per_request", Float64),
    ("cpu_ms_per_request_low", Float64),
    ("cpu_ms_per_request_high", Float64),
    ("cpu_utilization", Float64),
    ("cpus", Float64),
    ("exhausted", Utf8View),
    ("unknown", Utf8View),
];

pub(super) const WHAT_IF: &[(&str, DataType)] = &[
    ("service", Utf8View),
    ("peak_rate", Float64),
    ("peak_rate_then", Float64),
    ("grows", Float64),
    ("capacity", Float64),
    ("load_then", Float64),
    ("breaks", Boolean),
    ("breaks_at", Float64),
    ("instances", Int64),
    ("instances_then", Int64),
    ("unknown", Utf8View),
];

type Row<'a> = (&'a ServiceCapacity, &'a ClassCapacity);

pub(super) fn headroom(answer: &Capacity) -> Vec<ArrayRef> {
    let rows = answer.services.iter();
    let rows: Vec<Row<'_>> = rows.flat_map(|s| s.classes.iter().map(move |c| (s, c))).collect();
    let rows = rows.as_slice();
    let value = |band: Option<Band>| band.map(|band| band.value);
    let low = |band: Option<Band>| band.map(|band| band.low);
    let high = |band: Option<Band>| band.map(|band| band.high);
    let because = |unknown: &[Unknown]| {
        let lines = unknown.iter().map(|u| format!("{}: {}", u.what, u.because));
        Some(lines.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    };
    let unknown: Vec<Option<String>> = rows.iter().map(|(_, c)| because(&c.unknown)).collect();
    vec![
        texts(rows, |(s, _)| Some(s.service.as_str())),
        texts(rows, |(_, c)| c.version.as_deref()),
        texts(rows, |(_, c)| c.host_type.as_deref()),
        counts(rows, |(_, c)| Some(c.instances)),
        doubles(rows, |(_, c)| Some(c.rate)),
        doubles(rows, |(_, c)| Some(c.peak_rate)),
        doubles(rows, |(_, c)| value(c.safe_rate)),
        doubles(rows, |(_, c)| low(c.safe_rate)),
        doubles(rows, |(_, c)| high(c.safe_rate)),
        texts(rows, |(_, c)| c.basis),
        doubles(rows, |(_, c)| value(c.knee)),
        doubles(rows, |(_, c)| c.ceiling),
        doubles(rows, |(_, c)| value(c.capacity)),
        doubles(rows, |(_, c)| value(c.headroom)),
        doubles(rows, |(_, c)| low(c.headroom)),
        doubles(rows, |(_, c)| high(c.headroom)),
        doubles(rows, |(_, c)| value(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| low(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| high(c.cpu_ms_per_request)),
        doubles(rows, |(_, c)| c.cpu_utilization),
        doubles(rows, |(_, c)| c.cpus),
        texts(rows, |(s, _)| s.growth.as_ref().and_then(|g| g.exhausted.as_deref())),
        texts(&unknown, |text| text.as_deref()),
    ]
}

pub(super) fn what_if(answer: &WhatIf) -> Vec<ArrayRef> {
    let rows = answer.services.as_slice();
    vec![
        texts(rows, |r| Some(r.service.as_str())),
        doubles(rows, |r| Some(r.peak_rate)),
        doubles(rows, |r| Some(r.peak_rate_then)),
        doubles(rows, |r| Some(r.grows)),
        doubles(rows, |r| r.capacity),
        doubles(rows, |r| r.load_then),
        Arc::new(rows.iter().map(|r| r.breaks).collect::<BooleanArray>()),
        doubles(rows, |r| r.breaks_at),
        counts(rows, |r| Some(r.instances)),
        counts(rows, |r| r.instances_then),
        texts(rows, |r| r.unknown.as_deref()),
    ]
}
