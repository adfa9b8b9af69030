//! Minutes of each service against the same minutes before, from roll-ups.

use std::collections::{BTreeMap, BTreeSet};

use headrope_analysis::change::{
    LEAST_REFERENCES, Minute, Rule, Window, chance, counting_noise, relative_noise, score,
    share_noise, threshold, windows,
};
use headrope_analysis::sketch::RELATIVE_ERROR;
use headrope_analysis::statistics::median;
use headrope_model::time::NANOS_PER_MINUTE;
use headrope_model::{DataSet, TimeRange};

use super::bounded;
use super::condition;
use super::measure::{MEASURES, Measure, Measures};
use crate::answer::anomaly::{Anomalies, Anomaly, Baseline};
use crate::answer::{SpanScope, Time};
use crate::column::{Columns, int0};
use crate::engine::Session;
use crate::error::QueryError;

/// Minutes in an hour and in a day.
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
/// Most minutes that are asked for.
const MOST_MINUTES: i64 = 3 * DAY;
/// Most earlier days and hours that are looked at.
const MOST_DAYS: i64 = 7;
const MOST_HOURS: i64 = 12;
/// Fewest earlier days or hours that make a baseline; each gives as many references as it has neighbours.
const LEAST_PERIODS: i64 = 2;
/// Minutes on either side of the same minute.
const NEIGHBOURS: i64 = 5;
/// Longest time just before, if there is no more, in minutes.
const MOST_BEFORE: i64 = 2 * HOUR;
/// Most rows of (service, minute).
const MOST_ROWS: usize = 2_000_000;
/// Fewest requests of a minute that tell a latency.
const LEAST_CALLS: u64 = 20;
/// Chance that a minute scores as high as one that opens a window, and as one that keeps it open.
const ENTER: f64 = 0.01;
const LEAVE: f64 = 0.1;
/// Minutes one after the other that open a window, and quiet ones that it bridges.
const IN_A_ROW: usize = 3;
const BRIDGE: i64 = 2;
/// Least probability of what is told.
const LEAST_PROBABILITY: f64 = 0.95;
/// Least change worth telling: a factor of the rate, a factor of the latency, a share of requests.
const LEAST_RATE: f64 = 1.3;
const LEAST_LATENCY: f64 = 1.2;
const LEAST_ERRORS: f64 = 0.01;

/// What is told of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Rate,
    Errors,
    Latency,
}

/// What requests of a minute came to.
#[derive(Debug, Clone, Copy)]
struct Figures {
    calls: u64,
    errors: u64,
    /// 95th percentile, nanoseconds; 0 without one.
    p95_ns: f64,
}

impl Figures {
    fn of(measure: &Measure) -> Self {
        let p95_ns = measure.sketch.quantile(0.95).unwrap_or_default();
        Self { calls: measure.calls, errors: measure.errors, p95_ns }
    }
}

/// A service's minutes by number since the epoch.
type Minutes = BTreeMap<i64, Figures>;

/// Where references of a minute lie.
#[derive(Debug, Clone, Copy)]
struct Reach {
    kind: &'static str,
    /// Minutes between periods.
    step: i64,
    periods: i64,
}

pub(crate) async fn anomalies(
    session: &Session,
    asked: TimeRange,
    service: Option<&str>,
) -> Result<Anomalies, QueryError> {
    let asked = bounded(asked, session.snapshot(), DataSet::Spans);
    let to = asked.to().div_euclid(NANOS_PER_MINUTE);
    let first = asked.from().saturating_add(NANOS_PER_MINUTE - 1).div_euclid(NANOS_PER_MINUTE);
    if to - first > MOST_MINUTES {
        let detail = format!(
            "anomalies are looked for in at most {} days; narrow the time range",
            MOST_MINUTES / DAY
        );
        return Err(QueryError::Invalid(detail));
    }
    let to = to.max(first);
    let stored = bounded(TimeRange::ALL, session.snapshot(), DataSet::Spans).from();
    // The first minute is rarely whole.
    let reach = reach(first, to, stored.div_euclid(NANOS_PER_MINUTE) + 1);
    let mut services: BTreeMap<String, Minutes> = BTreeMap::new();
    for (from, to) in ranges(reach, first, to) {
        Box::pin(read(session, from, to, service, &mut services)).await?;
    }
    let mut found = Vec::new();
    let mut series = 0;
    if reach.periods > 0 {
        let known: BTreeSet<i64> = services.values().flat_map(|m| m.keys().copied()).collect();
        let looked_at = 3.0 * services.len() as f64 * (to - first) as f64;
        for (name, minutes) in &services {
            for told in [Told::Rate, Told::Errors, Told::Latency] {
                series += 1;
                let view = View { told, minutes, known: &known, reach, first, to };
                found.extend(view.windows(name, looked_at));
            }
        }
    }
    found.sort_by(|a: &Anomaly, b| {
        b.probability.total_cmp(&a.probability).then(b.z.abs().total_cmp(&a.z.abs()))
    });
    let window = TimeRange::new(first * NANOS_PER_MINUTE, to * NANOS_PER_MINUTE).unwrap_or(asked);
    let periods = u64::try_from(reach.periods).unwrap_or_default();
    Ok(Anomalies {
        anomalies: found,
        baseline: Baseline { kind: reach.kind, periods },
        series,
        window: window.into(),
    })
}

