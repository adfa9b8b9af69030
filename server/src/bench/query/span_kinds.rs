//! Questions about spans.

use anyhow::ensure;
use headrope_testdata::workload::draw;
use serde_json::{Value, json};

use super::super::ask::{Answer, Question, int};
use super::case::{Case, Kind, absent, absent_id, column, pick, same, timestamp};
use super::spans::{Rank, Span, Spans};

/// Rows of a ranking.
const TOP: usize = 10;
/// Rows of a list of the newest.
const NEWEST: usize = 20;
/// Rows of the list of the slowest spans.
const SLOWEST: usize = 100;
/// Most spans in an answer about one trace.
const TRACE_SPANS: u64 = 10_000;
/// A name that no service, operation or attribute value has.
const NOBODY: &str = "nobody-has-this-name";
/// Measures that services and operations are ranked by, as REST calls them.
const MEASURES: [&str; 3] = ["calls", "slowest", "total_time"];

/// Every kind of question that the workload has an answer to.
pub(super) fn kinds<'a>(spans: &'a Spans<'_>) -> Vec<Kind<'a>> {
    let range = spans.range();
    let mut kinds = vec![
        Kind::new("trace by id", move |word| trace(spans, word)),
        Kind::new("trace by id, absent", absent_trace),
        Kind::new("TOP-10 services", move |word| top(spans, range, false, word)),
        Kind::new("TOP-10 operations", move |word| top(spans, range, true, word)),
        Kind::new("TOP-10 services with a filter, SQL", move |word| {
            top_sql(spans, range, false, word)
        }),
        Kind::new("TOP-10 operations with a filter, SQL", move |word| {
            top_sql(spans, range, true, word)
        }),
        Kind::new("newest 20 spans of a 1 % operation, SQL", move |word| {
            newest_spans(spans, range, &of_operation(spans, word))
        }),
        Kind::new("newest 20 traces of a 1 % operation", move |word| {
            newest_traces(spans, range, &of_operation(spans, word))
        }),
        Kind::new("slowest 100 spans, SQL", move |_| slowest_spans(spans, range)),
        Kind::new("slowest 20 traces", move |word| slowest_traces(spans, range, word)),
        Kind::new("latency distribution of an operation", move |word| {
            distribution(spans, range, word)
        }),
    ];
    if !spans.marks.is_empty() {
        kinds.extend([
            Kind::new("newest 20 spans with a 1 % attribute, SQL", move |word| {
                newest_spans(spans, range, &of_attribute(spans, word))
            }),
            Kind::new("newest 20 traces with a 1 % attribute", move |word| {
                newest_traces(spans, range, &of_attribute(spans, word))
            }),
        ]);
    }
    kinds
}

fn trace(spans: &Spans<'_>, word: u64) -> Case {
    let (id, count) = spans.any_trace(word);
    Case::new(Question::get(format!("/api/v1/traces/{id}")), move |answer| {
        let found = answer.success()?;
        let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        ensure!(text("trace_id") == id, "another trace: {}", text("trace_id"));
        let span_count = found.get("span_count").and_then(Value::as_u64);
        ensure!(span_count == Some(count), "{span_count:?} spans, {count} sent");
        let listed = answer.list("spans")?.len() as u64;
        ensure!(listed == count.min(TRACE_SPANS), "{listed} spans listed of {count}");
        Ok(())
    })
}

fn absent_trace(word: u64) -> Case {
    let path = format!("/api/v1/traces/{}", absent_id(word, 16));
    Case::new(Question::get(path), |answer| {
        ensure!(answer.status == 404, "status {}", answer.status);
        Ok(())
    })
}

/// A service and its name.
fn any_service<'a>(spans: &'a Spans<'_>, word: u64) -> (u32, &'a str) {
    let at = u32::try_from(word % u64::from(spans.services().max(1))).unwrap_or(0);
    (at, spans.service(at))
}

fn ranged(path: impl Into<String>, (from, to): (i64, i64)) -> Question {
    Question::get(path).with("from", from).with("to", to)
}

/// The first of a ranking, as every door orders them.
fn first(mut ranks: Vec<Rank>, by: &str) -> Vec<Rank> {
    let value = |rank: &Rank| match by {
        "calls" => rank.calls.cast_signed(),
        "slowest" => rank.slowest_ns,
        _ => rank.total_ns,
    };
    ranks.sort_by(|a, b| {
        value(b)
            .cmp(&value(a))
            .then_with(|| (&a.service, &a.operation).cmp(&(&b.service, &b.operation)))
    });
    ranks.truncate(TOP);
    ranks
}

