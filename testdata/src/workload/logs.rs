//! W4: log lines of 150 to 300 bytes from 40 templates, words by Zipf's law, stack traces on one line
//! in twenty, and terms whose lines are known:
//!
//! * [`COMMON_TERM`] is on exactly three of every hundred lines;
//! * a rare term ([`rare_term`]) is on the five lines [`rare_lines`] names and on no other;
//! * an absent term ([`absent_term`]) is on none.

mod lines;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};

use self::lines::{LINES, Line, STACKS, TROUBLES};
use super::fill::{fill, filled};
use super::{Schedule, layout, resource, scope, unix, words};
use crate::attrs::{Attrs, string_value};
use crate::dice::{Dice, exp, mix};

/// A word on three of every hundred lines.
pub const COMMON_TERM: &str = "throttled";
/// How every rare term begins; no other word does.
pub const RARE_PREFIX: &str = "zqr";
/// Lines of a block; every block has rare terms of its own.
pub const BLOCK_LINES: u64 = 50_000;
/// Rare terms of a block.
pub const RARE_TERMS: u64 = 10;
/// Lines that a rare term is on.
pub const RARE_LINES: u64 = 5;
/// Shortest and longest line in bytes.
pub const LINE_BYTES: std::ops::RangeInclusive<usize> = 150..=300;

/// Lines of which one has a rare term: a term's lines lie in different stretches of its block.
const STRETCH: u64 = BLOCK_LINES / (RARE_TERMS * RARE_LINES);
/// Lines of which one has a stack trace.
const STACK_EVERY: u64 = 20;
/// Lines of a trace, over and over.
const SIZES: [u64; 5] = [4, 1, 9, 2, 6];
/// Natural logarithm of the number of [`LINES`].
const LN_LINES: f64 = 3.583_518_938_456_11;

const SERVICES: [&str; 8] =
    ["checkout", "inventory", "ledger", "mailer", "gateway", "scheduler", "search", "sessions"];

/// The rare term `term` (below [`RARE_TERMS`]) of a block.
#[must_use]
pub fn rare_term(seed: u64, block: u64, term: u64) -> String {
    format!("{RARE_PREFIX}{:012x}", mix(mix(seed, 0x4a4e), block * RARE_TERMS + term) >> 16)
}

/// Numbers of the lines that hold a rare term, ascending.
#[must_use]
pub fn rare_lines(seed: u64, block: u64, term: u64) -> [u64; RARE_LINES as usize] {
    std::array::from_fn(|copy| {
        let stretch = (copy as u64 * RARE_TERMS + term) + block * (RARE_TERMS * RARE_LINES);
        stretch * STRETCH + rare_offset(seed, stretch)
    })
}

/// A term that is on no line.
#[must_use]
pub fn absent_term(seed: u64, term: u64) -> String {
    format!("zqn{:012x}", mix(mix(seed, 0xab5e), term) >> 16)
}

/// Whether a line holds [`COMMON_TERM`].
#[must_use]
pub fn has_common_term(seed: u64, line: u64) -> bool {
    // Three different places in each hundred: two lie within 49 places behind the first or not.
    let word = mix(mix(seed, 0xc033), line / 100);
    let first = word % 100;
    let second = (first + 1 + (word >> 20) % 49) % 100;
    let third = (first + 50 + (word >> 40) % 49) % 100;
    [first, second, third].contains(&(line % 100))
}

/// The rare term of a line, if it has one.
#[must_use]
pub fn rare_term_of(seed: u64, line: u64) -> Option<String> {
    let stretch = line / STRETCH;
    let term = || rare_term(seed, line / BLOCK_LINES, stretch % RARE_TERMS);
    (line % STRETCH == rare_offset(seed, stretch)).then(term)
}

fn rare_offset(seed: u64, stretch: u64) -> u64 {
    mix(mix(seed, 0x0ff5), stretch) % STRETCH
}

