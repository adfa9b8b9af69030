//! Traces as dots: when they started, how long they took (log scale).

use headrope_query::answer::trace::TraceSummary;

use super::histogram::Log;
use crate::number;
use crate::view::View;

const HEIGHT: f64 = 128.0;

/// A trace.
#[derive(Debug, Clone)]
pub(crate) struct Dot {
    pub(crate) href: String,
    pub(crate) x: String,
    pub(crate) y: f64,
    pub(crate) radius: f64,
    pub(crate) failed: bool,
    pub(crate) title: String,
}

/// A line of the axis.
#[derive(Debug, Clone)]
pub(crate) struct Guide {
    pub(crate) y: f64,
    pub(crate) x: String,
    pub(crate) anchor: &'static str,
    pub(crate) label: String,
}

/// The drawing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scatter {
    pub(crate) dots: Vec<Dot>,
    pub(crate) rows: Vec<Guide>,
    pub(crate) columns: Vec<Guide>,
}

/// Draws the traces of a page.
pub(crate) fn draw(view: &View, traces: &[TraceSummary]) -> Scatter {
    let durations = || traces.iter().map(|t| t.duration_ns.max(1));
    let (Some(least), Some(most)) = (durations().min(), durations().max()) else {
        return Scatter::default();
    };
    let axis = Log::new(least - least / 4, most.saturating_add(most / 4));
    let starts = || traces.iter().map(|t| t.start_time.0);
    let (first, last) = (starts().min().unwrap_or(0), starts().max().unwrap_or(0));
    // Room on both sides, so that no dot is cut.
    let across = |ns: i64| 0.07 + 0.91 * ((ns - first) as f64 / (last - first).max(1) as f64);
    let down = |ns: i64| ((1.0 - axis.at(ns)) * (HEIGHT - 12.0) * 10.0).round() / 10.0 + 6.0;
    let dots = traces
        .iter()
        .map(|t| Dot {
            href: view.trace(&t.trace_id).to_string(),
            x: super::pct(across(t.start_time.0)),
            y: down(t.duration_ns),
            radius: if t.span_count > 50 {
                5.0
            } else if t.span_count > 10 {
                4.0
            } else {
                3.0
            },
            failed: t.error_count > 0,
            title: format!(
                "{} · {} · {} · {} spans, {} errors",
                t.root_service,
                t.root_name,
                number::duration(t.duration_ns),
                t.span_count,
                t.error_count
            ),
        })
        .collect();
    let rows = guides(least, most)
        .into_iter()
        .map(|ns| Guide {
            y: down(ns),
            x: String::new(),
            anchor: "start",
            label: number::duration(ns),
        })
        .collect();
    let columns = [(0.0, "start"), (0.5, "middle"), (1.0, "end")]
        .into_iter()
        .map(|(share, anchor)| {
            let at = first + ((last - first) as f64 * share) as i64;
            Guide {
                y: 0.0,
                x: super::pct(across(at)),
                anchor,
                label: view.zone.second(at).get(11..).unwrap_or_default().to_owned(),
            }
        })
        .collect();
    Scatter { dots, rows, columns }
}

/// Round durations from the least to the greatest: decades, or also 2 and 5 of each if few fit.
fn guides(least: i64, most: i64) -> Vec<i64> {
    let within = |steps: &[i64]| -> Vec<i64> {
        (0..18)
            .flat_map(|power| {
                steps.iter().map(move |s| s.saturating_mul(10_i64.saturating_pow(power)))
            })
            .filter(|ns| least <= *ns && *ns <= most)
            .collect()
    };
    let decades = within(&[1]);
    match decades.len() {
        0..=1 => {
            let fine = within(&[1, 2, 5]);
            if fine.is_empty() { vec![most] } else { fine }
        }
        n => decades.into_iter().step_by(n.div_ceil(5)).collect(),
    }
}
