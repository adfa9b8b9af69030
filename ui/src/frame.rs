//! The frame around every page: rail, time, zone, theme, breadcrumb.

use crate::Ui;
use crate::assets;
use crate::number;
use crate::url::Url;
use crate::view::View;
use crate::window::QUICK;

/// A step of the triage path.
#[derive(Debug, Clone)]
pub(crate) struct Crumb {
    pub(crate) label: String,
    /// `None` for the page itself.
    pub(crate) href: Option<String>,
}

/// An entry of a menu.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) label: String,
    pub(crate) href: String,
    pub(crate) icon: &'static str,
    pub(crate) active: bool,
}

/// Everything the frame prints.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) page: &'static str,
    pub(crate) title: String,
    pub(crate) crumbs: Vec<Crumb>,
    pub(crate) nav: Vec<Choice>,
    pub(crate) theme: &'static str,
    pub(crate) slim: bool,
    pub(crate) notice: Option<String>,
    pub(crate) banner: Option<String>,
    pub(crate) window_label: String,
    pub(crate) window_detail: String,
    pub(crate) relative: bool,
    pub(crate) quick: Vec<Choice>,
    pub(crate) earlier: String,
    pub(crate) later: String,
    pub(crate) zoom_out: String,
    pub(crate) from_input: String,
    pub(crate) to_input: String,
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
    pub(crate) zone: String,
    pub(crate) zone_label: String,
    pub(crate) zone_choice: String,
    pub(crate) refresh: &'static str,
    pub(crate) refreshes: Vec<Choice>,
    pub(crate) share: String,
    pub(crate) here: String,
    /// This page, encoded to be a parameter.
    pub(crate) back: String,
    /// This page without a zone of its own.
    pub(crate) zone_back: String,
    pub(crate) path: String,
    pub(crate) search: String,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) hidden_but_time: Vec<(String, String)>,
    pub(crate) version: &'static str,
}

const NAV: [(&str, &str, &str, &str); 6] = [
    ("overview", "Overview", "/", "layout-dashboard"),
    ("verdict", "Verdict", "/verdict", "crosshair"),
    ("services", "Services", "/services", "boxes"),
    ("traces", "Traces", "/traces", "waypoints"),
    ("logs", "Logs", "/logs", "scroll-text"),
    ("sql", "SQL", "/sql", "database"),
];
const REFRESH: [(&str, &str); 4] = [("", "Off"), ("10", "10 s"), ("30", "30 s"), ("60", "1 min")];

impl Frame {
    /// The frame of a page.
    pub(crate) fn new(ui: &Ui, view: &View, page: &'static str, title: impl Into<String>) -> Self {
        let (from, to) = (view.range.from(), view.range.to());
        let (window_label, window_detail) = labels(view);
        let span = view.range.duration_ns();
        let moved = |from: i64, to: i64| {
            let at = |ns| crate::zone::rfc3339(ns);
            view.without("from").set("from", at(from)).set("to", at(to)).to_string()
        };
        Self {
            page,
            title: title.into(),
            crumbs: Vec::new(),
            nav: nav(view, page),
            theme: view.theme.name(),
            slim: view.slim,
            notice: view.notice.clone(),
            banner: ui.config.banner.clone(),
            window_label,
            window_detail,
            relative: view.window.is_relative(),
            quick: quick(view),
            earlier: moved(from.saturating_sub(span), from),
            later: moved(to, to.saturating_add(span)),
            zoom_out: moved(from.saturating_sub(span / 2), to.saturating_add(span / 2)),
            from_input: view.zone.input(from),
            to_input: view.zone.input(to),
            from_ms: from / 1_000_000,
            to_ms: to / 1_000_000,
            zone: view.zone.name().to_owned(),
            zone_label: view.zone.label(to),
            zone_choice: view.zone_choice.clone(),
            refresh: refresh(view),
            refreshes: refreshes(view),
            share: view.pinned().to_string(),
            here: view.here().to_string(),
            back: encoded(&view.here().to_string()),
            zone_back: view.here().remove("tz").to_string(),
            path: view.path().to_owned(),
            search: view.param("q").filter(|_| page == "logs").unwrap_or_default().to_owned(),
            hidden: view.hidden(),
            hidden_but_time: view.hidden_but_time(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// Adds a step of the triage path.
    #[must_use]
    pub(crate) fn crumb(mut self, label: impl Into<String>, url: Url) -> Self {
        self.crumbs.push(Crumb { label: label.into(), href: Some(url.to_string()) });
        self
    }

    /// Ends the triage path with the page itself.
    #[must_use]
    pub(crate) fn here(mut self, label: impl Into<String>) -> Self {
        self.crumbs.push(Crumb { label: label.into(), href: None });
        self
    }

    /// An icon of the sprite; the name is one of ours, never telemetry.
    pub(crate) fn icon(&self, name: &str) -> String {
        let sprite = assets::address("icons.svg");
        format!(
            "<svg class=\"icon\" aria-hidden=\"true\"><use href=\"{sprite}#{name}\"></use></svg>"
        )
    }

    /// Address of a static file.
    pub(crate) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    crate::url::encode(text, &mut out);
    out
}

fn nav(view: &View, page: &str) -> Vec<Choice> {
    // A page inside another lights up the rail entry it belongs to.
    let section = match page {
        "service" | "operation" => "services",
        "trace" => "traces",
        other => other,
    };
    NAV.iter()
        .map(|&(key, label, path, icon)| Choice {
            label: label.to_owned(),
            href: view.to(path).to_string(),
            icon,
            active: key == section,
        })
        .collect()
}

fn quick(view: &View) -> Vec<Choice> {
    let now = view.window.from.to_string();
    QUICK
        .iter()
        .map(|&(from, label)| Choice {
            label: label.to_owned(),
            href: view.without("to").set("from", from).to_string(),
            icon: "clock",
            active: view.window.to.to_string() == "now" && now == from,
        })
        .collect()
}

fn labels(view: &View) -> (String, String) {
    let (from, to) = (view.range.from(), view.range.to());
    let zone = &view.zone;
    let detail = format!("{} – {} {}", zone.second(from), zone.second(to), zone.label(to));
    let quick = QUICK
        .iter()
        .find(|(q, _)| view.window.to.to_string() == "now" && view.window.from.to_string() == *q);
    let label = quick.map_or_else(
        || {
            let end = if zone.second(from).get(..10) == zone.second(to).get(..10) {
                zone.second(to).get(11..16).unwrap_or_default().to_owned()
            } else {
                zone.minute(to)
            };
            format!(
                "{} – {end} · {}",
                zone.minute(from),
                number::duration(view.range.duration_ns())
            )
        },
        |(_, words)| (*words).to_owned(),
    );
    (label, detail)
}

fn refresh(view: &View) -> &'static str {
    let chosen = view.param("refresh").unwrap_or_default();
    REFRESH.iter().find(|(v, _)| *v == chosen).map_or("", |(v, _)| v)
}

fn refreshes(view: &View) -> Vec<Choice> {
    let chosen = refresh(view);
    REFRESH
        .iter()
        .map(|&(value, label)| Choice {
            label: label.to_owned(),
            href: if value.is_empty() {
                view.without("refresh").to_string()
            } else {
                view.with("refresh", value).to_string()
            },
            icon: "refresh-cw",
            active: value == chosen,
        })
        .collect()
}
