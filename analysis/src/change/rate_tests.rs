use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

/// A Poisson count (Knuth's method; small means only).
fn poisson(noise: &mut Noise, mean: f64) -> f64 {
    let (limit, mut product, mut count) = ((-mean).exp(), 1.0, -1.0);
    while product > limit {
        product *= noise.unit();
        count += 1.0;
    }
    count
}

/// Counts of a kind whose events come `burst` at a time, `mean` events to a slice.
fn kind(noise: &mut Noise, mean: f64, window: f64, burst: f64) -> Occurrences {
    let mut seen = |mean: f64| poisson(noise, mean / burst) * burst;
    let reference = std::array::from_fn(|_| seen(mean));
    let window = (0..SLICES).map(|_| seen(window)).sum();
    Occurrences { reference, window, weight: 1.0 }
}

#[test]
fn chance_is_rarely_taken_for_a_change() {
    let mut noise = Noise::new(5);
    for burst in [1.0, 6.0] {
        let mut wrong = 0;
        for _ in 0..200 {
            let mean = |noise: &mut Noise| burst * (3.0 + 9.0 * noise.unit());
            let kinds: Vec<Occurrences> = (0..40)
                .map(|_| {
                    let mean = mean(&mut noise);
                    kind(&mut noise, mean, mean, burst)
                })
                .collect();
            let found = rate_changes(&kinds, 1.0, 0.05);
            wrong += usize::from(found.iter().any(|f| f.occurring != Occurring::Steady));
        }
        // One set in twenty by the rule; dispersion is itself estimated.
        assert!(wrong <= 20, "{wrong} of 200 sets at bursts of {burst}");
    }
}

#[test]
fn planted_changes_are_found_and_growth_of_all_is_none() {
    let mut noise = Noise::new(6);
    for growth in [1.0, 3.0] {
        let mut kinds: Vec<Occurrences> =
            (0..20).map(|_| kind(&mut noise, 8.0, 8.0 * growth, 1.0)).collect();
        kinds.push(kind(&mut noise, 0.0, 4.0 * growth, 1.0));
        kinds.push(kind(&mut noise, 8.0, 0.0, 1.0));
        kinds.push(kind(&mut noise, 4.0, 16.0 * growth, 1.0));
        kinds.push(kind(&mut noise, 16.0, 4.0 * growth, 1.0));
        let found: Vec<Occurring> =
            rate_changes(&kinds, 1.0, 0.01).iter().map(|f| f.occurring).collect();
        assert!(found[..20].iter().all(|f| *f == Occurring::Steady), "{growth} {found:?}");
        let last = if growth > 1.0 { Occurring::Steady } else { Occurring::Less };
        let want = [Occurring::New, Occurring::Gone, Occurring::More, last];
        assert_eq!(found[20..], want, "{growth}");
    }
}

#[test]
fn few_events_and_sampled_ones_prove_little() {
    let one = |window: f64, weight: f64| {
        let kind = Occurrences { window, weight, ..Occurrences::default() };
        rate_changes(&[kind], 1.0, 0.01)[0].occurring
    };
    assert_eq!(one(3.0, 1.0), Occurring::Steady);
    assert_eq!(one(20.0, 1.0), Occurring::New);
    assert_eq!(one(20.0, 10.0), Occurring::Steady);
}

proptest! {
    #[test]
    fn p_values_are_those_of_the_exact_test(was in 0u32..40, is in 0u32..40, factor in 0.1f64..4.0) {
        let mut reference = [0.0; SLICES];
        reference[0] = f64::from(was);
        // Too few kinds to say what is usual, too few events to say how they vary.
        prop_assume!(was < 16);
        let kinds = [Occurrences { reference, window: f64::from(is), weight: 1.0 }];
        let found = rate_changes(&kinds, factor, 0.01)[0];
        let (n, p) = (was + is, factor / (1.0 + factor));
        let mut term = (1.0 - p).powi(n as i32);
        let terms: Vec<f64> = (0..=n).map(|k| {
            let now = term;
            term *= f64::from(n - k) / f64::from(k + 1) * p / (1.0 - p);
            now
        }).collect();
        let over = f64::from(is) > factor * f64::from(was);
        let tail: f64 = match over {
            true => terms[is as usize..].iter().sum(),
            false => terms[..=is as usize].iter().sum(),
        };
        prop_assert!((found.p_value - (2.0 * tail).min(1.0)).abs() < 1e-9, "{} {}", found.p_value, tail);
    }

    #[test]
    fn any_counts_give_sound_answers_in_any_order(
        counts in prop::collection::vec((0.0f64..1e6, 0.0f64..1e6, 0.0f64..9.0), 0..30), factor in prop::num::f64::ANY, seed in any::<u64>(),
    ) {
        let of = |(was, is, weight): &(f64, f64, f64)| {
            let reference = std::array::from_fn(|i| if i == 3 { *was } else { 0.0 });
            Occurrences { reference, window: *is, weight: *weight }
        };
        let kinds: Vec<Occurrences> = counts.iter().map(of).collect();
        let found = rate_changes(&kinds, factor, 0.01);
        prop_assert!(found.iter().all(|f| (0.0..=1.0).contains(&f.p_value) && f.expected.is_finite()));
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        Noise::new(seed).shuffle(&mut order);
        let shuffled: Vec<Occurrences> = order.iter().map(|i| kinds[*i]).collect();
        let again = rate_changes(&shuffled, factor, 0.01);
        for (place, i) in order.iter().enumerate() {
            prop_assert_eq!(again[place].occurring, found[*i].occurring);
        }
    }

    #[test]
    fn chance_is_the_inverse_of_the_threshold(references in 7usize..100, alpha in 0.001f64..0.2) {
        let back = chance(references, threshold(references, alpha));
        prop_assert!((back / alpha - 1.0).abs() < 0.02, "{back} {alpha}");
    }
}
