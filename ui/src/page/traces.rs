//! `/traces`: one form, summaries, a scatter, pages by cursor.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use headrope_query::answer::trace::{TraceOrder, TraceQuery, TraceSummary};
use serde_json::Value;

use super::Start;
use crate::error::{PageError, render};
use crate::export::Format;
use crate::frame::{Choice, Frame};
use crate::part::scatter::{self, Scatter};
use crate::part::traces::{self, TraceRow};
use crate::view::View;
use crate::{Ui, number, sql_text};

/// A condition that can be taken away.
struct Chip {
    text: String,
    href: String,
}

#[derive(Template)]
#[template(path = "traces.html")]
struct Page {
    f: Frame,
    start: Option<Start>,
    service: String,
    operation: String,
    min: String,
    max: String,
    failed: bool,
    chips: Vec<Chip>,
    tags: Vec<String>,
    orders: Vec<Choice>,
    slowest: bool,
    n: usize,
    scatter: Scatter,
    list: Vec<TraceRow>,
    list_id: &'static str,
    first: Option<String>,
    next: Option<String>,
    csv: String,
    json: String,
    sql: String,
    conditions: bool,
}

/// Reads a tag: `key=value`, where a number, `true`, `false` or a quoted text is what JSON says and
/// anything else is text.
pub(crate) fn tag(text: &str) -> Option<(String, Value)> {
    let (key, value) = text.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return None;
    }
    let typed = serde_json::from_str::<Value>(value)
        .ok()
        .filter(|v| v.is_number() || v.is_boolean() || v.is_string())
        .unwrap_or_else(|| Value::String(value.to_owned()));
    Some((key.to_owned(), typed))
}

/// The question in the address, or what is wrong with it.
fn question(view: &View) -> Result<TraceQuery, String> {
    let duration = |key: &str| match view.param(key) {
        None => Ok(None),
        Some(text) => number::parse_duration(text).map(Some).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            format!("“{shown}” is not a duration: write 250ms, 1.5s or 2m.")
        }),
    };
    let tags = view
        .params("tag")
        .map(|text| {
            tag(text).ok_or_else(|| {
                let shown: String = text.chars().take(60).collect();
                format!("“{shown}” is not a tag: write key=value, such as http.response.status_code=500.")
            })
        })
        .collect::<Result<_, _>>()?;
    let slowest = view.param("order") == Some("slowest");
    Ok(TraceQuery {
        range: view.range,
        service: view.param("service").map(str::to_owned),
        operation: view.param("operation").map(str::to_owned),
        min_duration_ns: duration("min")?,
        max_duration_ns: duration("max")?,
        errors_only: view.param("status") == Some("error"),
        tags,
        order: if slowest { TraceOrder::Slowest } else { TraceOrder::Newest },
        limit: view.rows(50, 1000),
        cursor: view.param("cursor").map(str::to_owned),
    })
}

/// `GET /traces`.
pub(crate) async fn page(State(ui): State<Ui>, mut view: View) -> Result<Response, PageError> {
    let query = match question(&view) {
        Ok(query) => query,
        Err(text) => {
            view.notice = Some(text);
            TraceQuery { range: view.range, ..nothing() }
        }
    };
    let found = ui.answers.search_traces(&query).await.map_err(|e| view.fail(&ui, &e))?;
    if let Some(format) = Format::of(&view) {
        return Ok(file(format, &found.traces));
    }
    let text = |key: &str| view.param(key).unwrap_or_default().to_owned();
    let conditions = ["service", "operation", "min", "max", "status", "tag", "cursor"]
        .iter()
        .any(|k| view.param(k).is_some());
    let page = Page {
        f: Frame::new(&ui, &view, "traces", "Traces").here("Traces"),
        start: (found.traces.is_empty() && !conditions).then(|| Start::new(&ui, &view)),
        service: text("service"),
        operation: text("operation"),
        min: text("min"),
        max: text("max"),
        failed: query.errors_only,
        chips: chips(&view),
        tags: view.params("tag").map(str::to_owned).collect(),
        orders: orders(&view, query.order),
        slowest: query.order == TraceOrder::Slowest,
        n: query.limit,
        scatter: scatter::draw(&view, &found.traces),
        list: traces::rows(&view, &found.traces),
        list_id: "traces",
        first: query.cursor.is_some().then(|| view.without("cursor").to_string()),
        next: found.next.as_ref().map(|c| view.here().set("cursor", c).to_string()),
        csv: view.here().set("format", "csv").to_string(),
        json: view.here().set("format", "json").to_string(),
        sql: sql_text::open(&view, &sql(&query)),
        conditions,
    };
    Ok(render(&page))
}

