//! What the scripts draw, and the tables that say the same in words.

use headrope_query::answer::log::LogVolume;
use headrope_query::answer::service::{MetricSeries, Series};
use serde::Serialize;

use crate::number;
use crate::part::Island;
use crate::zone::Zone;

/// One line, area or row of bars.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) label: String,
    /// Name of the colour token.
    pub(crate) tone: &'static str,
    pub(crate) values: Vec<Option<f64>>,
}

/// A chart over time.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Chart {
    #[serde(skip)]
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) title: String,
    /// What the chart shows, for those who cannot see it.
    #[serde(skip)]
    pub(crate) summary: String,
    /// `ns`, `rate`, `share`, `count`, `bytes`, `byterate` or `plain`.
    pub(crate) unit: &'static str,
    /// `line`, `area`, `bars` or `stack`.
    pub(crate) kind: &'static str,
    /// Start of each step, Unix milliseconds.
    pub(crate) times: Vec<i64>,
    /// Length of a step in milliseconds.
    pub(crate) step: i64,
    pub(crate) lines: Vec<Line>,
}

impl Chart {
    /// The data for the script.
    pub(crate) fn island(&self) -> Island {
        Island::of(self)
    }
}

/// A row of the table beside the charts.
#[derive(Debug, Clone)]
pub(crate) struct SeriesRow {
    pub(crate) time: String,
    pub(crate) cells: Vec<String>,
}

/// Traffic, latency and errors over time.
#[derive(Debug, Clone)]
pub(crate) struct Red {
    pub(crate) charts: Vec<Chart>,
    pub(crate) step: String,
    pub(crate) rows: Vec<SeriesRow>,
}

fn chart(id: &str, title: &str, unit: &'static str, kind: &'static str, series: &Series) -> Chart {
    Chart {
        id: id.to_owned(),
        title: title.to_owned(),
        summary: String::new(),
        unit,
        kind,
        times: series.points.iter().map(|p| p.time.0 / 1_000_000).collect(),
        step: series.step_ns / 1_000_000,
        lines: Vec::new(),
    }
}

fn rounded(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1e4).round() / 1e4)
}

