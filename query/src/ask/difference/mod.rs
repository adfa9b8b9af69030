//! What is different about slow or failed traces against normal ones.
//!
//! Reading order: `sample` (which traces), `facts` (what each has), `state` (what machines and stores did meanwhile);
//! [`headrope_analysis::difference`] compares.

mod facts;
mod sample;
mod state;

use headrope_analysis::difference::{Difference, FocusTrace, differences_by};

use self::facts::Facts;
use self::sample::{Picked, Sampled};
use crate::answer::Time;
use crate::answer::difference::{Chosen, DifferenceQuery, DifferenceRow, Differences};
use crate::engine::Session;
use crate::error::QueryError;

/// Most lines of an answer.
const MOST_LINES: usize = 50;
/// Most facts named beside the one of a line.
const MOST_ALSO: usize = 10;

pub(crate) async fn differences(
    session: &Session,
    query: &DifferenceQuery,
) -> Result<Differences, QueryError> {
    let sampled = Box::pin(sample::sample(session, query)).await?;
    let mut facts = Facts::default();
    let traces: Vec<&Picked> = sampled.focus.iter().chain(&sampled.normal).collect();
    let places = Box::pin(facts::spans(session, &traces, &mut facts)).await?;
    Box::pin(state::states(session, &traces, &places, &mut facts)).await?;
    let of_traces = facts.finish(traces.len());
    let (in_focus, normal) = of_traces.split_at(sampled.focus.len().min(of_traces.len()));
    let focus: Vec<FocusTrace> = in_focus
        .iter()
        .zip(&sampled.focus)
        .map(|(facts, trace)| FocusTrace { facts: facts.clone(), excess: trace.excess })
        .collect();
    let found = differences_by(&focus, normal, |fact| facts.family(fact));
    let line = |(at, line): (usize, &Difference)| {
        row(line, found.subset.contains(&at), &facts, &focus, &sampled)
    };
    let starts = || sampled.focus.iter().map(|trace| trace.start);
    let between = starts().min().zip(starts().max());
    Ok(Differences {
        lines: chosen_first(&found.subset, found.lines.len())
            .filter_map(|at| found.lines.get(at).map(|line| (at, line)))
            .map(line)
            .collect(),
        held: found.held,
        normal_marked: found.normal_marked,
        tested: found.tested as u64,
        facts_left_out: facts.left_out(),
        focus: chosen(&sampled.focus, sampled.focus_of),
        normal: chosen(&sampled.normal, sampled.normal_of),
        window: query.range.into(),
        reference: query.reference.unwrap_or(query.range).into(),
        between: between.map(|(first, last)| [Time(first), Time(last)]),
    })
}

/// Positions of the lines that are told: the first ones and all that were chosen, in order.
fn chosen_first(subset: &[usize], lines: usize) -> impl Iterator<Item = usize> {
    let room = MOST_LINES.saturating_sub(subset.len());
    let mut told: Vec<usize> = (0..lines)
        .filter(|at| !subset.contains(at))
        .take(room)
        .chain(subset.iter().copied())
        .collect();
    told.sort_unstable();
    told.into_iter()
}

fn chosen(traces: &[Picked], (of, looked_at): (u64, f64)) -> Chosen {
    Chosen { traces: traces.len() as u64, of, looked_at }
}

fn row(
    line: &Difference,
    chosen: bool,
    facts: &Facts,
    focus: &[FocusTrace],
    sampled: &Sampled,
) -> DifferenceRow {
    // Of several, the one with most of the excess shows it best.
    let marked = focus.iter().zip(&sampled.focus);
    let marked = marked.filter(|(trace, _)| trace.facts.contains(&line.fact) == line.more);
    let trace = marked.max_by_key(|(trace, picked)| (trace.excess, picked.hash));
    let fact = facts.fact(line.fact);
    let also = line.also.iter().take(MOST_ALSO).map(|fact| facts::text(&facts.fact(*fact)));
    DifferenceRow {
        text: facts::text(&fact),
        more: line.more,
        focus_count: line.focus_count as u64,
        normal_count: line.normal_count as u64,
        focus_share: line.focus_share,
        normal_share: line.normal_share,
        excess_share: line.excess_share,
        p_value: line.p_value,
        chosen,
        also: also.collect(),
        trace_id: trace.map(|(_, picked)| picked.trace.clone()),
        fact,
    }
}
