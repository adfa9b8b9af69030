//! `/`: is it bad, since when, where next.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::join;
use headrope_query::answer::service::Overview;
use headrope_query::answer::{RankBy, Stats};

use super::Start;
use crate::chart::{self, Red};
use crate::error::{PageError, render};
use crate::frame::Frame;
use crate::part::rank::{self, Ranking};
use crate::part::unusual::Unusual;
use crate::view::View;
use crate::{Ui, number, sql_text};

/// Stretches of unusual minutes that are shown.
const UNUSUAL: usize = 5;

/// A figure with its change against the window before.
#[derive(Debug, Clone)]
struct Kpi {
    label: &'static str,
    value: String,
    detail: String,
    change: String,
    before: String,
    /// `worse`, `better` or empty.
    tone: &'static str,
}

/// What is stored of one kind.
#[derive(Debug, Clone)]
struct Stored {
    label: &'static str,
    value: String,
    exact: String,
    icon: &'static str,
    href: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    f: Frame,
    start: Option<Start>,
    /// Whether the figures are of what users asked for.
    has_roots: bool,
    verdict: String,
    unusual: Unusual,
    kpis: Vec<Kpi>,
    red: Red,
    rankings: Vec<Ranking>,
    stored: Vec<Stored>,
}

/// `GET /`.
pub(crate) async fn page(State(ui): State<Ui>, view: View) -> Result<Response, PageError> {
    let (overview, unusual) =
        join!(ui.answers.overview(view.range), super::verdict::unusual(&ui, &view, UNUSUAL));
    let overview = overview.map_err(|e| view.fail(&ui, &e))?;
    let empty = overview.spans == 0 && overview.logs == 0 && overview.points == 0;
    let page = Page {
        f: Frame::new(&ui, &view, "overview", "Overview").here("Overview"),
        start: empty.then(|| Start::new(&ui, &view)),
        has_roots: overview.totals_of == "root",
        verdict: view.to("/verdict").to_string(),
        unusual,
        kpis: kpis(&overview),
        red: chart::red(&overview.series, &view.zone),
        rankings: rankings(&view, &overview),
        stored: stored(&view, &overview),
    };
    Ok(render(&page).into_response())
}

fn kpis(o: &Overview) -> Vec<Kpi> {
    let (now, before) = (&o.totals, &o.previous);
    let latency = |label, pick: fn(&Stats) -> i64| {
        let (a, b) = (pick(now) as f64, pick(before) as f64);
        Kpi {
            label,
            value: number::duration(pick(now)),
            detail: String::new(),
            change: number::change(a, b),
            before: number::duration(pick(before)),
            tone: judged(a, b, 0.1),
        }
    };
    vec![
        Kpi {
            label: "Traffic",
            value: number::rate(now.rate),
            detail: format!("{} calls", number::count(now.calls)),
            change: number::change(now.rate, before.rate),
            before: number::rate(before.rate),
            tone: "",
        },
        Kpi {
            label: "Failed",
            value: number::percent(now.error_rate),
            detail: format!("{} calls", number::count(now.errors)),
            change: number::change(now.error_rate, before.error_rate),
            before: number::percent(before.error_rate),
            tone: judged(now.error_rate, before.error_rate, 0.2),
        },
        latency("p50", |s| s.p50_ns),
        latency("p95", |s| s.p95_ns),
        latency("p99", |s| s.p99_ns),
        latency("Slowest", |s| s.max_ns),
    ]
}

/// Whether a figure where less is better moved by more than a tolerance.
fn judged(now: f64, before: f64, tolerance: f64) -> &'static str {
    if now > before * (1.0 + tolerance) {
        "worse"
    } else if now < before * (1.0 - tolerance) {
        "better"
    } else {
        ""
    }
}

fn rankings(view: &View, o: &Overview) -> Vec<Ranking> {
    let of = |id, title, hint, by, rows: &[_], more: String, sql: String| Ranking {
        id,
        title,
        hint,
        rows: rank::rows(view, by, rows),
        more: Some(more),
        sql: Some(sql_text::open(view, &sql)),
        csv: None,
    };
    let operations = "service_name, name";
    vec![
        of(
            "hotspots",
            "Hotspots",
            "services by total response time",
            RankBy::TotalTime,
            &o.hotspots,
            view.to("/services").to_string(),
            sql_text::figures("service_name", view.range, sql_text::ENTRY, "total_ns", 10),
        ),
        of(
            "slowest",
            "Slowest operations",
            "by p99",
            RankBy::P99,
            &o.slowest,
            view.to("/services").set("scope", "operation").to_string(),
            sql_text::figures(operations, view.range, sql_text::ENTRY, "p99_ns", 10),
        ),
        of(
            "failing",
            "Failing operations",
            "by number of errors",
            RankBy::Errors,
            &o.failing,
            view.to("/traces").set("status", "error").to_string(),
            sql_text::figures(operations, view.range, "status_code = 'ERROR'", "errors", 10),
        ),
    ]
}

fn stored(view: &View, o: &Overview) -> Vec<Stored> {
    let count = |table: &str, column: &str| {
        let sql = format!(
            "SELECT service_name, count(*) AS n\nFROM {table}\nWHERE {}\nGROUP BY service_name\nORDER BY n DESC",
            sql_text::during(column, view.range)
        );
        sql_text::open(view, &sql)
    };
    let of = |label, value: u64, icon, href: String| Stored {
        label,
        value: number::count(value),
        exact: number::exact(value),
        icon,
        href,
    };
    vec![
        of("services", o.services, "boxes", view.to("/services").to_string()),
        of("spans", o.spans, "waypoints", count("spans", "start_time")),
        of("log records", o.logs, "scroll-text", view.to("/logs").to_string()),
        of("metric points", o.points, "activity", count("metrics", "time")),
    ]
}
