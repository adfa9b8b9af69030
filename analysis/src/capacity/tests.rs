use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

/// Latency of a law at a rate by bisection over the requests in flight, up to `most`.
fn latency_at(rate: f64, most: f64, latency_of: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, most);
    for _ in 0..60 {
        let n = (low + high) / 2.0;
        if n / latency_of(n) < rate { low = n } else { high = n }
    }
    latency_of(low)
}

/// A planted law, with its knee and ceiling found by looking at every concurrency.
struct Planted {
    lambda: f64,
    sigma: f64,
    kappa: f64,
    knee: f64,
    ceiling: f64,
    most: f64,
}

impl Planted {
    fn new(lambda: f64, sigma: f64, kappa: f64) -> Self {
        let mut law = Self { lambda, sigma, kappa, knee: 0.0, ceiling: 0.0, most: 0.0 };
        let mut power = 0.0;
        for step in 1..200_000 {
            let n = f64::from(step) * 0.002;
            let (x, r) = (n / law.latency_of(n), law.latency_of(n));
            if x > law.ceiling {
                (law.ceiling, law.most) = (x, n);
            }
            if x / r > power {
                (law.knee, power) = (x, x / r);
            }
        }
        law
    }

    fn latency_of(&self, n: f64) -> f64 {
        (1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0)) / self.lambda
    }

    /// Minutes of traffic from `from` to `to` times the ceiling, most of them light.
    fn loads(&self, noise: &mut Noise, minutes: usize, to: f64, spread: f64) -> Vec<Load> {
        let minute = |noise: &mut Noise| {
            let rate = self.ceiling * (0.05 + (to - 0.05) * noise.unit().powf(1.5));
            let latency = latency_at(rate, self.most, |n| self.latency_of(n));
            Load {
                rate: rate * (0.02 * noise.normal()).exp(),
                cpu: 0.0,
                latency_s: latency * (spread * noise.normal()).exp(),
            }
        };
        (0..minutes).map(|_| minute(noise)).collect()
    }
}

fn laws() -> Vec<Planted> {
    vec![
        Planted::new(100.0, 0.02, 0.0005),
        Planted::new(1_000.0, 0.1, 0.002),
        Planted::new(20.0, 0.3, 0.01),
        Planted::new(300.0, 0.05, 0.0001),
    ]
}

fn near(got: f64, want: f64, relative: f64) -> bool {
    (got / want - 1.0).abs() <= relative
}

#[test]
fn a_planted_scalability_law_is_recovered() {
    let mut noise = Noise::new(1);
    for law in laws() {
        for spread in [0.0, 0.05, 0.1] {
            let trials = if spread > 0.0 { 20 } else { 1 };
            let (mut good, mut ceilings) = (0, 0);
            for _ in 0..trials {
                let found = bend(&law.loads(&mut noise, 1_440, 0.97, spread)).unwrap();
                good += usize::from(near(found.safe_rate, law.knee, 0.1));
                ceilings += usize::from(found.ceiling.is_some_and(|c| near(c, law.ceiling, 0.1)));
            }
            let least = trials * 9 / 10;
            assert!(
                good >= least && ceilings >= least,
                "{good} {ceilings} of {trials} at σ={} {spread}",
                law.sigma
            );
        }
    }
}

#[test]
fn a_planted_break_is_recovered() {
    let mut noise = Noise::new(2);
    for (knee, base, before, after) in [(400.0, 0.02, 1e-6, 4e-4), (50.0, 0.2, 2e-4, 2e-2)] {
        let mut good = 0;
        for _ in 0..40 {
            let loads: Vec<Load> = (0..1_440)
                .map(|_| {
                    let rate: f64 = knee * (0.1 + 1.2 * noise.unit());
                    let latency = base + before * rate.min(knee) + after * (rate - knee).max(0.0);
                    Load { rate, cpu: 0.0, latency_s: latency * (0.1 * noise.normal()).exp() }
                })
                .collect();
            let found = bend(&loads).unwrap();
            good += usize::from(
                near(found.knee, knee, 0.1) && matches!(found.law, Law::TwoSegments(_)),
            );
        }
        assert!(good >= 36, "{good} of 40 at {knee}");
    }
}

