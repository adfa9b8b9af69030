//! What the trace page's scripts ask for: the shape of the whole tree, rows by window, one span,
//! its logs, where a text occurs.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use headrope_model::{SpanId, TimeRange, TraceId};
use headrope_query::QueryError;
use headrope_query::answer::log::LogQuery;
use headrope_query::answer::trace::{Trace, TraceSpan};
use serde::Serialize;
use serde_json::{Value, json};

use super::logs::level;
use crate::Ui;
use crate::error::problem;
use crate::part::tone;
use crate::view::View;

/// Rows per window, unless fewer are asked for.
const WINDOW: usize = 500;
/// Spans up to which a page carries the shape itself.
const INLINE: usize = 2_000;
/// Events marked on one bar.
const EVENTS: usize = 12;
/// Colours of the palette.
const COLOURS: usize = 12;

/// Colours of the services of one trace: that of the service everywhere, moved on where two of a
/// trace would share it.
pub(crate) struct Palette(Vec<(String, usize)>);

impl Palette {
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut taken = [0_u32; COLOURS];
        let mut out: Vec<(String, usize)> = Vec::new();
        let named = trace.services.iter().map(|s| &s.service);
        for service in named.chain(trace.spans.iter().map(|s| &s.service)) {
            if out.iter().any(|(s, _)| s == service) {
                continue;
            }
            let own = tone(service) as usize % COLOURS;
            let least = taken.iter().min().copied().unwrap_or(0);
            let free = (0..COLOURS)
                .map(|step| (own + step * 5) % COLOURS)
                .find(|c| taken.get(*c).is_some_and(|n| *n == least))
                .unwrap_or(own);
            if let Some(n) = taken.get_mut(free) {
                *n += 1;
            }
            out.push((service.clone(), free));
        }
        Self(out)
    }

    pub(crate) fn tone(&self, service: &str) -> usize {
        self.0.iter().find(|(s, _)| s == service).map_or(0, |(_, tone)| *tone)
    }
}

/// The tree without names: parallel lists over all spans in pre-order.
#[derive(Serialize)]
struct Shape {
    depth: Vec<u32>,
    below: Vec<u32>,
    offset: Vec<i64>,
    duration: Vec<i64>,
    service: Vec<usize>,
    /// 1 failed, 2 on the critical path, 4 orphan.
    flags: Vec<u8>,
}

/// A row of the tree.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    /// Critical stretches, flat: from, to, from, to.
    critical: Vec<i64>,
    /// Events, nanoseconds after the trace's start; the first few.
    events: Vec<i64>,
}

/// What the page starts with.
#[derive(Serialize)]
pub(crate) struct Head<'a> {
    id: &'a str,
    duration: i64,
    count: usize,
    services: Vec<&'a str>,
    tones: Vec<usize>,
    selected: usize,
    /// Index of the first row in `rows`.
    at: usize,
    rows: Vec<Row<'a>>,
    shape: Option<Shape>,
}

fn shape(trace: &Trace) -> Shape {
    let names: HashMap<&str, usize> = service_names(trace).into_iter().zip(0..).collect();
    let spans = &trace.spans;
    Shape {
        depth: spans.iter().map(|s| s.depth).collect(),
        below: spans.iter().map(|s| s.descendants).collect(),
        offset: spans.iter().map(|s| s.offset_ns).collect(),
        duration: spans.iter().map(|s| s.duration_ns).collect(),
        service: spans
            .iter()
            .map(|s| names.get(s.service.as_str()).copied().unwrap_or(0))
            .collect(),
        flags: spans
            .iter()
            .map(|s| {
                u8::from(s.status_code == "ERROR")
                    | u8::from(!s.critical.is_empty()) << 1
                    | u8::from(s.orphan) << 2
            })
            .collect(),
    }
}

