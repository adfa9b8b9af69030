//! The search box of the frame, and the small preferences.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use headrope_model::TraceId;

use crate::Ui;
use crate::error::PageError;
use crate::view::{Theme, View};
use crate::zone::Zone;

/// `GET /ui/search?q=`: a trace id opens the trace, `key=value` searches traces, the name of a
/// service (or the start of only one) opens it, anything else searches logs.
pub(crate) async fn search(State(ui): State<Ui>, view: View) -> Result<Response, PageError> {
    let text = view.param("q").unwrap_or_default().trim().to_owned();
    let url = if text.is_empty() {
        view.to("/")
    } else if let Ok(id) = text.parse::<TraceId>() {
        view.trace(&id.to_string())
    } else if is_tag(&text) {
        view.to("/traces").set("tag", &text)
    } else {
        let services = ui.answers.services(view.range).await.map_err(|e| view.fail(&ui, &e))?;
        let names: Vec<&str> = services.iter().map(|s| s.service.as_str()).collect();
        match service(&text, &names) {
            Some(name) => view.service(name),
            None => view.to("/logs").set("q", &text),
        }
    };
    Ok(Redirect::to(&url.to_string()).into_response())
}

fn is_tag(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, value)| {
        !key.is_empty() && !value.is_empty() && !key.contains(char::is_whitespace)
    })
}

fn service<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let wanted = text.to_lowercase();
    if let Some(name) = names.iter().find(|n| n.to_lowercase() == wanted) {
        return Some(name);
    }
    let mut starting = names.iter().filter(|n| n.to_lowercase().starts_with(&wanted));
    match (starting.next(), starting.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

/// `GET /ui/services`: names for the search box's suggestions.
pub(crate) async fn names(State(ui): State<Ui>, view: View) -> Response {
    match ui.answers.services(view.range).await {
        Ok(rows) => {
            axum::Json(rows.into_iter().map(|r| r.service).collect::<Vec<_>>()).into_response()
        }
        Err(error) => crate::error::problem(&error),
    }
}

/// `GET /ui/prefs?theme=|tz=|rail=&back=`: remembers a choice and goes back.
pub(crate) async fn prefs(State(ui): State<Ui>, view: View) -> Result<Response, PageError> {
    let back = view.param("back").filter(|b| is_local(b)).unwrap_or("/");
    let mut response = Redirect::to(back).into_response();
    let mut remember = |name: &str, value: &str| {
        let text = format!("{name}={value}; Path=/; Max-Age=31536000; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    };
    if let Some(theme) = view.param("theme") {
        remember("hr_theme", Theme::parse(theme).name());
    }
    if let Some(rail) = view.param("rail") {
        remember("hr_rail", if rail == "slim" { "slim" } else { "wide" });
    }
    if let Some(zone) = view.param("zone") {
        let name = match zone {
            "browser" => "browser".to_owned(),
            other => {
                Zone::find(other).ok_or_else(|| unknown_zone(&ui, &view, other))?.name().to_owned()
            }
        };
        remember("hr_tz", &name);
    }
    Ok(response)
}

fn unknown_zone(ui: &Ui, view: &View, name: &str) -> PageError {
    let shown: String = name.chars().take(40).collect();
    let detail = format!(
        "No time zone is called “{shown}”. Use an IANA name such as Europe/Berlin, UTC, or browser."
    );
    view.stop(ui, StatusCode::BAD_REQUEST, "No such time zone", detail)
}

/// Whether a redirect stays on this server: `/x`, not `//host` or `/\host`.
fn is_local(back: &str) -> bool {
    back.starts_with('/')
        && !back.starts_with("//")
        && !back.contains('\\')
        && back.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_here() {
        assert!(is_local("/services?n=5"));
        for bad in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb"] {
            assert!(!is_local(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_box_understands_services() {
        let names = ["cart", "checkout", "Payment"];
        assert_eq!(service("payment", &names), Some("Payment"));
        assert_eq!(service("car", &names), Some("cart"));
        assert_eq!(service("c", &names), None);
        assert!(is_tag("http.route=/api") && !is_tag("a b=c") && !is_tag("=x"));
    }
}
