//! The routes over a seeded data set, against their description.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use headrope_testdata::oracle::{By, Kinds};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{ApiConfig, OPENAPI, ROUTES, parse_tag, router};
use crate::tests::{Placed, Seeded, seeded};

struct Answer {
    status: StatusCode,
    media: String,
    body: Value,
}

async fn send(api: &Router, request: Request<Body>) -> Answer {
    let response = api.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let media = response.headers().get("content-type").map(|m| m.to_str().unwrap().to_owned());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status, media: media.unwrap_or_default(), body }
}

async fn get(api: &Router, uri: &str) -> Answer {
    send(api, Request::get(uri).body(Body::empty()).unwrap()).await
}

async fn post(api: &Router, body: &str) -> Answer {
    send(api, Request::post("/api/v1/sql").body(Body::from(body.to_owned())).unwrap()).await
}

fn api(data: &Seeded) -> Router {
    router(data.queries.clone(), ApiConfig::default())
}

fn range(data: &Seeded) -> String {
    format!("from={}&to={}", data.range.from(), data.range.to())
}

fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => {
            root.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path}"))
        }
        None => schema,
    }
}

fn type_fits(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    }
}

/// Checks a value against the subset of JSON Schema the description uses.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(root, schema);
    match &schema["type"] {
        Value::String(name) => assert!(type_fits(name, value), "{at}: {value} is no {name}"),
        Value::Array(names) => {
            let fits = names.iter().any(|n| type_fits(n.as_str().unwrap(), value));
            assert!(fits, "{at}: {value} is none of {names:?}");
        }
        _ => {}
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (n, item) in values.iter().enumerate() {
            check(root, items, item, &format!("{at}[{n}]"));
        }
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(members.contains_key(name.as_str().unwrap()), "{at} lacks {name}");
    }
    for (name, member) in members {
        match schema["properties"].get(name) {
            Some(schema) => check(root, schema, member, &format!("{at}.{name}")),
            None => assert_ne!(schema["additionalProperties"], json!(false), "{at}.{name}"),
        }
    }
}

fn schema_of<'a>(root: &'a Value, method: &str, path: &str, status: &str) -> &'a Value {
    let response = resolve(root, &root["paths"][path][method]["responses"][status]);
    let content = response["content"].as_object().unwrap_or_else(|| panic!("{path} {status}"));
    &content.values().next().unwrap()["schema"]
}

#[test]
fn every_route_is_described() {
    let root = description();
    let paths = root["paths"].as_object().unwrap();
    let described: usize = paths.values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(described, ROUTES.len());
    for (method, path) in ROUTES {
        assert!(root["paths"][path][method].is_object(), "{method} {path}");
    }
}

/// Asks for a path as described and checks the answer against its schema.
async fn ask(api: &Router, template: &str, uri: &str) -> Value {
    let root = description();
    let answer = get(api, uri).await;
    assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.body);
    assert_eq!(answer.media, "application/json", "{uri}");
    check(&root, schema_of(&root, "get", template, "200"), &answer.body, uri);
    answer.body
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Questions that compare a window with a reference.
fn comparisons(service: &str, range: &str) -> Vec<(&'static str, String)> {
    vec![
        ("/api/v1/verdict", format!("/api/v1/verdict?{range}")),
        (
            "/api/v1/verdict",
            format!("/api/v1/verdict?service={service}&reference_from=0&reference_to=1&{range}"),
        ),
        ("/api/v1/logs/patterns", format!("/api/v1/logs/patterns?severity=info&{range}")),
        (
            "/api/v1/logs/patterns",
            format!("/api/v1/logs/patterns?limit=3&service={service}&{range}"),
        ),
        ("/api/v1/errors", format!("/api/v1/errors?{range}")),
        ("/api/v1/differences", format!("/api/v1/differences?{range}")),
        (
            "/api/v1/differences",
            format!("/api/v1/differences?focus=failed&service={service}&{range}"),
        ),
        ("/api/v1/statements", format!("/api/v1/statements?{range}")),
        (
            "/api/v1/statements",
            format!("/api/v1/statements?system=postgresql&limit=3&service={service}&{range}"),
        ),
        ("/api/v1/changes", format!("/api/v1/changes?{range}")),
        ("/api/v1/anomalies", format!("/api/v1/anomalies?{range}")),
    ]
}

