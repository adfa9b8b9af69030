//! Pieces that several pages print.

pub(crate) mod histogram;
pub(crate) mod rank;
pub(crate) mod scatter;
pub(crate) mod table;
pub(crate) mod traces;
pub(crate) mod unusual;

use std::fmt;

use headrope_query::answer::Stats;
use serde::Serialize;

use crate::number;

/// JSON for a `<script type="application/json">`, safe to print without escaping: `<`, `>` and `&`
/// are written as JSON escapes, so no text can end the element.
#[derive(Debug, Clone)]
pub(crate) struct Island(String);

impl Island {
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        Self(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
    }
}

impl fmt::Display for Island {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The figures of a group of spans, as text.
#[derive(Debug, Clone)]
pub(crate) struct Cells {
    pub(crate) calls: String,
    pub(crate) calls_exact: String,
    pub(crate) rate: String,
    pub(crate) errors: String,
    pub(crate) error_rate: String,
    /// `bad`, `warn`, `some` or empty.
    pub(crate) health: &'static str,
    pub(crate) mean: String,
    pub(crate) p50: String,
    pub(crate) p95: String,
    pub(crate) p99: String,
    pub(crate) max: String,
    pub(crate) total: String,
}

impl Cells {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            calls: number::count(stats.calls),
            calls_exact: number::exact(stats.calls),
            rate: number::rate(stats.rate),
            errors: number::count(stats.errors),
            error_rate: number::percent(stats.error_rate),
            health: health(stats.error_rate),
            mean: number::duration(stats.mean_ns),
            p50: number::duration(stats.p50_ns),
            p95: number::duration(stats.p95_ns),
            p99: number::duration(stats.p99_ns),
            max: number::duration(stats.max_ns),
            total: number::duration(stats.total_time_ns),
        }
    }
}

/// How bad a share of failed calls is: from 5 % bad, from 1 % a warning.
pub(crate) fn health(error_rate: f64) -> &'static str {
    match error_rate {
        r if r >= 0.05 => "bad",
        r if r >= 0.01 => "warn",
        r if r > 0.0 => "some",
        _ => "",
    }
}

/// Number of colours in the service palette.
const PALETTE: u64 = 12;

/// The palette class of a service: the same on every page.
pub(crate) fn tone(service: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(service.as_bytes()) % PALETTE
}

/// A position or a length as a percentage for an SVG attribute.
pub(crate) fn pct(share: f64) -> String {
    let value = (share.clamp(0.0, 1.0) * 1e4).round() / 100.0;
    format!("{value}%")
}