fn service_names(trace: &Trace) -> Vec<&str> {
    let mut names: Vec<&str> = trace.services.iter().map(|s| s.service.as_str()).collect();
    let mut known: std::collections::HashSet<&str> = names.iter().copied().collect();
    for span in &trace.spans {
        if known.insert(&span.service) {
            names.push(&span.service);
        }
    }
    names
}

fn rows(trace: &Trace, at: usize, n: usize) -> Vec<Row<'_>> {
    let start = trace.start_time.0;
    trace
        .spans
        .iter()
        .skip(at)
        .take(n)
        .map(|s| {
            let shift = s.offset_ns - (s.start_time.0 - start);
            Row {
                id: &s.span_id,
                name: &s.name,
                kind: &s.kind,
                critical: s.critical.iter().flat_map(|p| [p.from_ns, p.to_ns]).collect(),
                events: s.events.iter().take(EVENTS).map(|e| e.time.0 - start + shift).collect(),
            }
        })
        .collect()
}

/// The span to open on, and why: the one named, the guilty one, or the root.
pub(crate) fn selected(trace: &Trace, span: Option<&str>) -> (usize, &'static str) {
    let named = span.and_then(|id| trace.spans.iter().position(|s| s.span_id == id));
    if let Some(at) = named {
        return (at, "");
    }
    match trace.guilty.map(|g| g as usize).and_then(|g| trace.spans.get(g).map(|s| (g, s))) {
        Some((at, s)) if s.status_code == "ERROR" => (at, "the deepest failing span"),
        Some((at, _)) => (at, "the span with the most self time on the critical path"),
        None => (0, ""),
    }
}

/// What the page starts with.
pub(crate) fn head<'a>(trace: &'a Trace, palette: &Palette, selected: usize) -> Head<'a> {
    let services = service_names(trace);
    let at = selected.saturating_sub(WINDOW / 2);
    Head {
        id: &trace.trace_id,
        duration: trace.duration_ns,
        count: trace.spans.len(),
        tones: services.iter().map(|s| palette.tone(s)).collect(),
        services,
        selected,
        at,
        rows: rows(trace, at, WINDOW),
        shape: (trace.spans.len() <= INLINE).then(|| shape(trace)),
    }
}

async fn load(ui: &Ui, view: &View, id: &str) -> Result<Arc<Trace>, Box<Response>> {
    let wrong = |_| QueryError::Invalid(format!("{id:.40} is not a trace id"));
    let id: TraceId = id.parse().map_err(|e| Box::new(problem(&wrong(e))))?;
    ui.trace(id, view.now, false).await.map_err(|e| Box::new(problem(&e)))
}

/// `GET /ui/traces/{id}/shape`.
pub(crate) async fn shape_of(State(ui): State<Ui>, Path(id): Path<String>, view: View) -> Response {
    match load(&ui, &view, &id).await {
        Ok(trace) => Json(shape(&trace)).into_response(),
        Err(response) => *response,
    }
}

/// `GET /ui/traces/{id}/rows?at=&n=`.
pub(crate) async fn rows_of(State(ui): State<Ui>, Path(id): Path<String>, view: View) -> Response {
    let at = view.param("at").and_then(|t| t.parse().ok()).unwrap_or(0);
    let n = view.rows(WINDOW, WINDOW);
    match load(&ui, &view, &id).await {
        Ok(trace) => Json(rows(&trace, at, n)).into_response(),
        Err(response) => *response,
    }
}

/// `GET /ui/traces/{id}/find?q=`: indexes of the spans with the text in name, service, status
/// message, or an attribute, event or resource (without regard to case).
pub(crate) async fn find(State(ui): State<Ui>, Path(id): Path<String>, view: View) -> Response {
    let wanted = view.param("q").unwrap_or_default().to_lowercase();
    match load(&ui, &view, &id).await {
        Ok(trace) => {
            let found: Vec<usize> = trace
                .spans
                .iter()
                .enumerate()
                .filter(|(_, s)| !wanted.is_empty() && contains(s, &wanted))
                .map(|(i, _)| i)
                .collect();
            Json(found).into_response()
        }
        Err(response) => *response,
    }
}

