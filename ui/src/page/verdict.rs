//! `/verdict`: why requests are slower or fail more than before, who is to blame, what to do.

use askama::Template;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures::join;
use headrope_model::TimeRange;
use headrope_query::answer::verdict::{CulpritRow, LedgerRow, Verdict, VerdictQuery, Window};

use super::Start;
use crate::error::{PageError, render};
use crate::frame::{Choice, Frame};
use crate::part::unusual::{self, Unusual};
use crate::part::{pct, tone};
use crate::view::View;
use crate::{Ui, number};

/// Lines of the ledger that are shown.
const LINES: usize = 12;
/// Stretches of unusual minutes that are shown.
const UNUSUAL: usize = 10;
const DAY_NS: i64 = 86_400_000_000_000;
/// What the window may be compared with: parameter, words, how long before.
const REFERENCES: [(&str, &str, i64); 3] =
    [("", "Just before", 0), ("1d", "A day before", DAY_NS), ("7d", "A week before", 7 * DAY_NS)];

/// Somebody who is suspected.
struct Suspect {
    tone: u64,
    name: String,
    href: String,
    details: String,
    cause: String,
    action: String,
    share: String,
    width: String,
    confidence: String,
    added: String,
    by: String,
}

/// A part of the time that was added.
struct Part {
    tone: u64,
    service: String,
    href: String,
    what: String,
    title: String,
    added: String,
    share: String,
    /// Whether requests got faster by it.
    is_less: bool,
    width: String,
    before: String,
    now: String,
}

/// What requests can do without.
struct Weak {
    name: String,
    takes: String,
    says: String,
}

