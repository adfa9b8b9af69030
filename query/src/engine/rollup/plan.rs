//! The plan that stands for an aggregation over spans.
//!
//! ```text
//! Projection (names and types as before) ◀─ Aggregate ◀─ Union ◀─┬─ Projection ◀─ Filter ◀─ roll-up
//!                                                                ├─ Projection ◀─ Filter ◀─ spans it does not count
//!                                                                └─ Projection ◀─ Filter ◀─ spans at the ends of the range
//! ```

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use headrope_model::{DataSet, schema};

use super::measure::{self, Input, Inputs, Replaced, replace};
use super::pieces::{self, Counted, Pieces, Stretch};
use super::statement::{OverSpans, spans};
use super::terms::{self, Needs, Range, column};
use crate::engine::table::{Part, Source, Table};
use crate::moment;

/// What is read, and what of it.
struct Branch {
    table: Table,
    name: &'static str,
    condition: Vec<Expr>,
    of_rollup: bool,
}

/// The plan over a roll-up that gives what the aggregation gives; `None` if there is none.
pub(super) fn rewrite(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(asked) = OverSpans::of(aggregate)? else { return Ok(None) };
    let Some(table) = spans(&asked.table) else { return Ok(None) };
    let mut needs = Needs::default();
    let Some((range, conditions)) = asked.conditions(&mut needs)? else { return Ok(None) };
    let all = asked.groups.is_empty() && conditions.is_empty() && range == Range::ALL;
    if all && asked.aggregates.iter().all(measure::counts_rows) {
        // Counts of everything come from what the catalog knows.
        return Ok(None);
    }
    let mut inputs = Inputs::default();
    let mut groups = Vec::with_capacity(asked.groups.len());
    for group in &asked.groups {
        let Some(term) = terms::over_rollup(&group.clone().unalias(), &mut needs)? else {
            return Ok(None);
        };
        groups.push(inputs.take(Input::Term(term)));
    }
    let spans_schema = datafusion::common::DFSchema::try_from(asked.table.schema())?;
    let mut replaced = Vec::with_capacity(asked.aggregates.len());
    for aggregate in &asked.aggregates {
        let aggregate = unqualified(aggregate)?;
        match replace(&aggregate, &spans_schema, &mut inputs, &mut needs)? {
            Some(one) => replaced.push(one),
            None => return Ok(None),
        }
    }
    let source = table.source();
    let Some((rollup, pieces)) = choose(source, &needs, range, &conditions) else {
        return Ok(None);
    };
    let mut union: Option<LogicalPlanBuilder> = None;
    for branch in branches(source, rollup, range, &pieces) {
        let plan = branch.plan(&conditions, &inputs)?;
        union = Some(match union {
            None => plan,
            Some(union) => union.union(plan.build()?)?,
        });
    }
    match union {
        Some(union) => summed(aggregate, union, groups, replaced).map(Some),
        None => Ok(None),
    }
}

/// The expression with columns by their names alone: there is one table.
fn unqualified(expr: &Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
    expr.clone()
        .transform_up(|node| {
            Ok(match &node {
                Expr::Column(c) if c.relation.is_some() => Transformed::yes(column(&c.name)),
                _ => Transformed::no(node),
            })
        })
        .data()
}

/// The roll-up with the fewest rows that knows what is needed, and how it cuts the range up.
fn choose(
    source: &Source,
    needs: &Needs,
    range: Range,
    conditions: &[Expr],
) -> Option<(DataSet, Pieces)> {
    let knows = |rollup: &DataSet| {
        let known = schema::dimensions(*rollup);
        counts_all(*rollup, conditions)
            && needs.labels.iter().all(|label| known.iter().any(|c| c.name == label))
    };
    let rows = |rollup: &DataSet| -> u64 {
        source.snapshot.segments(*rollup).iter().map(|s| s.meta().rows).sum()
    };
    let cut = |rollup: DataSet| {
        let counted = source
            .snapshot
            .segments(DataSet::Spans)
            .iter()
            .map(|s| s.meta())
            .filter(|m| m.rollups.contains(rollup))
            .map(|m| (m.min_time, m.max_time))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let counted = Counted { extent: counted?, horizon: source.snapshot.horizon(rollup) };
        let pieces = pieces::cut(range.first, range.last, needs.within, counted);
        (!pieces.steps.is_empty()).then_some((rollup, pieces))
    };
    let mut known: Vec<DataSet> = DataSet::ROLLUPS.into_iter().filter(knows).collect();
    known.sort_by_key(rows);
    known.into_iter().find_map(cut)
}

/// Whether a roll-up counts all spans for which the conditions hold.
fn counts_all(rollup: DataSet, conditions: &[Expr]) -> bool {
    let mut conditions = conditions.iter();
    match schema::counted(rollup) {
        schema::Counted::All => true,
        schema::Counted::With(label) => conditions.any(|c| terms::requires(c, label)),
        schema::Counted::OneOf(label, list) => {
            conditions.any(|c| terms::requires_one_of(c, label, list))
        }
    }
}

