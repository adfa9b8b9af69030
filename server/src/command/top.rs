//! `headrope top`.

use std::process::ExitCode;

use serde_json::Value;

use super::sql::text;
use super::table::{Table, duration};
use crate::cli::{Output, TopArgs, TopBy, TopScope};
use crate::client::Client;

pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let scope = match args.scope {
        TopScope::Services => "service",
        TopScope::Operations => "operation",
        TopScope::Statements => "statement",
        TopScope::Hosts => "host",
        TopScope::Peers => "peer",
    };
    let by = match args.by {
        TopBy::Calls => "calls",
        TopBy::Slowest => "slowest",
        TopBy::TotalTime => "total_time",
        TopBy::Errors => "errors",
        TopBy::P99 => "p99",
        TopBy::Change => "change",
    };
    let since: String = args.since.chars().filter(char::is_ascii_alphanumeric).collect();
    let path =
        format!("/api/v1/topn?scope={scope}&by={by}&limit={}&from=now-{since}&to=now", args.n);
    let answer = Client::new(&args.node.url).get(&path)?;
    let rows = answer["rows"].as_array().or_else(|| answer.as_array()).cloned().unwrap_or_default();
    match args.output {
        Output::Json => println!("{answer}"),
        Output::Csv => {
            println!(
                "service,operation,calls,errors,total_time_ns,p50_ns,p95_ns,p99_ns,max_ns,added_ns"
            );
            for row in &rows {
                let cells = [
                    "service",
                    "operation",
                    "calls",
                    "errors",
                    "total_time_ns",
                    "p50_ns",
                    "p95_ns",
                    "p99_ns",
                    "max_ns",
                    "added_ns",
                ];
                let line: Vec<_> = cells.iter().map(|c| quote(&text(&row[*c]))).collect();
                println!("{}", line.join(","));
            }
        }
        Output::Table => print!("{}", table(&rows, args.scope, args.by == TopBy::Change)),
    }
    Ok(ExitCode::SUCCESS)
}

/// RFC 4180: a cell with a comma, a quote or a line break is quoted.
fn quote(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn table(rows: &[Value], scope: TopScope, changed: bool) -> Table {
    let (first, second) = match scope {
        TopScope::Services => ("service", None),
        TopScope::Operations => ("service", Some("operation")),
        TopScope::Statements => ("service", Some("statement")),
        TopScope::Hosts => ("host", None),
        TopScope::Peers => ("service", Some("peer")),
    };
    let mut head = vec![first];
    head.extend(second);
    head.extend(["calls", "errors", "total", "p50", "p95", "p99", "slowest", "share"]);
    head.extend(changed.then_some("added"));
    let mut table = Table::new(head);
    for row in rows {
        let time = |key: &str| duration(row[key].as_i64().unwrap_or_default());
        let mut cells = vec![text(&row["service"])];
        if second.is_some() {
            cells.push(text(&row["operation"]));
        }
        cells.extend([text(&row["calls"]), text(&row["errors"])]);
        cells.extend(["total_time_ns", "p50_ns", "p95_ns", "p99_ns", "max_ns"].map(time));
        cells.push(format!("{:.1} %", row["share"].as_f64().unwrap_or_default() * 100.0));
        cells.extend(changed.then(|| time("added_ns")));
        table.push(cells);
    }
    table
}
