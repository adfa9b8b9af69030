//! What is known of the log records of a workload, and the questions about them.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use headrope_query::answer::Time;
use headrope_testdata::workload::{draw, logs};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use super::super::ask::{Answer, Question};
use super::super::template::in_round;
use super::super::workload::Workload;
use super::case::{Case, Kind, absent, absent_id, pick, same};
use super::pool::Pool;
use super::spans::largest;

/// Records of a list.
const NEWEST: usize = 100;

/// A log record of a template.
#[derive(Debug, Clone, Copy)]
struct Line {
    template: u32,
    time: i64,
    common: bool,
}

/// Facts about the log records of a workload.
pub(super) struct Logs<'a> {
    workload: &'a Workload,
    all: Vec<Line>,
    /// Rare terms with the places of their lines.
    rare: Vec<(String, Vec<u32>)>,
    /// Traces with the places of their lines.
    traces: Vec<([u8; 16], Vec<u32>)>,
}

impl<'a> Logs<'a> {
    /// Reads the requests of a workload.
    ///
    /// # Errors
    /// When a request is no OTLP.
    pub(super) fn of(workload: &'a Workload) -> anyhow::Result<Self> {
        let mut logs = Self { workload, all: Vec::new(), rare: Vec::new(), traces: Vec::new() };
        let mut traces = Pool::default();
        let mut rare: HashMap<String, Vec<u32>> = HashMap::new();
        for (at, template) in workload.templates().iter().enumerate() {
            let request = ExportLogsServiceRequest::decode(template.bytes())?;
            let template = u32::try_from(at)?;
            let scopes = request.resource_logs.iter().flat_map(|r| &r.scope_logs);
            for record in scopes.flat_map(|s| &s.log_records) {
                let place = u32::try_from(logs.all.len())?;
                let body = text(record);
                let time = record.time_unix_nano.cast_signed();
                logs.all.push(Line { template, time, common: body.contains(logs::COMMON_TERM) });
                if let Some(term) = rare_term(body) {
                    rare.entry(term.to_owned()).or_default().push(place);
                }
                if let Ok(id) = <[u8; 16]>::try_from(record.trace_id.as_slice()) {
                    let trace = traces.place(id) as usize;
                    if trace == logs.traces.len() {
                        logs.traces.push((id, Vec::new()));
                    }
                    logs.traces.get_mut(trace).context("a trace without a place")?.1.push(place);
                }
            }
        }
        ensure!(!logs.all.is_empty(), "the workload has no log records");
        logs.rare = rare.into_iter().collect();
        // Hashing has no order; the parameters are to be the same each time.
        logs.rare.sort();
        Ok(logs)
    }

    fn rounds(&self, line: &Line) -> u64 {
        self.workload.rounds(line.template as usize)
    }

    fn time(&self, line: &Line, round: u64) -> i64 {
        line.time.cast_unsigned().wrapping_add(self.workload.later(round)).cast_signed()
    }

    /// Times of some lines in every round.
    fn times<'b>(&'b self, lines: impl Iterator<Item = &'b Line>) -> impl Iterator<Item = i64> {
        lines.flat_map(move |line| (0..self.rounds(line)).map(move |round| self.time(line, round)))
    }

    fn lines(&self, places: &[u32]) -> impl Iterator<Item = &Line> {
        places.iter().filter_map(|place| self.all.get(*place as usize))
    }

    /// A range in whole hours that holds every record.
    fn range(&self) -> (i64, i64) {
        const HOUR_NS: i64 = 3_600_000_000_000;
        let rounds = |line: &Line| self.rounds(line).saturating_sub(1);
        let first = self.all.iter().map(|l| self.time(l, 0)).min().unwrap_or(0);
        let last = self.all.iter().map(|l| self.time(l, rounds(l))).max().unwrap_or(0);
        (first.div_euclid(HOUR_NS) * HOUR_NS, (last.div_euclid(HOUR_NS) + 1) * HOUR_NS)
    }

    /// A range that ends somewhere in its second half.
    fn part(&self, word: u64) -> (i64, i64) {
        let (first, last) = self.all.iter().fold((i64::MAX, i64::MIN), |(first, last), line| {
            let round = self.rounds(line).saturating_sub(1);
            (first.min(self.time(line, 0)), last.max(self.time(line, round)))
        });
        let half = (last - first) / 2;
        let more = i64::try_from(draw(word, 7) % half.unsigned_abs().max(1)).unwrap_or(0);
        (self.range().0, first + half + more)
    }
}