fn nothing() -> TraceQuery {
    TraceQuery {
        range: headrope_model::TimeRange::ALL,
        service: None,
        operation: None,
        min_duration_ns: None,
        max_duration_ns: None,
        errors_only: false,
        tags: Vec::new(),
        order: TraceOrder::Newest,
        limit: 50,
        cursor: None,
    }
}

fn orders(view: &View, order: TraceOrder) -> Vec<Choice> {
    let of = |label: &str, href: String, active| Choice {
        label: label.to_owned(),
        href,
        icon: "",
        active,
    };
    vec![
        of("Newest", view.without("order").to_string(), order == TraceOrder::Newest),
        of("Slowest", view.with("order", "slowest").to_string(), order == TraceOrder::Slowest),
    ]
}

fn chips(view: &View) -> Vec<Chip> {
    let tags: Vec<&str> = view.params("tag").collect();
    tags.iter()
        .enumerate()
        .map(|(at, text)| {
            let url = tags
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .fold(view.without("tag"), |url, (_, t)| url.add("tag", t));
            Chip { text: (*text).to_owned(), href: url.to_string() }
        })
        .collect()
}

fn sql(query: &TraceQuery) -> String {
    let mut conditions = vec![sql_text::during("start_time", query.range)];
    let mut equal = |column: &str, value: &Option<String>| {
        if let Some(value) = value {
            conditions.push(format!("{column} = {}", sql_text::quote(value)));
        }
    };
    equal("service_name", &query.service);
    equal("name", &query.operation);
    if let Some(ns) = query.min_duration_ns {
        conditions.push(format!("duration_ns >= {ns}"));
    }
    if let Some(ns) = query.max_duration_ns {
        conditions.push(format!("duration_ns <= {ns}"));
    }
    if query.errors_only {
        conditions.push("status_code = 'ERROR'".to_owned());
    }
    for (key, value) in &query.tags {
        // Attribute values are stored as canonical JSON text.
        let text = sql_text::quote(&value.to_string());
        conditions.push(format!("attributes[{}] = {text}", sql_text::quote(key)));
    }
    let order = match query.order {
        TraceOrder::Newest => "start_time",
        TraceOrder::Slowest => "duration_ns",
    };
    format!(
        "SELECT start_time, trace_id, span_id, service_name, name, duration_ns, status_code\nFROM spans\n\
         WHERE {}\nORDER BY {order} DESC\nLIMIT {}",
        conditions.join("\n  AND "),
        query.limit
    )
}

fn file(format: Format, rows: &[TraceSummary]) -> Response {
    let header = [
        "trace_id",
        "start_time",
        "duration_ns",
        "root_service",
        "root_name",
        "spans",
        "errors",
        "services",
    ];
    format.send("traces", rows, &header, |t| {
        vec![
            t.trace_id.clone(),
            t.start_time.rfc3339(),
            t.duration_ns.to_string(),
            t.root_service.clone(),
            t.root_name.clone(),
            t.span_count.to_string(),
            t.error_count.to_string(),
            t.services.join(" "),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tags_are_typed() {
        for (text, key, value) in [
            ("http.status=500", "http.status", json!(500)),
            ("http.status=\"500\"", "http.status", json!("500")),
            ("retry = true", "retry", json!(true)),
            ("load=0.5", "load", json!(0.5)),
            ("name=GET /a=b", "name", json!("GET /a=b")),
            ("list=[1]", "list", json!("[1]")),
        ] {
            assert_eq!(tag(text), Some((key.to_owned(), value)), "{text}");
        }
        assert_eq!(tag("=x"), None);
        assert_eq!(tag("plain"), None);
    }
}