/// The request with this number.
#[must_use]
pub fn request(schedule: &Schedule, number: u64) -> ExportLogsServiceRequest {
    let mut by_service: [Vec<LogRecord>; SERVICES.len()] = Default::default();
    for line in schedule.numbers(number) {
        let (service, record) = record(schedule, line);
        by_service[service].push(record);
    }
    let groups = by_service.into_iter().enumerate().filter(|(_, records)| !records.is_empty());
    let resource_logs = groups.map(|(service, log_records)| {
        let name = SERVICES[service];
        let mut attrs = Attrs::with_capacity(5);
        attrs.text("service.name", name).text("service.version", "7.3.1");
        attrs.text("host.name", format!("node-{}", service % 3));
        attrs.text("k8s.pod.name", format!("{name}-{:09x}-x2x4k", mix(1, service as u64) >> 28));
        attrs.text("deployment.environment.name", "production");
        ResourceLogs {
            resource: resource(attrs),
            scope_logs: vec![ScopeLogs {
                scope: scope("com.example.logging", "3.1.0"),
                log_records,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

/// A log record and its service.
fn record(schedule: &Schedule, line: u64) -> (usize, LogRecord) {
    let seed = schedule.seed;
    let place = layout::place(&SIZES, line);
    let trace = mix(mix(seed, 0x106), place.trace);
    let mut dice = Dice::new(mix(seed, 0x11e), line);
    let broken = mix(mix(seed, 0x57ac), line / STACK_EVERY) % STACK_EVERY == line % STACK_EVERY;
    let template = if broken {
        &TROUBLES[dice.below(TROUBLES.len() as u32) as usize]
    } else {
        let rank = exp(dice.unit() * LN_LINES) as usize;
        &LINES[rank.clamp(1, LINES.len()) - 1]
    };
    let service = dice.below(SERVICES.len() as u32) as usize;
    // One trace in five was not sampled.
    let in_trace = !trace.is_multiple_of(5);
    let id = |bytes: Vec<u8>| if in_trace { bytes } else { Vec::new() };
    // Lines come neither evenly nor quite in order.
    let at = unix(schedule.at_ns(line)) + u64::from(dice.below(400_000));
    let record = LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at + 1000 * u64::from(dice.below(2000)),
        severity_number: template.severity as i32,
        severity_text: severity_text(template.severity).to_owned(),
        body: Some(string_value(text(seed, line, template, &mut dice))),
        attributes: attributes(broken, template, &mut dice),
        dropped_attributes_count: 0,
        flags: u32::from(in_trace),
        trace_id: id(layout::trace_id(trace)),
        // A span writes two lines as a rule.
        span_id: id(layout::span_id(trace, place.index / 2)),
        event_name: String::new(),
    };
    (service, record)
}

fn text(seed: u64, line: u64, template: &Line, dice: &mut Dice) -> String {
    let mut out = String::with_capacity(*LINE_BYTES.end());
    fill(template.text, dice, &mut out);
    if has_common_term(seed, line) {
        out.push_str(", ");
        out.push_str(COMMON_TERM);
        out.push_str(" by quota");
    }
    if let Some(term) = rare_term_of(seed, line) {
        out.push_str(", incident ");
        out.push_str(&term);
    }
    let wanted = *LINE_BYTES.start() + dice.below(60) as usize;
    while out.len() < wanted {
        out.push(' ');
        words::push(words::rank(dice), &mut out);
    }
    out
}

fn attributes(broken: bool, template: &Line, dice: &mut Dice) -> Vec<KeyValue> {
    let mut attrs = Attrs::with_capacity(6);
    attrs.text("thread.name", format!("worker-{}", dice.below(32)));
    attrs.text("log.logger", template.logger);
    attrs.int("app.shard", i64::from(dice.below(256)));
    if broken {
        let (kind, frames) = STACKS[dice.below(STACKS.len() as u32) as usize];
        attrs.text("exception.type", kind);
        attrs.text("exception.stacktrace", format!("{kind}\n{}", filled(frames, dice)));
    }
    attrs.take()
}

const fn severity_text(severity: SeverityNumber) -> &'static str {
    match severity {
        SeverityNumber::Debug => "DEBUG",
        SeverityNumber::Warn => "WARN",
        SeverityNumber::Error => "ERROR",
        _ => "INFO",
    }
}
