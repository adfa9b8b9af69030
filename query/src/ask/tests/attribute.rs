//! Which attributes there are, against every record looked at.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::SqlRequest;
use crate::answer::attribute::{AttributeQuery, AttributesOf};
use crate::tests::{Placed, Seeded, seeded};

async fn rows(data: &Seeded, query: String) -> Vec<Vec<Value>> {
    let max_rows = Some(100_000);
    let answer = data.queries.sql(&SqlRequest { query, max_rows, ..SqlRequest::default() }).await;
    let json: Value = serde_json::from_str(&answer.unwrap().json()).unwrap();
    assert_eq!(json["stats"]["truncated"], false, "{}", json["stats"]);
    serde_json::from_value(json["rows"].clone()).unwrap()
}

/// Values by level, key and type.
type Counted = BTreeMap<(String, String, String), u64>;

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "double",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "map",
    }
}

async fn counted(data: &Seeded, table: &str) -> Counted {
    let query = format!(
        "SELECT attributes_json(attributes), resource, scope_attributes, count(*) FROM {table} GROUP BY 1, 2, 3"
    );
    let mut counted = Counted::new();
    for row in rows(data, query).await {
        let [levels @ .., records] = row.as_slice() else { panic!("{row:?}") };
        for (level, object) in ["record", "resource", "scope"].into_iter().zip(levels) {
            let Some(object) = object.as_str() else { continue };
            let object: BTreeMap<String, Value> = serde_json::from_str(object).unwrap();
            for (key, value) in object {
                let key = (level.to_owned(), key, type_of(&value).to_owned());
                *counted.entry(key).or_default() += records.as_u64().unwrap();
            }
        }
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attribute_is_named_with_its_types() {
    for placed in [Placed::Live, Placed::Flushed, Placed::Mixed, Placed::Merged] {
        let data = seeded(placed).await;
        for (table, signal) in [
            ("spans", AttributesOf::Spans),
            ("logs", AttributesOf::Logs),
            ("metrics", AttributesOf::Metrics),
        ] {
            let want = counted(&data, table).await;
            assert!(want.len() > 5, "{table}");
            let query = format!(
                "SELECT level, key, value_type, value_count FROM attribute_keys WHERE signal = '{table}'"
            );
            let said: Counted = rows(&data, query)
                .await
                .into_iter()
                .map(|row| {
                    let text = |at: usize| row[at].as_str().unwrap().to_owned();
                    ((text(0), text(1), text(2)), row[3].as_u64().unwrap())
                })
                .collect();
            assert_eq!(said, want, "{table} {placed:?}");
            let query = AttributeQuery { signal, range: data.range, prefix: None, limit: 1000 };
            let answer = data.queries.attributes(&query).await.unwrap();
            assert!(answer.complete && answer.left_off == 0);
            assert!(answer.attributes.is_sorted_by(|a, b| a.values >= b.values));
            let said: Counted = answer
                .attributes
                .iter()
                .flat_map(|a| a.types.iter().map(move |(t, n)| (a, *t, *n)))
                .map(|(a, t, n)| ((a.level.to_owned(), a.key.clone(), t.to_owned()), n))
                .collect();
            assert_eq!(said, want, "{table} {placed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_are_found_by_prefix_and_named_with_their_columns() {
    let data = seeded(Placed::Mixed).await;
    let query = AttributeQuery {
        signal: AttributesOf::Spans,
        range: data.range,
        prefix: Some("db.".to_owned()),
        limit: 2,
    };
    let found = data.queries.attributes(&query).await.unwrap();
    assert_eq!(found.attributes.len(), 2);
    assert!(found.left_off > 0);
    for attribute in &found.attributes {
        let column = attribute.column.unwrap();
        assert_eq!(column, attribute.key.replace('.', "_"));
        let query = format!("SELECT count(attr(attributes, '{}')) FROM spans", attribute.key);
        assert_eq!(rows(&data, query).await, [[Value::from(attribute.values)]]);
    }
    let none = headrope_model::TimeRange::new(0, 1).unwrap();
    let found = data.queries.attributes(&AttributeQuery { range: none, ..query }).await.unwrap();
    assert!(found.attributes.is_empty() && found.complete);
}
