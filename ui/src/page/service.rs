//! `/services/{service}`: how it does, what it does, what it waits for, what it runs on.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use futures::try_join;
use headrope_query::QueryError;
use headrope_query::answer::service::{
    DependencyRow, MetricSeries, OperationRow, Series, ServiceRow,
};
use headrope_query::answer::trace::{TraceOrder, TracePage, TraceQuery};

use super::Start;
use super::services::brief;
use crate::chart::{self, Chart, Red};
use crate::error::{PageError, render};
use crate::export::Format;
use crate::frame::Frame;
use crate::part::table::{Column, Head, Order, figure, text};
use crate::part::traces::{self, TraceRow};
use crate::part::{Cells, pct, tone};
use crate::view::View;
use crate::{Ui, number, sql_text};

const COLUMNS: [Column; 8] = [
    text("operation", "Operation"),
    text("kind", "Kind"),
    figure("calls", "Calls", "Spans of this name"),
    figure("errors", "Failed", "Share of calls with status ERROR"),
    figure("p50", "p50", "Median"),
    figure("p99", "p99", "99th percentile"),
    figure("max", "Max", "Slowest call"),
    figure("total", "Total time", "Sum of the durations"),
];
/// Traces shown of each kind.
const TRACES: usize = 8;

struct Operation {
    name: String,
    href: String,
    kind: String,
    cells: Cells,
    width: String,
}

struct Dependency {
    kind: String,
    icon: &'static str,
    peer: String,
    cells: Cells,
    width: String,
}

struct Fact {
    label: &'static str,
    value: String,
    title: String,
}

#[derive(Template)]
#[template(path = "service.html")]
struct Page {
    f: Frame,
    service: String,
    tone: u64,
    start: Option<Start>,
    cells: Option<Cells>,
    facts: Vec<Fact>,
    red: Red,
    heads: Vec<Head>,
    operations: Vec<Operation>,
    dependencies: Vec<Dependency>,
    resources: Vec<Chart>,
    slow: Vec<TraceRow>,
    failed: Vec<TraceRow>,
    logs: String,
    error_logs: String,
    verdict: String,
    traces: String,
    failed_traces: String,
    csv: String,
    json: String,
    sql: String,
    dependencies_sql: String,
}

/// What the page asks for, all at once.
struct Answers {
    services: Vec<ServiceRow>,
    series: Series,
    operations: Vec<OperationRow>,
    dependencies: Vec<DependencyRow>,
    resources: Vec<MetricSeries>,
    slow: TracePage,
    failed: TracePage,
}

async fn ask(ui: &Ui, view: &View, service: &str) -> Result<Answers, QueryError> {
    let slow = query(view, service, TraceOrder::Slowest, false);
    let failed = query(view, service, TraceOrder::Newest, true);
    let (services, series, operations, dependencies, resources, slow, failed) = try_join!(
        ui.answers.services(view.range),
        ui.answers.series(Some(service), view.range),
        ui.answers.operations(service, view.range),
        ui.answers.dependencies(service, view.range),
        ui.answers.resources(service, view.range),
        ui.answers.search_traces(&slow),
        ui.answers.search_traces(&failed)
    )?;
    Ok(Answers { services, series, operations, dependencies, resources, slow, failed })
}

fn query(view: &View, service: &str, order: TraceOrder, errors_only: bool) -> TraceQuery {
    TraceQuery {
        range: view.range,
        service: Some(service.to_owned()),
        operation: None,
        min_duration_ns: None,
        max_duration_ns: None,
        errors_only,
        tags: Vec::new(),
        order,
        limit: TRACES,
        cursor: None,
    }
}

/// `GET /services/{service}`.
pub(crate) async fn page(
    State(ui): State<Ui>,
    Path(segment): Path<String>,
    view: View,
) -> Result<Response, PageError> {
    let service = named(&view, "service", &segment);
    let mut answers = ask(&ui, &view, &service).await.map_err(|e| view.fail(&ui, &e))?;
    let order = Order::read(&view, &COLUMNS, "total");
    sort(&mut answers.operations, order);
    if let Some(format) = Format::of(&view) {
        return Ok(file(format, &answers.operations));
    }
    Ok(render(&build(&ui, &view, &service, &answers, order)))
}

/// The text of a path segment, or of its parameter where the segment cannot carry it.
pub(crate) fn named(view: &View, parameter: &str, segment: &str) -> String {
    if segment == "-" {
        view.first(parameter).unwrap_or("-").to_owned()
    } else {
        segment.to_owned()
    }
}