#[test]
fn a_single_server_queue_is_safe_at_half_its_rate() {
    // M/M/1: R = S / (1 - XS); power is greatest at one request in the system, which is ρ = 1/2.
    let mut noise = Noise::new(3);
    let loads: Vec<Load> = (0..3_000)
        .map(|_| {
            let rate = 5.0 + 90.0 * noise.unit();
            let latency = 0.01 / (1.0 - 0.01 * rate);
            Load { rate, cpu: rate * 0.01, latency_s: latency * (0.05 * noise.normal()).exp() }
        })
        .collect();
    let found = bend(&loads).unwrap();
    assert!(near(found.safe_rate, 50.0, 0.1), "{found:?}");
    assert!(near(found.ceiling.unwrap(), 100.0, 0.1), "{found:?}");
    assert!(near(headroom(found.safe_rate, 25.0).unwrap(), 2.0, 0.1));
}

#[test]
fn data_short_of_the_bend_is_unknown() {
    let mut noise = Noise::new(4);
    let (mut wrong, mut all) = (0, 0);
    for law in laws() {
        for _ in 0..25 {
            wrong += usize::from(
                bend(&law.loads(&mut noise, 1_440, 0.4 * law.knee / law.ceiling, 0.1)).is_some(),
            );
            all += 1;
        }
    }
    for _ in 0..100 {
        let flat = |noise: &mut Noise| Load {
            rate: 100.0 + 900.0 * noise.unit(),
            cpu: 0.1,
            latency_s: 0.05 * (0.2 * noise.normal()).exp(),
        };
        let loads: Vec<Load> = (0..600).map(|_| flat(&mut noise)).collect();
        wrong += usize::from(bend(&loads).is_some());
        all += 1;
    }
    assert!(wrong * 100 <= all, "{wrong} of {all}");
}

#[test]
fn the_cpu_of_a_request_is_recovered() {
    let mut noise = Noise::new(5);
    let mut inside = 0;
    for _ in 0..60 {
        let (cost, idle) = (0.004 + 0.01 * noise.unit(), 0.1 * noise.unit());
        let loads: Vec<Load> = (0..1_440)
            .map(|minute| {
                let rate = 40.0 + 30.0 * noise.unit();
                let busy = idle + rate * cost / 4.0 + 0.01 * noise.normal();
                // A batch job for an hour of the day.
                Load { rate, cpu: if minute < 60 { 0.9 } else { busy }, latency_s: 0.01 }
            })
            .collect();
        let found = cpu_cost(&loads, 4.0).unwrap();
        assert!(near(found.cpu_s, cost, 0.1), "{} for {cost}", found.cpu_s);
        assert!(near(found.rate_at_full_cpu.unwrap(), (1.0 - idle) * 4.0 / cost, 0.1));
        inside += usize::from(found.interval.contains(cost));
    }
    assert!(inside >= 50, "{inside} of 60");
}

/// `weeks` weeks of peaks with a season, a trend and noise.
fn peaks(noise: &mut Noise, weeks: i64, per_day: f64, spread: f64) -> Vec<DailyPeak> {
    let season = [0.0, 8.0, 12.0, 5.0, -4.0, -60.0, -70.0];
    let first = 20_000;
    (0..weeks * 7)
        .map(|i| DailyPeak {
            day: first + i,
            // Day 20,000 since 1970 is 2024-10-04, a Friday.
            rate: 500.0
                + per_day * i as f64
                + season[(i as usize + 4) % 7]
                + spread * noise.normal(),
        })
        .collect()
}

#[test]
fn planted_growth_is_recovered_in_its_interval() {
    let mut noise = Noise::new(6);
    let (mut inside, mut dates, mut all) = (0, 0, 0);
    for trial in 0..300 {
        let per_day = -1.0 + 3.0 * noise.unit();
        let days = peaks(&mut noise, 4 + trial % 10, per_day, 10.0);
        let found = growth(&days, 900.0).unwrap();
        inside += usize::from(found.interval.contains(per_day));
        all += 1;
        // The first day on which the planted line with its season reaches the limit.
        let season = [-4.0, -60.0, -70.0, 0.0, 8.0, 12.0, 5.0];
        let reached = |day: &i64| {
            let i = day - 20_000;
            500.0 + per_day * i as f64 + season[i as usize % 7] >= 900.0
        };
        let truth = (found.last_day..=found.last_day + HORIZON_DAYS).find(reached);
        let never = i64::MAX;
        let (low, high) = (found.earliest.unwrap_or(never), found.latest.unwrap_or(never));
        assert!(
            low <= found.exhausted.unwrap_or(never) && found.exhausted.unwrap_or(never) <= high
        );
        dates += usize::from(low <= truth.unwrap_or(never) && truth.unwrap_or(never) <= high);
    }
    assert!(inside * 100 >= 87 * all, "{inside} of {all}");
    assert!(dates * 100 >= 85 * all, "{dates} of {all}");
}

