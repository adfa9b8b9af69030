//! Traces in a list.

use headrope_query::answer::trace::TraceSummary;

use super::{pct, tone};
use crate::number;
use crate::view::View;
use crate::zone::rfc3339;

/// A service in a row's list.
#[derive(Debug, Clone)]
pub(crate) struct Pill {
    pub(crate) service: String,
    pub(crate) tone: u64,
}

/// A trace in a list.
#[derive(Debug, Clone)]
pub(crate) struct TraceRow {
    pub(crate) href: String,
    pub(crate) trace_id: String,
    pub(crate) time: String,
    pub(crate) rfc3339: String,
    pub(crate) root_service: String,
    pub(crate) root_name: String,
    pub(crate) tone: u64,
    pub(crate) has_root: bool,
    pub(crate) duration: String,
    pub(crate) width: String,
    pub(crate) spans: String,
    pub(crate) errors: u64,
    pub(crate) pills: Vec<Pill>,
    pub(crate) more: usize,
}

/// Services named in a row before `+n`.
const PILLS: usize = 4;

/// Rows in the order given.
pub(crate) fn rows(view: &View, traces: &[TraceSummary]) -> Vec<TraceRow> {
    let longest = traces.iter().map(|t| t.duration_ns).max().unwrap_or(0).max(1) as f64;
    traces
        .iter()
        .map(|t| TraceRow {
            href: view.trace(&t.trace_id).to_string(),
            trace_id: t.trace_id.clone(),
            time: view.zone.milli(t.start_time.0),
            rfc3339: rfc3339(t.start_time.0),
            root_service: t.root_service.clone(),
            root_name: t.root_name.clone(),
            tone: tone(&t.root_service),
            has_root: t.has_root,
            duration: number::duration(t.duration_ns),
            width: pct(t.duration_ns as f64 / longest),
            spans: number::count(t.span_count),
            errors: t.error_count,
            pills: t
                .services
                .iter()
                .filter(|s| **s != t.root_service)
                .take(PILLS)
                .map(|s| Pill { service: s.clone(), tone: tone(s) })
                .collect(),
            more: t.services.iter().filter(|s| **s != t.root_service).count().saturating_sub(PILLS),
        })
        .collect()
}
