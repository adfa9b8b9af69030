use proptest::prelude::*;

use super::*;

fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * b.abs().max(f64::MIN_POSITIVE)
}

#[test]
fn tails_and_quantiles_agree_with_tables() {
    // Abramowitz and Stegun, table 7.1 and 7.3; NIST/SEMATECH handbook 1.3.6.7.2.
    for (x, want) in [
        (0.5, 0.479_500_122_186_953_5),
        (1.0, 0.157_299_207_050_285_13),
        (2.0, 0.004_677_734_981_047_266),
        (3.0, 2.209_049_699_858_544e-5),
        (5.0, 1.537_459_794_428_034_8e-12),
    ] {
        assert!(close(erfc(x), want, 1e-11), "erfc({x}) = {}", erfc(x));
    }
    assert!(close(normal_quantile(0.975), Z_95, 1e-14));
    assert!(close(normal_quantile(0.95), Z_90, 1e-14));
    assert!(close(chi_square_1_tail(3.841_458_820_694_124), 0.05, 1e-11));
    for (degrees, p, want) in [
        (1.0, 0.975, 12.706_204_736),
        (2.0, 0.975, 4.302_652_730),
        (3.0, 0.995, 5.840_909_310),
        (5.0, 0.9995, 6.868_826_626),
        (10.0, 0.95, 1.812_461_123),
        (30.0, 0.9995, 3.645_958_635),
        (120.0, 0.975, 1.979_930_405),
    ] {
        let got = t_quantile(p, degrees);
        assert!(close(got, want, 1e-3), "t({p}, {degrees}) = {got}");
    }
}

#[test]
fn nothing_is_ever_nan() {
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300] {
        assert!(!erfc(x).is_nan() && !normal_quantile(x).is_nan());
        assert!(!t_quantile(x, x).is_nan() && !chi_square_1_tail(x).is_nan());
    }
    assert_eq!(median(&[f64::NAN, 3.0, f64::INFINITY]), Some(3.0));
    assert_eq!(median(&[]), None);
    assert_eq!(quantile(&[f64::NAN], 0.5), None);
    assert_eq!(theil_sen(&[(1.0, 1.0)], Z_95), None);
    assert_eq!(theil_sen(&[(1.0, 1.0), (1.0, 2.0)], Z_95), None);
    assert_eq!(benjamini_hochberg(&[f64::NAN, 0.0], 0.05), [false, true]);
    assert_eq!(least_squares(&[([1.0, 1.0], 1.0), ([2.0, 2.0], 1.0)]), None);
    assert_eq!(least_squares::<1>(&[]), None);
}

