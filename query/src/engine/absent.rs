//! Row groups that a condition rules out, told from the dictionaries of their columns.
//!
//! A condition on one column of text or integers that holds for none of the values in a row group's dictionary, nor
//! for null, holds for none of its rows. A dictionary is read in the time of a few hundred rows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, new_null_array};
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use headrope_storage::Segment;
use headrope_storage::dense::{self, Layout};
use parking_lot::Mutex;

use super::attributes::{Lookup, values_of};
use super::scan::Scan;
use crate::segment::{Footer, Positioned, values};

/// Conditions on one column each.
#[derive(Debug, Default)]
pub(super) struct Absent {
    conditions: Vec<Condition>,
    /// By file and row group.
    known: Mutex<HashMap<(usize, usize), bool>>,
}

#[derive(Debug)]
struct Condition {
    /// Over the column alone.
    expr: Arc<dyn PhysicalExpr>,
    field: FieldRef,
    /// The attribute that the column is; otherwise it is one of the file.
    lookup: Option<Lookup>,
}

impl Absent {
    /// Of the parts of a filter over the scan's output.
    pub(super) fn of(filter: Option<&Arc<dyn PhysicalExpr>>, scan: &Scan) -> Result<Self> {
        let output = scan.output()?;
        let mut conditions = Vec::new();
        for part in filter.into_iter().flat_map(split_conjunction) {
            let columns = collect_columns(part);
            let mut columns = columns.iter();
            let (Some(column), None) = (columns.next(), columns.next()) else { continue };
            let Some(field) = output.fields().get(column.index()) else { continue };
            let lookup = column.index().checked_sub(scan.projection.len());
            let lookup = lookup.and_then(|at| scan.lookups.get(at)).cloned();
            let kept = matches!(field.data_type(), DataType::Utf8View | DataType::Int64);
            if lookup.is_none() && !kept {
                continue;
            }
            let alone = Arc::new(Schema::new(vec![Arc::clone(field)]));
            let expr = reassign_expr_columns(Arc::clone(part), &alone)?;
            conditions.push(Condition { expr, field: Arc::clone(field), lookup });
        }
        Ok(Self { conditions, known: Mutex::default() })
    }

    /// Whether there is a condition that may rule something out.
    pub(super) const fn may_rule_out(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// Whether no row of a row group fulfils every condition. Blocks on the disk.
    pub(super) fn rules_out(
        &self,
        (at, segment): (usize, &Arc<Segment>),
        footer: &Footer,
        group: usize,
    ) -> Result<bool> {
        if let Some(known) = self.known.lock().get(&(at, group)) {
            return Ok(*known);
        }
        let file = Positioned::of(segment)?;
        let mut out = false;
        for condition in &self.conditions {
            out = out || condition.holds_nowhere(footer, &file, group)?;
        }
        self.known.lock().insert((at, group), out);
        Ok(out)
    }
}

impl Condition {
    fn holds_nowhere(&self, footer: &Footer, file: &Positioned, group: usize) -> Result<bool> {
        let Some(values) = self.values(footer, file, group)? else { return Ok(false) };
        let wanted = self.field.data_type();
        let values = cast(&values, wanted)?;
        let null = new_null_array(wanted, 1);
        let values = concat(&[values.as_ref(), null.as_ref()])?;
        let field = self.field.as_ref().clone().with_nullable(true);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![values])?;
        let found = self.expr.evaluate(&batch)?.into_array(batch.num_rows())?;
        let Some(found) = found.as_boolean_opt() else { return Ok(false) };
        Ok(found.true_count() == 0)
    }

    /// What the column may be, besides null; `None` if that is not known without reading rows.
    fn values(&self, footer: &Footer, file: &Positioned, group: usize) -> Result<Option<ArrayRef>> {
        let of_column = |name: &str| match footer.leaf(name) {
            Some(_) => values(footer, file, group, name),
            None => Ok(None),
        };
        let Some(lookup) = &self.lookup else {
            return Ok(of_column(self.field.name())?);
        };
        let schema = footer.codes()?;
        let schema = schema.schema();
        let Some(layout) = Layout::of(schema, dense::promoted(footer.data_set())) else {
            return Ok(None);
        };
        let rest_keys = dense::rest_keys(|name| footer.key_value(name));
        let find = layout
            .find(lookup.key(), |key| rest_keys.as_ref().is_none_or(|keys| keys.contains(key)));
        let columns = find.columns();
        let mut found = vec![new_null_array(&lookup.output().data_type(), 0)];
        for column in &columns {
            let name = schema.fields().get(*column).map_or("", |field| field.name());
            let Some(own) = of_column(name)? else { return Ok(None) };
            // The others are null: a column that hides another one only takes values away.
            let null = |at: &usize| {
                let field = schema.fields().get(*at);
                new_null_array(field.map_or(&DataType::Utf8, |f| f.data_type()), own.len())
            };
            let array = |at: &usize| if at == column { Arc::clone(&own) } else { null(at) };
            let arrays: Vec<ArrayRef> = columns.iter().map(array).collect();
            found.push(values_of(&find, lookup.output(), &arrays, own.len())?);
        }
        let found: Vec<&dyn Array> = found.iter().map(AsRef::as_ref).collect();
        Ok(Some(concat(&found)?))
    }
}
