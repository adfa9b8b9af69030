//! One line for facts that mark the same traces, and the few lines that hold the excess.

use super::{Difference, Differences, FocusTrace, HELD, Marked, SAME_TRACES};

/// Folds lines into the first one before them that marks nearly the same traces, or is of the same family, in
/// the same direction.
pub(super) fn fold(
    lines: Vec<(Difference, Marked)>,
    family: impl Fn(u32) -> Option<u32>,
) -> Vec<(Difference, Marked)> {
    let mut leaders: Vec<(Difference, Marked)> = Vec::new();
    for (line, marked) in lines {
        let same = |(leader, by): &&mut (Difference, Marked)| {
            let related = family(leader.fact).is_some_and(|of| family(line.fact) == Some(of));
            leader.more == line.more && (related || is_same(&by.traces, &marked.traces))
        };
        match leaders.iter_mut().find(same) {
            Some((leader, _)) => leader.also.push(line.fact),
            None => leaders.push((line, marked)),
        }
    }
    leaders.iter_mut().for_each(|(line, _)| line.also.sort_unstable());
    leaders
}

/// Whether the Jaccard index of two ascending lists is at least [`SAME_TRACES`].
fn is_same(a: &[u32], b: &[u32]) -> bool {
    let (short, long) = (a.len().min(b.len()), a.len().max(b.len()));
    if (short as f64) < SAME_TRACES * long as f64 {
        return false;
    }
    let (mut i, mut j, mut both) = (0, 0, 0usize);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        both += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    both as f64 >= SAME_TRACES * (a.len() + b.len() - both) as f64
}

/// Chooses the subset; `lines` and `tested` of the answer are left empty.
pub(super) fn subset(
    lines: &[(Difference, Marked)],
    focus: &[FocusTrace],
    normal: usize,
) -> Differences {
    let total: u128 = focus.iter().map(|t| u128::from(t.excess)).sum();
    let mut chosen = Differences::default();
    if total == 0 {
        return chosen;
    }
    let all = focus.len() + normal;
    let sets: Vec<Vec<u32>> = lines.iter().map(|(d, m)| signalled(d, m, all)).collect();
    let mut covered = vec![false; all];
    let (mut held, mut marked) = (0u128, 0usize);
    let share = |excess: u128, normals: usize| {
        (excess as f64 / total as f64, normals as f64 / normal as f64)
    };
    while share(held, 0).0 < HELD {
        let gain = |set: &Vec<u32>| {
            let fresh = set.iter().filter(|t| covered.get(**t as usize) == Some(&false));
            let (mut excess, mut normals) = (0u128, 0usize);
            for trace in fresh {
                match focus.get(*trace as usize) {
                    Some(t) => excess += u128::from(t.excess),
                    None => normals += 1,
                }
            }
            (excess, normals)
        };
        let worth = |(excess, normals): (u128, usize)| {
            let (e, n) = share(excess, normals);
            e - n
        };
        let best = sets
            .iter()
            .map(gain)
            .enumerate()
            .reduce(|best, next| if worth(next.1) > worth(best.1) { next } else { best });
        let Some((line, (excess, normals))) = best.filter(|(_, g)| worth(*g) > 0.0) else { break };
        (held, marked) = (held + excess, marked + normals);
        for trace in sets.get(line).into_iter().flatten() {
            if let Some(slot) = covered.get_mut(*trace as usize) {
                *slot = true;
            }
        }
        chosen.subset.push(line);
    }
    (chosen.held, chosen.normal_marked) = share(held, marked);
    chosen
}

/// The traces a line points at: those with the fact, or without it if it is missing in focus.
fn signalled(line: &Difference, marked: &Marked, all: usize) -> Vec<u32> {
    if line.more {
        return marked.traces.clone();
    }
    let mut with = marked.traces.iter().peekable();
    let all = u32::try_from(all).unwrap_or(u32::MAX);
    (0..all).filter(|t| with.next_if_eq(&t).is_none()).collect()
}
