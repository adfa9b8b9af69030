use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

/// Share of scores beyond the threshold when nothing changed.
fn exceeded(noise: &mut Noise, references: usize, alpha: f64, trials: usize) -> f64 {
    let limit = threshold(references, alpha);
    let beyond = (0..trials).filter(|_| {
        let seen: Vec<f64> = (0..references).map(|_| noise.normal()).collect();
        score(noise.normal(), &seen, 0.0).unwrap().z.abs() >= limit
    });
    beyond.count() as f64 / trials as f64
}

#[test]
fn the_threshold_stands_for_the_stated_rate() {
    for references in [7, 8, 9, 10, 14, 21, 77] {
        let mut noise = Noise::new(references as u64);
        for (alpha, trials) in [(0.05, 5_000), (0.01, 20_000), (0.001, 100_000)] {
            // Many references are dear, and hardly differ from infinitely many.
            if references > 21 && alpha < 0.01 {
                continue;
            }
            let rate = exceeded(&mut noise, references, alpha, trials);
            assert!(
                (0.7 * alpha..1.3 * alpha).contains(&rate),
                "{rate} for {alpha} of {references}"
            );
        }
    }
    assert!(!threshold(0, f64::NAN).is_nan());
}

#[test]
fn a_constant_series_is_judged_by_its_own_noise() {
    assert_eq!(score(1.0, &[0.0; 9], 0.0), None);
    let errors = |seen: f64| score(seen, &[0.0; 9], share_noise(0.0, 1_000.0)).unwrap().z;
    assert!(errors(0.001) < 1.0 && errors(0.02) > 10.0);
    let calls = score(130.0, &[100.0; 9], counting_noise(100.0)).unwrap();
    assert!((2.5..3.0).contains(&calls.z), "{calls:?}");
    assert!((relative_noise(100.0, 0.01) - 0.577).abs() < 1e-3);
    assert_eq!(score(1.0, &[1.0; LEAST_REFERENCES - 1], 1.0), None);
    assert_eq!(score(f64::NAN, &[1.0; 9], 1.0), None);
}

const RULE: Rule = Rule { enter: 4.0, leave: 2.0, in_a_row: 3, bridge: 1 };

fn series(zs: &[f64]) -> Vec<Minute> {
    (100..).zip(zs).map(|(at, z)| Minute { at, z: *z }).collect()
}

fn spans(zs: &[f64]) -> Vec<(i64, i64, bool)> {
    windows(&series(zs), &RULE).iter().map(|w| (w.from - 100, w.to - 100, w.above)).collect()
}

#[test]
fn a_window_opens_late_and_closes_late() {
    assert_eq!(spans(&[0.0, 5.0, 5.0, 0.0, 0.0]), []);
    assert_eq!(spans(&[0.0, 2.5, 5.0, 5.0, 6.0, 2.1, 0.0, 0.0]), [(1, 6, true)]);
    // One quiet minute is bridged, two are not.
    assert_eq!(spans(&[5.0, 5.0, 5.0, 1.0, 3.0, 0.0, 0.0, 3.0]), [(0, 5, true)]);
    assert_eq!(spans(&[-5.0, -5.0, -9.0, 5.0, 5.0, 5.0]), [(0, 3, false), (3, 6, true)]);
    let window = windows(&series(&[5.0, 9.0, 5.0]), &RULE)[0];
    assert_eq!((window.peak, window.minutes), (9.0, 3));
}

#[test]
fn windows_of_noise_are_as_rare_as_stated() {
    let mut noise = Noise::new(2);
    let (alpha, n) = (0.05, 200_000);
    let rule = Rule { enter: threshold(10_000, alpha), leave: 1.0, in_a_row: 2, bridge: 0 };
    let minutes: Vec<Minute> = (0..n).map(|at| Minute { at, z: noise.normal() }).collect();
    let rate = windows(&minutes, &rule).len() as f64 / n as f64;
    let stated = 2.0 * (alpha / 2.0f64).powi(2);
    assert!(rate <= 1.1 * stated && rate > 0.6 * stated, "{rate} {stated}");
}

/// The rule minute by minute, on an array.
fn by_the_book(zs: &[f64], rule: &Rule, side: f64) -> Vec<(i64, i64)> {
    let on = |i: usize| zs[i] * side >= rule.leave;
    let mut found = Vec::new();
    let mut i = 0;
    while i < zs.len() {
        if !on(i) {
            i += 1;
            continue;
        }
        let (start, mut last) = (i, i);
        let mut j = i + 1;
        while j < zs.len() && (j - last) as i64 <= rule.bridge + 1 && zs[j] * -side < rule.leave {
            if on(j) {
                last = j;
            }
            j += 1;
        }
        let opened = (start..=last).any(|s| {
            s + rule.in_a_row <= last + 1
                && (s..s + rule.in_a_row).all(|k| zs[k] * side >= rule.enter)
        });
        if opened {
            found.push((start as i64, last as i64 + 1));
        }
        i = last + 1;
    }
    found
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        -9.0f64..9.0,
        Just(0.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(1e308)
    ]
}

fn any_groups() -> impl Strategy<Value = Vec<Group>> {
    let group = (0usize..5, 0u64..500, -10.0f64..1e4);
    let named = |(name, calls, sum): (usize, u64, f64)| Group {
        name: ["a", "b", "c", "d", "e"][name].into(),
        calls,
        sum,
    };
    prop::collection::vec(group.prop_map(named), 0..8)
}