/// A figure of what the verdict rests on.
struct Fact {
    label: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct Page {
    f: Frame,
    start: Option<Start>,
    /// What is judged, and the address without that restriction.
    scope: Option<(String, String)>,
    references: Vec<Choice>,
    /// `bad`, `warn` or `fine`.
    mood: &'static str,
    icon: &'static str,
    action: String,
    summary: String,
    abstains: Option<&'static str>,
    facts: Vec<Fact>,
    unusual: Unusual,
    suspects: Vec<Suspect>,
    excess: String,
    usual: String,
    parts: Vec<Part>,
    others: String,
    evidence: Vec<String>,
    refuted: Vec<(String, String)>,
    weak: Vec<Weak>,
    trust: Vec<Fact>,
    advice: Vec<String>,
    markdown: String,
    markdown_href: String,
    json_href: String,
    traces: Option<String>,
}

/// `GET /verdict`.
pub(crate) async fn page(State(ui): State<Ui>, view: View) -> Result<Response, PageError> {
    let query = question(&view);
    let (found, unusual) = join!(ui.answers.verdict(&query), unusual(&ui, &view, UNUSUAL));
    let found = found.map_err(|e| view.fail(&ui, &e))?;
    let markdown = found.markdown();
    match view.param("format") {
        Some("json") => return Ok(axum::Json(found).into_response()),
        Some("markdown") => {
            let mime = [(CONTENT_TYPE, "text/markdown; charset=utf-8")];
            return Ok((mime, markdown).into_response());
        }
        _ => {}
    }
    let (mood, icon) = mood(&found);
    let trust = &found.trust;
    let page = Page {
        f: Frame::new(&ui, &view, "verdict", "Verdict").here("Verdict"),
        start: (trust.spans == [0, 0]).then(|| Start::new(&ui, &view)),
        scope: scope(&query).map(|scope| (scope, view.to("/verdict").to_string())),
        references: references(&view),
        mood,
        icon,
        action: action(&found, unusual.worse()),
        summary: sentence(&found.summary),
        abstains: found.abstains,
        facts: facts(&view, &found),
        unusual,
        suspects: found.culprits.iter().map(|row| suspect(&view, row)).collect(),
        excess: signed(found.ledger.excess_ns),
        usual: number::duration(found.ledger.reference_ns),
        parts: parts(&view, &found),
        others: signed(found.ledger.others_ns + rest(&found)),
        evidence: found.evidence.iter().map(|evidence| evidence.text.clone()).collect(),
        refuted: found.refuted.iter().map(|r| (words(r.cause), r.because.clone())).collect(),
        weak: weak(&found),
        trust: rests_on(&found),
        advice: trust.advice.clone(),
        markdown,
        markdown_href: view.here().set("format", "markdown").to_string(),
        json_href: view.here().set("format", "json").to_string(),
        traces: found.culprits.first().map(|first| {
            let traces = view.to("/traces").set("service", &first.service);
            traces.set("order", "slowest").to_string()
        }),
    };
    Ok(render(&page))
}

/// What was unusual in the window.
pub(super) async fn unusual(ui: &Ui, view: &View, most: usize) -> Unusual {
    unusual::unusual(view, ui.answers.anomalies(view.range).await, most)
}

/// What the address asks.
fn question(view: &View) -> VerdictQuery {
    let text = |key: &str| view.param(key).map(str::to_owned);
    let before = REFERENCES.iter().find(|(key, ..)| Some(*key) == view.param("reference"));
    let shifted = |by: i64| {
        let (from, to) = (view.range.from(), view.range.to());
        TimeRange::new(from.saturating_sub(by), to.saturating_sub(by))
    };
    VerdictQuery {
        range: view.range,
        reference: before.and_then(|(.., by)| shifted(*by)),
        service: text("service"),
        operation: text("operation"),
    }
}

fn scope(query: &VerdictQuery) -> Option<String> {
    match (&query.service, &query.operation) {
        (Some(service), Some(operation)) => Some(format!("{operation} of {service}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

fn references(view: &View) -> Vec<Choice> {
    let chosen = view.param("reference").unwrap_or_default();
    let choice = |(key, label, _): &(&str, &str, i64)| Choice {
        label: (*label).to_owned(),
        href: match key.is_empty() {
            true => view.without("reference").to_string(),
            false => view.with("reference", key).to_string(),
        },
        icon: "",
        active: chosen == *key,
    };
    REFERENCES.iter().map(choice).collect()
}

fn mood(found: &Verdict) -> (&'static str, &'static str) {
    match (found.confident, found.abstains) {
        (true, _) => ("bad", "circle-alert"),
        (false, Some(_)) => ("warn", "circle-help"),
        (false, None) => ("fine", "check"),
    }
}

fn words(name: &str) -> String {
    sentence(&name.replace('_', " "))
}

/// A text that begins with a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// What to do, in a few words; some services may have been worse for a part of the window.
fn action(found: &Verdict, worse: usize) -> String {
    match (found.action, found.confident) {
        ("none", _) if worse > 0 => "Nothing to do for the window as a whole".to_owned(),
        ("none", _) => "Nothing to do".to_owned(),
        ("unknown", false) => "No verdict".to_owned(),
        ("unknown", true) => "Look closer: the cause is not known".to_owned(),
        (other, _) => words(other),
    }
}

fn signed(ns: i64) -> String {
    format!("{}{}", if ns > 0 { "+" } else { "" }, number::duration(ns))
}

fn facts(view: &View, found: &Verdict) -> Vec<Fact> {
    let during = |window: Window| {
        format!("{} – {}", view.zone.second(window.from.0), view.zone.second(window.to.0))
    };
    let mut facts = vec![Fact { label: "Window", value: during(found.window) }];
    let chosen = if found.reference_chosen == "asked" { "" } else { " (just before)" };
    let reference = format!("{}{chosen}", during(found.reference));
    facts.push(Fact { label: "Against", value: reference });
    if let Some(first) = found.culprits.first().filter(|_| found.confident) {
        facts.push(Fact { label: "Confidence", value: number::percent(first.confidence) });
    }
    facts
}

fn suspect(view: &View, row: &CulpritRow) -> Suspect {
    let name = row.peer.as_ref().unwrap_or(&row.service);
    let called_by = row.peer.as_ref().map(|_| format!("called by {}", row.service));
    let texts = [&row.statement, &row.operation, &row.instance, &row.host];
    let details = called_by.into_iter().chain(texts.into_iter().flatten().cloned());
    let harm = row.harm;
    let kinds = [
        ("own work", harm.work),
        ("the way to it", harm.way),
        ("calling more often", harm.calls),
        ("failing", harm.failure),
        ("doing something else", harm.shape),
    ];
    let by = kinds.iter().filter(|(_, part)| *part > 0.0);
    let by: Vec<String> =
        by.map(|(kind, part)| format!("{kind} {}", number::percent(*part))).collect();
    Suspect {
        tone: tone(&row.service),
        name: name.clone(),
        href: view.service(&row.service).to_string(),
        details: details.filter(|text| text != name).collect::<Vec<_>>().join(" · "),
        cause: words(row.cause),
        action: words(row.action),
        share: number::percent(row.share),
        width: pct(row.share),
        confidence: number::percent(row.confidence),
        added: signed(row.added_ns),
        by: by.join(", "),
    }
}

fn parts(view: &View, found: &Verdict) -> Vec<Part> {
    let lines = || found.ledger.lines.iter().take(LINES);
    let most = lines().map(|line| line.added_ns.unsigned_abs()).max().unwrap_or(0).max(1) as f64;
    lines()
        .map(|line| Part {
            tone: tone(&line.service),
            service: line.service.clone(),
            href: view.operation(&line.service, &line.operation).to_string(),
            what: what(line),
            title: line.statement.clone().unwrap_or_else(|| line.operation.clone()),
            added: signed(line.added_ns),
            share: number::percent(line.share),
            is_less: line.added_ns < 0,
            width: pct(line.added_ns.unsigned_abs() as f64 / most),
            before: each(line, 0),
            now: each(line, 1),
        })
        .collect()
}

fn what(line: &LedgerRow) -> String {
    let to = line.to.as_deref().unwrap_or_default();
    match line.wait {
        "way" => format!("{}, the way to {to}", line.operation),
        "remote" => format!("{} → {to}", line.operation),
        _ => line.operation.clone(),
    }
}

/// Mean time of each such span with how many there were; a dash where there was none.
fn each(line: &LedgerRow, at: usize) -> String {
    match (line.spans.get(at), line.each_ns.get(at)) {
        (Some(0), _) | (None, _) | (_, None) => "–".to_owned(),
        (Some(spans), Some(ns)) => {
            format!("{} × {}", number::count(*spans), number::duration(*ns))
        }
    }
}

/// What the lines that are not shown add.
fn rest(found: &Verdict) -> i64 {
    found.ledger.lines.iter().skip(LINES).map(|line| line.added_ns).sum()
}

fn weak(found: &Verdict) -> Vec<Weak> {
    found
        .degradable
        .iter()
        .map(|row| Weak {
            name: row.name.clone(),
            takes: format!("{} of a request", number::duration(row.time_ns)),
            says: format!(
                "{} of {} requests that called it in vain failed",
                number::count(row.failed_too),
                number::count(row.failed)
            ),
        })
        .collect()
}

fn rests_on(found: &Verdict) -> Vec<Fact> {
    let trust = &found.trust;
    let both = |[before, now]: [u64; 2]| {
        format!("{} against {}", number::count(now), number::count(before))
    };
    let least = trust.sampled.iter().copied().fold(1.0, f64::min);
    vec![
        Fact { label: "Requests", value: both(trust.requests) },
        Fact { label: "Spans read", value: both(trust.read) },
        Fact { label: "Looked at", value: format!("{} of the requests", number::percent(least)) },
        Fact { label: "Without root", value: number::percent(trust.rootless) },
        Fact {
            label: "Signals known",
            value: format!("of {} of the services", number::percent(trust.covered)),
        },
        Fact {
            label: "Compared",
            value: format!("{} of the requests", number::percent(found.ledger.compared)),
        },
        Fact { label: "Rules", value: format!("version {}", found.rules_version) },
    ]
}
