//! What a request says about how to look: window of time, zone, theme, page parameters.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use headrope_model::TimeRange;

use crate::Ui;
use crate::url::{Url, parse_query};
use crate::window::Window;
use crate::zone::Zone;

/// Dark, light, or as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the system says.
    #[default]
    Auto,
    /// Dark.
    Dark,
    /// Light.
    Light,
}

impl Theme {
    pub(crate) fn parse(text: &str) -> Self {
        match text {
            "dark" => Self::Dark,
            "light" => Self::Light,
            _ => Self::Auto,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }
}

/// The state of a page, read from its address and cookies.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Path as requested, still encoded.
    path: String,
    pairs: Vec<(String, String)>,
    /// Window as written in the address.
    pub(crate) window: Window,
    /// The instants it means for this request.
    pub(crate) range: TimeRange,
    /// When the request was read, Unix nanoseconds.
    pub(crate) now: i64,
    /// Zone of every time on the page.
    pub(crate) zone: Zone,
    /// Chosen zone: `UTC`, `browser` or an IANA name.
    pub(crate) zone_choice: String,
    /// Theme.
    pub(crate) theme: Theme,
    /// Whether the rail is folded to its icons.
    pub(crate) slim: bool,
    /// Something in the address that could not be used.
    pub(crate) notice: Option<String>,
}

/// Parameters that follow the reader from page to page.
const STICKY: [&str; 3] = ["from", "to", "tz"];

impl View {
    /// Reads the state of a page.
    pub(crate) fn read(path: &str, raw_query: &str, cookies: &str, now: i64, ui: &Ui) -> Self {
        let pairs = parse_query(raw_query);
        let first = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        let zone_choice = first("tz")
            .or_else(|| cookie(cookies, "hr_tz"))
            .unwrap_or(&ui.config.time_zone)
            .to_owned();
        let mut notice = None;
        let zone = match zone_choice.as_str() {
            "browser" => {
                cookie(cookies, "hr_browser_tz").and_then(Zone::find).unwrap_or(Zone::utc())
            }
            name => Zone::find(name).unwrap_or_else(|| {
                let shown: String = name.chars().take(40).collect();
                notice = Some(format!("No time zone is called “{shown}”. Showing UTC."));
                Zone::utc()
            }),
        };
        let window = Window::parse(first("from"), first("to"), &zone, now).unwrap_or_else(|text| {
            notice = Some(text);
            Window::DEFAULT
        });
        Self {
            path: path.to_owned(),
            window,
            range: window.resolve(now),
            now,
            zone,
            zone_choice,
            theme: cookie(cookies, "hr_theme").map(Theme::parse).unwrap_or_default(),
            slim: cookie(cookies, "hr_rail") == Some("slim"),
            notice,
            pairs,
        }
    }

    /// First value of a page parameter, if it is there and not empty.
    pub(crate) fn param(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// First value of a page parameter, even if it is empty.
    pub(crate) fn first(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All values of a page parameter that are not empty.
    pub(crate) fn params<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// A number of rows from the parameter `n`.
    pub(crate) fn rows(&self, default: usize, most: usize) -> usize {
        self.param("n").and_then(|n| n.parse().ok()).unwrap_or(default).clamp(1, most)
    }

    /// Another page that keeps the time and the zone.
    pub(crate) fn to(&self, path: &str) -> Url {
        self.sticky(Url::new(path))
    }

    /// Adds the time and the zone to an address.
    pub(crate) fn sticky(&self, url: Url) -> Url {
        STICKY.into_iter().fold(url, |url, key| match self.param(key) {
            Some(value) => url.set(key, value),
            None => url,
        })
    }

    /// The page of a service.
    pub(crate) fn service(&self, service: &str) -> Url {
        self.sticky(Url::new("/services").segment(service, "service"))
    }

    /// The page of an operation.
    pub(crate) fn operation(&self, service: &str, operation: &str) -> Url {
        let url = Url::new("/services").segment(service, "service").literal("operations");
        self.sticky(url.segment(operation, "operation"))
    }

    /// The page of a trace.
    pub(crate) fn trace(&self, trace_id: &str) -> Url {
        self.sticky(Url::new("/traces").segment(trace_id, "id"))
    }

    /// This page as it is.
    pub(crate) fn here(&self) -> Url {
        self.pairs.iter().fold(Url::new(&self.path), |url, (k, v)| url.add(k, v))
    }

    /// This page with one parameter changed and the paging forgotten.
    pub(crate) fn with(&self, key: &str, value: impl std::fmt::Display) -> Url {
        self.here().remove("cursor").set(key, value)
    }

    /// This page without one parameter and without paging.
    pub(crate) fn without(&self, key: &str) -> Url {
        self.here().remove("cursor").remove(key)
    }

    /// This page with the window fixed and the zone named, to be shared.
    pub(crate) fn pinned(&self) -> Url {
        let fixed = self.window.pinned(self.now);
        self.here().set("from", fixed.from).set("to", fixed.to).set("tz", self.zone.name())
    }

    /// Parameters a form must carry along: those that stick, as name and value.
    pub(crate) fn hidden(&self) -> Vec<(&'static str, String)> {
        STICKY.into_iter().filter_map(|k| self.param(k).map(|v| (k, v.to_owned()))).collect()
    }

    /// Parameters the time form must carry along: all but the time, as name and value.
    pub(crate) fn hidden_but_time(&self) -> Vec<(String, String)> {
        let dropped = ["from", "to", "cursor"];
        self.pairs.iter().filter(|(k, _)| !dropped.contains(&k.as_str())).cloned().collect()
    }

    /// Path of this page, encoded.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// The value of a cookie.
fn cookie<'a>(cookies: &'a str, name: &str) -> Option<&'a str> {
    cookies.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

impl FromRequestParts<Ui> for View {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, ui: &Ui) -> Result<Self, Infallible> {
        let cookies = parts.headers.get(COOKIE).and_then(|c| c.to_str().ok()).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self::read(
            parts.uri.path(),
            query,
            &cookies.replace("%2F", "/"),
            (ui.config.clock)(),
            ui,
        ))
    }
}
