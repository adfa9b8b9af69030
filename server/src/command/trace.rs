//! `headrope trace`.

use std::process::ExitCode;

use serde_json::Value;

use super::sql::text;
use super::table::duration;
use crate::cli::TraceArgs;
use crate::client::Client;

/// Width of the bars, in characters.
const BAR: usize = 40;

pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let trace = Client::new(&args.node.url).get(&format!("/api/v1/traces/{}", args.id))?;
    if args.json {
        println!("{trace}");
        return Ok(ExitCode::SUCCESS);
    }
    let total = trace["duration_ns"].as_i64().unwrap_or_default().max(1);
    println!(
        "trace {}  {}  {} spans  {} errors  {}",
        text(&trace["trace_id"]),
        duration(total),
        text(&trace["span_count"]),
        text(&trace["error_count"]),
        text(&trace["start_time"]),
    );
    for span in trace["spans"].as_array().into_iter().flatten() {
        println!("{}", line(span, total));
    }
    println!("\n█ on the critical path  ░ running  ! failed");
    for repeat in trace["repeats"].as_array().into_iter().flatten() {
        println!("{}", repeated(&trace, repeat));
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls that repeat others, in a line.
fn repeated(trace: &Value, repeat: &Value) -> String {
    let what = match repeat["kind"].as_str() {
        Some("loop") => "calls one after the other of",
        Some("retry") => "further attempts of",
        _ => "repeated reads:",
    };
    let caller = repeat["caller"].as_u64().and_then(|at| usize::try_from(at).ok());
    let caller = caller.and_then(|at| trace["spans"].get(at));
    let by = caller.map_or_else(String::new, |span| {
        format!(" by {} {}", text(&span["service"]), text(&span["name"]))
    });
    let time = duration(repeat["time_ns"].as_i64().unwrap_or_default());
    let share = repeat["share"].as_f64().unwrap_or_default() * 100.0;
    let line = format!(
        "{} {what} {}{by}: {time}, {share:.0} % of it",
        text(&repeat["count"]),
        text(&repeat["target"])
    );
    line.replace(char::is_control, " ")
}

/// A span: bar, duration, self time, name under its parent.
fn line(span: &Value, total: i64) -> String {
    let ns = |key: &str| span[key].as_i64().unwrap_or_default();
    let column = |at: i64| {
        let cells = i64::try_from(BAR).unwrap_or_default();
        usize::try_from((at.clamp(0, total) * cells) / total).unwrap_or_default().min(BAR - 1)
    };
    let mut bar = vec![' '; BAR];
    let mut fill = |from: i64, to: i64, mark: char| {
        for cell in bar.iter_mut().take(column(to) + 1).skip(column(from)) {
            *cell = mark;
        }
    };
    let start = ns("offset_ns");
    fill(start, start.saturating_add(ns("duration_ns")), '░');
    for part in span["critical"].as_array().into_iter().flatten() {
        let at = |key: &str| part[key].as_i64().unwrap_or_default();
        fill(at("from_ns"), at("to_ns"), '█');
    }
    let bar: String = bar.into_iter().collect();
    let depth = usize::try_from(ns("depth")).unwrap_or_default().min(40);
    let failed = if span["status_code"] == "ERROR" { '!' } else { ' ' };
    let clean = |text: String| text.replace(char::is_control, " ");
    format!(
        "{bar} {failed} {:>9} {:>9}  {:indent$}{} {}",
        duration(ns("duration_ns")),
        duration(ns("self_ns")),
        "",
        clean(text(&span["service"])),
        clean(text(&span["name"])),
        indent = depth * 2,
    )
}
