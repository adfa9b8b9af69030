use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

fn focus_of(facts: &[Vec<u32>]) -> Vec<FocusTrace> {
    facts.iter().map(|f| FocusTrace { facts: f.clone(), excess: 1 }).collect()
}

/// Traces of ten attributes with four values each; the value is `10·attribute + value`.
fn attributes(noise: &mut Noise, n: usize) -> Vec<Vec<u32>> {
    (0..n).map(|_| (0..10).map(|a| 10 * a + noise.below(4) as u32).collect()).collect()
}

#[test]
fn a_planted_culprit_is_found_among_distractors() {
    let mut noise = Noise::new(1);
    for trial in 0..20 {
        let (mut slow, mut normal) = (attributes(&mut noise, 150), attributes(&mut noise, 400));
        for trace in &mut slow {
            if noise.chance(0.9) {
                // The pod, and the node it runs on; both also occur in normal traces.
                trace.extend([500, 501]);
            }
        }
        for trace in &mut normal {
            if noise.chance(0.1) {
                trace.extend([501, 500, 500]);
            }
            // Something that slow traces have a little more often anyway.
            if noise.chance(0.5) {
                trace.push(600);
            }
        }
        slow.iter_mut().for_each(|t| t.extend(noise.chance(0.75).then_some(600)));
        let found = differences(&focus_of(&slow), &normal);
        let first = &found.lines[0];
        assert_eq!(
            (first.fact, first.also.as_slice(), first.more),
            (500, &[501][..], true),
            "{trial}"
        );
        assert_eq!(found.subset[0], 0);
        assert!(found.held >= HELD && found.subset.len() == 1, "{found:?}");
        assert!(found.lines.len() <= 4, "{found:?}");
    }
}

#[test]
fn what_is_missing_is_a_difference() {
    let mut noise = Noise::new(2);
    let (slow, mut normal) = (attributes(&mut noise, 60), attributes(&mut noise, 200));
    normal.iter_mut().for_each(|t| t.push(900));
    let found = differences(&focus_of(&slow), &normal);
    assert_eq!((found.lines[0].fact, found.lines[0].more), (900, false));
    assert_eq!((found.subset.as_slice(), found.held, found.normal_marked), (&[0][..], 1.0, 0.0));
}

#[test]
fn equal_sets_give_nothing() {
    let mut noise = Noise::new(3);
    let some = attributes(&mut noise, 300);
    assert!(differences(&focus_of(&some), &some).lines.is_empty());
    // Sets of the same kind give something in at most the stated share of cases.
    let mut wrong = 0;
    for _ in 0..200 {
        let (a, b) = (attributes(&mut noise, 80), attributes(&mut noise, 200));
        wrong += usize::from(!differences(&focus_of(&a), &b).lines.is_empty());
    }
    assert!(wrong <= 10, "{wrong} of 200");
}

#[test]
fn a_trace_counts_once_however_often_it_says_so() {
    let normal: Vec<Vec<u32>> = (0..200).map(|i| vec![i % 4]).collect();
    let mut slow: Vec<Vec<u32>> = (0..100).map(|i| vec![i % 4]).collect();
    slow[0] = vec![7; 10_000];
    assert!(differences(&focus_of(&slow), &normal).lines.is_empty());
}

#[test]
fn nothing_to_compare_gives_nothing() {
    let some = vec![vec![1]; 30];
    assert_eq!(differences(&[], &some), Differences::default());
    assert_eq!(differences(&focus_of(&some), &[]), Differences::default());
    let free: Vec<_> = some.iter().map(|f| FocusTrace { facts: f.clone(), excess: 0 }).collect();
    let found = differences(&free, &vec![vec![]; 30]);
    assert_eq!((found.lines.len(), found.subset.len(), found.held), (1, 0, 0.0));
}

/// Sum of the hypergeometric probabilities, with binomial coefficients by Pascal's rule.
fn by_the_book(a: usize, n: usize, b: usize, m: usize) -> f64 {
    let choose = |n: usize, k: usize| -> f64 {
        let mut row = vec![1.0f64];
        for _ in 0..n {
            let next = (0..=row.len()).map(|i| {
                let left = if i > 0 { row[i - 1] } else { 0.0 };
                left + row.get(i).copied().unwrap_or(0.0)
            });
            row = next.collect();
        }
        row.get(k).copied().unwrap_or(0.0)
    };
    let marked = a + b;
    let p = |i: usize| {
        if i > n || marked < i || marked - i > m {
            return 0.0;
        }
        choose(n, i) * choose(m, marked - i) / choose(n + m, marked)
    };
    let upper: f64 = (a..=marked).map(p).sum();
    let lower: f64 = (0..=a).map(p).sum();
    let above = a * (n + m) >= marked * n;
    (2.0 * if above { upper } else { lower }).min(1.0)
}

fn any_sets() -> impl Strategy<Value = (Vec<FocusTrace>, Vec<Vec<u32>>)> {
    let facts = || prop::collection::vec(0u32..8, 0..6);
    let slow = (facts(), 0u64..50, any::<bool>()).prop_map(|(mut facts, excess, culprit)| {
        facts.extend(culprit.then_some([8, 9]).into_iter().flatten());
        FocusTrace { facts, excess }
    });
    (prop::collection::vec(slow, 0..40), prop::collection::vec(facts(), 0..40))
}

