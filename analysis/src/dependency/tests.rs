use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

fn any_outcomes() -> impl Strategy<Value = Outcomes> {
    (0u64..60, 0u64..60, 0u64..60, 0u64..60).prop_map(|(a, b, c, d)| Outcomes {
        both_failed: a,
        callee_failed: b,
        caller_failed: c,
        none_failed: d,
    })
}

fn any_pairs() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((-5i64..9_000_000_000, -5i64..9_000_000_000), 0..60)
}

fn moments(pairs: &[(i64, i64)]) -> Moments {
    let mut sums = Moments::default();
    pairs.iter().for_each(|(x, y)| sums.observe(*x, *y));
    sums
}

fn binomial(k: u64, n: u64, p: f64) -> f64 {
    let log_choose: f64 = (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum();
    (log_choose + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
}

/// Exact probabilities of the labels when the callee failed `failures` times, the caller failed with
/// probability `p` then and with `q` in `fine` other calls.
fn labels(failures: u64, p: f64, fine: u64, q: f64) -> [f64; 3] {
    let mut shares = [0.0; 3];
    for i in 0..=failures {
        for j in 0..=fine {
            let seen = Outcomes {
                both_failed: i,
                callee_failed: failures - i,
                caller_failed: j,
                none_failed: fine - j,
            };
            shares[seen.strength().strength as usize] +=
                binomial(i, failures, p) * binomial(j, fine, q);
        }
    }
    shares
}

#[test]
fn planted_strength_is_found_and_seldom_mistaken() {
    let [strong, weak, _] = labels(20, 0.95, 60, 0.01);
    assert!(strong > 0.99 && weak < 1e-6, "{strong} {weak}");
    let [strong, weak, _] = labels(20, 0.05, 60, 0.01);
    assert!(weak > 0.99 && strong < 1e-6, "{strong} {weak}");
    // On the wrong side of one half the label is wrong at most as often as the interval says: one in
    // forty, give or take what a discrete distribution does to a score interval.
    for failures in [4, 5, 10, 20, 60] {
        let [strong, ..] = labels(failures, STRONG_ABOVE - 1e-9, 60, 0.01);
        let [_, weak, _] = labels(failures, STRONG_ABOVE + 1e-9, 60, 0.01);
        let limit = if failures < 10 { 0.0626 } else { 0.03 };
        assert!(strong < limit && weak < limit, "{strong} {weak} at {failures}");
    }
    // A caller that fails no matter what is not held to depend.
    let [strong, ..] = labels(30, 0.9, 60, 0.9);
    assert!(strong < 0.03, "{strong}");
}

#[test]
fn planted_probabilities_lie_in_their_intervals() {
    let mut noise = Noise::new(3);
    let (mut inside, mut all) = (0, 0);
    for trial in 0..2_000 {
        let (p, q, c) =
            (0.05 + 0.9 * noise.unit(), 0.02 + 0.3 * noise.unit(), 0.1 + 0.3 * noise.unit());
        let mut seen = Outcomes::default();
        for _ in 0..60 + trial % 300 {
            let callee = noise.chance(c);
            seen.observe(callee, noise.chance(if callee { p } else { q }));
        }
        let found = seen.strength();
        let hits = [
            found.given_failure.contains(p),
            found.given_success.contains(q),
            found.excess.contains(p - q),
        ];
        inside += hits.iter().filter(|h| **h).count();
        all += hits.len();
    }
    let share = inside as f64 / all as f64;
    assert!((0.94..0.965).contains(&share), "{share}");
}

#[test]
fn few_failures_are_unknown() {
    for n in 0..12 {
        let all = Outcomes { both_failed: n, none_failed: 1_000, ..Outcomes::default() };
        let none = Outcomes { callee_failed: n, none_failed: 1_000, ..Outcomes::default() };
        let (strong, weak) = if n < LEAST_FAILURES {
            (Strength::Unknown, Strength::Unknown)
        } else {
            (Strength::Strong, Strength::Weak)
        };
        assert_eq!(all.strength().strength, strong);
        assert_eq!(none.strength().strength, weak);
    }
    // An outage from end to end says nothing of what the caller does otherwise.
    let outage = Outcomes { both_failed: 1_000, ..Outcomes::default() };
    assert_eq!(outage.strength().strength, Strength::Unknown);
    assert_eq!(Outcomes::default().strength().strength, Strength::Unknown);
}

#[test]
fn a_planted_slope_lies_in_its_interval() {
    let mut noise = Noise::new(5);
    let trials = 1_000;
    let mut inside = 0;
    for _ in 0..trials {
        let slope = 2.0 * noise.unit();
        let mut sums = Moments::default();
        for _ in 0..80 {
            let x = 1e6 + 2e7 * noise.unit();
            sums.observe(x as i64, (9e6 + slope * x + 2e6 * noise.normal()) as i64);
        }
        inside += usize::from(sums.slope().unwrap().interval(CONFIDENCE_Z).contains(slope));
    }
    let share = f64::from(inside as u32) / f64::from(trials);
    assert!((0.925..0.97).contains(&share), "{share}");
}

#[test]
fn a_slope_needs_variation() {
    assert_eq!(Moments::default().slope(), None);
    assert_eq!(moments(&[(1_000, 5_000); 50]).slope(), None);
    let flat = moments(&[(1_000, 7_000), (2_000, 7_000), (3_000, 7_000)]).slope().unwrap();
    assert_eq!((flat.slope, flat.standard_error, flat.r_squared), (0.0, 0.0, 0.0));
    // Latencies that nearly agree and are long do not cancel.
    let long = 86_000_000_000_000;
    let exact: Vec<_> = (0..100i64).map(|i| (long + i * 1_000, long + 2_000 * i)).collect();
    let line = moments(&exact).slope().unwrap();
    assert!((line.slope - 2.0).abs() < 1e-9 && line.standard_error < 1e-6, "{line:?}");
}

proptest! {
    #[test]
    fn sums_merge_in_any_order(
        a in any_outcomes(), b in any_outcomes(), c in any_outcomes(),
        x in any_pairs(), y in any_pairs(), z in any_pairs(),
    ) {
        let outcomes = |parts: &[&Outcomes]| {
            let mut sum = Outcomes::default();
            parts.iter().for_each(|p| sum.merge(p));
            sum
        };
        prop_assert_eq!(outcomes(&[&a, &outcomes(&[&b, &c])]), outcomes(&[&outcomes(&[&c, &a]), &b]));
        let [mx, my, mz] = [&x, &y, &z].map(|p| moments(p));
        let sums = |parts: &[&Moments]| {
            let mut sum = Moments::default();
            parts.iter().for_each(|p| sum.merge(p));
            sum
        };
        let all: Vec<_> = z.iter().chain(&x).chain(&y).copied().collect();
        prop_assert_eq!(sums(&[&mx, &sums(&[&my, &mz])]), moments(&all));
        prop_assert_eq!(sums(&[&sums(&[&mz, &mx]), &my]), moments(&all));
    }

    #[test]
    fn observations_are_counted_once(seen in prop::collection::vec(any::<(bool, bool)>(), 0..80)) {
        let mut sum = Outcomes::default();
        seen.iter().for_each(|(callee, caller)| sum.observe(*callee, *caller));
        let count = |f: fn(&(bool, bool)) -> bool| seen.iter().filter(|s| f(s)).count() as u64;
        prop_assert_eq!(sum.calls(), seen.len() as u64);
        prop_assert_eq!(sum.when_callee_fails(), Proportion { hits: count(|s| s.0 && s.1), of: count(|s| s.0) });
        prop_assert_eq!(sum.when_callee_is_fine(), Proportion { hits: count(|s| !s.0 && s.1), of: count(|s| !s.0) });
        prop_assert_eq!(sum.fallbacks(), count(|s| s.0 && !s.1));
    }

    #[test]
    fn the_slope_is_that_of_the_textbook(pairs in any_pairs()) {
        let us: Vec<(f64, f64)> = pairs.iter()
            .map(|(x, y)| ((x.max(&0) / 1_000) as f64, (y.max(&0) / 1_000) as f64)).collect();
        let n = us.len() as f64;
        let (mx, my) = (us.iter().map(|p| p.0).sum::<f64>() / n, us.iter().map(|p| p.1).sum::<f64>() / n);
        let sxx: f64 = us.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let Some(line) = moments(&pairs).slope() else {
            prop_assert!(us.len() < 3 || sxx < 1e-6);
            return Ok(());
        };
        let slope = us.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / sxx;
        let left: f64 = us.iter().map(|p| (p.1 - my - slope * (p.0 - mx)).powi(2)).sum();
        let error = (left / (n - 2.0) / sxx).sqrt();
        prop_assert!((line.slope - slope).abs() <= 1e-6 * (1.0 + slope.abs()));
        prop_assert!((line.standard_error - error).abs() <= 1e-6 * (1.0 + error));
    }

    #[test]
    fn a_label_follows_from_its_intervals(seen in any_outcomes()) {
        let d = seen.strength();
        match d.strength {
            Strength::Strong => prop_assert!(d.given_failure.low > STRONG_ABOVE && d.excess.low > 0.0),
            Strength::Weak => prop_assert!(d.given_failure.high < STRONG_ABOVE),
            Strength::Unknown => prop_assert!(d.given_failure.high >= STRONG_ABOVE),
        }
        let failures = seen.when_callee_fails().of;
        prop_assert!(failures >= LEAST_FAILURES || d.strength == Strength::Unknown);
    }
}
