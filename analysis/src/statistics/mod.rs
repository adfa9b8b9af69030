//! The statistics the other algorithms stand on: intervals of proportions, tails and quantiles of
//! the normal and Student's t distribution, robust location, scale and slope, small least squares,
//! the beta and the binomial distribution, and the correction for many comparisons.
//!
//! No function gives back a NaN, and none depends on the order of its input.

mod beta;
mod interval;
mod least_squares;
mod multiple;
mod normal;
mod proportion;
mod robust;
#[cfg(test)]
mod tests;

pub use beta::{beta_below, binomial_at_least, ln_gamma, t_two_tails};
pub use interval::Interval;
pub use least_squares::{least_squares, least_squares_bounded};
pub use multiple::benjamini_hochberg;
pub use normal::{chi_square_1_tail, erfc, normal_quantile, normal_tail, t_quantile};
pub use proportion::{Proportion, difference};
pub use robust::{MAD_TO_SIGMA, Slope, mad, median, quantile, seasonal_slope, theil_sen};

/// Two-sided 95 % of the normal distribution: the quantile of 0.975.
pub const Z_95: f64 = 1.959_963_984_540_054;
/// Two-sided 90 % of the normal distribution: the quantile of 0.95.
pub const Z_90: f64 = 1.644_853_626_951_472_7;