fn top(spans: &Spans<'_>, range: (i64, i64), operations: bool, word: u64) -> Case {
    let by = pick(&MEASURES, word >> 8).copied().unwrap_or_default();
    let all = word & 1 << 20 != 0;
    let mut question = ranged("/api/v1/topn", range)
        .with("scope", if operations { "operation" } else { "service" })
        .with("spans", if all { "all" } else { "entry" })
        .with("by", by)
        .with("limit", TOP);
    // Operations are also ranked within a service, which may not be there.
    let service = match operations {
        true if absent(word) => Some(NOBODY),
        true if word & 1 << 21 != 0 => Some(any_service(spans, draw(word, 1)).1),
        _ => None,
    };
    if let Some(service) = service {
        question = question.with("service", service);
    }
    let counts = |span: &Span| {
        (all || span.entry) && service.is_none_or(|name| name == spans.names(span.group).0)
    };
    let expected = first(spans.ranks(operations, counts), by);
    Case::new(question, move |answer| {
        let found: Vec<Rank> = answer.list("rows")?.iter().map(rank).collect();
        same(&found, &expected)
    })
}

/// A row of a ranking.
fn rank(row: &Value) -> Rank {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| row.get(name).and_then(int).unwrap_or(-1);
    Rank {
        service: text("service"),
        operation: text("operation"),
        calls: number("calls").cast_unsigned(),
        errors: number("errors").cast_unsigned(),
        total_ns: number("total_time_ns"),
        slowest_ns: number("max_ns"),
    }
}

const IN_RANGE: &str = "start_time >= $from AND start_time < $to";

fn parameters((from, to): (i64, i64)) -> serde_json::Map<String, Value> {
    let pairs = [("from", timestamp(from)), ("to", timestamp(to))];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn top_sql(spans: &Spans<'_>, range: (i64, i64), operations: bool, word: u64) -> Case {
    let by = pick(&MEASURES, word >> 8).copied().unwrap_or_default();
    // Between 1 µs and a second; no span takes a year.
    let least = match absent(word) {
        true => 366 * 86_400_000_000_000,
        false => 10i64.pow(3 + u32::try_from(draw(word, 1) % 6).unwrap_or(0)),
    };
    let names = if operations { "service_name, name" } else { "service_name" };
    let statement = format!(
        "SELECT {names}, count(*) AS calls, \
         sum(CASE WHEN status_code = 'ERROR' THEN 1 ELSE 0 END) AS errors, \
         sum(duration_ns) AS total_time, max(duration_ns) AS slowest \
         FROM spans WHERE {IN_RANGE} AND duration_ns >= $least \
         GROUP BY {names} ORDER BY {by} DESC, {names} LIMIT {TOP}"
    );
    let mut parameters = parameters(range);
    parameters.insert("least".to_owned(), json!(least));
    let question = Question::Sql { statement, parameters: Value::Object(parameters) };
    let expected = first(spans.ranks(operations, |span| span.duration >= least), by);
    let named = if operations { 2 } else { 1 };
    Case::new(question, move |answer| {
        let found: Vec<Rank> = answer.rows()?.iter().map(|row| sql_rank(row, named)).collect();
        same(&found, &expected)
    })
}

/// A row of a ranking in SQL: names, then calls, errors, total and slowest.
fn sql_rank(row: &Value, names: usize) -> Rank {
    let text = |at: usize| row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |at: usize| row.get(names + at).and_then(int).unwrap_or(-1);
    Rank {
        service: text(0),
        operation: if names > 1 { text(1) } else { String::new() },
        calls: number(0).cast_unsigned(),
        errors: number(1).cast_unsigned(),
        total_ns: number(2),
        slowest_ns: number(3),
    }
}

/// A condition that one span in a hundred meets, or none.
enum Filter<'a> {
    Operation { service: &'a str, name: &'a str, group: Option<u32> },
    Attribute { key: &'a str, value: String, bit: Option<u16> },
}

impl Filter<'_> {
    fn holds(&self, span: &Span) -> bool {
        match self {
            Self::Operation { group, .. } => *group == Some(span.group),
            Self::Attribute { bit, .. } => bit.is_some_and(|bit| span.marks & bit != 0),
        }
    }
}

fn of_operation<'a>(spans: &'a Spans<'_>, word: u64) -> Filter<'a> {
    let groups = spans.one_percent_groups();
    let group = pick(&groups, word >> 8).copied().unwrap_or(0);
    let (service, name) = spans.names(group);
    match absent(word) {
        true => Filter::Operation { service, name: NOBODY, group: None },
        false => Filter::Operation { service, name, group: Some(group) },
    }
}

