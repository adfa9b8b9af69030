//! Random numbers and distributions from exactly rounded arithmetic only (`+ - * /` and `sqrt`), so
//! that a seed gives the same bytes on every platform.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A bijective mix of two words (the finaliser of SplitMix64, Steele et al., OOPSLA 2014).
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A word as a number in `[0, 1)`.
pub(crate) fn unit(word: u64) -> f64 {
    (word >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// A word as a roughly standard normal number, see [`Dice::normal`].
pub(crate) fn normal_of(word: u64) -> f64 {
    let sum = (word & 0xffff) + ((word >> 16) & 0xffff) + ((word >> 32) & 0xffff) + (word >> 48);
    (sum as f64 / 65_536.0 - 2.0) * 1.732_050_807_568_877_2
}

/// Random numbers of the faults: a stream beside the dice, so that a fault leaves what else happens
/// to a request as it was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Whims(u64);

impl Whims {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed, 0xfa17))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = mix(self.0, 1);
        self.0
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.word())
    }

    /// Uniform between 1 - `spread` and 1 + `spread`.
    pub(crate) fn around_one(&mut self, spread: f64) -> f64 {
        1.0 + spread * (2.0 * self.unit() - 1.0)
    }

    /// Log-normal with the given median and shape.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * normal_of(self.word()))
    }
}

/// Seeded random numbers.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(mix(mix(seed, 0x5110), stream)))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..n`; zero when `n` is zero.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(n);
        (wide >> 32) as u32
    }

    /// True in `ppm` of a million throws.
    pub(crate) fn chance(&mut self, ppm: u32) -> bool {
        ppm != 0 && self.below(1_000_000) < ppm
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.word())
    }

    /// Roughly standard normal: the sum of four uniform numbers (Irwin-Hall), so never beyond 3.5.
    pub(crate) fn normal(&mut self) -> f64 {
        normal_of(self.word())
    }

    /// Log-normal with the given median and shape.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// A Poisson count (a rounded normal one above 16, where they agree closely).
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        if mean >= 16.0 {
            return (mean + mean.sqrt() * self.normal() + 0.5).max(0.0) as u32;
        }
        let limit = exp(-mean.max(0.0));
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }
}

/// The exponential function for |x| below about 700, relative error under 1e-12: halve the argument
/// until it is small, sum the series, square back.
pub(crate) fn exp(x: f64) -> f64 {
    let mut reduced = x;
    let mut squarings = 0;
    while reduced.abs() > 0.125 && squarings < 16 {
        reduced *= 0.5;
        squarings += 1;
    }
    let mut sum = 1.0;
    for n in (1..=9u32).rev() {
        sum = 1.0 + sum * reduced / f64::from(n);
    }
    for _ in 0..squarings {
        sum *= sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_platform() {
        for step in -600..600 {
            let x = f64::from(step) / 40.0;
            let error = (exp(x) - x.exp()).abs() / x.exp();
            assert!(error < 1e-11, "{x}: {error}");
        }
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut dice = Dice::new(7, 1);
        let n = 20_000;
        let normal: Vec<f64> = (0..n).map(|_| dice.normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let var = normal.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.05, "{mean} {var}");
        for rate in [0.3, 3.0, 60.0] {
            let mean = (0..n).map(|_| f64::from(dice.poisson(rate))).sum::<f64>() / f64::from(n);
            assert!((mean / rate - 1.0).abs() < 0.05, "{rate}: {mean}");
        }
        let hits = (0..n).filter(|_| dice.chance(250_000)).count() as f64 / f64::from(n);
        assert!((hits - 0.25).abs() < 0.02, "{hits}");
    }
}