proptest! {
    #[test]
    fn windows_follow_the_rule(
        zs in prop::collection::vec(-7i32..8, 0..40), in_a_row in 1usize..4, bridge in 0i64..4, seed in any::<u64>(),
    ) {
        let rule = Rule { in_a_row, bridge, ..RULE };
        let zs: Vec<f64> = zs.into_iter().map(f64::from).collect();
        let mut minutes: Vec<Minute> = (0..).zip(&zs).map(|(at, z)| Minute { at, z: *z }).collect();
        let found = windows(&minutes, &rule);
        for (above, side) in [(true, 1.0), (false, -1.0)] {
            let got: Vec<_> = found.iter().filter(|w| w.above == above).map(|w| (w.from, w.to)).collect();
            prop_assert_eq!(got, by_the_book(&zs, &rule, side));
        }
        prop_assert!(found.windows(2).all(|w| w[0].to <= w[1].from));
        Noise::new(seed).shuffle(&mut minutes);
        prop_assert_eq!(windows(&minutes, &rule), found);
    }

    #[test]
    fn any_values_give_sound_scores(
        value in any_value(), mut seen in prop::collection::vec(any_value(), 0..30), noise in any_value(), seed in any::<u64>(),
    ) {
        let found = score(value, &seen, noise);
        if let Some(s) = found {
            prop_assert!(s.z.is_finite() && s.deviation > 0.0 && s.deviation >= noise);
        }
        Noise::new(seed).shuffle(&mut seen);
        prop_assert_eq!(score(value, &seen, noise), found);
    }

    #[test]
    fn the_shift_is_where_pairs_disagree_most(values in prop::collection::vec(any_value(), 0..30)) {
        let known: Vec<(usize, f64)> =
            values.iter().copied().enumerate().filter(|(_, v)| v.is_finite()).collect();
        // Pettitt's definition by the signs of all pairs.
        let u = |t: usize| -> i64 {
            let sign = |a: f64, b: f64| i64::from(a > b) - i64::from(a < b);
            known[..t].iter().flat_map(|a| known[t..].iter().map(move |b| sign(a.1, b.1))).sum()
        };
        let most = (1..known.len()).map(|t| u(t).abs()).max().unwrap_or(0);
        match level_shift(&values) {
            None => prop_assert_eq!(most, 0),
            Some(shift) => {
                let t = known.iter().position(|(i, _)| *i == shift.at).unwrap();
                prop_assert_eq!(u(t).abs(), most);
                prop_assert!((0.0..=1.0).contains(&shift.p_value));
                prop_assert!(shift.before.is_finite() && shift.after.is_finite());
            }
        }
    }

    #[test]
    fn mix_and_performance_are_the_whole_difference(
        mut a in any_groups(), mut b in any_groups(), seed in any::<u64>(),
    ) {
        let mean = |groups: &[Group]| {
            let calls: u64 = groups.iter().map(|g| g.calls).sum();
            let sum: f64 = groups.iter().filter(|g| g.calls > 0).map(|g| g.sum).sum();
            (calls > 0).then(|| sum / calls as f64)
        };
        let found = mix_split(&a, &b);
        let (Some(was), Some(is)) = (mean(&a), mean(&b)) else {
            prop_assert_eq!(found, None);
            return Ok(());
        };
        let split = found.clone().unwrap();
        let scale = 1.0 + a.iter().chain(&b).map(|g| g.sum.abs()).sum::<f64>();
        prop_assert!((split.reference_mean - was).abs() <= 1e-9 * scale);
        prop_assert!((split.mix + split.performance - (is - was)).abs() <= 1e-9 * scale);
        let by_group: f64 = split.groups.iter().map(|g| g.mix + g.performance).sum();
        prop_assert!((by_group - (is - was)).abs() <= 1e-9 * scale);
        let mut noise = Noise::new(seed);
        noise.shuffle(&mut a);
        noise.shuffle(&mut b);
        prop_assert_eq!(mix_split(&a, &b), found);
    }
}

#[test]
fn a_planted_shift_is_found_and_noise_is_not() {
    let mut noise = Noise::new(3);
    let (mut near, mut wrong) = (0, 0);
    for trial in 0..300 {
        let at = 20 + trial % 60;
        let step = |i: usize| if i < at { 10.0 } else { 12.0 };
        let values: Vec<f64> = (0..120).map(|i| step(i) + noise.normal()).collect();
        let shift = level_shift(&values).unwrap();
        near += usize::from(
            shift.at.abs_diff(at) <= 5 && shift.p_value < 0.01 && shift.after > shift.before,
        );
        let flat: Vec<f64> = (0..120).map(|_| noise.normal()).collect();
        wrong += usize::from(level_shift(&flat).is_some_and(|s| s.p_value < 0.05));
    }
    assert!(near >= 270, "{near} of 300");
    assert!(wrong <= 15, "{wrong} of 300");
}

#[test]
fn a_pure_change_of_mix_and_a_pure_slow_down_are_told_apart() {
    let group = |name: &str, calls: u64, mean: f64| Group {
        name: name.into(),
        calls,
        sum: calls as f64 * mean,
    };
    let before = [group("light", 900, 1.0), group("heavy", 100, 11.0)];
    let heavier =
        mix_split(&before, &[group("light", 500, 1.0), group("heavy", 500, 11.0)]).unwrap();
    assert!((heavier.mix - 4.0).abs() < 1e-12 && heavier.performance.abs() < 1e-12);
    let slower =
        mix_split(&before, &[group("light", 1_800, 2.0), group("heavy", 200, 11.0)]).unwrap();
    assert!(slower.mix.abs() < 1e-12 && (slower.performance - 0.9).abs() < 1e-12);
    assert_eq!(slower.groups[0].name, "light");
    // What is new is mix.
    let fresh =
        mix_split(&before, &[group("light", 900, 1.0), group("report", 100, 51.0)]).unwrap();
    assert!(fresh.performance.abs() < 1e-12 && (fresh.mix - 4.0).abs() < 1e-12);
    assert_eq!(fresh.groups[0].name, "report");
}