fn of_attribute<'a>(spans: &'a Spans<'_>, word: u64) -> Filter<'a> {
    let places: Vec<(u16, _)> = (0..).zip(&spans.marks).collect();
    match pick(&places, word >> 8) {
        Some((at, mark)) if !absent(word) => {
            let value = mark.value.clone();
            Filter::Attribute { key: &mark.key, value, bit: Some(1 << at) }
        }
        other => {
            let key = other.map_or("", |(_, mark)| mark.key.as_str());
            Filter::Attribute { key, value: format!("\"{NOBODY}\""), bit: None }
        }
    }
}

fn newest_spans(spans: &Spans<'_>, range: (i64, i64), filter: &Filter<'_>) -> Case {
    let mut parameters = parameters(range);
    let mut set = |name: &str, value: &str| parameters.insert(name.to_owned(), json!(value));
    let condition = match filter {
        Filter::Operation { service, name, .. } => {
            set("service", service);
            set("name", name);
            "service_name = $service AND name = $name"
        }
        Filter::Attribute { key, value, .. } => {
            set("key", key);
            set("value", value);
            "attr_json(attributes, $key) = $value"
        }
    };
    let statement = format!(
        "SELECT trace_id, span_id, CAST(start_time AS BIGINT) AS at FROM spans \
         WHERE {IN_RANGE} AND {condition} ORDER BY start_time DESC LIMIT {NEWEST}"
    );
    let question = Question::Sql { statement, parameters: Value::Object(parameters) };
    let expected = spans.newest(NEWEST, |span| filter.holds(span));
    Case::new(question, move |answer| same(&column(answer, 2)?, &expected))
}

fn newest_traces(spans: &Spans<'_>, range: (i64, i64), filter: &Filter<'_>) -> Case {
    let question = ranged("/api/v1/traces", range).with("limit", NEWEST);
    let question = match filter {
        Filter::Operation { service, name, .. } => {
            question.with("service", service).with("operation", name)
        }
        Filter::Attribute { key, value, .. } => question.with("q", format!("{key}={value}")),
    };
    let expected = spans.newest_traces(NEWEST, |span| filter.holds(span));
    Case::new(question, move |answer| same(&trace_ids(answer)?, &expected))
}

fn trace_ids(answer: &Answer) -> anyhow::Result<Vec<String>> {
    let id =
        |row: &Value| row.get("trace_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(answer.list("traces")?.iter().map(id).collect())
}

fn slowest_spans(spans: &Spans<'_>, range: (i64, i64)) -> Case {
    let statement = format!(
        "SELECT trace_id, span_id, duration_ns FROM spans WHERE {IN_RANGE} \
         ORDER BY duration_ns DESC LIMIT {SLOWEST}"
    );
    let parameters = Value::Object(parameters(range));
    let expected = spans.slowest(SLOWEST);
    Case::new(Question::Sql { statement, parameters }, move |answer| {
        same(&column(answer, 2)?, &expected)
    })
}

fn slowest_traces(spans: &Spans<'_>, range: (i64, i64), word: u64) -> Case {
    let (service, name) = any_service(spans, word >> 8);
    let question = ranged("/api/v1/traces", range).with("order", "slowest").with("limit", NEWEST);
    let question = question.with("service", name);
    let expected = spans.slowest_traces(NEWEST, service);
    Case::new(question, move |answer| {
        let lengths = answer.list("traces")?.iter().map(|t| t.get("duration_ns").and_then(int));
        let found: Vec<_> = lengths.zip(trace_ids(answer)?).collect();
        let expected: Vec<_> =
            expected.iter().map(|(length, id)| (Some(*length), id.clone())).collect();
        same(&found, &expected)
    })
}

fn distribution(spans: &Spans<'_>, range: (i64, i64), word: u64) -> Case {
    let group = u32::try_from((word >> 8) % (spans.groups.len() as u64).max(1)).unwrap_or(0);
    let (service, operation) = spans.names(group);
    let name = if absent(word) { NOBODY } else { operation };
    let question = ranged(format!("/api/v1/services/{service}/latency"), range);
    let of = |span: &Span| span.group == group && !absent(word);
    let expected = spans.ranks(true, of).pop().unwrap_or_default();
    Case::new(question.with("operation", name), move |answer| {
        let stats = answer.success()?.get("stats").map(rank).unwrap_or_default();
        let figures = |r: &Rank| (r.calls, r.errors, r.total_ns, r.slowest_ns);
        let (found, expected) = (figures(&stats), figures(&expected));
        ensure!(found == expected, "found {found:?}, expected {expected:?}");
        Ok(())
    })
}
