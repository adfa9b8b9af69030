//! `/services`: rankings and the inventory.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use futures::try_join;
use headrope_query::QueryError;
use headrope_query::answer::service::{RankScope, ServiceRow, TopQuery, TopRow};
use headrope_query::answer::{RankBy, SpanScope};

use super::Start;
use crate::error::{PageError, render};
use crate::export::Format;
use crate::frame::{Choice, Frame};
use crate::part::rank::{self, Ranking};
use crate::part::table::{Column, Head, Order, figure, text};
use crate::part::{Cells, pct, tone};
use crate::view::View;
use crate::{Ui, number, sql_text};

const SIZES: [usize; 4] = [5, 10, 25, 50];
const COLUMNS: [Column; 12] = [
    text("service", "Service"),
    text("language", "Language"),
    text("versions", "Version"),
    figure("instances", "Instances", "Distinct service.instance.id"),
    figure("hosts", "Hosts", "Distinct host.name"),
    figure("calls", "Calls", "Requests answered"),
    figure("errors", "Failed", "Share of calls with status ERROR"),
    figure("p50", "p50", "Median response time"),
    figure("p95", "p95", "95th percentile"),
    figure("p99", "p99", "99th percentile"),
    figure("max", "Max", "Slowest call"),
    figure("total", "Total time", "Sum of the response times"),
];

/// A service in the inventory.
struct Row {
    service: String,
    tone: u64,
    href: String,
    language: String,
    versions: String,
    versions_all: String,
    instances: String,
    hosts: String,
    hosts_all: String,
    cells: Cells,
    width: String,
}

#[derive(Template)]
#[template(path = "services.html")]
struct Page {
    f: Frame,
    start: Option<Start>,
    scopes: Vec<Choice>,
    sizes: Vec<Choice>,
    spans: Vec<Choice>,
    rankings: Vec<Ranking>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    csv: String,
    json: String,
    sql: String,
}

/// The five rankings of a scope, in the order of [`RANKS`].
type Ranks = [Vec<TopRow>; 5];

const RANKS: [(RankBy, &str, &str, &str, &str); 5] = [
    (RankBy::Calls, "calls", "Most called", "by number of calls", "calls"),
    (RankBy::Slowest, "slowest", "Slowest", "by the single slowest call", "max_ns"),
    (RankBy::TotalTime, "total_time", "Hotspots", "by the sum of response times", "total_ns"),
    (RankBy::Errors, "errors", "Most failures", "by number of errors", "errors"),
    (RankBy::P99, "p99", "Slowest at p99", "by the 99th percentile", "p99_ns"),
];

/// `GET /services`.
pub(crate) async fn page(State(ui): State<Ui>, view: View) -> Result<Response, PageError> {
    let scope = match view.param("scope") {
        Some("operation") => RankScope::Operation,
        _ => RankScope::Service,
    };
    let spans = if view.param("spans") == Some("all") { SpanScope::All } else { SpanScope::Entry };
    let n = view.rows(10, 100);
    let (range, by) = (view.range, RankBy::Calls);
    let base = TopQuery { range, scope, by, reference: None, spans, service: None, limit: n };
    if let (Some(format), Some(by)) = (Format::of(&view), view.param("by")) {
        return ranking_file(&ui, &view, base, format, by).await;
    }
    let (inventory, ranks) = try_join!(ui.answers.services(view.range), ranks(&ui, &base))
        .map_err(|e| view.fail(&ui, &e))?;
    let order = Order::read(&view, &COLUMNS, "total");
    let inventory = sorted(inventory, order);
    if let Some(format) = Format::of(&view) {
        return Ok(format.send("services", &inventory, &HEADER, fields));
    }
    let page = Page {
        f: Frame::new(&ui, &view, "services", "Services").here("Services"),
        start: inventory.is_empty().then(|| Start::new(&ui, &view)),
        scopes: choices(&view, "scope", &[("", "Services"), ("operation", "Operations")]),
        sizes: sizes(&view, n),
        spans: choices(&view, "spans", &[("", "Requests"), ("all", "All spans")]),
        rankings: rankings(&view, &ranks, &base),
        heads: order.heads(&view, &COLUMNS),
        rows: inventory_rows(&view, &inventory),
        csv: view.here().set("format", "csv").to_string(),
        json: view.here().set("format", "json").to_string(),
        sql: sql_text::open(&view, &inventory_sql(&view)),
    };
    Ok(render(&page))
}

fn inventory_sql(view: &View) -> String {
    sql_text::figures(
        "service_name, service_version, telemetry_sdk_language",
        view.range,
        sql_text::ENTRY,
        "total_ns",
        1000,
    )
}

async fn ranks(ui: &Ui, base: &TopQuery) -> Result<Ranks, QueryError> {
    let by = |by| TopQuery { by, ..base.clone() };
    let [a, b, c, d, e] = RANKS.map(|(key, ..)| by(key));
    let (a, b, c, d, e) = try_join!(
        ui.answers.top(&a),
        ui.answers.top(&b),
        ui.answers.top(&c),
        ui.answers.top(&d),
        ui.answers.top(&e)
    )?;
    Ok([a, b, c, d, e].map(|top| top.rows))
}