/// What has to be read. Parts of which the snapshot holds nothing are left out.
fn branches(source: &Source, rollup: DataSet, range: Range, pieces: &Pieces) -> Vec<Branch> {
    let all = vec![Branch {
        table: Table::new(rollup, source.clone()),
        name: "rollup",
        condition: vec![any_of(pieces.steps.iter().map(|(step, stretch)| {
            column("step_ns").eq(lit(*step)).and(within("time", *stretch))
        }))],
        of_rollup: true,
    }];
    let whole = (i128::from(range.first), i128::from(range.last) + 1);
    let parts = [
        (Part::NotCountedBy(rollup), "spans_not_counted", vec![whole]),
        (Part::CountedBy(rollup), "spans_at_the_ends", pieces.spans.clone()),
    ];
    let more = parts.into_iter().filter_map(|(part, name, stretches)| {
        let table = Table::part(DataSet::Spans, part, source.clone());
        let touched = |(from, to): (i64, i64)| {
            stretches.iter().any(|s| s.0 <= i128::from(to) && i128::from(from) < s.1)
        };
        if !table.extents().any(touched) {
            return None;
        }
        let condition = vec![any_of(stretches.iter().map(|s| within("start_time", *s)))];
        Some(Branch { table, name, condition, of_rollup: false })
    });
    all.into_iter().chain(more).collect()
}

fn any_of(conditions: impl Iterator<Item = Expr>) -> Expr {
    disjunction(conditions).unwrap_or_else(|| lit(false))
}

/// Whether a time lies in a stretch.
fn within(time: &str, (from, to): Stretch) -> Expr {
    let at = |t: i128| i64::try_from(t).ok().map(|t| Expr::Literal(moment::scalar(t), None));
    // Ends beyond what can be stored limit nothing.
    let from = at(from).map(|from| column(time).gt_eq(from));
    let to = at(to).map(|to| column(time).lt(to));
    conjunction(from.into_iter().chain(to)).unwrap_or_else(|| lit(true))
}

impl Branch {
    fn plan(self, conditions: &[Expr], inputs: &Inputs) -> Result<LogicalPlanBuilder> {
        let of_rollup = self.of_rollup;
        let term = |expr: &Expr| if of_rollup { Ok(expr.clone()) } else { terms::over_spans(expr) };
        let mut filter = self.condition;
        for condition in conditions {
            filter.push(term(condition)?);
        }
        let columns = inputs.iter().map(|(name, input)| {
            Ok(match (input, of_rollup) {
                (Input::Term(expr), _) => term(expr)?,
                (Input::Calls, true) => column("calls"),
                (Input::Calls, false) => lit(1i64),
                (Input::Total, true) => column("total_ns"),
                (Input::Least, true) => column("min_ns"),
                (Input::Greatest, true) => column("max_ns"),
                (Input::First, true) => column("first_start"),
                (Input::Last, true) => column("last_start"),
                (Input::First | Input::Last, false) => column("start_time"),
                (Input::Duration, true) => lit(ScalarValue::Int64(None)),
                (Input::Total | Input::Least | Input::Greatest | Input::Duration, false) => {
                    column("duration_ns")
                }
                (Input::Sketch, true) => column("sketch"),
                (Input::Sketch, false) => lit(ScalarValue::Binary(None)),
            }
            .alias(name))
        });
        let table: Arc<dyn TableProvider> = Arc::new(self.table);
        let mut plan = LogicalPlanBuilder::scan(self.name, provider_as_source(table), None)?;
        if let Some(filter) = conjunction(filter) {
            plan = plan.filter(filter)?;
        }
        plan.project(columns.collect::<Result<Vec<_>>>()?)
    }
}

/// Sums the union up, under the names of the aggregation it stands for.
fn summed(
    aggregate: &Aggregate,
    union: LogicalPlanBuilder,
    groups: Vec<Expr>,
    replaced: Vec<Replaced>,
) -> Result<LogicalPlan> {
    let mut all = Vec::new();
    let mut values: Vec<(Vec<usize>, _)> = Vec::with_capacity(replaced.len());
    for Replaced { aggregates, value } in replaced {
        let places = aggregates.into_iter().map(|expr| {
            // Two aggregates may have become the same one.
            all.iter().position(|known| *known == expr).unwrap_or_else(|| {
                all.push(expr);
                all.len() - 1
            })
        });
        values.push((places.collect(), value));
    }
    let named = all.into_iter().enumerate().map(|(at, expr)| expr.alias(format!("a{at}")));
    let mut distinct = Vec::with_capacity(groups.len());
    for group in &groups {
        if !distinct.contains(group) {
            distinct.push(group.clone());
        }
    }
    let plan = union.aggregate(distinct, named.collect::<Vec<_>>())?;
    let mut outputs = groups;
    for (places, value) in values {
        outputs.push(value(places.into_iter().map(|at| column(&format!("a{at}"))).collect())?);
    }
    let names = aggregate.schema.iter();
    let outputs = outputs
        .into_iter()
        .zip(names)
        .map(|(expr, (table, field))| expr.alias_qualified(table.cloned(), field.name()));
    plan.project(outputs.collect::<Vec<_>>())?.build()
}
