//! `attributes_json`: an attribute map as one JSON object.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use headrope_model::attr::push_key;

use crate::column::Texts;

/// `attributes_json(attributes)`: canonical JSON.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct AttributesJson {
    signature: Signature,
}

impl AttributesJson {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AttributesJson {
    fn name(&self) -> &str {
        "attributes_json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Map(..)] => Ok(DataType::Utf8View),
            [other] => plan_err!("attributes_json takes attributes, not {other}"),
            _ => plan_err!("attributes_json takes one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [column] = args.args.as_slice() else {
            return exec_err!("attributes_json takes one argument");
        };
        let array = column.to_array(args.number_rows)?;
        let Some(map) = array.as_map_opt() else {
            return exec_err!("attributes_json takes attributes, not {}", array.data_type());
        };
        let (keys, values) = (Texts::of(map.keys())?, Texts::of(map.values())?);
        let mut out = StringViewBuilder::with_capacity(map.len());
        let mut text = String::new();
        for (row, bounds) in map.value_offsets().windows(2).enumerate() {
            let [from, to] = bounds else { continue };
            if map.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            text.push('{');
            for at in usize::try_from(*from).unwrap_or(0)..usize::try_from(*to).unwrap_or(0) {
                if text.len() > 1 {
                    text.push(',');
                }
                push_key(keys.text(at), &mut text);
                text.push(':');
                text.push_str(values.get(at).unwrap_or("null"));
            }
            text.push('}');
            out.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
