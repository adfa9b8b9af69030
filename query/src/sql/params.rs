//! Named parameters from JSON.

use std::collections::{BTreeMap, HashMap};

use datafusion::common::{ParamValues, ScalarValue};
use serde_json::Value;

use crate::error::QueryError;
use crate::moment;

/// Most parameters of one statement.
const MAX_PARAMS: usize = 1000;

/// Typed values for `$name`.
pub(super) fn values(params: &BTreeMap<String, Value>) -> Result<ParamValues, QueryError> {
    if params.len() > MAX_PARAMS {
        let text =
            format!("{} parameters were given, at most {MAX_PARAMS} are allowed", params.len());
        return Err(QueryError::Invalid(text));
    }
    let mut typed: HashMap<String, ScalarValue> = HashMap::with_capacity(params.len());
    for (name, value) in params {
        let name = name.strip_prefix('$').unwrap_or(name);
        let value = scalar(value)
            .map_err(|why| QueryError::Invalid(format!("parameter ${name}: {why}")))?;
        typed.insert(name.to_owned(), value);
    }
    Ok(ParamValues::from(typed))
}

fn scalar(value: &Value) -> Result<ScalarValue, String> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(b) => ScalarValue::Boolean(Some(*b)),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(i), _, _) => ScalarValue::Int64(Some(i)),
            (None, Some(u), _) => ScalarValue::UInt64(Some(u)),
            (None, None, d) => ScalarValue::Float64(d),
        },
        Value::String(s) => ScalarValue::from(s.as_str()),
        Value::Array(_) => {
            return Err("lists are not supported; pass one parameter per value".into());
        }
        Value::Object(members) => {
            let name = members.get("type").and_then(Value::as_str).unwrap_or_default();
            let value = members.get("value").unwrap_or(&Value::Null);
            return typed(name, value);
        }
    })
}

fn typed(name: &str, value: &Value) -> Result<ScalarValue, String> {
    let text = match value {
        Value::String(s) => s.clone(),
        Value::Null => return null(name),
        Value::Array(_) | Value::Object(_) => return Err("the value must be a single one".into()),
        other => other.to_string(),
    };
    let wrong = || format!("{text:?} is not a {name}");
    Ok(match name {
        "text" => ScalarValue::from(text.as_str()),
        "bigint" => ScalarValue::Int64(Some(text.parse().map_err(|_| wrong())?)),
        "double" => ScalarValue::Float64(Some(text.parse().map_err(|_| wrong())?)),
        "boolean" => ScalarValue::Boolean(Some(text.parse().map_err(|_| wrong())?)),
        "timestamp" => moment::scalar(moment::parse(&text, headrope_model::time::now_ns())?),
        other => return Err(unknown(other)),
    })
}

fn null(name: &str) -> Result<ScalarValue, String> {
    Ok(match name {
        "text" => ScalarValue::Utf8(None),
        "bigint" => ScalarValue::Int64(None),
        "double" => ScalarValue::Float64(None),
        "boolean" => ScalarValue::Boolean(None),
        "timestamp" => ScalarValue::TimestampNanosecond(None, Some("UTC".into())),
        other => return Err(unknown(other)),
    })
}

fn unknown(name: &str) -> String {
    format!("{name:?} is not a type; use text, bigint, double, boolean or timestamp")
}
