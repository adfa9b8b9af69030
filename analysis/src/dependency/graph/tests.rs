use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

const NODES: u32 = 7;

fn any_edges() -> impl Strategy<Value = Vec<(u32, u32)>> {
    prop::collection::vec((0..NODES, 0..NODES), 0..16)
}

fn any_timed() -> impl Strategy<Value = Vec<TimedEdge>> {
    let edge = (0..NODES, 0..NODES, -3i64..40);
    let edge =
        edge.prop_map(|(caller, callee, critical_ns)| TimedEdge { caller, callee, critical_ns });
    prop::collection::vec(edge, 0..16)
}

/// Which nodes lead to which, by the algorithm of Warshall.
fn leads(edges: &[(u32, u32)]) -> Vec<Vec<bool>> {
    let n = NODES as usize;
    let mut leads = vec![vec![false; n]; n];
    edges.iter().for_each(|(a, b)| leads[*a as usize][*b as usize] = true);
    for k in 0..n {
        for i in 0..n {
            for j in 0..n {
                leads[i][j] |= leads[i][k] && leads[k][j];
            }
        }
    }
    leads
}

/// Every path from `path` on that repeats no node; `close` says which edges lead back to its start.
fn walk(
    edges: &[(u32, u32)],
    path: &mut Vec<u32>,
    paths: &mut Vec<Vec<u32>>,
    cycles: &mut Vec<Vec<u32>>,
) {
    paths.push(path.clone());
    for (a, b) in edges {
        if a != path.last().unwrap() {
            continue;
        }
        if *b == path[0] {
            cycles.push(path.clone());
        } else if !path.contains(b) {
            path.push(*b);
            walk(edges, path, paths, cycles);
            path.pop();
        }
    }
}

fn weights(edges: &[TimedEdge]) -> BTreeMap<(u32, u32), i64> {
    let mut sums = BTreeMap::new();
    edges
        .iter()
        .for_each(|e| *sums.entry((e.caller, e.callee)).or_default() += e.critical_ns.max(0));
    sums
}

fn sum(weights: &BTreeMap<(u32, u32), i64>, path: &[u32]) -> i64 {
    path.windows(2).map(|w| weights[&(w[0], w[1])]).sum()
}

/// The greatest sum over all paths from node 0.
fn brute_force(edges: &[TimedEdge]) -> i64 {
    let (mut paths, weights) = (Vec::new(), weights(edges));
    let pairs: Vec<_> = weights.keys().copied().collect();
    walk(&pairs, &mut vec![0], &mut paths, &mut Vec::new());
    paths.iter().map(|p| sum(&weights, p)).max().unwrap()
}

proptest! {
    #[test]
    fn components_are_what_leads_to_each_other(edges in any_edges()) {
        let leads = leads(&edges);
        let found = components(&edges);
        let mut of = BTreeMap::new();
        for (number, members) in found.iter().enumerate() {
            prop_assert!(members.is_sorted());
            members.iter().for_each(|m| assert!(of.insert(*m, number).is_none()));
        }
        for (a, b) in &edges {
            // Callees come first.
            prop_assert!(of[b] <= of[a]);
        }
        for (a, x) in &of {
            for (b, y) in &of {
                let (i, j) = (*a as usize, *b as usize);
                prop_assert_eq!(x == y, a == b || (leads[i][j] && leads[j][i]));
            }
        }
    }

    #[test]
    fn the_shortest_cycle_of_each_component_is_found(edges in any_edges(), seed in any::<u64>()) {
        let mut all = Vec::new();
        for start in 0..NODES {
            walk(&edges, &mut vec![start], &mut Vec::new(), &mut all);
        }
        let mut want: Vec<(Vec<u32>, Vec<u32>)> = Vec::new();
        for members in components(&edges) {
            let within = all.iter().filter(|c| members.contains(&c[0]));
            if let Some(shortest) = within.min_by_key(|c| (c.len(), (*c).clone())) {
                want.push((members, shortest.clone()));
            }
        }
        want.sort();
        let found = cycles(&edges);
        let got: Vec<_> = found.iter().map(|c| (c.members.clone(), c.shortest.clone())).collect();
        prop_assert_eq!(got, want);
        let mut shuffled = edges;
        Noise::new(seed).shuffle(&mut shuffled);
        prop_assert_eq!(cycles(&shuffled), found);
    }

    #[test]
    fn the_critical_chain_of_a_tree_or_dag_is_the_heaviest_path(mut edges in any_timed()) {
        edges.retain(|e| e.caller < e.callee);
        let chain = critical_chain(0, &edges);
        prop_assert_eq!(chain.critical_ns, brute_force(&edges));
        prop_assert_eq!(chain.critical_ns, sum(&weights(&edges), &chain.nodes));
        let pairs: Vec<_> = edges.iter().map(|e| (e.caller, e.callee)).collect();
        let leads = leads(&pairs);
        let below = edges.iter().filter(|e| e.caller == 0 || leads[0][e.caller as usize]);
        prop_assert_eq!(chain.reachable_ns, below.map(|e| e.critical_ns.max(0)).sum::<i64>());
    }

    #[test]
    fn the_critical_chain_among_cycles_is_a_path(edges in any_timed(), seed in any::<u64>()) {
        let chain = critical_chain(0, &edges);
        prop_assert_eq!(chain.nodes[0], 0);
        let mut seen = chain.nodes.clone();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), chain.nodes.len());
        prop_assert_eq!(chain.critical_ns, sum(&weights(&edges), &chain.nodes));
        prop_assert!(chain.critical_ns <= brute_force(&edges));
        let mut shuffled = edges;
        Noise::new(seed).shuffle(&mut shuffled);
        prop_assert_eq!(critical_chain(0, &shuffled), chain);
    }
}

#[test]
fn deep_graphs_are_walked_without_recursion() {
    let n = 200_000;
    let line: Vec<(u32, u32)> = (0..n).map(|i| (i, i + 1)).collect();
    assert_eq!(components(&line).len() as u32, n + 1);
    assert!(cycles(&line).is_empty());
    let timed = |(caller, callee): &(u32, u32)| TimedEdge {
        caller: *caller,
        callee: *callee,
        critical_ns: 2,
    };
    let timed: Vec<TimedEdge> = line.iter().map(timed).collect();
    let chain = critical_chain(0, &timed);
    assert_eq!((chain.nodes.len() as u32, chain.critical_ns), (n + 1, 2 * i64::from(n)));
}

#[test]
fn a_large_circle_is_found() {
    let n = 2_000;
    let mut ring: Vec<(u32, u32)> = (0..n).map(|i| (i, (i + 1) % n)).collect();
    assert_eq!(cycles(&ring)[0].shortest.len() as u32, n);
    ring.push((7, 5));
    assert_eq!(cycles(&ring)[0].shortest, [5, 6, 7]);
    ring.push((9, 9));
    assert_eq!(cycles(&ring)[0].shortest, [9]);
    assert_eq!(cycles(&ring)[0].members.len() as u32, n);
}

#[test]
fn an_entry_without_edges_is_its_own_chain() {
    let alone = CriticalChain { nodes: vec![4], critical_ns: 0, reachable_ns: 0 };
    assert_eq!(critical_chain(4, &[]), alone);
    let elsewhere = [TimedEdge { caller: 1, callee: 4, critical_ns: 9 }];
    assert_eq!(critical_chain(4, &elsewhere), alone);
}
