//! `/logs`: text, severity, volume, rows that lead to their trace.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use futures::try_join;
use headrope_query::answer::log::{LogQuery, LogRow};
use serde_json::Value;

use super::Start;
use crate::chart::{self, Chart};
use crate::error::{PageError, render};
use crate::export::Format;
use crate::frame::{Choice, Frame};
use crate::part::tone;
use crate::view::View;
use crate::zone::rfc3339;
use crate::{Ui, sql_text};

/// An attribute of a record.
struct Pair {
    key: String,
    value: String,
}

/// A record.
struct Row {
    time: String,
    rfc3339: String,
    level: &'static str,
    letter: &'static str,
    severity: String,
    service: String,
    service_href: String,
    tone: u64,
    /// First line of the body.
    line: String,
    /// The body, if it has more than that line.
    body: Option<String>,
    event_name: Option<String>,
    trace: Option<String>,
    trace_id: String,
    short_trace: String,
    attributes: Vec<Pair>,
    resource: Vec<Pair>,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct Page {
    f: Frame,
    start: Option<Start>,
    text: String,
    service: String,
    severity: i32,
    severities: Vec<(i32, &'static str)>,
    trace_id: String,
    span_id: String,
    volume: Chart,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
    n: usize,
    ranges: Vec<Choice>,
    csv: String,
    json: String,
    sql: String,
}

const SEVERITIES: [(i32, &str); 6] = [
    (0, "any"),
    (5, "debug or worse"),
    (9, "info or worse"),
    (13, "warning or worse"),
    (17, "error or worse"),
    (21, "fatal"),
];
/// Longest first line shown, in characters.
const LINE: usize = 300;

fn question(view: &View) -> Result<LogQuery, String> {
    let wrong = |what: &str, text: &str| {
        let shown: String = text.chars().take(40).collect();
        format!("“{shown}” is not a {what}; the condition was left out.")
    };
    let trace_id = view
        .param("trace")
        .map(|t| t.parse().map_err(|_| wrong("trace id (32 hex digits)", t)))
        .transpose()?;
    let span_id = view
        .param("span")
        .map(|t| t.parse().map_err(|_| wrong("span id (16 hex digits)", t)))
        .transpose()?;
    Ok(LogQuery {
        range: view.range,
        text: view.param("q").map(str::to_owned),
        service: view.param("service").map(str::to_owned),
        min_severity: view.param("severity").and_then(|s| s.parse().ok()).filter(|s| *s > 0),
        trace_id,
        span_id,
        limit: view.rows(100, 1000),
        cursor: view.param("cursor").map(str::to_owned),
    })
}

/// `GET /logs`.
pub(crate) async fn page(State(ui): State<Ui>, mut view: View) -> Result<Response, PageError> {
    let query = question(&view).unwrap_or_else(|text| {
        view.notice = Some(text);
        LogQuery {
            range: view.range,
            text: view.param("q").map(str::to_owned),
            service: view.param("service").map(str::to_owned),
            min_severity: None,
            trace_id: None,
            span_id: None,
            limit: 100,
            cursor: None,
        }
    });
    let (found, volume) = try_join!(ui.answers.search_logs(&query), ui.answers.log_volume(&query))
        .map_err(|e| view.fail(&ui, &e))?;
    if let Some(format) = Format::of(&view) {
        return Ok(file(format, &found.logs));
    }
    let any = ["q", "service", "severity", "trace", "span", "cursor"];
    let conditions = any.iter().any(|k| view.param(k).is_some());
    let text = |key: &str| view.param(key).unwrap_or_default().to_owned();
    let page = Page {
        f: Frame::new(&ui, &view, "logs", "Logs").here("Logs"),
        start: (found.logs.is_empty() && !conditions).then(|| Start::new(&ui, &view)),
        text: text("q"),
        service: text("service"),
        severity: query.min_severity.unwrap_or(0),
        severities: SEVERITIES.to_vec(),
        trace_id: text("trace"),
        span_id: text("span"),
        volume: chart::volume(&volume),
        rows: found.logs.iter().map(|l| row(&view, l)).collect(),
        first: query.cursor.is_some().then(|| view.without("cursor").to_string()),
        next: found.next.as_ref().map(|c| view.here().set("cursor", c).to_string()),
        n: query.limit,
        ranges: wider(&view),
        csv: view.here().set("format", "csv").to_string(),
        json: view.here().set("format", "json").to_string(),
        sql: sql_text::open(&view, &sql(&query)),
    };
    Ok(render(&page))
}

fn wider(view: &View) -> Vec<Choice> {
    [("now-24h", "Last 24 hours"), ("now-7d", "Last 7 days")]
        .into_iter()
        .map(|(from, label)| Choice {
            label: label.to_owned(),
            href: view.without("to").set("from", from).to_string(),
            icon: "",
            active: false,
        })
        .collect()
}

/// Class and letter of an OTLP severity number.
pub(crate) const fn level(number: i32) -> (&'static str, &'static str) {
    match number {
        1..=4 => ("quiet", "T"),
        5..=8 => ("quiet", "D"),
        9..=12 => ("info", "I"),
        13..=16 => ("warn", "W"),
        17..=20 => ("bad", "E"),
        21..=24 => ("bad", "F"),
        _ => ("quiet", "–"),
    }
}

fn row(view: &View, l: &LogRow) -> Row {
    let (class, letter) = level(l.severity_number);
    let first = l.body.lines().next().unwrap_or_default();
    let line: String = first.chars().take(LINE).collect();
    let trace = l.trace_id.as_ref().map(|id| {
        let url = view.trace(id);
        l.span_id.as_ref().map_or(url.clone(), |s| url.set("span", s)).to_string()
    });
    Row {
        time: view.zone.milli(l.time.0),
        rfc3339: rfc3339(l.time.0),
        level: class,
        letter,
        severity: l.severity_text.clone(),
        service: l.service.clone(),
        service_href: view.service(&l.service).to_string(),
        tone: tone(&l.service),
        body: (line.len() < l.body.len()).then(|| l.body.clone()),
        line,
        event_name: l.event_name.clone(),
        trace,
        short_trace: l.trace_id.as_deref().unwrap_or_default().chars().take(8).collect(),
        trace_id: l.trace_id.clone().unwrap_or_default(),
        attributes: pairs(&l.attributes),
        resource: pairs(&l.resource),
    }
}

fn pairs(value: &Value) -> Vec<Pair> {
    let Value::Object(map) = value else { return Vec::new() };
    map.iter()
        .map(|(key, value)| Pair {
            key: key.clone(),
            value: match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            },
        })
        .collect()
}

fn sql(query: &LogQuery) -> String {
    let mut conditions = vec![sql_text::during("time", query.range)];
    if let Some(service) = &query.service {
        conditions.push(format!("service_name = {}", sql_text::quote(service)));
    }
    if let Some(severity) = query.min_severity {
        conditions.push(format!("severity_number >= {severity}"));
    }
    if let Some(id) = query.trace_id {
        conditions.push(format!("trace_id = '{id}'"));
    }
    if let Some(id) = query.span_id {
        conditions.push(format!("span_id = '{id}'"));
    }
    if let Some(text) = &query.text {
        let pattern = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        conditions.push(format!("body ILIKE {}", sql_text::quote(&format!("%{pattern}%"))));
    }
    format!(
        "SELECT time, severity_text, service_name, body, trace_id\nFROM logs\nWHERE {}\nORDER BY time DESC\nLIMIT {}",
        conditions.join("\n  AND "),
        query.limit
    )
}

fn file(format: Format, rows: &[LogRow]) -> Response {
    let header =
        ["time", "severity", "service", "body", "trace_id", "span_id", "attributes", "resource"];
    format.send("logs", rows, &header, |l| {
        vec![
            l.time.rfc3339(),
            l.severity_text.clone(),
            l.service.clone(),
            l.body.clone(),
            l.trace_id.clone().unwrap_or_default(),
            l.span_id.clone().unwrap_or_default(),
            l.attributes.to_string(),
            l.resource.to_string(),
        ]
    })
}
