//! Rankings as short lists with bars.

use headrope_query::answer::RankBy;
use headrope_query::answer::service::TopRow;

use super::{Cells, pct, tone};
use crate::number;
use crate::view::View;

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct RankRow {
    pub(crate) place: usize,
    pub(crate) href: String,
    pub(crate) service: String,
    pub(crate) operation: Option<String>,
    pub(crate) tone: u64,
    /// The measure the list is ordered by.
    pub(crate) value: String,
    /// Width of the bar: the row's measure over the first row's.
    pub(crate) width: String,
    /// What else to know, in a few words.
    pub(crate) aside: String,
    pub(crate) health: &'static str,
}

/// A ranking.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) hint: &'static str,
    pub(crate) rows: Vec<RankRow>,
    pub(crate) more: Option<String>,
    pub(crate) sql: Option<String>,
    pub(crate) csv: Option<String>,
}

fn measure(by: RankBy, row: &TopRow) -> f64 {
    match by {
        RankBy::Calls => row.stats.calls as f64,
        RankBy::Slowest => row.stats.max_ns as f64,
        RankBy::TotalTime => row.stats.total_time_ns as f64,
        RankBy::Errors => row.stats.errors as f64,
        RankBy::P99 => row.stats.p99_ns as f64,
        RankBy::Change => row.since.as_ref().map_or(0.0, |since| since.added_ns as f64),
    }
}

fn value(by: RankBy, cells: &Cells) -> String {
    match by {
        RankBy::Calls => cells.calls.clone(),
        RankBy::Slowest => cells.max.clone(),
        RankBy::TotalTime | RankBy::Change => cells.total.clone(),
        RankBy::Errors => cells.errors.clone(),
        RankBy::P99 => cells.p99.clone(),
    }
}

fn aside(by: RankBy, row: &TopRow, cells: &Cells) -> String {
    match by {
        RankBy::Calls => format!("{} · {} of all", cells.rate, number::percent(row.share)),
        RankBy::Slowest => format!("p99 {} · {} calls", cells.p99, cells.calls),
        RankBy::TotalTime | RankBy::Change => {
            format!("{} of all · {} calls", number::percent(row.share), cells.calls)
        }
        RankBy::Errors => format!("{} of its {} calls", cells.error_rate, cells.calls),
        RankBy::P99 => format!("p50 {} · {} calls", cells.p50, cells.calls),
    }
}

/// The rows of a ranking, in the order given.
pub(crate) fn rows(view: &View, by: RankBy, rows: &[TopRow]) -> Vec<RankRow> {
    let most = rows.iter().map(|r| measure(by, r)).fold(0.0, f64::max);
    rows.iter()
        .enumerate()
        .map(|(at, row)| {
            let cells = Cells::of(&row.stats);
            let href = match &row.operation {
                Some(operation) => view.operation(&row.service, operation),
                None => view.service(&row.service),
            };
            RankRow {
                place: at + 1,
                href: href.to_string(),
                service: row.service.clone(),
                operation: row.operation.clone(),
                tone: tone(&row.service),
                value: value(by, &cells),
                width: pct(if most > 0.0 { measure(by, row) / most } else { 0.0 }),
                aside: aside(by, row, &cells),
                health: if by == RankBy::Errors { "bad" } else { cells.health },
            }
        })
        .collect()
}