fn contains(span: &TraceSpan, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    has(&span.name)
        || has(&span.service)
        || span.span_id == wanted
        || has(&span.status_message)
        || value_contains(&span.attributes, wanted)
        || value_contains(&span.resource, wanted)
        || span.events.iter().any(|e| has(&e.name) || value_contains(&e.attributes, wanted))
}

fn value_contains(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Object(map) => {
            map.iter().any(|(k, v)| k.to_lowercase().contains(wanted) || value_contains(v, wanted))
        }
        Value::Array(items) => items.iter().any(|v| value_contains(v, wanted)),
        Value::String(text) => text.to_lowercase().contains(wanted),
        Value::Null => false,
        Value::Bool(flag) => wanted == if *flag { "true" } else { "false" },
        Value::Number(number) => number.to_string().starts_with(wanted),
    }
}

/// `GET /ui/traces/{id}/spans/{index}`: everything about one span.
pub(crate) async fn span(
    State(ui): State<Ui>,
    Path((id, index)): Path<(String, usize)>,
    view: View,
) -> Response {
    let trace = match load(&ui, &view, &id).await {
        Ok(trace) => trace,
        Err(response) => return *response,
    };
    let Some(span) = trace.spans.get(index) else {
        return problem(&QueryError::NotFound(format!("span {index} of trace {id:.40}")));
    };
    let logs = super::trace::around(&view, &trace);
    Json(json!({
        "span": span,
        "start": view.zone.nano(span.start_time.0),
        "zone": view.zone.name(),
        "events": span.events.iter().map(|e| view.zone.clock(e.time.0)).collect::<Vec<_>>(),
        "links": span.links.iter()
            .map(|l| view.trace(&l.trace_id).set("span", &l.span_id).to_string())
            .collect::<Vec<_>>(),
        "service": view.service(&span.service).to_string(),
        "operation": view.operation(&span.service, &span.name).to_string(),
        "logs": logs.set("service", &span.service).to_string(),
        "traces": view.to("/traces").set("service", &span.service)
            .set("operation", &span.name).to_string(),
    }))
    .into_response()
}

/// A log record beside a span.
#[derive(Serialize)]
struct LogLine {
    time: String,
    level: &'static str,
    letter: &'static str,
    severity: String,
    service: String,
    body: String,
    span: Option<String>,
    attributes: Value,
}

/// `GET /ui/traces/{id}/logs`: the records that carry this trace id, oldest first.
pub(crate) async fn logs(State(ui): State<Ui>, Path(id): Path<String>, view: View) -> Response {
    const MARGIN: i64 = 3_600_000_000_000;
    let trace = match load(&ui, &view, &id).await {
        Ok(trace) => trace,
        Err(response) => return *response,
    };
    let from = trace.start_time.0.saturating_sub(MARGIN);
    let to = trace.start_time.0.saturating_add(trace.duration_ns).saturating_add(MARGIN);
    let query = LogQuery {
        range: TimeRange::new(from, to).unwrap_or(TimeRange::ALL),
        text: None,
        service: None,
        min_severity: None,
        trace_id: id.parse().ok(),
        span_id: view.param("span").and_then(|s| s.parse::<SpanId>().ok()),
        limit: 500,
        cursor: None,
    };
    match ui.answers.search_logs(&query).await {
        Ok(page) => {
            let lines: Vec<LogLine> = page.logs.into_iter().rev().map(|l| line(&view, l)).collect();
            Json(lines).into_response()
        }
        Err(error) => problem(&error),
    }
}

fn line(view: &View, l: headrope_query::answer::log::LogRow) -> LogLine {
    let (class, letter) = level(l.severity_number);
    LogLine {
        time: view.zone.clock(l.time.0),
        level: class,
        letter,
        severity: l.severity_text,
        service: l.service,
        body: l.body,
        span: l.span_id,
        attributes: l.attributes,
    }
}
