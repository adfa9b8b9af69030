//! `/services/{service}/operations/{operation}`: the shape of its latency, and calls to look at.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::try_join;
use headrope_query::answer::SpanScope;
use headrope_query::answer::latency::{ExemplarTrace, Heatmap, Latency, LatencyQuery};
use headrope_query::answer::trace::{TraceOrder, TraceQuery};
use serde::Serialize;

use super::Start;
use super::service::named;
use crate::chart::{self, Red};
use crate::error::{PageError, render};
use crate::export::Format;
use crate::frame::Frame;
use crate::part::histogram::{self, Histogram};
use crate::part::traces::{self, TraceRow};
use crate::part::{Cells, Island, tone};
use crate::url::Url;
use crate::view::View;
use crate::zone::rfc3339;
use crate::{Ui, number, sql_text};

/// A call picked for its place in the distribution.
struct Exemplar {
    picked: String,
    why: &'static str,
    href: String,
    short_id: String,
    time: String,
    duration: String,
    failed: bool,
}

/// What the heatmap's script needs.
#[derive(Serialize)]
struct Heat {
    /// Start of each column, Unix milliseconds.
    times: Vec<i64>,
    step: i64,
    bounds: Vec<i64>,
    /// Column, row, calls, errors; flat.
    cells: Vec<u64>,
    /// Where the calls of a cell are listed; the script adds the cell.
    traces: String,
}

/// A row of the table beside the heatmap.
struct HeatRow {
    time: String,
    range: String,
    calls: String,
    errors: String,
    href: String,
}

#[derive(Template)]
#[template(path = "operation.html")]
struct Page {
    f: Frame,
    service: String,
    operation: String,
    tone: u64,
    service_href: String,
    start: Option<Start>,
    cells: Cells,
    accuracy: String,
    histogram: Histogram,
    height: f64,
    heat: Island,
    heat_summary: String,
    heat_rows: Vec<HeatRow>,
    red: Red,
    exemplars: Vec<Exemplar>,
    slow: Vec<TraceRow>,
    verdict: String,
    traces: String,
    failed_traces: String,
    logs: String,
    csv: String,
    json: String,
    sql: String,
}

/// Rows of the heatmap's table.
const HEAT_ROWS: usize = 30;

/// `GET /services/{service}/operations/{operation}`.
pub(crate) async fn page(
    State(ui): State<Ui>,
    Path((service, operation)): Path<(String, String)>,
    view: View,
) -> Result<Response, PageError> {
    let service = named(&view, "service", &service);
    let operation = named(&view, "operation", &operation);
    let query = LatencyQuery {
        range: view.range,
        service: service.clone(),
        operation: Some(operation.clone()),
        spans: SpanScope::All,
    };
    let search = search(&view, &service, &operation);
    let (latency, slow) = try_join!(ui.answers.latency(&query), ui.answers.search_traces(&search))
        .map_err(|e| view.fail(&ui, &e))?;
    if let Some(format) = Format::of(&view) {
        let header = ["from_ns", "to_ns", "calls", "errors"];
        return Ok(format.send("latency", &latency.histogram, &header, |b| {
            [b.from_ns, b.to_ns]
                .map(|v| v.to_string())
                .into_iter()
                .chain([b.count, b.errors].map(|v| v.to_string()))
                .collect()
        }));
    }
    let mut page = build(&ui, &view, &service, &operation, &latency);
    page.slow = traces::rows(&view, &slow.traces);
    Ok(render(&page))
}

fn search(view: &View, service: &str, operation: &str) -> TraceQuery {
    TraceQuery {
        range: view.range,
        service: Some(service.to_owned()),
        operation: Some(operation.to_owned()),
        min_duration_ns: None,
        max_duration_ns: None,
        errors_only: false,
        tags: Vec::new(),
        order: TraceOrder::Slowest,
        limit: 10,
        cursor: None,
    }
}