/// The three charts of a request-driven thing, with their table.
pub(crate) fn red(series: &Series, zone: &Zone) -> Red {
    let seconds = (series.step_ns as f64 / 1e9).max(1e-9);
    let points = &series.points;
    let mut traffic = chart("traffic", "Traffic", "rate", "area", series);
    traffic.lines = vec![Line {
        label: "calls/s".to_owned(),
        tone: "traffic",
        values: points.iter().map(|p| rounded(p.calls as f64 / seconds)).collect(),
    }];
    let peak = points.iter().map(|p| p.calls).max().unwrap_or(0);
    traffic.summary = format!("Calls per second; at most {}.", number::rate(peak as f64 / seconds));

    let mut latency = chart("latency", "Latency", "ns", "line", series);
    type Pick = fn(&headrope_query::answer::service::SeriesPoint) -> i64;
    let picks: [(&str, &'static str, Pick); 3] =
        [("p50", "p50", |p| p.p50_ns), ("p95", "p95", |p| p.p95_ns), ("p99", "p99", |p| p.p99_ns)];
    latency.lines = picks
        .into_iter()
        .map(|(label, tone, pick)| Line {
            label: label.to_owned(),
            tone,
            values: points.iter().map(|p| (p.calls > 0).then(|| pick(p) as f64)).collect(),
        })
        .collect();
    let worst = points.iter().map(|p| p.p99_ns).max().unwrap_or(0);
    latency.summary = format!("Latency percentiles; p99 is at most {}.", number::duration(worst));

    let mut errors = chart("errors", "Errors", "share", "bars", series);
    let share = |p: &headrope_query::answer::service::SeriesPoint| {
        if p.calls == 0 { 0.0 } else { p.errors as f64 / p.calls as f64 }
    };
    errors.lines = vec![Line {
        label: "failed".to_owned(),
        tone: "bad",
        values: points.iter().map(|p| rounded(share(p))).collect(),
    }];
    let most = points.iter().map(share).fold(0.0, f64::max);
    errors.summary = format!("Share of failed calls; at most {}.", number::percent(most));

    let rows = points
        .iter()
        .map(|p| SeriesRow {
            time: zone.second(p.time.0),
            cells: vec![
                number::exact(p.calls),
                number::exact(p.errors),
                number::duration(p.p50_ns),
                number::duration(p.p95_ns),
                number::duration(p.p99_ns),
            ],
        })
        .collect();
    Red { charts: vec![traffic, latency, errors], step: number::duration(series.step_ns), rows }
}

/// Log records per step by severity.
pub(crate) fn volume(volume: &LogVolume) -> Chart {
    let line = |label: &str, tone, values: &[u64]| Line {
        label: label.to_owned(),
        tone,
        values: values.iter().map(|v| Some(*v as f64)).collect(),
    };
    let sum = |values: &[u64]| number::exact(values.iter().sum());
    Chart {
        id: "volume".to_owned(),
        title: "Records".to_owned(),
        summary: format!(
            "Log records over time: {} error, {} warning, {} other.",
            sum(&volume.error),
            sum(&volume.warn),
            sum(&volume.info)
        ),
        unit: "count",
        kind: "stack",
        times: volume.times.iter().map(|t| t.0 / 1_000_000).collect(),
        step: volume.step_ns / 1_000_000,
        lines: vec![
            line("error", "bad", &volume.error),
            line("warn", "warn", &volume.warn),
            line("other", "quiet", &volume.info),
        ],
    }
}

/// Tones of lines that only differ by label.
const TONES: [&str; 8] = ["svc-0", "svc-1", "svc-2", "svc-3", "svc-4", "svc-5", "svc-6", "svc-7"];

/// One chart per resource metric, at most eight lines each (the greatest ones).
pub(crate) fn resources(series: &[MetricSeries]) -> Vec<Chart> {
    let mut names: Vec<&str> = Vec::new();
    for s in series {
        if !names.contains(&s.name.as_str()) {
            names.push(&s.name);
        }
    }
    names.iter().enumerate().map(|(at, name)| resource(at, name, series)).collect()
}

fn resource(at: usize, name: &str, series: &[MetricSeries]) -> Chart {
    let mut mine: Vec<&MetricSeries> = series.iter().filter(|s| s.name == name).collect();
    let peak =
        |s: &MetricSeries| s.values.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    mine.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then_with(|| a.label.cmp(&b.label)));
    let all = mine.len();
    mine.truncate(TONES.len());
    let unit = mine.first().map_or("", |s| s.unit.as_str()).to_owned();
    let times: Vec<i64> =
        mine.first().map(|s| s.times.iter().map(|t| t.0 / 1_000_000).collect()).unwrap_or_default();
    let highest = mine.iter().map(|s| peak(s)).fold(f64::NEG_INFINITY, f64::max);
    let factor = match unit.as_str() {
        "s" => 1e9,
        "ms" => 1e6,
        _ => 1.0,
    };
    let lines = mine
        .iter()
        .zip(TONES)
        .map(|(s, tone)| Line {
            label: s.label.clone(),
            tone,
            values: s.values.iter().map(|v| v.and_then(|v| rounded(v * factor))).collect(),
        })
        .collect();
    let hidden = all.saturating_sub(TONES.len());
    let more =
        if hidden > 0 { format!(" {hidden} lower series are not drawn.") } else { String::new() };
    Chart {
        id: format!("resource-{at}"),
        title: name.to_owned(),
        summary: format!(
            "{name}: {all} series, at most {}.{more}",
            number::with_unit(highest, &unit)
        ),
        unit: match unit.as_str() {
            "By" => "bytes",
            "By/s" => "byterate",
            "1" => "share",
            "s" | "ms" => "ns",
            _ => "plain",
        },
        kind: "line",
        step: times.first().zip(times.get(1)).map_or(60_000, |(a, b)| b - a),
        times,
        lines,
    }
}
