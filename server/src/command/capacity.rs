//! `headrope capacity`: what services can take, and what gives way first.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::sql::text;
use super::table::Table;
use crate::cli::CapacityArgs;
use crate::client::{Client, encoded};

/// Operations and days of a service that are printed.
const LINES: usize = 10;

pub(crate) fn run(args: &CapacityArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.node.url).get(&path(args))?;
    match (args.json, args.what_if) {
        (true, _) => println!("{answer}"),
        (false, Some(_)) => print!("{}", what_if(&answer)),
        (false, None) => print!("{}", capacity(&answer, args.service.is_some())?),
    }
    Ok(ExitCode::SUCCESS)
}

fn path(args: &CapacityArgs) -> String {
    let now = || (format!("now-{}", args.since), "now".to_owned());
    let (from, to) = args.from.clone().zip(args.to.clone()).unwrap_or_else(now);
    let (what, factor) = match args.what_if {
        Some(factor) => ("/what-if", format!("&factor={factor}")),
        None => ("", String::new()),
    };
    let mut path =
        format!("/api/v1/capacity{what}?from={}&to={}{factor}", encoded(&from), encoded(&to));
    for (name, value) in [("service", &args.service), ("operation", &args.operation)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

/// A figure with three digits that count; nothing for null.
fn figure(value: &Value) -> String {
    let Some(value) = value.as_f64() else { return String::new() };
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        v if v >= 1.0 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A figure with its interval.
fn band(value: &Value) -> String {
    match value.is_object() {
        true => format!(
            "{} ({} to {})",
            figure(&value["value"]),
            figure(&value["low"]),
            figure(&value["high"])
        ),
        false => String::new(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn capacity(answer: &Value, detailed: bool) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    let mut table = Table::new([
        "service",
        "version",
        "instances",
        "peak/s",
        "safe/s each",
        "basis",
        "headroom",
        "CPU ms",
        "exhausted",
    ]);
    let mut unknown = Vec::new();
    for service in list(&answer["services"]) {
        let name = text(&service["service"]);
        for class in list(&service["classes"]) {
            table.push(vec![
                name.clone(),
                text(&class["version"]),
                text(&class["instances"]),
                figure(&class["peak_rate"]),
                band(&class["safe_rate"]),
                text(&class["basis"]),
                band(&class["headroom"]),
                band(&class["cpu_ms_per_request"]),
                text(&service["growth"]["exhausted"]),
            ]);
        }
        let of_classes = list(&service["classes"]).iter().flat_map(|class| list(&class["unknown"]));
        for line in list(&service["unknown"]).iter().chain(of_classes) {
            let line = format!("{name}: no {}: {}", text(&line["what"]), text(&line["because"]));
            unknown.push(line.replace(char::is_control, " "));
        }
    }
    write!(out, "{table}")?;
    if !detailed {
        writeln!(out, "\n{} figures are unknown; ask for one service to see why", unknown.len())?;
        return Ok(out);
    }
    for service in list(&answer["services"]) {
        details(service, &mut out)?;
    }
    if !unknown.is_empty() {
        writeln!(out, "\nUnknown:")?;
    }
    unknown.iter().try_for_each(|line| writeln!(out, "- {line}"))?;
    Ok(out)
}

fn details(service: &Value, out: &mut String) -> std::fmt::Result {
    let mut table = Table::new(["operation", "calls", "CPU ms", "share of CPU"]);
    let operations = list(&service["operations"]);
    for operation in operations.iter().take(LINES) {
        let share = operation["share"].as_f64().unwrap_or_default() * 100.0;
        table.push(vec![
            text(&operation["operation"]),
            text(&operation["calls"]),
            band(&operation["cpu_ms_per_request"]),
            format!("{share:.0} %"),
        ]);
    }
    if !operations.is_empty() {
        write!(out, "\n{table}")?;
    }
    let mut table = Table::new(["day", "calls", "peak/s", "whole"]);
    let days = list(&service["days"]);
    for day in days.iter().rev().take(LINES).rev() {
        let whole = if day["is_whole"] == true { "yes" } else { "no" };
        let (calls, peak) = (text(&day["calls"]), figure(&day["peak_rate"]));
        table.push(vec![text(&day["day"]), calls, peak, whole.to_owned()]);
    }
    write!(out, "\n{table}")?;
    let growth = &service["growth"];
    if growth.is_object() {
        writeln!(
            out,
            "\nThe daily peak grows by {} a second each day; exhausted {}.",
            band(&growth["per_day"]),
            match growth["exhausted"].as_str() {
                Some(day) => day.to_owned(),
                None => "not within two years, or the capacity is unknown".to_owned(),
            }
        )?;
    }
    Ok(())
}

fn what_if(answer: &Value) -> Table {
    let mut table = Table::new([
        "service",
        "breaks at",
        "peak/s",
        "then",
        "capacity",
        "load then",
        "instances",
        "needed",
        "unknown",
    ]);
    for row in list(&answer["services"]) {
        let load = row["load_then"].as_f64().map(|load| format!("{:.0} %", load * 100.0));
        let at = row["breaks_at"].as_f64().map(|factor| format!("x{factor:.2}"));
        table.push(vec![
            text(&row["service"]),
            at.unwrap_or_default(),
            figure(&row["peak_rate"]),
            figure(&row["peak_rate_then"]),
            figure(&row["capacity"]),
            load.unwrap_or_default(),
            text(&row["instances"]),
            text(&row["instances_then"]),
            text(&row["unknown"]),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_and_reasons_are_printed() {
        let safe = json!({"value": 40.0, "low": 35.5, "high": 45.0});
        let answer = json!({"services": [{
            "service": "cart", "growth": {"per_day": safe, "exhausted": "2025-03-01"},
            "classes": [{"version": "1.2", "instances": 3, "peak_rate": 0.25, "safe_rate": safe,
                "basis": "cpu", "headroom": null, "cpu_ms_per_request": null,
                "unknown": [{"what": "knee", "because": "latency does\u{1b}not bend"}]}],
            "operations": [{"operation": "GET /cart", "calls": 7, "cpu_ms_per_request": safe, "share": 0.5}],
            "days": [{"day": "2025-01-06", "calls": 9, "peak_rate": 2000.0, "is_whole": true}],
            "unknown": [],
        }]});
        let all = capacity(&answer, true).unwrap();
        for part in [
            "cart         1.2          3  0.2500  40.00 (35.50 to 45.00)  cpu",
            "2025-03-01",
            "GET /cart",
            "50 %",
            "2025-01-06      9    2000  yes",
            "- cart: no knee: latency does not bend",
        ] {
            assert!(all.contains(part), "{part}\n{all}");
        }
        assert!(capacity(&answer, false).unwrap().contains("1 figures are unknown"));
        let answer = json!({"services": [{"service": "cart", "breaks_at": 1.5, "load_then": 1.2,
            "peak_rate": 1.0, "peak_rate_then": 2.0, "capacity": null, "instances": 3}]});
        let table = what_if(&answer).to_string();
        assert!(table.contains("x1.50") && table.contains("120 %"), "{table}");
    }
}
