//! Functions over hand-made values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{canonical, members};
use crate::sql::SqlRequest;
use crate::tests::empty;
use crate::{Queries, QueryConfig};

async fn value(queries: &Queries, expression: &str) -> Value {
    let query = format!("SELECT {expression}");
    let request = SqlRequest { query, ..SqlRequest::default() };
    let answer = queries.sql(&request).await.unwrap_or_else(|e| panic!("{expression}: {e}"));
    let json: Value = serde_json::from_str(&answer.json()).unwrap();
    json["rows"][0][0].clone()
}

#[tokio::test]
async fn attributes_by_key() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let object = r#"{"a":"x\"y","n":5,"d":5.0,"b":true,"e":null,"$$k":1,"o":{"a":2},"l":["a",{}],"z":{"$double":"NaN"}}"#;
    for (call, want) in [
        ("attr($, 'a')", json!("x\"y")),
        ("attr($, 'n')", json!("5")),
        ("attr($, 'b')", json!("true")),
        ("attr($, 'e')", json!(null)),
        ("attr_json($, 'e')", json!("null")),
        ("attr($, '$k')", json!("1")),
        ("attr($, 'o')", json!(r#"{"a":2}"#)),
        ("attr($, 'l')", json!(r#"["a",{}]"#)),
        ("attr($, 'missing')", json!(null)),
        ("attr_num($, 'n')", json!(5.0)),
        ("attr_num($, 'd')", json!(5.0)),
        ("attr_num($, 'a')", json!(null)),
        ("attr_num($, 'b')", json!(null)),
        ("attr_num($, 'z')", json!("NaN")),
        ("attr_json($, 'd')", json!("5.0")),
        ("attr_json($, 'a')", json!("\"x\\\"y\"")),
        ("attr(NULL, 'a')", json!(null)),
        ("attr($, NULL)", json!(null)),
        ("attr('not json', 'a')", json!(null)),
        ("attr('{\"a\"', 'a')", json!(null)),
        ("attr(map(['k'], ['7']), 'k')", json!("7")),
        ("attributes_json(map(['k', 'l'], ['7', '\"x\"']))", json!(r#"{"k":7,"l":"x"}"#)),
    ] {
        let expression = call.replace('$', "\u{1}").replace("'\u{1}k'", "'$k'");
        let expression = expression.replace('\u{1}', &format!("'{object}'"));
        assert_eq!(value(&queries, &expression).await, want, "{call}");
    }
}

#[tokio::test]
async fn buckets() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let at = |t: &str| format!("TIMESTAMP '{t}'");
    for (expression, want) in [
        (
            format!("time_bucket(INTERVAL '1 minute', {})", at("2024-01-01T00:01:59.9")),
            "2024-01-01T00:01:00.000000000Z",
        ),
        (
            format!("time_bucket(INTERVAL '1 day', {})", at("2024-01-01T23:01:59.9")),
            "2024-01-01T00:00:00.000000000Z",
        ),
        (
            format!("time_bucket(1000, {})", at("2024-01-01T00:00:00.000001999")),
            "2024-01-01T00:00:00.000001000Z",
        ),
        (
            format!("time_bucket(INTERVAL '1 hour', {})", at("1969-12-31T23:59:59")),
            "1969-12-31T23:00:00.000000000Z",
        ),
    ] {
        assert_eq!(value(&queries, &expression).await, json!(want), "{expression}");
    }
    for ns in [0i64, 1, 999, 1_000_000, 123_456_789] {
        let upper = value(&queries, &format!("latency_bucket({ns})")).await.as_i64().unwrap();
        assert!(upper >= ns && upper as f64 <= ns as f64 * 1.19 + 1.0, "{ns} {upper}");
        assert_eq!(value(&queries, &format!("latency_bucket({upper})")).await, json!(upper));
    }
}

#[tokio::test]
async fn sketches_merge() {
    let (_engine, queries, _dir) = empty(QueryConfig::default()).await;
    let whole = value(&queries, "p(latency_sketch(value), 0.9) FROM generate_series(1, 100000)")
        .await
        .as_f64()
        .unwrap();
    assert!((whole - 90_000.0).abs() <= 90_000.0 * headrope_analysis::sketch::RELATIVE_ERROR);
    let merged = value(
        &queries,
        "p(sketch_merge(s), 0.9) FROM (SELECT value % 97 AS g, latency_sketch(value) AS s \
         FROM generate_series(1, 100000) GROUP BY 1)",
    )
    .await;
    assert_eq!(merged, json!(whole));
    let filtered = value(
        &queries,
        "p(latency_sketch(value) FILTER (WHERE value <= 10), 1.0) FROM generate_series(1, 1000)",
    )
    .await;
    assert_eq!(filtered, json!(10.0));
    assert_eq!(value(&queries, "p(latency_sketch(NULL::bigint), 0.5)").await, json!(null));
}

/// Attribute values as clients send them.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[^$]?[a-z{}\\[\\]\",:\\\\]{0,4}", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn members_agree_with_a_parser(object in prop::collection::btree_map(any::<String>(), any_value(), 0..6)) {
        let value = Value::Object(object.clone().into_iter().collect());
        let text = canonical(&value);
        let got: Vec<(String, Value)> = members(&text)
            .map(|(k, v)| (serde_json::from_str(k).unwrap(), serde_json::from_str(v).unwrap()))
            .collect();
        let want: Value = serde_json::from_str(&text).unwrap();
        let want: Vec<(String, Value)> = want.as_object().unwrap().clone().into_iter().collect();
        let mut got = got;
        got.sort_by(|a, b| a.0.cmp(&b.0));
        let mut want = want;
        want.sort_by(|a, b| a.0.cmp(&b.0));
        prop_assert_eq!(got, want);
    }

    #[test]
    fn members_take_anything(text in any::<String>()) {
        let _ = members(&text).count();
        let _ = members(&format!("{{\"a\":{text}")).count();
    }
}

#[test]
fn canonical_values_keep_their_type() {
    for (value, want) in [
        (json!(123), "123"),
        (json!("123"), "\"123\""),
        (json!(72.5), "72.5"),
        (json!(5.0), "5.0"),
        (json!(true), "true"),
        (json!(null), "null"),
        (json!([1, "a", {"k": 1.0}]), "[1,\"a\",{\"k\":1.0}]"),
    ] {
        assert_eq!(canonical(&value), want);
    }
}
