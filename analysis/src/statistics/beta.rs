//! The beta distribution and what follows from it.

/// Logarithm of the gamma function of a positive number: the approximation of C. Lanczos (SIAM J. Numer.
/// Anal. 1, 1964) with g = 7 and nine terms, to a relative error below 1e-13. Zero for numbers that are not
/// positive or not finite.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if !x.is_finite() || x <= 0.0 {
        return 0.0;
    }
    if x < 0.5 {
        let sine = (std::f64::consts::PI * x).sin();
        return (std::f64::consts::PI / sine).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let base = x + 7.5;
    let terms = (1..).map(f64::from).zip(TERMS).map(|(i, term)| term / (x + i));
    let sum: f64 = 0.999_999_999_999_809_9 + terms.sum::<f64>();
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The probability that a variable of the beta distribution with parameters `a` and `b` is below `x`: the
/// regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun 26.5.8, evaluated
/// by W. J. Lentz, Appl. Opt. 15, 1976), to about 1e-12. With a parameter of zero all weight lies at one end.
#[must_use]
pub fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    let sound = x.is_finite() && a.is_finite() && b.is_finite();
    if !sound || x <= 0.0 || b <= 0.0 {
        return if sound && x >= 1.0 { 1.0 } else { 0.0 };
    }
    if x >= 1.0 || a <= 0.0 {
        return 1.0;
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast below the mean only.
    let below = match x < (a + 1.0) / (a + b + 2.0) {
        true => front.exp() * fraction(x, a, b) / a,
        false => 1.0 - front.exp() * fraction(1.0 - x, b, a) / b,
    };
    below.clamp(0.0, 1.0)
}

fn fraction(x: f64, a: f64, b: f64) -> f64 {
    /// Needed are about as many steps as the square root of the greater parameter.
    const STEPS: u32 = 20_000;
    const TINY: f64 = 1e-300;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut h = d;
    for m in (1..STEPS).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            h *= d * c;
        }
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    h
}

/// The probability that a binomial variable of `of` trials with probability `p` is at least `hits`. For
/// numbers between the whole ones it lies between theirs.
#[must_use]
pub fn binomial_at_least(hits: f64, of: f64, p: f64) -> f64 {
    if hits <= 0.0 { 1.0 } else { beta_below(p, hits, of - hits + 1.0) }
}

/// The probability that a Student's t variable with `degrees` of freedom is further from zero than `t`, on
/// either side.
#[must_use]
pub fn t_two_tails(t: f64, degrees: f64) -> f64 {
    if t.is_nan() || degrees.is_nan() || degrees <= 0.0 {
        return 1.0;
    }
    if t.is_infinite() { 0.0 } else { beta_below(degrees / (degrees + t * t), degrees / 2.0, 0.5) }
}
