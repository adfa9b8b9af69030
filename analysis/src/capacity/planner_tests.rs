//! How sure a knee is, and what operations cost.

use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

/// Latency of a planted Universal Scalability Law at a rate, by bisection over the requests in flight.
fn latency(lambda: f64, sigma: f64, kappa: f64, rate: f64) -> f64 {
    let of = |n: f64| (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)) / lambda;
    let (mut low, mut high) = (0.0, ((1.0 - sigma) / kappa).sqrt());
    for _ in 0..60 {
        let n = (low + high) / 2.0;
        if n / of(n) < rate { low = n } else { high = n }
    }
    of(low)
}

/// Ten stretches of minutes that reach 97 % of the ceiling of a law.
fn stretches(noise: &mut Noise, spread: f64) -> Vec<Vec<Load>> {
    let (lambda, sigma, kappa): (f64, f64, f64) = (100.0, 0.05, 0.001);
    let n = ((1.0 - sigma) / kappa).sqrt();
    let ceiling = n / ((1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)) / lambda);
    let minute = |noise: &mut Noise| {
        let rate = ceiling * (0.05 + 0.92 * noise.unit().powf(1.5));
        let latency_s = latency(lambda, sigma, kappa, rate) * (spread * noise.normal()).exp();
        Load { rate, cpu: 0.0, latency_s }
    };
    (0..10).map(|_| (0..144).map(|_| minute(noise)).collect()).collect()
}

#[test]
fn bands_hold_the_planted_knee() {
    let (lambda, sigma, kappa) = (100.0, 0.05, 0.001);
    let of = |n: f64| (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0)) / lambda;
    let power = |n: f64| n / of(n) / of(n);
    let best = (1..200_000).map(|step| f64::from(step) * 0.001);
    let best = best.max_by(|a, b| power(*a).total_cmp(&power(*b))).unwrap();
    let knee = best / of(best);
    let mut noise = Noise::new(11);
    let (mut inside, mut told, mut width) = (0, 0, 0.0);
    for _ in 0..60 {
        let Some(band) = knee_band(&stretches(&mut noise, 0.1)) else { continue };
        told += 1;
        inside += usize::from(band.contains(knee));
        width += (band.high - band.low) / knee;
    }
    assert!(told >= 54, "{told}");
    assert!(inside * 10 >= told * 8, "{inside} of {told}");
    assert!(width / (told as f64) < 0.5, "{width} over {told}");
    // A shop that never gets near its bend has no band.
    let flat: Vec<Vec<Load>> = (0..10)
        .map(|_| {
            let minute = |noise: &mut Noise| Load {
                rate: 10.0 + noise.unit(),
                cpu: 0.0,
                latency_s: 0.01 * (0.1 * noise.normal()).exp(),
            };
            (0..60).map(|_| minute(&mut noise)).collect()
        })
        .collect();
    assert_eq!(knee_band(&flat), None);
    assert_eq!(knee_band(&[]), None);
}

/// Minutes of operations with planted costs; `mix` is how far their shares vary.
fn work(noise: &mut Noise, costs: &[f64], mix: f64, spread: f64) -> Vec<Vec<Work>> {
    let minute = |noise: &mut Noise| {
        let level = 500.0 + 400.0 * noise.unit();
        let calls: Vec<f64> =
            costs.iter().map(|_| (level * (1.0 + mix * (noise.unit() - 0.5))).round()).collect();
        let busy: f64 = costs.iter().zip(&calls).map(|(cost, calls)| cost * calls).sum();
        Work { cpu_s: (3.0 + busy + spread * noise.normal()).max(0.0), calls }
    };
    (0..10).map(|_| (0..60).map(|_| minute(noise)).collect()).collect()
}

#[test]
fn planted_costs_of_operations_are_recovered() {
    let mut noise = Noise::new(12);
    let costs = [0.002, 0.02, 0.0, 0.005];
    let (mut inside, mut all) = (0, 0);
    for _ in 0..40 {
        let mut blocks = work(&mut noise, &costs, 0.8, 0.15);
        // A batch job.
        blocks[3].iter_mut().take(20).for_each(|w| w.cpu_s += 60.0);
        let found = cpu_by_operation(&blocks, costs.len());
        for (cost, found) in costs.iter().zip(found) {
            let found = found.unwrap();
            assert!((found.cpu_s - cost).abs() <= 0.1 * cost.max(0.002), "{found:?} for {cost}");
            inside += usize::from(found.interval.contains(*cost));
            all += 1;
        }
    }
    assert!(inside * 100 >= all * 90, "{inside} of {all}");
}

#[test]
fn operations_that_go_together_are_not_told_apart() {
    let mut noise = Noise::new(13);
    let same: Vec<Vec<Work>> = work(&mut noise, &[0.01, 0.02], 0.0, 0.5);
    for block in &same {
        assert!(block.iter().all(|w| w.calls[0] == w.calls[1]));
    }
    assert_eq!(cpu_by_operation(&same, 2), [None, None]);
    // Nearly so: the interval says that either may cost anything.
    let near = cpu_by_operation(&work(&mut noise, &[0.01, 0.02], 0.001, 5.0), 2);
    for cost in near.into_iter().flatten() {
        assert!(cost.interval.high - cost.interval.low > 0.02, "{cost:?}");
    }
    let few = vec![vec![Work { cpu_s: 1.0, calls: vec![1.0, 2.0] }; 4]];
    assert_eq!(cpu_by_operation(&few, 2), [None, None]);
    assert_eq!(cpu_by_operation(&[], 0), []);
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![-1.0f64..1e4, Just(0.0), Just(f64::NAN), Just(1e200), Just(1e-200)]
}

proptest! {
    #[test]
    fn any_work_gives_sound_costs_whatever_the_order(
        works in prop::collection::vec((any_number(), prop::collection::vec(any_number(), 3)), 0..60),
        seed in any::<u64>(),
    ) {
        let mut works: Vec<Work> =
            works.into_iter().map(|(cpu_s, calls)| Work { cpu_s, calls }).collect();
        let found = cpu_by_operation(std::slice::from_ref(&works), 3);
        prop_assert_eq!(found.len(), 3);
        for cost in found.iter().flatten() {
            prop_assert!(cost.cpu_s >= 0.0 && cost.cpu_s.is_finite());
            prop_assert!(0.0 <= cost.interval.low && cost.interval.contains(cost.cpu_s));
        }
        Noise::new(seed).shuffle(&mut works);
        prop_assert_eq!(cpu_by_operation(std::slice::from_ref(&works), 3), found);
    }
}