fn build(ui: &Ui, view: &View, service: &str, a: &Answers, order: Order) -> Page {
    let row = a.services.iter().find(|s| s.service == service);
    let to = |path: &str| view.to(path).set("service", service);
    Page {
        f: Frame::new(ui, view, "service", service)
            .crumb("Overview", view.to("/"))
            .crumb("Services", view.to("/services"))
            .here(service),
        service: service.to_owned(),
        tone: tone(service),
        start: (row.is_none() && a.operations.is_empty()).then(|| Start::new(ui, view)),
        cells: row.map(|r| Cells::of(&r.stats)),
        facts: row.map(|r| facts(view, r)).unwrap_or_default(),
        red: chart::red(&a.series, &view.zone),
        heads: order.heads(view, &COLUMNS),
        operations: operations(view, service, &a.operations),
        dependencies: dependencies(&a.dependencies),
        resources: chart::resources(&a.resources),
        slow: traces::rows(view, &a.slow.traces),
        failed: traces::rows(view, &a.failed.traces),
        logs: to("/logs").to_string(),
        error_logs: to("/logs").set("severity", "17").to_string(),
        verdict: to("/verdict").to_string(),
        traces: to("/traces").set("order", "slowest").to_string(),
        failed_traces: to("/traces").set("status", "error").to_string(),
        csv: view.here().set("format", "csv").to_string(),
        json: view.here().set("format", "json").to_string(),
        sql: sql_text::open(view, &operations_sql(view, service)),
        dependencies_sql: sql_text::open(view, &dependencies_sql(view, service)),
    }
}

fn operations_sql(view: &View, service: &str) -> String {
    let condition = format!("service_name = {}", sql_text::quote(service));
    sql_text::figures("name, kind", view.range, &condition, "total_ns", 1000)
}

fn dependencies_sql(view: &View, service: &str) -> String {
    let condition = format!(
        "service_name = {}\n  AND kind IN ('CLIENT', 'PRODUCER')",
        sql_text::quote(service)
    );
    let by = "db_system_name, messaging_destination_name, service_peer_name, server_address";
    sql_text::figures(by, view.range, &condition, "total_ns", 1000)
}

fn facts(view: &View, r: &ServiceRow) -> Vec<Fact> {
    let fact = |label, value: String, title: String| Fact { label, value, title };
    vec![
        fact("Version", brief(&r.versions), r.versions.join(", ")),
        fact("Language", r.language.clone().unwrap_or_else(|| "–".to_owned()), String::new()),
        fact("Instances", number::count(r.instances), String::new()),
        fact("Hosts", r.hosts.join(", "), r.hosts.join(", ")),
        fact("Last span", view.zone.second(r.last_seen.0), view.zone.nano(r.last_seen.0)),
    ]
}

fn operations(view: &View, service: &str, rows: &[OperationRow]) -> Vec<Operation> {
    let most = rows.iter().map(|r| r.stats.total_time_ns).max().unwrap_or(0).max(1) as f64;
    rows.iter()
        .map(|r| Operation {
            name: r.operation.clone(),
            href: view.operation(service, &r.operation).to_string(),
            kind: r.kind.to_lowercase(),
            cells: Cells::of(&r.stats),
            width: pct(r.stats.total_time_ns as f64 / most),
        })
        .collect()
}

fn dependencies(rows: &[DependencyRow]) -> Vec<Dependency> {
    let most = rows.iter().map(|r| r.stats.total_time_ns).max().unwrap_or(0).max(1) as f64;
    rows.iter()
        .map(|r| Dependency {
            kind: r.kind.clone(),
            icon: match r.kind.as_str() {
                "database" => "database",
                "messaging" => "radio",
                "rpc" | "http" => "boxes",
                _ => "external-link",
            },
            peer: r.peer.clone(),
            cells: Cells::of(&r.stats),
            width: pct(r.stats.total_time_ns as f64 / most),
        })
        .collect()
}

fn sort(rows: &mut [OperationRow], order: Order) {
    rows.sort_by(|a, b| a.operation.cmp(&b.operation));
    order.sort(rows, |a, b| match order.key {
        "operation" => a.operation.cmp(&b.operation),
        "kind" => a.kind.cmp(&b.kind),
        "calls" => a.stats.calls.cmp(&b.stats.calls),
        "errors" => a.stats.error_rate.total_cmp(&b.stats.error_rate),
        "p50" => a.stats.p50_ns.cmp(&b.stats.p50_ns),
        "p99" => a.stats.p99_ns.cmp(&b.stats.p99_ns),
        "max" => a.stats.max_ns.cmp(&b.stats.max_ns),
        _ => a.stats.total_time_ns.cmp(&b.stats.total_time_ns),
    });
}

fn file(format: Format, rows: &[OperationRow]) -> Response {
    let header = [
        "operation",
        "kind",
        "calls",
        "errors",
        "p50_ns",
        "p95_ns",
        "p99_ns",
        "max_ns",
        "total_time_ns",
    ];
    format.send("operations", rows, &header, |r| {
        vec![
            r.operation.clone(),
            r.kind.clone(),
            r.stats.calls.to_string(),
            r.stats.errors.to_string(),
            r.stats.p50_ns.to_string(),
            r.stats.p95_ns.to_string(),
            r.stats.p99_ns.to_string(),
            r.stats.max_ns.to_string(),
            r.stats.total_time_ns.to_string(),
        ]
    })
}