proptest! {
    #[test]
    fn fisher_is_the_sum_of_the_tail(n in 0usize..25, m in 0usize..25, a in 0usize..25, b in 0usize..25) {
        let (a, b) = (a.min(n), b.min(m));
        let (got, want) = (fisher(a, n, b, m), by_the_book(a, n, b, m));
        prop_assert!((got - want).abs() < 1e-9, "{got} {want}");
    }

    #[test]
    fn counts_and_subset_are_what_brute_force_says((slow, normal) in any_sets()) {
        let found = differences(&slow, &normal);
        let has = |facts: &[u32], fact: u32| facts.contains(&fact);
        let total: u64 = slow.iter().map(|t| t.excess).sum();
        let mut seen = BTreeSet::new();
        for line in &found.lines {
            let a = slow.iter().filter(|t| has(&t.facts, line.fact)).count();
            let b = normal.iter().filter(|t| has(t, line.fact)).count();
            prop_assert_eq!((line.focus_count, line.normal_count), (a, b));
            prop_assert!((line.p_value - by_the_book(a, slow.len(), b, normal.len())).abs() < 1e-9);
            prop_assert!(line.p_value <= FALSE_DISCOVERIES && a + b >= LEAST_SUPPORT);
            let sign = a * normal.len() > b * slow.len();
            prop_assert_eq!(line.more, sign);
            for fact in line.also.iter().chain([&line.fact]) {
                prop_assert!(seen.insert(*fact));
                let all: Vec<&[u32]> = slow.iter().map(|t| &t.facts[..]).chain(normal.iter().map(|t| &t[..])).collect();
                let both = all.iter().filter(|t| has(t, *fact) && has(t, line.fact)).count();
                let any = all.iter().filter(|t| has(t, *fact) || has(t, line.fact)).count();
                prop_assert!(both as f64 >= SAME_TRACES * any as f64);
            }
        }
        // The greedy choice again, from sets of traces.
        let points = |line: &Difference, facts: &[u32]| has(facts, line.fact) == line.more;
        let worth = |lines: &[usize]| {
            let any = |facts: &[u32]| lines.iter().any(|l| points(&found.lines[*l], facts));
            let held: u64 = slow.iter().filter(|t| any(&t.facts)).map(|t| t.excess).sum();
            let marked = normal.iter().filter(|t| any(t)).count();
            (held as f64 / total.max(1) as f64, marked as f64 / normal.len().max(1) as f64)
        };
        let value = |lines: &[usize]| worth(lines).0 - worth(lines).1;
        for k in 0..=found.subset.len() {
            let (before, now) = (&found.subset[..k], found.subset.get(k));
            let with = |l: usize| value(&[before, &[l]].concat());
            let best = (0..found.lines.len()).map(with).fold(f64::MIN, f64::max);
            match now {
                Some(l) => {
                    prop_assert!((with(*l) - best).abs() < 1e-9 && with(*l) > value(before));
                    prop_assert!(worth(before).0 < HELD);
                }
                None => prop_assert!(
                    total == 0 || worth(before).0 >= HELD - 1e-9 || best <= value(before) + 1e-9
                ),
            }
        }
        let (held, marked) = worth(&found.subset);
        prop_assert!((found.held - held).abs() < 1e-9 && (found.normal_marked - marked).abs() < 1e-9);
    }

    #[test]
    fn the_order_of_traces_and_facts_does_not_matter((slow, normal) in any_sets(), seed in any::<u64>()) {
        let found = differences(&slow, &normal);
        let mut noise = Noise::new(seed);
        let (mut a, mut b) = (slow, normal);
        a.iter_mut().for_each(|t| noise.shuffle(&mut t.facts));
        b.iter_mut().for_each(|t| noise.shuffle(t));
        noise.shuffle(&mut a);
        noise.shuffle(&mut b);
        prop_assert_eq!(differences(&a, &b), found);
    }
}

#[test]
fn thresholds_of_one_number_are_one_line() {
    let facts = |above_ten: bool, above_twenty: bool| {
        let all = [(1, above_ten), (2, above_twenty)].into_iter();
        all.filter(|(_, has)| *has).map(|(fact, _)| fact).collect::<Vec<u32>>()
    };
    let slow: Vec<FocusTrace> =
        (0..100).map(|i| FocusTrace { facts: facts(true, i < 60), excess: 1 }).collect();
    let normal: Vec<Vec<u32>> = (0..100).map(|i| facts(i < 40, false)).collect();
    assert_eq!(differences(&slow, &normal).lines.len(), 2);
    let found = differences_by(&slow, &normal, |fact| (fact < 3).then_some(0));
    assert_eq!(found.lines.len(), 1, "{found:?}");
    assert_eq!(found.lines[0].also.len(), 1);
    // Another direction is another line.
    let turned: Vec<Vec<u32>> = (0..100).map(|i| facts(i < 40, i % 10 < 9)).collect();
    let found = differences_by(&slow, &turned, |_| Some(0));
    assert_eq!(found.lines.len(), 2, "{found:?}");
}
