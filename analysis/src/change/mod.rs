//! What changed: windows in which a series is unlike its reference, lasting shifts of level, and how much
//! of the change of a mean is due to another mix of work.
//!
//! - [`score()`] and [`windows()`]: a minute series (rate, error share, a latency quantile) against the same
//!   minute of earlier periods or against what came just before;
//! - [`level_shift`]: the most likely moment of a lasting change, by ranks;
//! - [`rate_changes`]: kinds of events that are new, gone, or come more or less often than chance explains;
//! - [`mix_split`]: *another mix of work* against *the same work got slower*.

mod mix;
mod rate;
#[cfg(test)]
mod rate_tests;
mod score;
mod shift;
#[cfg(test)]
mod tests;
mod windows;

pub use mix::{Group, GroupChange, MixSplit, mix_split};
pub use rate::{LEAST_FACTOR, Occurrences, Occurring, RateChange, SLICES, rate_changes};
pub use score::{
    LEAST_REFERENCES, Score, chance, counting_noise, relative_noise, score, share_noise, threshold,
};
pub use shift::{LevelShift, level_shift};
pub use windows::{Minute, Rule, Window, windows};