async fn ranking_file(
    ui: &Ui,
    view: &View,
    base: TopQuery,
    format: Format,
    by: &str,
) -> Result<Response, PageError> {
    let by = RANKS.iter().find(|r| r.1 == by).map_or(RankBy::TotalTime, |r| r.0);
    let rows = ui
        .answers
        .top(&TopQuery { by, limit: 1000, ..base })
        .await
        .map_err(|e| view.fail(ui, &e))?
        .rows;
    let header = [
        "service",
        "operation",
        "calls",
        "errors",
        "p50_ns",
        "p95_ns",
        "p99_ns",
        "max_ns",
        "total_time_ns",
        "share",
    ];
    Ok(format.send("ranking", &rows, &header, |r| {
        vec![
            r.service.clone(),
            r.operation.clone().unwrap_or_default(),
            r.stats.calls.to_string(),
            r.stats.errors.to_string(),
            r.stats.p50_ns.to_string(),
            r.stats.p95_ns.to_string(),
            r.stats.p99_ns.to_string(),
            r.stats.max_ns.to_string(),
            r.stats.total_time_ns.to_string(),
            r.share.to_string(),
        ]
    }))
}

const HEADER: [&str; 13] = [
    "service",
    "language",
    "versions",
    "instances",
    "hosts",
    "calls",
    "errors",
    "p50_ns",
    "p95_ns",
    "p99_ns",
    "max_ns",
    "total_time_ns",
    "last_seen",
];

fn fields(r: &ServiceRow) -> Vec<String> {
    vec![
        r.service.clone(),
        r.language.clone().unwrap_or_default(),
        r.versions.join(" "),
        r.instances.to_string(),
        r.hosts.join(" "),
        r.stats.calls.to_string(),
        r.stats.errors.to_string(),
        r.stats.p50_ns.to_string(),
        r.stats.p95_ns.to_string(),
        r.stats.p99_ns.to_string(),
        r.stats.max_ns.to_string(),
        r.stats.total_time_ns.to_string(),
        r.last_seen.rfc3339(),
    ]
}

fn choices(view: &View, key: &str, options: &[(&str, &str)]) -> Vec<Choice> {
    let chosen = view.param(key).unwrap_or_default();
    options
        .iter()
        .map(|(value, label)| Choice {
            label: (*label).to_owned(),
            href: if value.is_empty() { view.without(key) } else { view.with(key, value) }
                .to_string(),
            icon: "",
            active: chosen == *value,
        })
        .collect()
}

fn sizes(view: &View, n: usize) -> Vec<Choice> {
    SIZES
        .iter()
        .map(|size| Choice {
            label: size.to_string(),
            href: view.with("n", size).to_string(),
            icon: "",
            active: *size == n,
        })
        .collect()
}

fn rankings(view: &View, ranks: &Ranks, base: &TopQuery) -> Vec<Ranking> {
    let columns = match base.scope {
        RankScope::Service => "service_name",
        RankScope::Operation => "service_name, name",
        RankScope::Statement => "service_name, db_query_summary, db_query_text",
        RankScope::Host => "host_name",
        RankScope::Peer => "service_name, service_peer_name, server_address, db_system_name",
    };
    let condition = if base.spans == SpanScope::All { "true" } else { sql_text::ENTRY };
    RANKS
        .iter()
        .zip(ranks)
        .map(|((by, id, title, hint, column), rows)| {
            let sql = sql_text::figures(columns, view.range, condition, column, base.limit);
            Ranking {
                id,
                title,
                hint,
                rows: rank::rows(view, *by, rows),
                more: None,
                sql: Some(sql_text::open(view, &sql)),
                csv: Some(view.here().set("format", "csv").set("by", id).to_string()),
            }
        })
        .collect()
}

fn sorted(mut rows: Vec<ServiceRow>, order: Order) -> Vec<ServiceRow> {
    rows.sort_by(|a, b| a.service.cmp(&b.service));
    order.sort(&mut rows, |a, b| match order.key {
        "service" => a.service.cmp(&b.service),
        "language" => a.language.cmp(&b.language),
        "versions" => a.versions.cmp(&b.versions),
        "instances" => a.instances.cmp(&b.instances),
        "hosts" => a.hosts.len().cmp(&b.hosts.len()),
        "calls" => a.stats.calls.cmp(&b.stats.calls),
        "errors" => a.stats.error_rate.total_cmp(&b.stats.error_rate),
        "p50" => a.stats.p50_ns.cmp(&b.stats.p50_ns),
        "p95" => a.stats.p95_ns.cmp(&b.stats.p95_ns),
        "p99" => a.stats.p99_ns.cmp(&b.stats.p99_ns),
        "max" => a.stats.max_ns.cmp(&b.stats.max_ns),
        _ => a.stats.total_time_ns.cmp(&b.stats.total_time_ns),
    });
    rows
}

fn inventory_rows(view: &View, rows: &[ServiceRow]) -> Vec<Row> {
    let most = rows.iter().map(|r| r.stats.total_time_ns).max().unwrap_or(0).max(1) as f64;
    rows.iter()
        .map(|r| Row {
            service: r.service.clone(),
            tone: tone(&r.service),
            href: view.service(&r.service).to_string(),
            language: r.language.clone().unwrap_or_default(),
            versions: brief(&r.versions),
            versions_all: r.versions.join(", "),
            instances: number::count(r.instances),
            hosts: number::count(r.hosts.len() as u64),
            hosts_all: r.hosts.join(", "),
            cells: Cells::of(&r.stats),
            width: pct(r.stats.total_time_ns as f64 / most),
        })
        .collect()
}

/// The last of a sorted list and how many others there are.
pub(crate) fn brief(list: &[String]) -> String {
    match list {
        [] => "–".to_owned(),
        [only] => only.clone(),
        [.., last] => format!("{last} +{}", list.len() - 1),
    }
}
