//! Workloads of benchmarks beside the shop: requests of a stated shape, each made on its own.
//!
//! A request is a function of a [`Schedule`] and its number, so any slice can be generated anywhere
//! and what a backend must answer is known without keeping what was sent. Records are numbered
//! through all requests: record `i` of request `n` has number `n * records + i`.
//!
//! * [`jaeger`] (W2): the shape of a published benchmark; 10 services, 10 spans a trace, 11 of 97
//!   attribute keys with 1000 values each.
//! * [`wide`] (W3): spans as production sends them, 1.2 to 1.7 kB each.
//! * [`logs`] (W4): log lines of 40 templates with terms whose places are known.
//! * [`adversarial`] (W6): what makes columns, dictionaries and traces burst.

pub mod adversarial;
mod fill;
pub mod jaeger;
mod layout;
pub mod logs;
#[cfg(test)]
mod tests;
pub mod wide;
mod words;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::attrs::Attrs;
use crate::dice::mix;

/// Where in time the requests of a workload lie, and how large they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Everything random comes from here and from the number of the record.
    pub seed: u64,
    /// When the first record begins, Unix nanoseconds.
    pub from_ns: i64,
    /// Nanoseconds from one request to the next.
    pub step_ns: i64,
    /// Records in a request; zero counts as one.
    pub records: u64,
}

impl Schedule {
    /// When a record begins, Unix nanoseconds: records are spread evenly over their request's step.
    #[must_use]
    pub fn at_ns(&self, record: u64) -> i64 {
        let records = self.records.max(1);
        self.within_ns(record / records, record % records, records)
    }

    /// When part `at` of `of` of a request begins.
    fn within_ns(&self, request: u64, at: u64, of: u64) -> i64 {
        let step = i128::from(self.step_ns);
        let part = i128::from(at) * step / i128::from(of.max(1));
        let begins = i128::from(self.from_ns) + i128::from(request) * step + part;
        i64::try_from(begins).unwrap_or(i64::MAX)
    }

    /// Numbers of the records of a request.
    fn numbers(&self, request: u64) -> std::ops::Range<u64> {
        let records = self.records.max(1);
        request * records..(request + 1) * records
    }
}

/// A word that depends on nothing but the two given: parameters for a caller that must be able to
/// draw them again.
#[must_use]
pub const fn draw(seed: u64, at: u64) -> u64 {
    mix(mix(seed, 0xd4a3), at)
}

/// Unix time as OTLP has it.
fn unix(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

fn resource(attrs: Attrs) -> Option<Resource> {
    Some(Resource {
        attributes: attrs.take(),
        dropped_attributes_count: 0,
        entity_refs: Vec::new(),
    })
}

fn scope(name: &str, version: &str) -> Option<InstrumentationScope> {
    Some(InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
    })
}

/// Spans of one resource and one scope; `None` without spans.
fn resource_spans(
    resource: Option<Resource>,
    scope: Option<InstrumentationScope>,
    spans: Vec<Span>,
) -> Option<ResourceSpans> {
    (!spans.is_empty()).then(|| ResourceSpans {
        resource,
        scope_spans: vec![ScopeSpans { scope, spans, schema_url: String::new() }],
        schema_url: String::new(),
    })
}
