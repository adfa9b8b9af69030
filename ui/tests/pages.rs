//! Every page, rendered over fixed answers: it shows the data, nothing from the data becomes markup,
//! and its whole state is its address.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use fixture::{BIG, Fixture, HOSTILE, Mood, NOW, SHOP};
use headrope_ui::{UiConfig, router};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

fn app(mood: Mood) -> Router {
    router(Arc::new(Fixture(mood)), UiConfig { clock: || NOW, ..UiConfig::default() })
}

async fn send(app: Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn page(path: &str) -> String {
    let response = send(app(Mood::Shop), path, &[]).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

const HOSTILE_PATH: &str = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E";

fn all_pages() -> Vec<(&'static str, String)> {
    vec![
        ("overview", "/".to_owned()),
        ("verdict", "/verdict".to_owned()),
        ("verdict", format!("/verdict?service={HOSTILE_PATH}&operation=%3Cb%3E&reference=1d")),
        ("services", "/services".to_owned()),
        ("services", "/services?scope=operation&n=25&spans=all&sort=service".to_owned()),
        ("service", "/services/checkout".to_owned()),
        ("service", format!("/services/{HOSTILE_PATH}")),
        ("operation", "/services/checkout/operations/POST%20%2Fcheckout".to_owned()),
        (
            "operation",
            format!(
                "/services/{HOSTILE_PATH}/operations/%3Cimg%20src%3Dx%20onerror%3Dalert%282%29%3E"
            ),
        ),
        ("traces", format!("/traces?service={HOSTILE_PATH}&tag=a%3D%3Cb%3E&min=1ms&status=error")),
        ("trace", format!("/traces/{SHOP}")),
        ("trace", format!("/traces/{BIG}")),
        ("logs", format!("/logs?q={HOSTILE_PATH}&tz=Europe%2FBerlin")),
        ("sql", format!("/sql?q=SELECT%20%27{HOSTILE_PATH}%27")),
    ]
}

/// What markup there is: the tags of a page, without the text between them.
fn tags(html: &str) -> Vec<&str> {
    html.split('<')
        .skip(1)
        .filter_map(|t| t.split_once('>').map(|(tag, _)| tag))
        .filter(|t| !t.starts_with('/'))
        .collect()
}

#[tokio::test]
async fn every_page_is_whole_and_names_itself() {
    for (name, path) in all_pages() {
        let html = page(&path).await;
        assert!(html.contains(&format!("data-page=\"{name}\"")), "{path}");
        assert!(html.trim_end().ends_with("</html>"), "{path}");
        assert_eq!(html.matches("<h1").count(), 1, "{path}");
        assert_eq!(html.matches("<main").count(), 1, "{path}");
        let mut ids: Vec<&str> =
            html.split(" id=\"").skip(1).filter_map(|r| r.split('"').next()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "an id is used twice on {path}");
    }
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    for (_, path) in all_pages() {
        let html = page(&path).await;
        for tag in tags(&html) {
            assert!(!tag.contains(" style="), "{path}: <{tag}>");
            assert!(!tag.contains(" onclick") && !tag.contains(" onload"), "{path}: <{tag}>");
            if tag.starts_with("script") {
                let data = tag.contains("type=\"application/json\"");
                assert!(data || tag.contains("src=\"/assets/"), "{path}: <{tag}>");
            }
            for loaded in ["src=\"", "rel=\"stylesheet\" href=\""] {
                if let Some((_, rest)) = tag.split_once(loaded) {
                    assert!(rest.starts_with("/assets/"), "{path}: <{tag}>");
                }
            }
        }
    }
}

#[tokio::test]
async fn hostile_names_stay_text() {
    for (_, path) in all_pages() {
        let html = page(&path).await;
        assert!(!html.contains("<script>alert"), "{path}");
        assert!(!html.contains("<img src=x"), "{path}");
        assert!(!html.contains("\"\"onload"), "{path}");
    }
    let html = page("/services").await;
    assert!(
        html.contains("&#60;script&#62;alert(1)&#60;/script&#62;")
            || html.contains("&lt;script&gt;alert(1)&lt;/script&gt;")
    );
    assert!(page(&format!("/services/{HOSTILE_PATH}")).await.contains("410 ms"), "{HOSTILE}");
}

#[tokio::test]
async fn every_answer_carries_the_policy() {
    for path in ["/", "/nowhere", "/ui/services", "/assets/0/app.css", "/traces/zz"] {
        let response = send(app(Mood::Shop), path, &[]).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for rule in [
            "default-src 'none'",
            "script-src 'self';",
            "style-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(rule), "{path}: {rule}");
        }
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(response.headers().contains_key(header::REFERRER_POLICY));
    }
}

#[tokio::test]
async fn pages_show_the_shop() {
    let overview = page("/").await;
    for part in ["128/s", "1.37 %", "×4.4", "Hotspots", "POST /checkout", "4.81 M", "gateway"] {
        assert!(overview.contains(part), "{part}");
    }
    let services = page("/services").await;
    for part in ["Most called", "Hotspots", "recommendation", "5.11.0 +1", "rank-slowest"] {
        assert!(services.contains(part), "{part}");
    }
    let service = page("/services/checkout").await;
    for part in [
        "postgresql orders",
        "system.cpu.utilization",
        "SELECT orders",
        "184 ms",
        "Recent failures",
    ] {
        assert!(service.contains(part), "{part}");
    }
    let operation = page("/services/checkout/operations/POST%20%2Fcheckout").await;
    for part in ["near the 99th percentile", "data-heatmap", "class=\"errors\"", "p99 "] {
        assert!(operation.contains(part), "{part}");
    }
    let trace = page(&format!("/traces/{SHOP}")).await;
    for part in [
        "2.44 s",
        "28",
        "the deepest failing span",
        "did not arrive",
        "payments.example",
        "fraud-check",
    ] {
        assert!(trace.contains(part), "{part}");
    }
    let logs = page("/logs").await;
    for part in ["could not place order 81723", "NioSocketImpl", "order.id", "volume"] {
        assert!(logs.contains(part), "{part}");
    }
    assert!(page("/sql").await.contains("db_query_text"));
}

#[tokio::test]
async fn links_keep_the_time_and_the_zone() {
    let state = "from=2026-11-20T20%3A00%3A00Z&to=2026-11-20T21%3A00%3A00Z&tz=Asia%2FKolkata";
    let html = page(&format!("/services?{state}")).await;
    assert!(html.contains("2026-11-21 01:30:00"), "the window in the zone of the page");
    assert!(html.contains("Asia/Kolkata (UTC+5:30)"));
    let hrefs = html.split("href=\"").skip(1).filter_map(|r| r.split('"').next());
    let mut seen = 0;
    for href in
        hrefs.filter(|h| h.starts_with("/services/") || h.starts_with("/traces") || *h == "/")
    {
        let href = href.replace("&#38;", "&").replace("&amp;", "&");
        assert!(href.contains("from=2026-11-20T20%3A00%3A00Z"), "{href}");
        assert!(href.contains("tz=Asia%2FKolkata"), "{href}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test]
async fn a_link_from_a_page_opens_what_it_says() {
    let html = page("/services?scope=operation&n=50").await;
    let links: Vec<String> = html
        .split("href=\"")
        .skip(1)
        .filter_map(|r| r.split('"').next())
        .filter(|h| h.contains("/operations/"))
        .map(|h| h.replace("&#38;", "&").replace("&amp;", "&"))
        .collect();
    assert!(links.len() > 30);
    for link in links {
        let html = page(&link).await;
        assert!(
            html.contains("data-page=\"operation\"") && html.contains("data-testid=\"exemplars\"")
        );
    }
}

#[tokio::test]
async fn times_follow_the_zone_of_address_and_cookie() {
    let utc = page(&format!("/traces/{SHOP}")).await;
    assert!(utc.contains("2026-11-20 23:05:30.000"));
    let berlin =
        send(app(Mood::Shop), &format!("/traces/{SHOP}"), &[("cookie", "hr_tz=Europe/Berlin")])
            .await;
    assert!(text(berlin).await.contains("2026-11-21 00:05:30.000"));
    let cookies = "a=b; hr_tz=browser; hr_browser_tz=America/New_York";
    let browser = send(app(Mood::Shop), &format!("/traces/{SHOP}"), &[("cookie", cookies)]).await;
    assert!(text(browser).await.contains("2026-11-20 18:05:30.000"));
    let wrong = page("/?tz=Mars%2FOlympus").await;
    assert!(wrong.contains("No time zone is called “Mars/Olympus”"));
}

#[tokio::test]
async fn theme_comes_with_the_page() {
    let dark = send(app(Mood::Shop), "/", &[("cookie", "hr_theme=dark; hr_rail=slim")]).await;
    let html = text(dark).await;
    assert!(html.contains("data-theme=\"dark\" data-rail=\"slim\""));
    let set = send(app(Mood::Shop), "/ui/prefs?theme=light&back=%2Flogs%3Fq%3Dx", &[]).await;
    assert_eq!(set.headers()[header::LOCATION], "/logs?q=x");
    assert!(set.headers()[header::SET_COOKIE].to_str().unwrap().starts_with("hr_theme=light;"));
    let away = send(app(Mood::Shop), "/ui/prefs?theme=light&back=%2F%2Fevil.example", &[]).await;
    assert_eq!(away.headers()[header::LOCATION], "/");
}

#[tokio::test]
async fn the_search_box_knows_where_to_go() {
    for (asked, want) in [
        (SHOP.to_owned(), format!("/traces/{SHOP}?from=now-6h")),
        ("checkout".to_owned(), "/services/checkout?from=now-6h".to_owned()),
        ("fraud".to_owned(), "/services/fraud-check?from=now-6h".to_owned()),
        (
            "http.route%3D%2Fcheckout".to_owned(),
            "/traces?from=now-6h&tag=http.route%3D%2Fcheckout".to_owned(),
        ),
        ("read+timed+out".to_owned(), "/logs?from=now-6h&q=read%20timed%20out".to_owned()),
    ] {
        let response =
            send(app(Mood::Shop), &format!("/ui/search?from=now-6h&q={asked}"), &[]).await;
        assert_eq!(response.headers()[header::LOCATION].to_str().unwrap(), want);
    }
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let slow = send(app(Mood::Slow), "/services", &[]).await;
    assert_eq!(slow.status(), StatusCode::GATEWAY_TIMEOUT);
    let html = text(slow).await;
    assert!(html.contains("Last 15 minutes") && html.contains("narrow the time range"));
    let broken = send(app(Mood::Broken), "/logs", &[]).await;
    assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    for path in ["/nowhere", "/traces/0af7651916cd43dd8448eb211c80319c", "/traces/notanid"] {
        let missing = send(app(Mood::Shop), path, &[]).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(text(missing).await.contains("Last 24 hours"), "{path}");
    }
    let json = send(app(Mood::Shop), "/ui/traces/zz/rows", &[]).await;
    assert_eq!(json.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn empty_pages_print_the_command_that_fills_them() {
    for path in ["/", "/verdict", "/services", "/services/none", "/traces", "/logs"] {
        let response = send(app(Mood::Empty), path, &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let html = text(response).await;
        assert!(
            html.contains("export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"),
            "{path}"
        );
    }
    let narrow = send(app(Mood::Empty), "/traces?service=x", &[]).await;
    assert!(text(narrow).await.contains("No trace matches"));
}

#[tokio::test]
async fn wrong_parameters_are_explained_and_survived() {
    for (path, words) in [
        ("/traces?min=soon", "“soon” is not a duration"),
        ("/traces?tag=plain", "is not a tag"),
        ("/logs?trace=xyz", "is not a trace id"),
        ("/?from=tomorrowish", "is not a time"),
        ("/?from=now&to=now-1h", "ends before it starts"),
        ("/services?n=99999999999999999999&sort=nonsense", "Inventory"),
        ("/traces?n=-1&cursor=%00%FF", "traces"),
    ] {
        assert!(page(path).await.contains(words), "{path}");
    }
}

#[tokio::test]
async fn the_verdict_says_what_to_do_and_why() {
    let html = page(
        "/verdict?service=checkout&reference=1d&from=2023-11-14T22:13:20Z&to=2023-11-14T23:13:20Z",
    )
    .await;
    for words in [
        "Fix statement",
        "Requests as <b>checkout</b> sees them",
        "called by checkout",
        "+36 ms",
        "4,000 × 4 ms",
        "−5 %",
        "1 of 20 requests that called it in vain failed",
        // A day before, as the address says.
        "2023-11-13 22:13:20",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    // What was unusual leads to a verdict on these minutes.
    for path in ["/", "/verdict"] {
        let html = page(&format!("{path}?from=2023-11-14T22:13:20Z&to=2023-11-14T23:13:20Z")).await;
        for words in [
            "against the same minutes of 3 earlier hours",
            "14 Nov 23:03 – 23:13",
            "Slower at p95",
            "Fewer requests",
            "goes on",
            "/verdict?from=2023-11-14T23%3A03%3A20.000000000Z&#38;to=2023-11-14T23%3A13%3A20.000000000Z",
        ] {
            assert!(html.contains(words), "{words}\n{html}");
        }
    }
    // Who was worse for some minutes is not said to be fine, and what is not known is said.
    let fine = page("/verdict?service=calm").await;
    assert!(fine.contains("Nothing to do for the window as a whole"), "{fine}");
    for path in ["/", "/verdict"] {
        let long = page(&format!("{path}?from=now-9d&to=now")).await;
        assert!(long.contains("What was unusual is not known: at most 3 days"), "{long}");
    }
    let markdown = send(app(Mood::Shop), "/verdict?format=markdown", &[]).await;
    let kind = markdown.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/markdown"), "{kind}");
    assert!(text(markdown).await.starts_with("# orders-db (SELECT): statement"));
    let json = text(send(app(Mood::Shop), "/verdict?format=json", &[]).await).await;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["action"], "fix_statement");
    assert_eq!(found["reference_chosen"], "before");
}

#[tokio::test]
async fn tables_are_files_too() {
    let csv = send(app(Mood::Shop), "/services?format=csv&sort=service", &[]).await;
    assert!(csv.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/csv"));
    let body = text(csv).await;
    assert!(body.starts_with("service,language,versions,"));
    assert!(body.lines().count() == 15, "{body}");
    let json = text(send(app(Mood::Shop), "/traces?format=json&n=5", &[]).await).await;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 5);
    assert_eq!(rows[0]["trace_id"], SHOP);
}

#[tokio::test]
async fn a_huge_trace_is_read_by_window() {
    let html = page(&format!("/traces/{BIG}")).await;
    assert!(html.len() < 400_000, "{} bytes", html.len());
    assert!(html.contains("12,000"));
    let get = |what: &'static str| async move {
        let body =
            text(send(app(Mood::Shop), &format!("/ui/traces/{BIG}/{what}"), &[]).await).await;
        serde_json::from_str::<serde_json::Value>(&body).unwrap()
    };
    let shape = get("shape").await;
    assert_eq!(shape["depth"].as_array().unwrap().len(), 12_000);
    assert_eq!(shape["below"][0], 11_999);
    let rows = get("rows?at=11800&n=500").await;
    assert_eq!(rows.as_array().unwrap().len(), 200);
    assert_eq!(rows[0]["id"], format!("{:016x}", 0x10 + 11_800));
    let span = get("spans/977").await;
    assert_eq!(span["span"]["status_code"], "ERROR");
    let found = get("find?q=nightly").await;
    assert_eq!(found, serde_json::json!([0]));
    let logs = get("logs").await;
    assert!(logs.as_array().unwrap().len() > 10);
}

#[tokio::test]
async fn assets_are_hashed_cached_and_compressed() {
    let html = page("/").await;
    let css = html.split("href=\"").find(|p| p.contains("app.css\"")).unwrap();
    let css = css.split('"').next().unwrap();
    let plain = send(app(Mood::Shop), css, &[]).await;
    assert_eq!(plain.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    let tag = plain.headers()[header::ETAG].to_str().unwrap().to_owned();
    let size = text(plain).await.len();
    let packed = send(app(Mood::Shop), css, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(packed.into_body().collect().await.unwrap().to_bytes().len() * 2 < size);
    let same = send(app(Mood::Shop), css, &[("if-none-match", &tag)]).await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let old = send(app(Mood::Shop), "/assets/0123/app.css", &[]).await;
    assert_eq!(old.headers()[header::CACHE_CONTROL], "no-cache");
    let none = send(app(Mood::Shop), "/assets/0123/..%2f..%2fCargo.toml", &[]).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}
