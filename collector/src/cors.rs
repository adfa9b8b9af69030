//! Which web pages may send telemetry. Off unless origins are listed.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// What browser SDKs and their instrumentations add to a request.
const HEADERS: [HeaderName; 7] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::AUTHORIZATION,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("x-requested-with"),
];

/// How long a browser may remember the answer: two hours, the most Chromium honours.
const MAX_AGE: Duration = Duration::from_secs(7200);

/// The layer for the listed origins; `None` if there are none.
pub(crate) fn layer(origins: &[String], more_headers: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let headers = more_headers.iter().filter_map(|name| name.parse().ok()).chain(HEADERS);
    let layer = CorsLayer::new()
        .allow_methods([Method::POST])
        .allow_headers(headers.collect::<Vec<HeaderName>>())
        .max_age(MAX_AGE);
    if origins.iter().any(|origin| origin == "*") {
        return Some(layer.allow_origin(AllowOrigin::any()));
    }
    // Browsers send beacons with credentials, and then want to see them allowed.
    let origins: Vec<String> = origins.iter().map(|o| o.to_ascii_lowercase()).collect();
    let allowed = move |origin: &HeaderValue, _: &axum::http::request::Parts| {
        origin.to_str().is_ok_and(|origin| {
            let origin = origin.to_ascii_lowercase();
            origins.iter().any(|pattern| matches(pattern, &origin))
        })
    };
    Some(layer.allow_origin(AllowOrigin::predicate(allowed)).allow_credentials(true))
}

/// `https://*.example` stands for every host below `example`, not for `example` itself.
fn matches(pattern: &str, origin: &str) -> bool {
    match pattern.split_once("://*.") {
        None => pattern == origin,
        Some((scheme, domain)) => origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .and_then(|host| host.strip_suffix(domain))
            .and_then(|host| host.strip_suffix('.'))
            .is_some_and(|host| !host.is_empty() && !host.contains(['/', '@'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("https://a.example", "https://a.example"));
        assert!(!matches("https://a.example", "http://a.example"));
        assert!(matches("https://*.example:8080", "https://b.a.example:8080"));
        assert!(!matches("https://*.example", "https://example"));
        assert!(!matches("https://*.example", "https://evilexample"));
        assert!(!matches("https://*.example", "https://.example"));
        assert!(layer(&[], &[]).is_none());
        assert!(layer(&["*".to_owned()], &["x-tenant".to_owned()]).is_some());
    }
}