/// Questions of a service and a range.
fn of_range(service: &str, range: &str) -> [(&'static str, String); 9] {
    let (capacity, what_if) = ("/api/v1/capacity", "/api/v1/capacity/what-if");
    [
        (capacity, format!("{capacity}?{range}")),
        (capacity, format!("{capacity}?service={service}&{range}")),
        (what_if, format!("{what_if}?factor=2&{range}")),
        ("/api/v1/map", format!("/api/v1/map?{range}")),
        ("/api/v1/coverage", format!("/api/v1/coverage?{range}")),
        ("/api/v1/attributes", format!("/api/v1/attributes?signal=logs&limit=3&{range}")),
        ("/api/v1/operations", format!("/api/v1/operations?spans=all&{range}")),
        ("/api/v1/logs", format!("/api/v1/logs?severity=info&{range}")),
        ("/api/v1/logs/volume", format!("/api/v1/logs/volume?{range}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_described() {
    let data = seeded(Placed::Mixed).await;
    let (api, range) = (api(&data), range(&data));
    let service = data.oracle.top_services(By::Calls, Kinds::All, 1).remove(0).service;
    let operation = data.oracle.top_operations(By::Calls, Kinds::All, 1).remove(0).operation;
    let operation = percent(&operation);
    let (id, mut covered) = (data.oracle.sample_traces(1, 2)[0], vec!["/api/v1/sql"]);
    for (template, uri) in [
        ("/api/openapi.json", "/api/openapi.json".to_owned()),
        ("/api/v1/overview", format!("/api/v1/overview?{range}")),
        ("/api/v1/services", format!("/api/v1/services?{range}")),
        ("/api/v1/services/{name}", format!("/api/v1/services/{service}?{range}")),
        (
            "/api/v1/services/{name}/operations",
            format!("/api/v1/services/{service}/operations?{range}"),
        ),
        (
            "/api/v1/services/{name}/dependencies",
            format!("/api/v1/services/{service}/dependencies?{range}"),
        ),
        (
            "/api/v1/services/{name}/latency",
            format!("/api/v1/services/{service}/latency?spans=all&{range}"),
        ),
        (
            "/api/v1/services/{name}/latency",
            format!("/api/v1/services/{service}/latency?operation={operation}&{range}"),
        ),
        (
            "/api/v1/services/{name}/resources",
            format!("/api/v1/services/{service}/resources?{range}"),
        ),
        ("/api/v1/services/{name}/series", format!("/api/v1/services/{service}/series?{range}")),
        ("/api/v1/topn", format!("/api/v1/topn?{range}")),
        (
            "/api/v1/topn",
            format!(
                "/api/v1/topn?scope=operation&by=p99&spans=all&limit=5&service={service}&{range}"
            ),
        ),
        ("/api/v1/traces", format!("/api/v1/traces?{range}")),
        (
            "/api/v1/traces",
            format!(
                "/api/v1/traces?service={service}&min_duration=1us&max_duration=10s&order=slowest&limit=3&{range}"
            ),
        ),
        ("/api/v1/traces/{id}", format!("/api/v1/traces/{id}")),
        ("/api/v1/traces/{id}", format!("/api/v1/traces/{id}?limit=2")),
        ("/api/v1/traces/{id}/critical-path", format!("/api/v1/traces/{id}/critical-path")),
        ("/api/v1/traces/{id}/logs", format!("/api/v1/traces/{id}/logs")),
    ]
    .into_iter()
    .chain(comparisons(&service, &range))
    .chain(of_range(&service, &range))
    {
        let body = ask(&api, template, &uri).await;
        let empty =
            body.as_object().unwrap().values().all(|v| v.as_array().is_some_and(Vec::is_empty));
        assert!(!empty, "{uri} answers nothing");
        covered.push(template);
    }
    for (_, path) in ROUTES {
        assert!(covered.contains(&path), "{path} was not asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_answers_in_four_formats() {
    let data = seeded(Placed::Live).await;
    let api = api(&data);
    let root = description();
    let query = json!({"query": "SELECT name, duration_ns FROM spans", "max_rows": 5}).to_string();
    let answer = post(&api, &query).await;
    assert_eq!(answer.status, StatusCode::OK);
    check(&root, schema_of(&root, "post", "/api/v1/sql", "200"), &answer.body, "sql");
    assert_eq!(answer.body["stats"]["truncated"], true);
    for media in
        ["text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
    {
        let request = Request::post("/api/v1/sql").header("accept", media);
        let response = api.clone().oneshot(request.body(Body::from(query.clone())).unwrap()).await;
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(media));
        let stats: Value =
            serde_json::from_slice(response.headers()["x-query-stats"].as_bytes()).unwrap();
        assert_eq!(stats["rows"], 5);
        assert!(!to_bytes(response.into_body(), usize::MAX).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_problems() {
    let data = seeded(Placed::Live).await;
    let api = api(&data);
    let root = description();
    let absent = "0102030405060708090a0b0c0d0e0f10";
    for (uri, status) in [
        ("/api/v1/services?form=1".to_owned(), 400),
        ("/api/v1/services?from=yesterday".to_owned(), 400),
        ("/api/v1/services?from=2&to=1".to_owned(), 400),
        ("/api/v1/services?from=1&from=2".to_owned(), 400),
        ("/api/v1/topn?by=magic".to_owned(), 400),
        ("/api/v1/capacity/what-if".to_owned(), 400),
        ("/api/v1/capacity/what-if?factor=0".to_owned(), 400),
        ("/api/v1/capacity/what-if?factor=2&operation=nothing".to_owned(), 404),
        ("/api/v1/topn?limit=0".to_owned(), 400),
        ("/api/v1/topn?limit=1001".to_owned(), 400),
        ("/api/v1/traces?min_duration=-1".to_owned(), 400),
        ("/api/v1/traces?tags=%5B1%5D".to_owned(), 400),
        ("/api/v1/traces?tags=%7B".to_owned(), 400),
        ("/api/v1/traces?q=novalue".to_owned(), 400),
        ("/api/v1/traces?cursor=%2B%2B".to_owned(), 400),
        ("/api/v1/traces/xyz".to_owned(), 400),
        (format!("/api/v1/traces/{}", "0".repeat(32)), 400),
        (format!("/api/v1/traces/{absent}"), 404),
        (format!("/api/v1/traces/{absent}/logs"), 404),
        ("/api/v1/services/nobody".to_owned(), 404),
        ("/api/v1/logs?q=%22open".to_owned(), 400),
        ("/api/v1/logs?severity=loud".to_owned(), 400),
        ("/api/v1/logs?trace_id=1".to_owned(), 400),
        ("/api/v1/nothing/here".to_owned(), 404),
        ("/api/v1/sql".to_owned(), 405),
        ("/api/v1/logs/patterns?severity=loud".to_owned(), 400),
        ("/api/v1/errors?reference_from=1".to_owned(), 400),
        ("/api/v1/differences?focus=odd".to_owned(), 400),
        ("/api/v1/differences?focus=failed&min_duration=1s".to_owned(), 400),
        ("/api/v1/anomalies?from=0&to=now".to_owned(), 400),
    ] {
        let answer = get(&api, &uri).await;
        assert_eq!(answer.status.as_u16(), status, "{uri}: {}", answer.body);
        assert_eq!(answer.media, "application/problem+json", "{uri}");
        check(&root, &json!({"$ref": "#/components/schemas/Problem"}), &answer.body, &uri);
        assert_eq!(answer.body["status"], status, "{uri}");
    }
    for body in
        ["", "{}", "[]", "{\"query\": 1}", "{\"query\": \"SELECT\"}", "{\"quary\": \"SELECT 1\"}"]
    {
        let answer = post(&api, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.media, "application/problem+json");
    }
    let answer = post(&api, &format!("{{\"query\": \"{}\"}}", "x".repeat(2 << 20))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let request = Request::post("/api/v1/sql").header("accept", "image/png");
    let answer = send(&api, request.body(Body::from("{\"query\": \"SELECT 1\"}")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_recorded_or_refused() {
    let data = seeded(Placed::Live).await;
    let api = api(&data);
    let root = description();
    let record = |body: String| {
        let request = Request::post("/api/v1/changes").header("content-type", "application/json");
        send(&api, request.body(Body::from(body)).unwrap())
    };
    let told = json!({"kind": "deployment", "service": "cart", "version": "9.9", "text": "rolled out",
        "time": data.range.from().to_string(), "link": "https://example.com/9"});
    let answer = record(told.to_string()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    check(&root, schema_of(&root, "post", "/api/v1/changes", "201"), &answer.body, "changes");
    let found = ask(&api, "/api/v1/changes", &format!("/api/v1/changes?{}", range(&data))).await;
    assert_eq!(found["changes"][0], answer.body);
    for (name, value) in [
        ("kind", json!("party")),
        ("link", json!("javascript:alert(1)")),
        ("time", json!("yesterday")),
        ("time", json!("-5")),
        ("service", json!("")),
        ("version", json!("x".repeat(2000))),
        ("text", json!("x".repeat(20_000))),
        ("colour", json!("red")),
    ] {
        let mut wrong = told.clone();
        wrong[name] = value;
        let answer = record(wrong.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {}", answer.body);
        assert_eq!(answer.media, "application/problem+json");
    }
    assert_eq!(record("x".repeat(2 << 20)).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    // A form of another site's page.
    let form = Request::post("/api/v1/changes").header("content-type", "text/plain");
    let answer = send(&api, form.body(Body::from(told.to_string())).unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_may_hold_any_character() {
    let data = seeded(Placed::Live).await;
    let api = api(&data);
    for name in ["a%2Fb", "with%20space", "%E2%9C%93", "a%3Fb%26c"] {
        let answer = get(&api, &format!("/api/v1/services/{name}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
        let list = get(&api, &format!("/api/v1/services/{name}/operations")).await;
        assert_eq!(list.body, json!({"operations": []}), "{name}");
    }
    let detail = get(&api, "/api/v1/services/a%2Fb").await.body["detail"].to_string();
    assert!(detail.contains("a/b"), "{detail}");
}

#[test]
fn tags_as_people_type_them() {
    for (text, key, value) in [
        ("a=b", "a", json!("b")),
        ("a = 5 ", "a", json!(5)),
        ("a=5.0", "a", json!(5.0)),
        ("a=true", "a", json!(true)),
        ("a=\"5\"", "a", json!("5")),
        ("a=null", "a", json!("null")),
        ("a={\"x\":1}", "a", json!("{\"x\":1}")),
        ("url=http://x?y=z", "url", json!("http://x?y=z")),
        ("a=", "a", json!("")),
    ] {
        assert_eq!(parse_tag(text), Ok((key.to_owned(), value)), "{text}");
    }
    assert!(parse_tag("a").is_err());
    assert!(parse_tag("=b").is_err());
}
