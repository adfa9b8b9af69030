//! `headrope sql`.

use std::io::Read as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::table::Table;
use crate::cli::{Output, SqlArgs};
use crate::client::Client;

pub(crate) fn run(args: &SqlArgs) -> anyhow::Result<ExitCode> {
    let mut query = args.query.clone();
    if query == "-" {
        query.clear();
        std::io::stdin().read_to_string(&mut query)?;
    }
    let accept = if args.output == Output::Csv { "text/csv" } else { "application/json" };
    let body = json!({ "query": query }).to_string();
    let client = Client::new(&args.node.url);
    let answer = client.post("/api/v1/sql", "application/json", accept, body.as_bytes())?;
    if args.output != Output::Table {
        println!("{}", answer.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = serde_json::from_str(&answer)?;
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let mut table = Table::new(list("columns").iter().map(|c| text(&c["name"])));
    for row in list("rows") {
        table
            .push(row.as_array().map(|cells| cells.iter().map(text).collect()).unwrap_or_default());
    }
    print!("{table}");
    let stats = &answer["stats"];
    eprintln!("{} rows in {} ms", list("rows").len(), text(&stats["elapsed_ms"]));
    if stats["truncated"].as_bool() == Some(true) {
        eprintln!("the answer was cut off at the row limit; add LIMIT or aggregate");
    }
    Ok(ExitCode::SUCCESS)
}

/// A JSON value as a person reads it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
