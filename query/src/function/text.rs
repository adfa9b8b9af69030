//! `text_match`: the search language of logs in SQL.

use std::sync::Arc;

use datafusion::arrow::array::BooleanBuilder;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use headrope_storage::text::TextQuery;

use super::attr::is_text;
use crate::column::Texts;

/// Name of the function.
const NAME: &str = "text_match";

/// `text_match(text, query)`: a row without a text counts as one with an empty text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TextMatch {
    signature: Signature,
}

impl TextMatch {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The query of `text_match(column, 'constant')`.
pub(crate) fn query_on(filter: &Expr, column: &str) -> Option<TextQuery> {
    let Expr::ScalarFunction(call) = filter else { return None };
    let [Expr::Column(on), Expr::Literal(query, _)] = call.args.as_slice() else { return None };
    if call.name() != NAME || on.name != column {
        return None;
    }
    TextQuery::parse(query.try_as_str().flatten()?).ok()
}

fn parse(query: &str) -> Result<TextQuery> {
    TextQuery::parse(query).map_err(|e| DataFusionError::Plan(format!("search text: {e}")))
}

impl ScalarUDFImpl for TextMatch {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// Refuses a search text that cannot be read while the query is planned, so that an empty table
    /// does not hide the mistake.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if let [_, Some(query)] = args.scalar_arguments
            && let Some(query) = query.try_as_str().flatten()
        {
            parse(query)?;
        }
        Ok(Arc::new(Field::new(NAME, DataType::Boolean, true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [text, query] if is_text(text) && is_text(query) => {
                Ok(vec![DataType::Utf8View, DataType::Utf8View])
            }
            _ => plan_err!("{NAME} takes two texts: where to search and what for"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, ColumnarValue::Scalar(query)] = args.args.as_slice() else {
            return exec_err!("the search text given to {NAME} must be a constant");
        };
        let query = parse(query.try_as_str().flatten().unwrap_or_default())?;
        let texts = Texts::of(&text.to_array(args.number_rows)?)?;
        let mut matcher = query.matcher();
        let mut out = BooleanBuilder::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            out.append_value(matcher.matches(texts.text(row)));
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
