//! `/traces/{id}`: the call chain, opened on the span to look at first.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use headrope_model::TraceId;
use headrope_query::answer::trace::{ServiceTime, Trace, TraceSpan};

use super::service::named;
use super::trace_data::{self, Palette};
use crate::error::{PageError, render};
use crate::frame::Frame;
use crate::part::{Island, pct};
use crate::view::View;
use crate::{Ui, number, sql_text};

/// A span in the table for those who cannot use the timeline.
struct Row {
    depth: u32,
    href: String,
    service: String,
    name: String,
    kind: String,
    start: String,
    duration: String,
    own: String,
    failed: bool,
    critical: String,
}

/// A service's share of the trace.
struct Share {
    service: String,
    href: String,
    tone: usize,
    spans: String,
    errors: u64,
    own: String,
    critical: String,
    critical_share: String,
    width: String,
}

#[derive(Template)]
#[template(path = "trace.html")]
struct Page {
    f: Frame,
    trace_id: String,
    root_service: String,
    root_name: String,
    started: String,
    started_rfc3339: String,
    duration: String,
    spans: String,
    errors: u64,
    services: usize,
    depth: u32,
    warnings: Vec<String>,
    why: &'static str,
    data: Island,
    shares: Vec<Share>,
    rows: Vec<Row>,
    rows_cut: bool,
    log_count: u64,
    logs: String,
    json: String,
    sql: String,
    reload: String,
}

/// Spans in the table under the timeline.
const ROWS: usize = 200;

/// `GET /traces/{id}`.
pub(crate) async fn page(
    State(ui): State<Ui>,
    Path(segment): Path<String>,
    view: View,
) -> Result<Response, PageError> {
    let text = named(&view, "id", &segment);
    let id: TraceId = text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("“{shown}” is not a trace id: it has 32 hex digits, not all zero.");
        view.stop(&ui, StatusCode::NOT_FOUND, "No such trace", detail)
    })?;
    let fresh = view.param("fresh").is_some();
    let trace = ui.trace(id, view.now, fresh).await.map_err(|e| view.fail(&ui, &e))?;
    Ok(render(&build(&ui, &view, &trace)))
}

fn build(ui: &Ui, view: &View, trace: &Trace) -> Page {
    let palette = Palette::of(trace);
    let root = trace.spans.first();
    let (service, name) = root.map_or(("–", "–"), |s| (s.service.as_str(), s.name.as_str()));
    let start = trace.start_time.0;
    let (selected, why) = trace_data::selected(trace, view.param("span"));
    Page {
        f: Frame::new(ui, view, "trace", format!("{name} · {service}"))
            .crumb("Overview", view.to("/"))
            .crumb("Traces", view.to("/traces"))
            .crumb(service, view.service(service))
            .here(trace.trace_id.clone()),
        trace_id: trace.trace_id.clone(),
        root_service: service.to_owned(),
        root_name: name.to_owned(),
        started: view.zone.milli(start),
        started_rfc3339: crate::zone::rfc3339(start),
        duration: number::duration(trace.duration_ns),
        spans: number::exact(trace.span_count),
        errors: trace.error_count,
        services: trace.services.len(),
        depth: trace.depth + 1,
        warnings: warnings(trace),
        why,
        data: Island::of(&trace_data::head(trace, &palette, selected)),
        shares: trace.services.iter().map(|s| share(view, trace, &palette, s)).collect(),
        rows: trace.spans.iter().take(ROWS).map(|s| row(view, trace, s)).collect(),
        rows_cut: trace.spans.len() > ROWS,
        log_count: trace.log_count,
        logs: around(view, trace).set("trace", &trace.trace_id).to_string(),
        json: format!("/api/v1/traces/{}", trace.trace_id),
        sql: sql_text::open(view, &sql(trace)),
        reload: view.here().set("fresh", "1").to_string(),
    }
}

/// The log page over the time of the trace and ten minutes on both sides.
pub(crate) fn around(view: &View, trace: &Trace) -> crate::url::Url {
    const MARGIN: i64 = 600_000_000_000;
    let (from, to) = (trace.start_time.0, trace.start_time.0.saturating_add(trace.duration_ns));
    view.to("/logs")
        .set("from", crate::zone::rfc3339(from.saturating_sub(MARGIN)))
        .set("to", crate::zone::rfc3339(to.saturating_add(MARGIN)))
}

fn sql(trace: &Trace) -> String {
    format!(
        "SELECT start_time, duration_ns, service_name, name, kind, status_code, span_id, parent_span_id, attributes\n\
         FROM spans\nWHERE trace_id = '{}'\nORDER BY start_time\nLIMIT 1000",
        trace.trace_id
    )
}

/// `1 span was`, `2 spans were`.
fn spans(n: u64, one: &str, many: &str) -> String {
    if n == 1 { format!("1 span {one}") } else { format!("{} spans {many}", number::exact(n)) }
}

fn warnings(trace: &Trace) -> Vec<String> {
    let mut out = Vec::new();
    if trace.orphans > 0 {
        out.push(format!(
            "{} a parent that did not arrive: parts of the chain are missing, or still on their way.",
            spans(trace.orphans, "names", "name")
        ));
    }
    if trace.skewed > 0 {
        out.push(format!(
            "{} shifted because of a clock that disagreed with its caller's.",
            spans(trace.skewed, "was", "were")
        ));
    }
    if trace.duplicates > 0 {
        let dropped = spans(trace.duplicates, "arrived twice and was", "arrived twice and were");
        out.push(format!("{dropped} dropped once."));
    }
    let held = trace.spans.len() as u64;
    if held < trace.span_count {
        out.push(format!(
            "This trace has {} spans; the first {} in call order are shown.",
            number::exact(trace.span_count),
            number::exact(held)
        ));
    }
    out
}

fn share(view: &View, trace: &Trace, palette: &Palette, s: &ServiceTime) -> Share {
    let part = s.critical_ns as f64 / trace.duration_ns.max(1) as f64;
    Share {
        service: s.service.clone(),
        href: view.service(&s.service).to_string(),
        tone: palette.tone(&s.service),
        spans: number::exact(s.spans),
        errors: s.errors,
        own: number::duration(s.self_ns),
        critical: number::duration(s.critical_ns),
        critical_share: number::percent(part),
        width: pct(part),
    }
}

fn row(view: &View, trace: &Trace, s: &TraceSpan) -> Row {
    let critical: i64 = s.critical.iter().map(|p| p.to_ns - p.from_ns).sum();
    Row {
        depth: s.depth,
        href: view.trace(&trace.trace_id).set("span", &s.span_id).to_string(),
        service: s.service.clone(),
        name: s.name.clone(),
        kind: s.kind.to_lowercase(),
        start: format!("+{}", number::duration(s.offset_ns)),
        duration: number::duration(s.duration_ns),
        own: number::duration(s.self_ns),
        failed: s.status_code == "ERROR",
        critical: if critical > 0 { number::duration(critical) } else { String::new() },
    }
}