#[test]
fn a_season_is_no_trend() {
    let mut noise = Noise::new(7);
    for weeks in 3..9 {
        let found = growth(&peaks(&mut noise, weeks, 0.0, 0.0), 1_000.0).unwrap();
        assert!(found.per_day.abs() < 1e-9, "{found:?}");
        assert_eq!((found.exhausted, found.earliest, found.latest), (None, None, None));
        assert!((found.weekday[2] - found.weekday[6] - 82.0).abs() < 1e-9);
        let exact = growth(&peaks(&mut noise, weeks, 2.0, 0.0), 1_000.0).unwrap();
        assert!((exact.per_day - 2.0).abs() < 1e-9, "{exact:?}");
    }
    // Over the limit already.
    let now = growth(&peaks(&mut noise, 4, 0.0, 0.0), 10.0).unwrap();
    assert_eq!(now.exhausted, Some(now.last_day));
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        -1.0f64..1e4,
        Just(0.0),
        Just(7.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(1e300),
        Just(1e-300),
    ]
}

proptest! {
    #[test]
    fn any_input_gives_sound_numbers_whatever_the_order(
        loads in prop::collection::vec((any_number(), any_number(), any_number()), 0..80), seed in any::<u64>(),
    ) {
        let mut loads: Vec<Load> =
            loads.into_iter().map(|(rate, cpu, latency_s)| Load { rate, cpu, latency_s }).collect();
        let (found, cost) = (bend(&loads), cpu_cost(&loads, 2.0));
        if let Some(b) = &found {
            prop_assert!(b.knee > 0.0 && b.knee <= b.greatest_rate && b.error.is_finite());
            prop_assert!(b.ceiling.is_none_or(|c| c.is_finite() && c > 0.0));
        }
        if let Some(c) = &cost {
            prop_assert!(c.interval.low <= c.cpu_s && c.cpu_s <= c.interval.high && c.idle >= 0.0);
            prop_assert!(c.rate_at_full_cpu.is_none_or(f64::is_finite));
        }
        Noise::new(seed).shuffle(&mut loads);
        prop_assert_eq!(bend(&loads), found);
        prop_assert_eq!(cpu_cost(&loads, 2.0), cost);
    }

    #[test]
    fn any_peaks_give_sound_growth(
        peaks in prop::collection::vec((any::<i64>(), any_number()), 0..8),
        more in prop::collection::vec((0i64..90, any_number()), 0..120), limit in any_number(), seed in any::<u64>(),
    ) {
        let mut peaks: Vec<DailyPeak> =
            peaks.into_iter().chain(more).map(|(day, rate)| DailyPeak { day, rate }).collect();
        let found = growth(&peaks, limit);
        if let Some(g) = &found {
            prop_assert!(g.per_day.is_finite() && g.level.is_finite());
            prop_assert!(g.interval.low <= g.per_day && g.per_day <= g.interval.high);
            prop_assert!(g.weekday.iter().all(|w| w.is_finite()));
            prop_assert!(g.exhausted.is_none_or(|d| d >= g.last_day));
        }
        Noise::new(seed).shuffle(&mut peaks);
        prop_assert_eq!(growth(&peaks, limit), found);
    }
}

#[test]
fn too_little_is_unknown() {
    let one = Load { rate: 10.0, cpu: 0.5, latency_s: 0.1 };
    for loads in [vec![], vec![one], vec![one; 500]] {
        assert_eq!(bend(&loads), None);
        assert_eq!(cpu_cost(&loads, 4.0), None);
    }
    assert_eq!(growth(&[], 10.0), None);
    assert_eq!(growth(&[DailyPeak { day: 3, rate: 5.0 }], 10.0), None);
    assert_eq!(headroom(100.0, 0.0), None);
    assert_eq!(headroom(f64::NAN, 1.0), None);
}
