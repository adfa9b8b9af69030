//! Pages and answers for what went wrong: each says what to do next.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use headrope_query::QueryError;

use crate::Ui;
use crate::frame::Frame;
use crate::view::View;

/// A page that could not be made.
#[derive(Debug)]
pub(crate) struct PageError(Box<Response>);

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        *self.0
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    f: Frame,
    code: u16,
    headline: &'static str,
    detail: String,
    advice: Vec<Advice>,
}

struct Advice {
    text: &'static str,
    href: String,
    label: &'static str,
}

/// Status, headline.
fn kind(error: &QueryError) -> (StatusCode, &'static str) {
    match error {
        QueryError::Invalid(_) => (StatusCode::BAD_REQUEST, "This question cannot be asked"),
        QueryError::NotFound(_) => (StatusCode::NOT_FOUND, "Not found"),
        QueryError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, "This took too long"),
        QueryError::TooLarge(_) => (StatusCode::GATEWAY_TIMEOUT, "This needs too much memory"),
        QueryError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "The server is busy"),
        QueryError::Engine(_) => (StatusCode::INTERNAL_SERVER_ERROR, "The query engine failed"),
    }
}

fn advice(status: StatusCode, view: &View) -> Vec<Advice> {
    let again =
        Advice { text: "Try the same again.", href: view.here().to_string(), label: "Retry" };
    let shorter = Advice {
        text: "Look at less time.",
        href: view.without("to").set("from", "now-15m").to_string(),
        label: "Last 15 minutes",
    };
    let wider = Advice {
        text: "Look at more time.",
        href: view.without("to").set("from", "now-24h").to_string(),
        label: "Last 24 hours",
    };
    let home = Advice {
        text: "Start from what is stored.",
        href: view.to("/").to_string(),
        label: "Overview",
    };
    match status {
        StatusCode::NOT_FOUND => vec![wider, home],
        StatusCode::GATEWAY_TIMEOUT => vec![shorter, again],
        StatusCode::BAD_REQUEST => vec![home],
        _ => vec![again, home],
    }
}

impl View {
    /// The page for a failed question.
    pub(crate) fn fail(&self, ui: &Ui, error: &QueryError) -> PageError {
        let (status, headline) = kind(error);
        if status.is_server_error() {
            tracing::warn!(path = self.path(), %error, "page failed");
        }
        self.stop(ui, status, headline, error.to_string())
    }

    /// The page for anything else that went wrong.
    pub(crate) fn stop(
        &self,
        ui: &Ui,
        status: StatusCode,
        headline: &'static str,
        detail: String,
    ) -> PageError {
        let page = ErrorPage {
            f: Frame::new(ui, self, "error", headline).here(headline),
            code: status.as_u16(),
            headline,
            detail,
            advice: advice(status, self),
        };
        let mut response = (status, render(&page)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        PageError(Box::new(response))
    }
}

/// A rendered page. Rendering into memory fails only if a template's own formatting does.
pub(crate) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a template failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered\n").into_response()
        }
    }
}

/// `application/problem+json` (RFC 9457) for the endpoints that scripts call.
pub(crate) fn problem(error: &QueryError) -> Response {
    let (status, title) = kind(error);
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": error.to_string(),
    });
    let json = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}