/// As many days as are stored, else hours, else what is just before. Periods that overlap what is asked for are none.
fn reach(first: i64, to: i64, stored: i64) -> Reach {
    let fits = |step: i64, most: i64| {
        let overlap = (to - first + NEIGHBOURS).div_euclid(step);
        let periods = (first - NEIGHBOURS - stored).div_euclid(step).min(most);
        (overlap == 0 && periods >= LEAST_PERIODS).then_some(periods)
    };
    if let Some(periods) = fits(DAY, MOST_DAYS) {
        return Reach { kind: "days", step: DAY, periods };
    }
    if let Some(periods) = fits(HOUR, MOST_HOURS) {
        return Reach { kind: "hours", step: HOUR, periods };
    }
    let before = (first - stored).min(MOST_BEFORE);
    match usize::try_from(before) {
        Ok(minutes) if minutes >= LEAST_REFERENCES => {
            Reach { kind: "before", step: 0, periods: before }
        }
        _ => Reach { kind: "none", step: 0, periods: 0 },
    }
}

/// Minutes that have to be read: those asked for, and their references.
fn ranges(reach: Reach, first: i64, to: i64) -> Vec<(i64, i64)> {
    let mut ranges = vec![(first, to)];
    match reach.step {
        0 => ranges.push((first - reach.periods, first)),
        step => {
            ranges.extend((1..=reach.periods).map(|period| {
                (first - period * step - NEIGHBOURS, to - period * step + NEIGHBOURS)
            }))
        }
    }
    // Periods that touch are read once.
    ranges.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(to),
            None => joined.push((from, to)),
        }
    }
    joined
}

async fn read(
    session: &Session,
    from: i64,
    to: i64,
    service: Option<&str>,
    services: &mut BTreeMap<String, Minutes>,
) -> Result<(), QueryError> {
    let Some(range) = TimeRange::new(from * NANOS_PER_MINUTE, to * NANOS_PER_MINUTE) else {
        return Ok(());
    };
    let (condition, params) = condition(range, SpanScope::Entry, service);
    let sql = format!(
        "SELECT service_name, time_bucket({NANOS_PER_MINUTE}, start_time) AS step, {MEASURES} \
         FROM spans WHERE {condition} GROUP BY 1, 2 LIMIT {MOST_ROWS}"
    );
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let (names, steps) = (columns.texts("service_name")?, columns.ints("step")?);
        let measures = Measures::of(&columns)?;
        for row in 0..batch.num_rows() {
            let minute = int0(&steps, row).div_euclid(NANOS_PER_MINUTE);
            let of_service = services.entry(names.owned(row)).or_default();
            of_service.insert(minute, Figures::of(&measures.get(row)?));
        }
    }
    Ok(())
}

/// One measure of one service.
struct View<'a> {
    told: Told,
    minutes: &'a Minutes,
    /// Minutes in which any service was called: others were perhaps not recorded.
    known: &'a BTreeSet<i64>,
    reach: Reach,
    first: i64,
    to: i64,
}

/// A minute against its references.
struct Scored {
    at: i64,
    z: f64,
    expected: f64,
    observed: f64,
    references: usize,
}

