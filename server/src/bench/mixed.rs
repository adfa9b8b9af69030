//! Questions while records come in: what people who look at pages cost the intake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ask::{Asker, Question};
use super::report::Latency;
use super::workload::{Recipe, Signal};

/// What was asked beside the load.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Mixed {
    /// Questions per second aimed at.
    pub(crate) rate: f64,
    pub(crate) answered: u64,
    /// Answers that were no success, and why the first was not.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// From when a question was to be asked.
    pub(crate) latency: Latency,
}

/// Asks one question after the other until `stop`, over the whole time of a workload. A question
/// that is late because of the one before counts from when it was to be asked.
pub(crate) fn ask(asker: &Asker, recipe: &Recipe, rate: f64, stop: &AtomicBool) -> Mixed {
    let questions = questions(recipe);
    let every = Duration::from_secs_f64(1.0 / rate.max(1e-3));
    let began = Instant::now();
    let mut mixed =
        Mixed { rate, answered: 0, failed: 0, first_failure: None, latency: Latency::default() };
    let mut latencies = Vec::new();
    for (number, question) in questions.iter().cycle().enumerate() {
        let intended = began + every.mul_f64(number as f64);
        while Instant::now() < intended && !stop.load(Ordering::Relaxed) {
            let left = intended.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match asker.ask(question).and_then(|answer| answer.success().map(|_| ())) {
            Ok(()) => {
                mixed.answered += 1;
                latencies.push(intended.elapsed());
            }
            Err(error) => {
                mixed.failed += 1;
                mixed.first_failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    mixed.latency = Latency::of(latencies);
    mixed
}

/// What the pages ask: rankings, the trace list, the logs.
fn questions(recipe: &Recipe) -> Vec<Question> {
    const DAY_NS: i64 = 86_400_000_000_000;
    // Wide enough for the ten days of one workload and the clocks of another.
    let (from, to) = (recipe.until_ns - 12 * DAY_NS, recipe.until_ns + 2 * DAY_NS);
    let get = |path: &str| Question::get(path).with("from", from).with("to", to);
    let top = |scope: &str, by: &str| {
        get("/api/v1/topn").with("scope", scope).with("by", by).with("limit", 10)
    };
    match recipe.signal {
        Signal::Traces => vec![
            top("service", "total_time"),
            get("/api/v1/traces").with("limit", 20),
            top("operation", "total_time"),
            get("/api/v1/traces").with("status", "error").with("limit", 20),
            top("operation", "slowest"),
            get("/api/v1/logs").with("q", "failed").with("limit", 100),
        ],
        Signal::Logs => vec![
            get("/api/v1/logs").with("q", "failed").with("limit", 100),
            get("/api/v1/logs/volume").with("q", "failed"),
            get("/api/v1/logs").with("severity", "warn").with("limit", 100),
            top("service", "total_time"),
        ],
    }
}
