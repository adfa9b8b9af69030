//! The Universal Scalability Law.

use crate::statistics::least_squares_bounded;

/// Throughput `X` of `N` requests in flight: `X = λN / (1 + σ(N-1) + κN(N-1))` (N. J. Gunther, *Guerrilla
/// Capacity Planning*, 2007).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usl {
    /// λ: requests per second of one request in flight.
    pub lambda: f64,
    /// σ: what queueing for something shared takes, 0 to 1.
    pub sigma: f64,
    /// κ: what keeping things consistent takes, per pair in flight.
    pub kappa: f64,
}

impl Usl {
    /// Fits points of (rate per second, mean latency in seconds). With Little's law `N = X·R` the law is
    /// linear in its parameters, `R = N/X = (1 + σ(N-1) + κN(N-1)) / λ`, and is fitted by least squares of
    /// the relative error with `σ, κ ≥ 0`. `None` if the points do not determine it or contradict it
    /// (`σ ≥ 1`).
    pub(super) fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let row = |(x, r): &(f64, f64)| {
            let n = x * r;
            ([1.0 / r, (n - 1.0) / r, n * (n - 1.0) / r], 1.0)
        };
        let rows: Vec<([f64; 3], f64)> = points.iter().map(row).collect();
        let [a, b, c] = least_squares_bounded(&rows, [true, true, true])?;
        let usl = Self { lambda: 1.0 / a, sigma: b / a, kappa: c / a };
        let sound = [usl.lambda, usl.sigma, usl.kappa].iter().all(|v| v.is_finite());
        (sound && usl.sigma < 1.0).then_some(usl)
    }

    /// `R = r₀ + r₁N + r₂N²`, seconds.
    fn polynomial(&self) -> [f64; 3] {
        let Self { lambda, sigma, kappa } = *self;
        [(1.0 - sigma) / lambda, (sigma - kappa) / lambda, kappa / lambda]
    }

    /// Latency at a concurrency, seconds.
    fn latency_at(&self, n: f64) -> f64 {
        let [r0, r1, r2] = self.polynomial();
        r0 + n * (r1 + n * r2)
    }

    /// Greatest rate, per second, and the number of requests in flight there (infinite if the law only
    /// approaches it); `None` for a law without a limit.
    #[must_use]
    pub fn ceiling(&self) -> Option<(f64, f64)> {
        let [r0, r1, r2] = self.polynomial();
        if r2 > 0.0 {
            let n = (r0 / r2).sqrt();
            return Some((n / self.latency_at(n), n));
        }
        (r1 > 0.0).then(|| (1.0 / r1, f64::INFINITY))
    }

    /// The knee: the rate, per second, at which the power `X/R` is greatest, beyond which latency grows
    /// faster than throughput (Kleinrock, *Power and deterministic rules of thumb for probabilistic
    /// problems in computer communications*, ICC 1979; *knee capacity* in Jain, *The Art of Computer
    /// Systems Performance Analysis*, 1991, §3.3). `None` for a law without a limit.
    #[must_use]
    pub fn knee(&self) -> Option<f64> {
        let [r0, r1, r2] = self.polynomial();
        // d(N/R²)/dN = 0: 3r₂N² + r₁N - r₀ = 0, in the form that also holds for r₂ = 0.
        let n = 2.0 * r0 / (r1 + (r1 * r1 + 12.0 * r2 * r0).sqrt());
        let rate = n / self.latency_at(n);
        Some(rate).filter(|r| n.is_finite() && r.is_finite())
    }

    /// Latency at a rate, seconds, on the branch below the ceiling; beyond the ceiling that of the
    /// ceiling, if there is one.
    pub(super) fn latency(&self, rate: f64) -> f64 {
        let [r0, r1, r2] = self.polynomial();
        // R = r₀ + r₁(xR) + r₂(xR)², the smaller root.
        let b = 1.0 - r1 * rate;
        let under = b * b - 4.0 * r0 * r2 * rate * rate;
        let root = 2.0 * r0 / (b + under.max(0.0).sqrt());
        if under >= 0.0 && b > 0.0 && root.is_finite() {
            return root;
        }
        match self.ceiling() {
            Some((_, n)) if n.is_finite() => self.latency_at(n),
            _ => f64::INFINITY,
        }
    }
}
