//! What an aggregation over spans asks for.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use headrope_model::DataSet;

use super::terms::{self, Needs, Range};
use crate::engine::table::Table;

/// An aggregation over all spans, with its expressions over the columns of the spans.
pub(super) struct OverSpans {
    /// The table, which is one of [`DataSet::Spans`].
    pub(super) table: Arc<dyn TableProvider>,
    pub(super) groups: Vec<Expr>,
    pub(super) aggregates: Vec<Expr>,
    /// Conditions; all hold for every row that counts.
    conditions: Vec<Expr>,
}

/// A table if it is all spans.
pub(super) fn spans(table: &Arc<dyn TableProvider>) -> Option<&Table> {
    let any: &dyn std::any::Any = table.as_ref();
    any.downcast_ref::<Table>().filter(|t| t.is_all_of(DataSet::Spans))
}

impl OverSpans {
    /// Looks through projections, names and conditions down to the spans; `None` if there is anything
    /// else.
    pub(super) fn of(aggregate: &Aggregate) -> Result<Option<Self>> {
        let mut found = Expressions {
            groups: aggregate.group_expr.clone(),
            aggregates: aggregate.aggr_expr.clone(),
            conditions: Vec::new(),
        };
        let mut node = aggregate.input.as_ref();
        loop {
            if found.all().any(terms::is_large) {
                return Ok(None);
            }
            node = match node {
                LogicalPlan::Filter(filter) => {
                    found.conditions.push(filter.predicate.clone());
                    filter.input.as_ref()
                }
                LogicalPlan::Projection(projection) => {
                    let names = projection.schema.iter();
                    let meaning = names.zip(&projection.expr).map(|((table, field), expr)| {
                        (Column::new(table.cloned(), field.name()), expr.clone().unalias())
                    });
                    found.replace(&meaning.collect())?;
                    projection.input.as_ref()
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let inner = alias.input.schema().columns();
                    let meaning =
                        alias.schema.columns().into_iter().zip(inner.into_iter().map(Expr::Column));
                    found.replace(&meaning.collect())?;
                    alias.input.as_ref()
                }
                LogicalPlan::TableScan(scan) => {
                    let Ok(table) = source_as_provider(&scan.source) else { return Ok(None) };
                    if spans(&table).is_none() || scan.fetch.is_some() {
                        return Ok(None);
                    }
                    found.conditions.extend(scan.filters.iter().cloned());
                    let Expressions { groups, aggregates, conditions } = found;
                    return Ok(Some(Self { table, groups, aggregates, conditions }));
                }
                _ => return Ok(None),
            };
        }
    }

    /// The conditions: a range of start times, and others over the roll-up's columns. `None` if there
    /// is one that needs more of a span.
    pub(super) fn conditions(&self, needs: &mut Needs) -> Result<Option<(Range, Vec<Expr>)>> {
        let mut range = Range::ALL;
        let mut others = Vec::new();
        for condition in self.conditions.iter().flat_map(split_conjunction) {
            if range.narrow(condition) {
                continue;
            }
            match terms::over_rollup(condition, needs)? {
                Some(condition) => others.push(condition),
                None => return Ok(None),
            }
        }
        Ok(Some((range, others)))
    }
}

struct Expressions {
    groups: Vec<Expr>,
    aggregates: Vec<Expr>,
    conditions: Vec<Expr>,
}

impl Expressions {
    fn all(&self) -> impl Iterator<Item = &Expr> {
        self.groups.iter().chain(&self.aggregates).chain(&self.conditions)
    }

    /// Writes what columns mean in their place.
    fn replace(&mut self, meaning: &HashMap<Column, Expr>) -> Result<()> {
        let lists = [&mut self.groups, &mut self.aggregates, &mut self.conditions];
        for expr in lists.into_iter().flatten() {
            let replaced = std::mem::take(expr).transform_up(|node| {
                Ok(match &node {
                    Expr::Column(column) => match meaning.get(column) {
                        Some(expr) => Transformed::yes(expr.clone()),
                        None => Transformed::no(node),
                    },
                    _ => Transformed::no(node),
                })
            });
            *expr = replaced.data()?;
        }
        Ok(())
    }
}
