//! What the demo shows, and when.

use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_MINUTE, NANOS_PER_SECOND};
use headrope_query::answer::Time;
use headrope_testdata::{Incident, Planned, ShopConfig};

use crate::cli::DemoArgs;

/// Length of an incident in the history.
const INCIDENT: i64 = 20 * NANOS_PER_MINUTE;
/// How long before the start an incident that is going on began.
const ONGOING_SINCE: i64 = 15 * NANOS_PER_MINUTE;

/// The shop's configuration and the range of its history.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) shop: ShopConfig,
    pub(super) history: TimeRange,
}

impl Plan {
    pub(super) fn new(args: &DemoArgs, now: i64) -> Self {
        let now = now - now.rem_euclid(NANOS_PER_SECOND);
        let from = now - i64::from(args.hours) * NANOS_PER_HOUR;
        let incidents = match args.incident {
            Some(incident) => vec![Planned {
                incident,
                from_ns: now - ONGOING_SINCE,
                to_ns: now.saturating_add(7 * 24 * NANOS_PER_HOUR),
            }],
            None => spread(from, now),
        };
        let shop = ShopConfig {
            seed: args.seed,
            traces_per_second: args.rate,
            start_ns: from,
            incidents,
            diurnal: true,
            metric_interval_s: 60,
            batch_window_s: 10,
            ..ShopConfig::default()
        };
        let history = TimeRange::new(from, now).unwrap_or(TimeRange::ALL);
        Self { shop, history }
    }

    /// Name, start and end of every incident, for people.
    pub(super) fn incidents(&self) -> impl Iterator<Item = (&'static str, String, String)> {
        let short = |ns: i64| Time(ns).rfc3339().chars().take(16).collect::<String>();
        self.shop
            .incidents
            .iter()
            .map(move |i| (i.incident.name(), short(i.from_ns), short(i.to_ns)))
    }
}

/// One of each incident over the history, the latest an hour before now.
fn spread(from: i64, now: i64) -> Vec<Planned> {
    let count = i64::try_from(Incident::ALL.len()).unwrap_or(1);
    let step = (now - from) / (count + 1);
    let starts = (1..=count).map(|n| now - NANOS_PER_HOUR - (n - 1) * step);
    let fits = |start: &i64| *start >= from;
    Incident::ALL
        .iter()
        .zip(starts.filter(fits))
        .map(|(incident, start)| Planned {
            incident: *incident,
            from_ns: start,
            to_ns: start + INCIDENT,
        })
        .collect()
}
