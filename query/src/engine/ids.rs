//! Conditions on ids: SQL sees hex text, files hold bytes.
//!
//! `trace_id = '…'` and `trace_id IN ('…', …)` become comparisons of bytes, which statistics, bloom
//! filters and row filters understand. Letter case of the hex digits does not matter; text that is
//! not an id of the right length equals no row.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, in_list, lit};
use headrope_model::id::decode_hex;

/// A column equals one of these ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdFilter {
    /// Column name.
    pub(crate) column: String,
    /// Ids, each of the column's width; none if no text was an id.
    pub(crate) ids: Vec<Vec<u8>>,
}

/// Width in bytes of an id column of the stored schema, `None` for any other column.
pub(crate) fn id_width(stored: &Schema, column: &str) -> Option<usize> {
    match stored.field_with_name(column).ok()?.data_type() {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        _ => None,
    }
}

/// The condition as a filter on bytes, if it is one exactly. A short `IN` list may have become a
/// chain of `OR`.
pub(crate) fn translate(expr: &Expr, stored: &Schema) -> Option<IdFilter> {
    if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) = expr {
        let (mut left, right) = (translate(left, stored)?, translate(right, stored)?);
        if left.column != right.column {
            return None;
        }
        left.ids.extend(right.ids);
        left.ids.sort_unstable();
        left.ids.dedup();
        return Some(left);
    }
    let (column, texts) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            match (column_of(left), column_of(right)) {
                (Some(column), None) => (column, vec![text_of(right)?]),
                (None, Some(column)) => (column, vec![text_of(left)?]),
                _ => return None,
            }
        }
        Expr::InList(list) if !list.negated => {
            let texts: Option<Vec<&str>> = list.list.iter().map(text_of).collect();
            (column_of(&list.expr)?, texts?)
        }
        _ => return None,
    };
    let width = id_width(stored, column)?;
    let mut ids: Vec<Vec<u8>> = texts
        .into_iter()
        .filter_map(|text| {
            let mut id = vec![0; width];
            decode_hex(text.as_bytes(), &mut id).map(|()| id)
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    Some(IdFilter { column: column.to_owned(), ids })
}

impl IdFilter {
    /// The filter over a plan that yields the stored column.
    pub(crate) fn physical(&self, input: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new_with_schema(&self.column, input)?);
        let literal = |id: &Vec<u8>| {
            let width = i32::try_from(id.len()).unwrap_or(i32::MAX);
            lit(ScalarValue::FixedSizeBinary(width, Some(id.clone())))
        };
        // A list even of one: an equality would tell the planner that the column is constant, which
        // it loses again behind the conversion to text and then refuses its own plan.
        in_list(column, self.ids.iter().map(literal).collect(), &false, input)
    }
}

fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Alias(alias) => column_of(&alias.expr),
        Expr::Cast(cast) if is_text(cast.field.data_type()) => column_of(&cast.expr),
        _ => None,
    }
}

const fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}