fn text(record: &LogRecord) -> &str {
    match record.body.as_ref().and_then(|b| b.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn rare_term(body: &str) -> Option<&str> {
    let mut words = body.split(|c: char| !c.is_alphanumeric());
    words.find(|word| word.starts_with(logs::RARE_PREFIX))
}

/// Every kind of question that the workload has an answer to.
pub(super) fn kinds<'a>(logs: &'a Logs<'_>, stated: bool) -> Vec<Kind<'a>> {
    let mut kinds = vec![
        Kind::new("log records of a trace", move |word| of_trace(logs, word)),
        Kind::new("absent term", move |word| absent_term(logs, word)),
    ];
    // The shop's log records have no terms whose places are stated.
    if stated {
        kinds.extend([
            Kind::new("rare term, newest 100", move |word| rare(logs, word)),
            Kind::new("3 % term, newest 100", move |word| common(logs, word)),
            Kind::new("3 % term, volume", move |word| volume(logs, word)),
        ]);
    }
    kinds
}

fn search((from, to): (i64, i64)) -> Question {
    Question::get("/api/v1/logs").with("from", from).with("to", to)
}

/// Checks that a list holds records of these times, newest first, that hold a term.
fn newest(question: Question, expected: Vec<i64>, term: Option<String>) -> Case {
    let expected: Vec<String> = expected.into_iter().map(|at| Time(at).rfc3339()).collect();
    Case::new(question, move |answer: &Answer| {
        let logs = answer.list("logs")?;
        let member = |row: &serde_json::Value, name: &str| {
            row.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        let times: Vec<String> = logs.iter().map(|row| member(row, "time")).collect();
        same(&times, &expected)?;
        if let Some(term) = &term {
            let without = logs.iter().map(|row| member(row, "body")).find(|b| !b.contains(term));
            ensure!(without.is_none(), "{term} is not in {without:?}");
        }
        Ok(())
    })
}

fn of_trace(logs: &Logs<'_>, word: u64) -> Case {
    let question = search(logs.range()).with("limit", 1000);
    let Some((id, places)) = pick(&logs.traces, word >> 8).filter(|_| !absent(word)) else {
        return newest(question.with("trace_id", absent_id(word, 16)), Vec::new(), None);
    };
    let rounds = logs.lines(places).map(|line| logs.rounds(line)).max().unwrap_or(1);
    let round = draw(word, 1) % rounds.max(1);
    let mut id = *id;
    if round > 0 {
        in_round(&mut id, round);
    }
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let of_round = logs.lines(places).filter(|line| round < logs.rounds(line));
    let expected = largest(1000, of_round.map(|line| logs.time(line, round)));
    newest(question.with("trace_id", id), expected, None)
}

fn absent_term(logs: &Logs<'_>, word: u64) -> Case {
    let question = search(logs.range()).with("limit", NEWEST);
    newest(question.with("q", logs::absent_term(word, 1)), Vec::new(), None)
}

fn rare(logs: &Logs<'_>, word: u64) -> Case {
    let question = search(logs.range()).with("limit", NEWEST);
    let Some((term, places)) = pick(&logs.rare, word) else { return absent_term(logs, word) };
    let expected = largest(NEWEST, logs.times(logs.lines(places)));
    newest(question.with("q", term), expected, Some(term.clone()))
}

fn common(logs: &Logs<'_>, word: u64) -> Case {
    let range = logs.part(word);
    let lines = logs.all.iter().filter(|line| line.common);
    let times = logs.times(lines).filter(|time| *time < range.1);
    let expected = largest(NEWEST, times);
    let question = search(range).with("limit", NEWEST).with("q", logs::COMMON_TERM);
    newest(question, expected, Some(logs::COMMON_TERM.to_owned()))
}

fn volume(logs: &Logs<'_>, word: u64) -> Case {
    let (from, to) = logs.part(word);
    let lines = logs.all.iter().filter(|line| line.common);
    let expected = logs.times(lines).filter(|time| *time < to).count() as u64;
    let question = Question::get("/api/v1/logs/volume").with("from", from).with("to", to);
    Case::new(question.with("q", logs::COMMON_TERM), move |answer| {
        let sum = |class: &str| -> anyhow::Result<u64> {
            Ok(answer.list(class)?.iter().filter_map(serde_json::Value::as_u64).sum())
        };
        let found = sum("info")? + sum("warn")? + sum("error")?;
        ensure!(found == expected, "{found} records, expected {expected}");
        Ok(())
    })
}