fn build(ui: &Ui, view: &View, service: &str, operation: &str, latency: &Latency) -> Page {
    let traces = || view.to("/traces").set("service", service).set("operation", operation);
    let within = |from: i64, to: i64| between(traces(), from, to).to_string();
    let heat = &latency.heatmap;
    Page {
        f: Frame::new(ui, view, "operation", format!("{operation} · {service}"))
            .crumb("Overview", view.to("/"))
            .crumb("Services", view.to("/services"))
            .crumb(service, view.service(service))
            .here(operation),
        service: service.to_owned(),
        operation: operation.to_owned(),
        tone: tone(service),
        service_href: view.service(service).to_string(),
        start: (latency.stats.calls == 0).then(|| Start::new(ui, view)),
        cells: Cells::of(&latency.stats),
        accuracy: number::percent(latency.relative_error),
        histogram: histogram::draw(&latency.histogram, &latency.stats, within),
        height: histogram::HEIGHT,
        heat: Island::of(&heat_data(heat, &traces())),
        heat_summary: format!(
            "Calls by time and duration: {} columns of {}, {} cells with calls.",
            heat.times.len(),
            number::duration(heat.step_ns),
            heat.cells.len()
        ),
        heat_rows: heat_rows(view, heat, &traces()),
        red: chart::red(&latency.series, &view.zone),
        exemplars: latency.exemplars.iter().map(|e| exemplar(view, e)).collect(),
        slow: Vec::new(),
        verdict: view
            .to("/verdict")
            .set("service", service)
            .set("operation", operation)
            .to_string(),
        traces: traces().to_string(),
        failed_traces: traces().set("status", "error").to_string(),
        logs: view.to("/logs").set("service", service).to_string(),
        csv: view.here().set("format", "csv").to_string(),
        json: view.here().set("format", "json").to_string(),
        sql: sql_text::open(view, &sql(view, service, operation)),
    }
}

/// The search with a range of durations: at least `from`, below `to`.
fn between(url: Url, from: i64, to: i64) -> Url {
    url.set("min", number::duration_param(from))
        .set("max", number::duration_param(to.saturating_sub(1)))
}

fn sql(view: &View, service: &str, operation: &str) -> String {
    format!(
        "SELECT start_time, trace_id, span_id, duration_ns, status_code\nFROM spans\nWHERE service_name = {}\n  \
         AND name = {}\n  AND {}\nORDER BY duration_ns DESC\nLIMIT 100",
        sql_text::quote(service),
        sql_text::quote(operation),
        sql_text::during("start_time", view.range)
    )
}

fn heat_data(heat: &Heatmap, traces: &Url) -> Heat {
    Heat {
        times: heat.times.iter().map(|t| t.0 / 1_000_000).collect(),
        step: heat.step_ns / 1_000_000,
        bounds: heat.bounds_ns.clone(),
        cells: heat
            .cells
            .iter()
            .flat_map(|c| [u64::from(c.t), u64::from(c.b), c.count, c.errors])
            .collect(),
        traces: traces.clone().remove("from").remove("to").to_string(),
    }
}

/// The fullest cells among the slow half, newest first among equals: where one would click.
fn heat_rows(view: &View, heat: &Heatmap, traces: &Url) -> Vec<HeatRow> {
    let mut cells: Vec<_> = heat.cells.iter().collect();
    cells.sort_by_key(|c| {
        (std::cmp::Reverse(c.errors), std::cmp::Reverse(c.b), std::cmp::Reverse(c.t))
    });
    cells
        .into_iter()
        .take(HEAT_ROWS)
        .filter_map(|c| {
            let start = heat.times.get(c.t as usize)?.0;
            let (low, high) =
                (*heat.bounds_ns.get(c.b as usize)?, *heat.bounds_ns.get(c.b as usize + 1)?);
            let url = between(traces.clone(), low, high)
                .set("from", rfc3339(start))
                .set("to", rfc3339(start.saturating_add(heat.step_ns)));
            Some(HeatRow {
                time: view.zone.second(start),
                range: format!("{} – {}", number::duration(low), number::duration(high)),
                calls: number::exact(c.count),
                errors: number::exact(c.errors),
                href: url.to_string(),
            })
        })
        .collect()
}

fn exemplar(view: &View, e: &ExemplarTrace) -> Exemplar {
    Exemplar {
        picked: e.picked.clone(),
        why: match e.picked.as_str() {
            "slowest" => "among the slowest calls",
            "p99" => "near the 99th percentile",
            "p95" => "near the 95th percentile",
            "median" => "an ordinary call",
            "error" => "a failed call",
            _ => "",
        },
        href: view.trace(&e.trace_id).set("span", &e.span_id).to_string(),
        short_id: e.trace_id.chars().take(8).collect(),
        time: view.zone.milli(e.start_time.0),
        duration: number::duration(e.duration_ns),
        failed: e.status_code == "ERROR",
    }
}
