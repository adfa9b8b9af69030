//! When services were unlike before.

use headrope_query::QueryError;
use headrope_query::answer::anomaly::{Anomalies, Anomaly};

use super::tone;
use crate::number;
use crate::view::View;
use crate::zone::rfc3339;

/// A stretch of minutes in which a service was unlike before.
pub(crate) struct Row {
    pub(crate) tone: u64,
    pub(crate) service: String,
    pub(crate) href: String,
    pub(crate) what: &'static str,
    pub(crate) is_worse: bool,
    pub(crate) expected: String,
    pub(crate) observed: String,
    pub(crate) time: String,
    pub(crate) is_open: bool,
    /// The verdict on these minutes.
    pub(crate) why: String,
}

/// What was unusual in a window.
pub(crate) struct Unusual {
    pub(crate) rows: Vec<Row>,
    /// What minutes were compared with, in words; empty if they were not.
    pub(crate) baseline: String,
    /// Why nothing can be told; empty if it can.
    pub(crate) untold: String,
    /// How many rows are not shown.
    pub(crate) more: usize,
}

/// The surest of them, or why there is no answer, which is no fault of the page it is a part of.
pub(crate) fn unusual(view: &View, found: Result<Anomalies, QueryError>, most: usize) -> Unusual {
    let untold = |untold| Unusual { rows: Vec::new(), baseline: String::new(), untold, more: 0 };
    let found = match found {
        Ok(found) => found,
        Err(error) => return untold(format!("What was unusual is not known: {error}.")),
    };
    let Some(baseline) = baseline(&found) else {
        return untold("Too little is stored before this window to tell what is usual.".to_owned());
    };
    Unusual {
        rows: found.anomalies.iter().take(most).map(|anomaly| row(view, anomaly)).collect(),
        baseline,
        untold: String::new(),
        more: found.anomalies.len().saturating_sub(most),
    }
}

impl Unusual {
    /// Stretches in which a service was worse.
    pub(crate) fn worse(&self) -> usize {
        self.rows.iter().filter(|row| row.is_worse).count()
    }
}

fn baseline(found: &Anomalies) -> Option<String> {
    let periods = found.baseline.periods;
    Some(match found.baseline.kind {
        "days" => format!("against the same minutes of {periods} earlier days"),
        "hours" => format!("against the same minutes of {periods} earlier hours"),
        "before" => format!("against the {periods} minutes before"),
        _ => return None,
    })
}

fn row(view: &View, anomaly: &Anomaly) -> Row {
    let (what, is_worse) = match (anomaly.measure, anomaly.direction) {
        ("rate", "above") => ("More requests", false),
        ("rate", _) => ("Fewer requests", true),
        ("errors", "above") => ("More failures", true),
        ("errors", _) => ("Fewer failures", false),
        (_, "above") => ("Slower at p95", true),
        _ => ("Faster at p95", false),
    };
    let figure = |value: f64| match anomaly.measure {
        "rate" => number::rate(value),
        "errors" => number::percent(value),
        _ => number::duration(value as i64),
    };
    let (from, to) = (anomaly.from.0, anomaly.to.0);
    Row {
        tone: tone(&anomaly.service),
        service: anomaly.service.clone(),
        href: view.service(&anomaly.service).to_string(),
        what,
        is_worse,
        expected: figure(anomaly.expected),
        observed: figure(anomaly.observed),
        time: format!("{} – {}", view.zone.minute(from), view.zone.minute_of_day(to)),
        is_open: anomaly.open,
        why: view.to("/verdict").set("from", rfc3339(from)).set("to", rfc3339(to)).to_string(),
    }
}
