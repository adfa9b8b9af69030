//! `has_tag`: whether a span carries a typed attribute anywhere.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanBuilder, ListArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use headrope_model::attr as write;
use serde_json::Value;

use super::attr::{Attributes, Key};
use crate::column::Texts;

/// Key under which the name of the instrumentation scope is found.
const SCOPE_NAME: &str = "otel.scope.name";
/// Key under which the version of the instrumentation scope is found.
const SCOPE_VERSION: &str = "otel.scope.version";

/// Number of arguments: seven columns of the span, the key and the value as canonical JSON.
const ARGUMENTS: usize = 9;

/// `has_tag(attributes, events, links, scope_attributes, scope_name, scope_version, resource, key,
/// value)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct HasTag {
    signature: Signature,
}

impl HasTag {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(ARGUMENTS, Volatility::Immutable) }
    }
}

/// The canonical JSON of a value given from outside: what the stored value must equal.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

fn push(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => write::push_bool(*b, out),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => write::push_i64(i, out),
            (None, Some(d)) => write::push_f64(d, out),
            (None, None) => out.push_str(&n.to_string()),
        },
        Value::String(s) => write::push_str(s, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write::push_str(key, out);
                out.push(':');
                push(member, out);
            }
            out.push('}');
        }
    }
}

/// Attribute texts of the elements of a list of structs.
struct Nested {
    list: ListArray,
    attributes: Texts,
}

impl Nested {
    fn of(column: &ColumnarValue, rows: usize) -> Result<Self> {
        let array = column.to_array(rows)?;
        let Some(list) = array.as_list_opt::<i32>() else {
            return exec_err!("has_tag takes events and links as lists, not {}", array.data_type());
        };
        let attributes = list.values().as_struct_opt().and_then(|s| s.column_by_name("attributes"));
        match attributes {
            Some(attributes) => Ok(Self { attributes: Texts::of(attributes)?, list: list.clone() }),
            None => exec_err!("has_tag takes events and links that have attributes"),
        }
    }

    fn any(&self, row: usize, test: impl Fn(&str) -> bool) -> bool {
        if self.list.is_null(row) {
            return false;
        }
        let offsets = self.list.value_offsets();
        let (Some(from), Some(to)) = (offsets.get(row), offsets.get(row + 1)) else { return false };
        let range = usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0);
        range.into_iter().any(|at| self.attributes.get(at).is_some_and(&test))
    }
}

/// Texts that repeat from row to row: the last answer is kept.
struct Repeating {
    texts: Texts,
    last: Option<(usize, bool)>,
}

impl Repeating {
    fn of(column: &ColumnarValue, rows: usize) -> Result<Self> {
        Ok(Self { texts: Texts::of(&column.to_array(rows)?)?, last: None })
    }

    fn test(&mut self, row: usize, test: impl Fn(&str) -> bool) -> bool {
        let Some(text) = self.texts.get(row) else { return false };
        if let Some((before, answer)) = self.last
            && self.texts.get(before) == Some(text)
        {
            return answer;
        }
        let answer = test(text);
        self.last = Some((row, answer));
        answer
    }
}

fn literal<'a>(value: &'a ColumnarValue, what: &str) -> Result<&'a str> {
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.try_as_str().flatten() {
            Some(text) => Ok(text),
            None => exec_err!("the {what} given to has_tag must be text"),
        },
        ColumnarValue::Array(_) => exec_err!("the {what} given to has_tag must be a constant"),
    }
}

impl ScalarUDFImpl for HasTag {
    fn name(&self) -> &str {
        "has_tag"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        if arg_types.len() != ARGUMENTS {
            return plan_err!("has_tag takes {ARGUMENTS} arguments");
        }
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let [attributes, events, links, scope, name, version, resource, key, value] =
            args.args.as_slice()
        else {
            return exec_err!("has_tag takes {ARGUMENTS} arguments");
        };
        let key = Key::new(literal(key, "key")?);
        let value = literal(value, "value")?;
        let of_scope = match key.raw() {
            SCOPE_NAME => Some(name),
            SCOPE_VERSION => Some(version),
            _ => None,
        };
        let mut of_scope = of_scope.map(|c| Repeating::of(c, rows)).transpose()?;
        let plain = write::plain(value);
        let attributes = Attributes::of(&attributes.to_array(rows)?)?;
        let (events, links) = (Nested::of(events, rows)?, Nested::of(links, rows)?);
        let mut resource = Repeating::of(resource, rows)?;
        let mut scope = Repeating::of(scope, rows)?;
        let holds = |text: &str| key.in_json(text) == Some(value);
        let mut out = BooleanBuilder::with_capacity(rows);
        for row in 0..rows {
            let found = attributes.get(row, &key) == Some(value)
                || resource.test(row, holds)
                || scope.test(row, holds)
                || events.any(row, holds)
                || links.any(row, holds)
                || of_scope
                    .as_mut()
                    .is_some_and(|s| value.starts_with('"') && s.test(row, |text| text == plain));
            out.append_value(found);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
