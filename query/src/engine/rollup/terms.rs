//! Expressions that mean the same over spans and over a roll-up.
//!
//! They are written over the roll-up's columns without a table's name: the labels, `is_root` for
//! `parent_span_id IS NULL`, and `time`, which stands for `start_time` inside functions that only look
//! at whole steps of it.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, Volatility};
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE};

use crate::function::step_ns;

/// Nodes of an expression at most; one that is larger is not looked into.
const MAX_NODES: usize = 2_000;

/// What expressions of a statement ask of a roll-up.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// Labels of spans.
    pub(super) labels: BTreeSet<String>,
    /// The length that a step must divide, nanoseconds; `None`: any step will do.
    pub(super) within: Option<i64>,
}

impl Needs {
    /// Times are only told apart by steps of this length.
    fn steps_of(&mut self, length: i64) {
        let both = self.within.map_or(length, |other| greatest_common_divisor(other, length));
        self.within = Some(both);
    }
}

const fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether the expression is too large to be worth it.
pub(super) fn is_large(expr: &Expr) -> bool {
    let mut nodes = 0;
    let counted = expr.apply(|_| {
        nodes += 1;
        Ok(if nodes > MAX_NODES { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    counted.is_err() || nodes > MAX_NODES
}

/// The expression over the roll-up's columns; `None` if it needs more of a span.
pub(super) fn over_rollup(expr: &Expr, needs: &mut Needs) -> Result<Option<Expr>> {
    let mut possible = true;
    let out = expr.clone().transform_down(|node| {
        let kept = match &node {
            Expr::IsNull(of) if is_column(of, "parent_span_id") => Some(is_root()),
            Expr::IsNotNull(of) if is_column(of, "parent_span_id") => {
                Some(Expr::Not(Box::new(is_root())))
            }
            Expr::Column(column) => {
                needs.labels.insert(column.name.clone());
                Some(Expr::Column(Column::new_unqualified(column.name.clone())))
            }
            Expr::ScalarFunction(call) => match steps_of(&node) {
                Some(length) => {
                    needs.steps_of(length);
                    let mut call = call.clone();
                    if let Some(time) = call.args.last_mut() {
                        *time = Expr::Column(Column::new_unqualified("time"));
                    }
                    Some(Expr::ScalarFunction(call))
                }
                None if call.func.signature().volatility == Volatility::Immutable => None,
                None => {
                    possible = false;
                    None
                }
            },
            Expr::Alias(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => None,
            _ => {
                possible = false;
                None
            }
        };
        Ok(match kept {
            _ if !possible => Transformed::new(node, false, TreeNodeRecursion::Stop),
            Some(kept) => Transformed::new(kept, true, TreeNodeRecursion::Jump),
            None => Transformed::no(node),
        })
    })?;
    Ok(possible.then_some(out.data))
}

/// Whether a condition, over the roll-up's columns, only holds where a label is not null.
pub(super) fn requires(condition: &Expr, label: &str) -> bool {
    match condition {
        Expr::IsNotNull(of) => is_column(of, label),
        Expr::InList(list) => !list.negated && is_column(&list.expr, label),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq | Operator::NotEq, right }) => {
            is_column(left, label) || is_column(right, label)
        }
        _ => false,
    }
}

/// Whether a condition only holds where a label is one of some texts.
pub(super) fn requires_one_of(condition: &Expr, label: &str, texts: &[&str]) -> bool {
    let is_one = |expr: &Expr| match expr {
        Expr::Literal(text, _) => text.try_as_str().flatten().is_some_and(|t| texts.contains(&t)),
        _ => false,
    };
    match condition {
        Expr::InList(list) => {
            !list.negated && is_column(&list.expr, label) && list.list.iter().all(is_one)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            (is_column(left, label) && is_one(right)) || (is_column(right, label) && is_one(left))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            requires_one_of(left, label, texts) && requires_one_of(right, label, texts)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            requires_one_of(left, label, texts) || requires_one_of(right, label, texts)
        }
        _ => false,
    }
}

/// The expression over spans, of one over the roll-up's columns.
pub(super) fn over_spans(expr: &Expr) -> Result<Expr> {
    let parent = || Box::new(column("parent_span_id"));
    expr.clone()
        .transform_up(|node| {
            Ok(match &node {
                Expr::Column(c) if c.name == "is_root" => Transformed::yes(Expr::IsNull(parent())),
                Expr::Column(c) if c.name == "time" => Transformed::yes(column("start_time")),
                _ => Transformed::no(node),
            })
        })
        .map(|t| t.data)
}

/// A column by its name alone; names are case-sensitive.
pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn is_root() -> Expr {
    column("is_root")
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// The length of the steps of time that a function of `start_time` tells apart, if it is one.
fn steps_of(expr: &Expr) -> Option<i64> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let [Expr::Literal(step, _), time] = call.args.as_slice() else { return None };
    if !is_column(time, "start_time") {
        return None;
    }
    match call.func.name() {
        "time_bucket" => step_ns(step).ok(),
        "date_trunc" => match step.try_as_str().flatten()?.to_lowercase().as_str() {
            "minute" => Some(NANOS_PER_MINUTE),
            "hour" => Some(NANOS_PER_HOUR),
            // Each of them begins with a day.
            "day" | "week" | "month" | "quarter" | "year" => Some(24 * NANOS_PER_HOUR),
            _ => None,
        },
        _ => None,
    }
}

/// A range of time, both ends included, Unix nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Range {
    pub(super) const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// Narrows the range by a condition; false if it is not one on `start_time` and a constant.
    pub(super) fn narrow(&mut self, condition: &Expr) -> bool {
        if let Expr::Between(between) = condition {
            let (Some(low), Some(high)) = (nanos(&between.low), nanos(&between.high)) else {
                return false;
            };
            let range = !between.negated && is_column(&between.expr, "start_time");
            return range && self.limit(Operator::GtEq, low) && self.limit(Operator::LtEq, high);
        }
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return false };
        match (nanos(left), nanos(right)) {
            (None, Some(at)) if is_column(left, "start_time") => self.limit(*op, at),
            (Some(at), None) if is_column(right, "start_time") => {
                op.swap().is_some_and(|op| self.limit(op, at))
            }
            _ => false,
        }
    }

    fn limit(&mut self, op: Operator, at: i64) -> bool {
        // A limit that leaves nothing leaves an empty range.
        let none = Self { first: i64::MAX, last: i64::MIN };
        match op {
            Operator::GtEq => self.first = self.first.max(at),
            Operator::LtEq => self.last = self.last.min(at),
            Operator::Gt => match at.checked_add(1) {
                Some(next) => self.first = self.first.max(next),
                None => *self = none,
            },
            Operator::Lt => match at.checked_sub(1) {
                Some(before) => self.last = self.last.min(before),
                None => *self = none,
            },
            Operator::Eq => {
                self.first = self.first.max(at);
                self.last = self.last.min(at);
            }
            _ => return false,
        }
        true
    }
}

/// A constant timestamp.
fn nanos(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(at, _), _) => *at,
        _ => None,
    }
}
