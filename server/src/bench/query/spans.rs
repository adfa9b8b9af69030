//! What is known of the spans of a workload: facts of the different requests, from which the answers
//! over all rounds follow.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use anyhow::{Context, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

use super::super::template::in_round;
use super::super::workload::Workload;
use super::marks::{self, Mark};
use super::pool::Pool;

/// Services that a trace's set of services has room for.
const MAX_SERVICES: u32 = 128;

/// A span of a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    template: u32,
    trace: u32,
    /// Place in [`Spans::groups`].
    pub(super) group: u32,
    start: i64,
    pub(super) duration: i64,
    pub(super) entry: bool,
    error: bool,
    /// A bit for each of [`Spans::marks`] that the span has.
    pub(super) marks: u16,
}

/// A trace in one round.
#[derive(Debug, Clone, Copy, Default)]
struct Trace {
    start: i64,
    end: i64,
    spans: u64,
    /// A bit for each service.
    services: u128,
}

/// What a ranking says of a service or an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rank {
    pub(super) service: String,
    /// Empty when services are ranked.
    pub(super) operation: String,
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) total_ns: i64,
    pub(super) slowest_ns: i64,
}

/// Facts about the spans of a workload.
pub(super) struct Spans<'a> {
    workload: &'a Workload,
    all: Vec<Span>,
    services: Vec<String>,
    /// Services (by place) with their operations.
    pub(super) groups: Vec<(u32, String)>,
    ids: Vec<[u8; 16]>,
    /// The traces of a whole round, and of the last one, which may end early.
    whole: Vec<Trace>,
    last: Vec<Trace>,
    /// Attributes that about one span in a hundred has.
    pub(super) marks: Vec<Mark>,
}

impl<'a> Spans<'a> {
    /// Reads the requests of a workload.
    ///
    /// # Errors
    /// When a request is no OTLP, or has more services than the facts have room for.
    pub(super) fn of(workload: &'a Workload) -> anyhow::Result<Self> {
        let decoded = |at: usize| -> anyhow::Result<ExportTraceServiceRequest> {
            let template = workload.templates().get(at).context("no such request")?;
            Ok(ExportTraceServiceRequest::decode(template.bytes())?)
        };
        let marks = marks::near_one_percent(
            (0..workload.templates().len().min(marks::SAMPLE)).map(decoded),
        )?;
        let mut spans = Self {
            workload,
            all: Vec::new(),
            services: Vec::new(),
            groups: Vec::new(),
            ids: Vec::new(),
            whole: Vec::new(),
            last: Vec::new(),
            marks,
        };
        let mut names = Names::default();
        for at in 0..workload.templates().len() {
            spans.read(u32::try_from(at)?, &decoded(at)?, &mut names);
        }
        spans.services = names.services.into_items();
        spans.groups = names.groups.into_items();
        spans.ids = names.traces.into_items();
        ensure!(!spans.all.is_empty(), "the workload has no spans");
        ensure!(spans.services.len() <= MAX_SERVICES as usize, "too many services");
        spans.whole = spans.traces(u32::MAX);
        let count = workload.templates().len() as u64;
        spans.last = spans.traces(u32::try_from(workload.requests() % count)?);
        Ok(spans)
    }

    fn read(&mut self, template: u32, request: &ExportTraceServiceRequest, names: &mut Names) {
        for resource in &request.resource_spans {
            let attributes = resource.resource.iter().flat_map(|r| &r.attributes);
            let service = names.services.place(marks::service_name(attributes));
            for span in resource.scope_spans.iter().flat_map(|s| &s.spans) {
                let entry = [SpanKind::Server as i32, SpanKind::Consumer as i32];
                let failed = span.status.as_ref().map(|s| s.code);
                let start = span.start_time_unix_nano.cast_signed();
                let id = <[u8; 16]>::try_from(span.trace_id.as_slice()).unwrap_or_default();
                self.all.push(Span {
                    template,
                    trace: names.traces.place(id),
                    group: names.groups.place((service, span.name.clone())),
                    start,
                    duration: span.end_time_unix_nano.cast_signed() - start,
                    entry: span.parent_span_id.is_empty() || entry.contains(&span.kind),
                    error: failed == Some(StatusCode::Error as i32),
                    marks: marks::of(&self.marks, &span.attributes),
                });
            }
        }
    }