/// Exact probability of `k` of `n`.
fn binomial(k: u64, n: u64, p: f64) -> f64 {
    let log_choose: f64 = (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum();
    (log_choose + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
}

#[test]
fn a_score_interval_covers_the_truth_as_often_as_it_says() {
    let mut shares = Vec::new();
    for n in [4, 10, 25, 60, 200] {
        for step in 1..100 {
            let p = f64::from(step) / 100.0;
            let covered =
                (0..=n).filter(|k| Proportion { hits: *k, of: n }.wilson(Z_95).contains(p));
            shares.push(covered.map(|k| binomial(k, n, p)).sum::<f64>());
        }
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    // Agresti and Coull (1998): the mean is close to 95 %, single cases near 0 and 1 fall to 83 %.
    assert!((0.945..0.965).contains(&mean), "{mean}");
    assert!(shares.iter().all(|s| *s > 0.83));
}

#[test]
fn the_interval_of_a_difference_covers_the_truth() {
    // Newcombe: on average 95 %, single cases down to 87 %.
    for (n, m, p, q) in [(20, 50, 0.9, 0.05), (8, 200, 0.5, 0.01), (40, 40, 0.3, 0.3)] {
        let mut covered = 0.0;
        for i in 0..=n {
            for j in 0..=m {
                let (a, b) = (Proportion { hits: i, of: n }, Proportion { hits: j, of: m });
                if difference(a, b, Z_95).contains(p - q) {
                    covered += binomial(i, n, p) * binomial(j, m, q);
                }
            }
        }
        assert!((0.92..0.985).contains(&covered), "{covered} for {n} {m} {p} {q}");
    }
}

#[test]
fn the_interval_of_a_slope_covers_the_truth() {
    let mut noise = crate::noise::Noise::new(7);
    for points in [8u32, 20, 60] {
        let trials = 600;
        let covered = (0..trials).filter(|_| {
            let line: Vec<(f64, f64)> = (0..points)
                .map(|i| (f64::from(i), 3.0 + 0.5 * f64::from(i) + noise.normal()))
                .collect();
            theil_sen(&line, Z_95).unwrap().interval.unwrap().contains(0.5)
        });
        let share = covered.count() as f64 / f64::from(trials);
        assert!((0.925..0.99).contains(&share), "{share} at {points}");
    }
}

#[test]
fn false_discoveries_are_as_rare_as_asked() {
    let mut noise = crate::noise::Noise::new(11);
    let (mut wrong, mut found) = (0.0, 0);
    let trials = 400;
    for _ in 0..trials {
        // A tenth of 200 hypotheses is false.
        let p: Vec<f64> = (0..200)
            .map(|i| normal_tail(noise.normal() + if i < 20 { 4.0 } else { 0.0 }))
            .collect();
        let rejected = benjamini_hochberg(&p, 0.05);
        let count = |r: &[bool]| r.iter().filter(|r| **r).count();
        wrong += count(&rejected[20..]) as f64 / count(&rejected).max(1) as f64;
        found += count(&rejected[..20]);
    }
    assert!(wrong / f64::from(trials) < 0.05, "{wrong}");
    assert!(found > 350 * 15, "{found}");
}

proptest! {
    #[test]
    fn a_quantile_is_the_inverse_of_the_tail(p in 1e-12f64..0.999_999) {
        prop_assert!(close(normal_tail(-normal_quantile(p)), p, 1e-9));
        prop_assert!(close(t_quantile(p, 1e6), normal_quantile(p), 1e-3) || (p - 0.5).abs() < 1e-3);
    }

    #[test]
    fn a_score_interval_solves_its_equation(hits in 0u64..400, more in 0u64..400) {
        let share = Proportion { hits, of: hits + more };
        let Some(p) = share.share() else { return Ok(()) };
        let Interval { low, high } = share.wilson(Z_95);
        prop_assert!(0.0 <= low && low <= p && p <= high && high <= 1.0);
        // Its ends are the shares from which the observed one is just `z` standard deviations away.
        for end in [low, high].into_iter().filter(|e| *e > 0.0 && *e < 1.0) {
            let sd = (end * (1.0 - end) / share.of as f64).sqrt();
            prop_assert!(close((p - end).abs() / sd, Z_95, 1e-6));
        }
    }

    #[test]
    fn benjamini_hochberg_is_the_definition(p in prop::collection::vec(0.0f64..0.2, 0..30)) {
        let mut sorted = p.clone();
        sorted.sort_by(f64::total_cmp);
        let k = (1..=p.len()).rev().find(|k| sorted[k - 1] <= 0.1 * *k as f64 / p.len() as f64);
        let want: Vec<bool> = p.iter().map(|p| k.is_some_and(|k| *p <= sorted[k - 1])).collect();
        prop_assert_eq!(benjamini_hochberg(&p, 0.1), want);
    }

    #[test]
    fn least_squares_leaves_no_slope(
        rows in prop::collection::vec(([-9.0f64..9.0, -9.0f64..9.0, -9.0f64..9.0], -9.0f64..9.0), 4..20),
        bounded in any::<[bool; 3]>(),
    ) {
        let error = |f: &[f64; 3]| rows.iter()
            .map(|(r, y)| (y - r.iter().zip(f).map(|(a, b)| a * b).sum::<f64>()).powi(2)).sum::<f64>();
        let Some(best) = least_squares_bounded(&rows, bounded) else { return Ok(()) };
        // The error is convex: no small permitted step may lower it.
        for k in 0..3 {
            prop_assert!(!bounded[k] || best[k] >= 0.0);
            for step in [1e-4, -1e-4] {
                let mut other = best;
                other[k] += step;
                if !bounded[k] || other[k] >= 0.0 {
                    prop_assert!(error(&other) >= error(&best) - 1e-7);
                }
            }
        }
    }

    #[test]
    fn a_line_through_exact_points_is_found_in_any_order(
        mut xs in prop::collection::btree_set(-500i32..500, 3..40), slope in -5.0f64..5.0, wild in any::<bool>(),
    ) {
        let mut points: Vec<(f64, f64)> =
            xs.iter().map(|x| (f64::from(*x), 2.0 + slope * f64::from(*x))).collect();
        if wild && points.len() > 8 {
            points[3].1 = 1e6;
        }
        let line = theil_sen(&points, Z_95).unwrap();
        prop_assert!((line.slope - slope).abs() < 1e-9);
        prop_assert!((line.intercept - 2.0).abs() < 1e-6);
        points.reverse();
        prop_assert_eq!(theil_sen(&points, Z_95), Some(line));
        xs.clear();
    }
}

proptest! {
    #[test]
    fn binomial_tails_are_sums_and_t_tails_invert_quantiles(
        n in 1u64..200, share in 0.0f64..1.0, p in 0.01f64..0.99, alpha in 0.01f64..0.5, degrees in 2.0f64..200.0,
    ) {
        let k = (share * n as f64) as u64;
        let want: f64 = (k..=n).map(|k| binomial(k, n, p)).sum();
        let got = binomial_at_least(k as f64, n as f64, p);
        prop_assert!((got - want).abs() < 1e-9, "{got} {want}");
        let back = t_two_tails(t_quantile(1.0 - alpha / 2.0, degrees), degrees);
        prop_assert!((back / alpha - 1.0).abs() < 0.01, "{back} {alpha}");
    }
}

#[test]
fn tails_of_many_trials_are_those_of_the_normal_distribution() {
    for z in [-3.0, -1.0, 0.0, 1.0, 3.0] {
        let n: f64 = 1e8;
        let got = binomial_at_least(n / 2.0 + z * n.sqrt() / 2.0 + 0.5, n, 0.5);
        assert!((got / normal_tail(z) - 1.0).abs() < 1e-3, "{z} {got}");
    }
    for x in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
        assert!(
            !beta_below(x, x, x).is_nan() && !ln_gamma(x).is_nan() && !t_two_tails(x, x).is_nan()
        );
    }
    assert!((ln_gamma(0.5).exp().powi(2) - std::f64::consts::PI).abs() < 1e-12);
}