impl View<'_> {
    /// The measure of a minute; latency as a logarithm.
    fn value(&self, at: i64) -> Option<f64> {
        let measure = self.minutes.get(&at);
        match (self.told, measure) {
            (Told::Rate, None) => self.known.contains(&at).then_some(0.0),
            (Told::Rate, Some(m)) => Some(m.calls as f64),
            (Told::Errors, Some(m)) if m.calls > 0 => Some(m.errors as f64 / m.calls as f64),
            (Told::Latency, Some(m)) if m.calls >= LEAST_CALLS && m.p95_ns > 0.0 => {
                Some(m.p95_ns.ln())
            }
            _ => None,
        }
    }

    fn references(&self, at: i64) -> Vec<f64> {
        let Reach { step, periods, .. } = self.reach;
        match step {
            0 => (self.first - periods..self.first).filter_map(|at| self.value(at)).collect(),
            step => (1..=periods)
                .flat_map(|period| {
                    let same = at - period * step;
                    same - NEIGHBOURS..=same + NEIGHBOURS
                })
                .filter_map(|at| self.value(at))
                .collect(),
        }
    }

    fn scored(&self, at: i64) -> Option<Scored> {
        let observed = self.value(at)?;
        let references = self.references(at);
        let expected = median(&references)?;
        let calls = self.minutes.get(&at).map_or(0.0, |m| m.calls as f64);
        let noise = match self.told {
            Told::Rate => counting_noise(expected),
            Told::Errors => share_noise(expected, calls),
            Told::Latency => relative_noise(1.0, RELATIVE_ERROR),
        };
        let found = score(observed, &references, noise)?;
        let references = found.references;
        Some(Scored { at, z: found.z, expected, observed, references })
    }

    fn windows(&self, service: &str, looked_at: f64) -> Vec<Anomaly> {
        let scored: Vec<Scored> = (self.first..self.to).filter_map(|at| self.scored(at)).collect();
        let Some(references) = scored.iter().map(|s| s.references).min() else { return Vec::new() };
        let rule = Rule {
            enter: threshold(references, ENTER),
            leave: threshold(references, LEAVE),
            in_a_row: IN_A_ROW,
            bridge: BRIDGE,
        };
        let minutes: Vec<Minute> = scored.iter().map(|s| Minute { at: s.at, z: s.z }).collect();
        let found = windows(&minutes, &rule);
        let row = |window: &Window| self.anomaly(service, window, &scored, references, looked_at);
        found.iter().filter_map(row).collect()
    }

    fn anomaly(
        &self,
        service: &str,
        window: &Window,
        scored: &[Scored],
        references: usize,
        looked_at: f64,
    ) -> Option<Anomaly> {
        let within = || scored.iter().filter(|s| (window.from..window.to).contains(&s.at));
        let middle = |value: fn(&Scored) -> f64| median(&within().map(value).collect::<Vec<_>>());
        let (expected, observed) = (middle(|s| s.expected)?, middle(|s| s.observed)?);
        let z = middle(|s| s.z.abs())?;
        // So many minutes in a row on one side, by chance, beginning at any minute that was looked at.
        let in_a_row = i32::try_from(IN_A_ROW).unwrap_or(1);
        let by_chance = looked_at * 2.0 * (chance(references, z) / 2.0).powi(in_a_row);
        let probability = (1.0 - by_chance).max(0.0);
        let factor = |least: f64| observed >= least * expected || observed * least <= expected;
        let matters = match self.told {
            Told::Rate => factor(LEAST_RATE),
            Told::Errors => (observed - expected).abs() >= LEAST_ERRORS,
            Told::Latency => (observed - expected).abs() >= LEAST_LATENCY.ln(),
        };
        let unit = |value: f64| match self.told {
            Told::Rate => value / 60.0,
            Told::Errors => value,
            Told::Latency => value.exp(),
        };
        (matters && probability >= LEAST_PROBABILITY).then(|| Anomaly {
            service: service.to_owned(),
            measure: match self.told {
                Told::Rate => "rate",
                Told::Errors => "errors",
                Told::Latency => "latency",
            },
            from: Time(window.from * NANOS_PER_MINUTE),
            to: Time(window.to * NANOS_PER_MINUTE),
            open: window.to >= self.to,
            direction: if window.above { "above" } else { "below" },
            expected: unit(expected),
            observed: unit(observed),
            z: window.peak,
            probability,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_holds_each_reference_and_none_is_of_the_window(
            first in 20_000i64..40_000, length in 1i64..3_000, stored in 0i64..40_000,
        ) {
            let to = first + length;
            let reach = reach(first, to, stored);
            let ranges = ranges(reach, first, to);
            prop_assert!(ranges.windows(2).all(|w| w[0].1 < w[1].0));
            let read = |at: i64| ranges.iter().any(|(from, to)| (*from..*to).contains(&at));
            for at in [first, first + length / 2, to - 1] {
                prop_assert!(read(at));
                let references: Vec<i64> = match reach.step {
                    0 => (first - reach.periods..first).collect(),
                    step => (1..=reach.periods)
                        .flat_map(|k| at - k * step - NEIGHBOURS..=at - k * step + NEIGHBOURS)
                        .collect(),
                };
                for reference in references {
                    prop_assert!(read(reference), "{reach:?} {reference}");
                    prop_assert!(reference < first && reference >= stored, "{reach:?} {reference}");
                }
            }
        }
    }
}