    /// The traces as they are when the templates before this one are sent.
    fn traces(&self, before: u32) -> Vec<Trace> {
        let mut traces = vec![Trace::default(); self.ids.len()];
        for span in self.all.iter().filter(|s| s.template < before) {
            let (Some(trace), Some((service, _))) =
                (traces.get_mut(span.trace as usize), self.groups.get(span.group as usize))
            else {
                continue;
            };
            let end = span.start + span.duration;
            trace.start = if trace.spans == 0 { span.start } else { trace.start.min(span.start) };
            trace.end = if trace.spans == 0 { end } else { trace.end.max(end) };
            trace.spans += 1;
            trace.services |= 1 << (service % MAX_SERVICES);
        }
        traces
    }

    fn rounds(&self, span: &Span) -> u64 {
        self.workload.rounds(span.template as usize)
    }

    /// When a span starts in a round.
    fn start(&self, span: &Span, round: u64) -> i64 {
        span.start.cast_unsigned().wrapping_add(self.workload.later(round)).cast_signed()
    }

    /// Id of a trace in a round.
    fn id(&self, trace: u32, round: u64) -> String {
        let mut id = self.ids.get(trace as usize).copied().unwrap_or_default();
        if round > 0 {
            in_round(&mut id, round);
        }
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A range in whole hours that holds every span.
    pub(super) fn range(&self) -> (i64, i64) {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let first = self.all.iter().map(|s| self.start(s, 0)).min().unwrap_or(0);
        let rounds = |s: &Span| self.rounds(s).saturating_sub(1);
        let last = self.all.iter().map(|s| self.start(s, rounds(s))).max().unwrap_or(0);
        (first.div_euclid(HOUR_NS) * HOUR_NS, (last.div_euclid(HOUR_NS) + 1) * HOUR_NS)
    }

    /// A service's name and the operation's.
    pub(super) fn names(&self, group: u32) -> (&str, &str) {
        let Some((service, operation)) = self.groups.get(group as usize) else { return ("", "") };
        (self.service(*service), operation)
    }

    /// A service's name.
    pub(super) fn service(&self, at: u32) -> &str {
        self.services.get(at as usize).map_or("", String::as_str)
    }

    /// Number of services.
    pub(super) fn services(&self) -> u32 {
        u32::try_from(self.services.len()).unwrap_or(MAX_SERVICES)
    }

    /// Id and number of spans of the trace of one of all spans.
    pub(super) fn any_trace(&self, word: u64) -> (String, u64) {
        let total: u64 = self.all.len() as u64;
        let at = usize::try_from(word % total.max(1)).unwrap_or_default();
        let Some(span) = self.all.get(at) else { return (String::new(), 0) };
        let round = (word >> 32) % self.rounds(span).max(1);
        let count = self.workload.templates().len() as u64;
        let whole = round < self.workload.requests() / count.max(1);
        let traces = if whole { &self.whole } else { &self.last };
        let spans = traces.get(span.trace as usize).map_or(0, |t| t.spans);
        (self.id(span.trace, round), spans)
    }

    /// How spans of some groups add up, unordered; `by_operation` tells operations apart.
    pub(super) fn ranks(&self, by_operation: bool, of: impl Fn(&Span) -> bool) -> Vec<Rank> {
        let mut ranks: HashMap<u32, Rank> = HashMap::new();
        for span in self.all.iter().filter(|s| of(s)) {
            let service = self.groups.get(span.group as usize).map_or(0, |(service, _)| *service);
            let key = if by_operation { span.group } else { service };
            let rank = ranks.entry(key).or_default();
            let rounds = self.rounds(span);
            rank.calls += rounds;
            rank.errors += if span.error { rounds } else { 0 };
            rank.total_ns += span.duration * rounds.cast_signed();
            rank.slowest_ns = rank.slowest_ns.max(span.duration);
        }
        ranks.retain(|_, rank| rank.calls > 0);
        let named = ranks.into_iter().map(|(key, rank)| {
            let (service, operation) =
                if by_operation { self.names(key) } else { (self.service(key), "") };
            Rank { service: service.to_owned(), operation: operation.to_owned(), ..rank }
        });
        named.collect()
    }

    /// Groups that about one span in a hundred belongs to, the nearest first.
    pub(super) fn one_percent_groups(&self) -> Vec<u32> {
        const MOST: usize = 32;
        let mut calls = vec![0u64; self.groups.len()];
        for span in &self.all {
            if let Some(calls) = calls.get_mut(span.group as usize) {
                *calls += self.rounds(span);
            }
        }
        let one_percent = (self.workload.records() as f64 / 100.0).max(1.0);
        // How many times more or less than one in a hundred.
        let far = |calls: u64| {
            let times = calls.max(1) as f64 / one_percent;
            times.max(1.0 / times)
        };
        let mut groups: Vec<(f64, u32)> = (0..).zip(calls).map(|(g, c)| (far(c), g)).collect();
        groups.sort_by(|a, b| a.0.total_cmp(&b.0));
        let near = groups.iter().take_while(|(far, _)| *far < 2.0).count().clamp(1, MOST);
        groups.into_iter().take(near).map(|(_, group)| group).collect()
    }

    /// Start times of the newest spans for which a condition holds.
    pub(super) fn newest(&self, limit: usize, of: impl Fn(&Span) -> bool) -> Vec<i64> {
        let starts = self
            .all
            .iter()
            .filter(|s| of(s))
            .flat_map(|span| (0..self.rounds(span)).map(move |round| self.start(span, round)));
        largest(limit, starts)
    }

    /// Ids of the traces with the newest spans for which a condition holds.
    pub(super) fn newest_traces(&self, limit: usize, of: impl Fn(&Span) -> bool) -> Vec<String> {
        let mut newest: HashMap<(u32, u64), i64> = HashMap::new();
        for span in self.all.iter().filter(|s| of(s)) {
            for round in 0..self.rounds(span) {
                let start = self.start(span, round);
                let at = newest.entry((span.trace, round)).or_insert(start);
                *at = start.max(*at);
            }
        }
        let keys = newest.into_iter().map(|((trace, round), at)| (at, self.id(trace, round)));
        largest(limit, keys).into_iter().map(|(_, id)| id).collect()
    }

    /// Durations of the slowest spans.
    pub(super) fn slowest(&self, limit: usize) -> Vec<i64> {
        let rounds = |s: &Span| usize::try_from(self.rounds(s)).unwrap_or(limit).min(limit);
        largest(limit, self.all.iter().flat_map(|s| std::iter::repeat_n(s.duration, rounds(s))))
    }

    /// Lengths and ids of the longest traces that have a span of a service.
    pub(super) fn slowest_traces(&self, limit: usize, service: u32) -> Vec<(i64, String)> {
        let count = (self.workload.templates().len() as u64).max(1);
        let whole = self.workload.requests() / count;
        let last = whole..self.workload.requests().div_ceil(count);
        let mut found = Vec::new();
        for (traces, rounds) in [(&self.whole, 0..whole), (&self.last, last)] {
            let of_service = |t: &&Trace| t.services >> (service % MAX_SERVICES) & 1 == 1;
            let lengths = || traces.iter().filter(of_service).map(|t| t.end - t.start);
            let least = largest(limit, lengths()).last().copied().unwrap_or(i64::MAX);
            for (trace, at) in (0..).zip(traces) {
                let length = at.end - at.start;
                if of_service(&at) && length >= least {
                    found.extend(rounds.clone().map(|round| (length, self.id(trace, round))));
                }
            }
        }
        largest(limit, found)
    }
}

/// The largest of some things, largest first.
pub(super) fn largest<T: Ord>(limit: usize, things: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = BinaryHeap::with_capacity(limit + 1);
    for thing in things {
        if kept.len() < limit || kept.peek().is_some_and(|Reverse(least)| *least < thing) {
            kept.push(Reverse(thing));
        }
        if kept.len() > limit {
            kept.pop();
        }
    }
    kept.into_sorted_vec().into_iter().map(|Reverse(thing)| thing).collect()
}

/// Names and ids while requests are read.
#[derive(Default)]
struct Names {
    services: Pool<String>,
    groups: Pool<(u32, String)>,
    traces: Pool<[u8; 16]>,
}
