//! `headrope verdict`: the card as Markdown.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::sql::text;
use super::table::duration;
use crate::cli::VerdictArgs;
use crate::client::{Client, encoded};

/// Lines of the ledger on the card.
const LINES: usize = 8;

pub(crate) fn run(args: &VerdictArgs) -> anyhow::Result<ExitCode> {
    let answer = Client::new(&args.node.url).get(&path(args))?;
    match args.json {
        true => println!("{answer}"),
        false => print!("{}", card(&answer)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn path(args: &VerdictArgs) -> String {
    let now = || (format!("now-{}", args.since), "now".to_owned());
    let (from, to) = args.from.clone().zip(args.to.clone()).unwrap_or_else(now);
    let mut path = format!("/api/v1/verdict?from={}&to={}", encoded(&from), encoded(&to));
    let others = [
        ("reference_from", &args.reference_from),
        ("reference_to", &args.reference_to),
        ("service", &args.service),
        ("operation", &args.operation),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

fn percent(value: &Value) -> String {
    format!("{:.0} %", value.as_f64().unwrap_or_default() * 100.0)
}

fn signed(value: &Value) -> String {
    let ns = value.as_i64().unwrap_or_default();
    format!("{}{}", if ns < 0 { "-" } else { "+" }, duration(ns.saturating_abs()))
}

/// The card; every text of the answer on one line.
fn card(answer: &Value) -> Result<String, std::fmt::Error> {
    let clean = |value: &Value| text(value).replace(char::is_control, " ");
    let window =
        |key: &str| format!("{} to {}", text(&answer[key]["from"]), text(&answer[key]["to"]));
    let mut out = String::new();
    writeln!(out, "# {}\n", clean(&answer["summary"]))?;
    writeln!(out, "- action: **{}**", text(&answer["action"]).replace('_', " "))?;
    if let Some(why) = answer["abstains"].as_str() {
        writeln!(out, "- abstains: {why}")?;
    }
    writeln!(out, "- window: {}", window("window"))?;
    let chosen = text(&answer["reference_chosen"]);
    writeln!(out, "- reference: {} ({chosen})", window("reference"))?;
    writeln!(
        out,
        "\n## Culprits\n\n| who | cause | share | confidence | added |\n|---|---|--:|--:|--:|"
    )?;
    for culprit in answer["culprits"].as_array().into_iter().flatten() {
        let details = ["service", "peer", "statement", "operation", "instance", "host"]
            .map(|key| clean(&culprit[key]));
        let who: Vec<String> =
            details.into_iter().filter(|text| !text.is_empty() && text != "null").collect();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            who.join(", "),
            clean(&culprit["cause"]),
            percent(&culprit["share"]),
            percent(&culprit["confidence"]),
            signed(&culprit["added_ns"]),
        )?;
    }
    let ledger = &answer["ledger"];
    writeln!(
        out,
        "\n## Ledger\n\nMean request {} on {}.\n\n| part | added | share |\n|---|--:|--:|",
        signed(&ledger["excess_ns"]),
        duration(ledger["reference_ns"].as_i64().unwrap_or_default()),
    )?;
    for line in ledger["lines"].as_array().into_iter().flatten().take(LINES) {
        let to = line["to"].as_str().map(|to| format!(" → {to}")).unwrap_or_default();
        let (service, operation) = (clean(&line["service"]), clean(&line["operation"]));
        let (added, share) = (signed(&line["added_ns"]), percent(&line["share"]));
        writeln!(out, "| {service} {operation}{to} | {added} | {share} |")?;
    }
    for (title, key, field) in [("Evidence", "evidence", "text"), ("Refuted", "refuted", "because")]
    {
        let lines = answer[key].as_array().cloned().unwrap_or_default();
        if !lines.is_empty() {
            writeln!(out, "\n## {title}\n")?;
        }
        for line in lines {
            let cause = line["cause"].as_str().map(|c| format!("{c}: ")).unwrap_or_default();
            writeln!(out, "- {cause}{}", clean(&line[field]))?;
        }
    }
    out.push_str(&degradable(&answer["degradable"]));
    let trust = &answer["trust"];
    let [before, now] = [0, 1].map(|at| text(&trust["requests"][at]));
    writeln!(
        out,
        "\n## Trust\n\n- {now} requests against {before}; signals of {} of the services",
        percent(&trust["covered"])
    )?;
    for advice in trust["advice"].as_array().into_iter().flatten() {
        writeln!(out, "- {}", clean(advice))?;
    }
    Ok(out)
}

/// What requests can do without; nothing where there is none.
fn degradable(rows: &Value) -> String {
    let row = |row: &Value| {
        let (name, takes) = (text(&row["name"]), duration(row["time_ns"].as_i64().unwrap_or(0)));
        let (failed, too) = (text(&row["failed"]), text(&row["failed_too"]));
        let share = percent(&row["share"]);
        format!("- {name}: {takes} of a request ({share}); {failed} requests called it in vain, {too} failed")
            .replace(char::is_control, " ")
    };
    let rows: Vec<String> = rows.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        String::new()
    } else {
        format!("\n## Can be degraded\n\n{}\n", rows.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_says_who_why_and_what_to_do() {
        let answer = json!({
            "summary": "orders-db (SELECT orders): statement", "action": "fix_statement",
            "window": {"from": "a", "to": "b"}, "reference": {"from": "c", "to": "d"},
            "reference_chosen": "before",
            "culprits": [{"service": "orders", "peer": "orders-db", "statement": "SELECT orders\n",
                "instance": null, "cause": "statement", "share": 0.9, "confidence": 0.8, "added_ns": 5_000_000}],
            "ledger": {"excess_ns": 5_000_000, "reference_ns": 20_000_000, "lines": [{"service": "orders",
                "operation": "SELECT", "to": "orders-db", "added_ns": -1_000_000, "share": -0.2}]},
            "degradable": [{"name": "ads", "time_ns": 2_000_000, "share": 0.1, "failed": 20, "failed_too": 1}],
            "evidence": [{"text": "it waits"}], "refuted": [{"cause": "cpu", "because": "it is idle"}],
            "trust": {"requests": [100, 200], "covered": 0.5, "advice": []},
        });
        let card = card(&answer).unwrap();
        for part in [
            "# orders-db (SELECT orders): statement",
            "- action: **fix statement**",
            "| orders, orders-db, SELECT orders  | statement | 90 % | 80 % | +5.0",
            "| orders SELECT → orders-db | -1.0",
            "- cpu: it is idle",
            "- ads: 2.0",
            "(10 %); 20 requests called it in vain, 1 failed",
            "- 200 requests against 100; signals of 50 % of the services",
        ] {
            assert!(card.contains(part), "{part}\n{card}");
        }
    }
}
