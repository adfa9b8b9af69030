//! The verdict as Markdown: the same card in the terminal, in a chat and behind the page's button.

use std::fmt::Write as _;

use super::verdict::{CulpritRow, DegradeRow, LedgerRow, Verdict, Window};

/// Lines of the ledger on the card.
const LINES: usize = 8;

impl Verdict {
    /// The card.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = write(&mut out, self);
        out
    }
}

/// A text of telemetry on one line, and in one cell of a table.
fn clean(text: &str) -> String {
    text.replace(char::is_control, " ").replace('|', "\\|")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn milliseconds(ns: i64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

fn added(ns: i64) -> String {
    format!("{:+.1} ms", ns as f64 / 1e6)
}

fn during(window: Window) -> String {
    format!("{} to {}", window.from.rfc3339(), window.to.rfc3339())
}

fn write(out: &mut String, verdict: &Verdict) -> std::fmt::Result {
    writeln!(out, "# {}\n", clean(&verdict.summary))?;
    writeln!(out, "- action: **{}**", verdict.action.replace('_', " "))?;
    if let Some(why) = verdict.abstains {
        writeln!(out, "- abstains: {why}")?;
    }
    writeln!(out, "- window: {}", during(verdict.window))?;
    writeln!(out, "- reference: {} ({})", during(verdict.reference), verdict.reference_chosen)?;
    if !verdict.culprits.is_empty() {
        let head = "| who | cause | share | confidence | added |\n|---|---|--:|--:|--:|";
        writeln!(out, "\n## Culprits\n\n{head}")?;
    }
    verdict.culprits.iter().try_for_each(|culprit| writeln!(out, "{}", culprit_row(culprit)))?;
    let (excess, reference) = (verdict.ledger.excess_ns, verdict.ledger.reference_ns);
    writeln!(out, "\n## Ledger\n\nMean request {} on {}.", added(excess), milliseconds(reference))?;
    if !verdict.ledger.lines.is_empty() {
        writeln!(out, "\n| part | added | share |\n|---|--:|--:|")?;
    }
    for line in verdict.ledger.lines.iter().take(LINES) {
        writeln!(out, "{}", ledger_row(line))?;
    }
    let evidence = verdict.evidence.iter().map(|e| clean(&e.text));
    list(out, "Evidence", evidence)?;
    let refuted = verdict.refuted.iter().map(|r| format!("{}: {}", r.cause, clean(&r.because)));
    list(out, "Refuted", refuted)?;
    list(out, "Can be degraded", verdict.degradable.iter().map(degrade_row))?;
    let trust = &verdict.trust;
    let [before, now] = trust.requests;
    let covered = percent(trust.covered);
    let rests = format!("{now} requests against {before}; signals of {covered} of the services");
    list(out, "Trust", std::iter::once(rests).chain(trust.advice.iter().map(|a| clean(a))))
}

fn list(out: &mut String, title: &str, lines: impl Iterator<Item = String>) -> std::fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        writeln!(out, "\n## {title}\n")?;
    }
    lines.try_for_each(|line| writeln!(out, "- {line}"))
}

fn culprit_row(culprit: &CulpritRow) -> String {
    let details = [
        Some(&culprit.service),
        culprit.peer.as_ref(),
        culprit.statement.as_ref(),
        culprit.operation.as_ref(),
        culprit.instance.as_ref(),
        culprit.host.as_ref(),
    ];
    let details = details.into_iter().flatten().filter(|text| !text.is_empty());
    let who: Vec<String> = details.map(|text| clean(text)).collect();
    format!(
        "| {} | {} | {} | {} | {} |",
        who.join(", "),
        culprit.cause,
        percent(culprit.share),
        percent(culprit.confidence),
        added(culprit.added_ns),
    )
}

fn ledger_row(line: &LedgerRow) -> String {
    let to = line.to.as_ref().map(|to| format!(" → {}", clean(to))).unwrap_or_default();
    let (service, operation) = (clean(&line.service), clean(&line.operation));
    format!("| {service} {operation}{to} | {} | {} |", added(line.added_ns), percent(line.share))
}

fn degrade_row(row: &DegradeRow) -> String {
    format!(
        "{}: {} of a request ({}); {} requests called it in vain, {} failed",
        clean(&row.name),
        milliseconds(row.time_ns),
        percent(row.share),
        row.failed,
        row.failed_too
    )
}

#[cfg(test)]
mod tests {
    use crate::answer::Time;
    use crate::answer::verdict::{Evidence, Harm, LedgerRows, Refuted, Trust};

    use super::*;

    fn culprit() -> CulpritRow {
        let none = Harm { total: 0.0, work: 0.0, way: 0.0, calls: 0.0, failure: 0.0, shape: 0.0 };
        CulpritRow {
            service: "orders".into(),
            instance: None,
            host: None,
            operation: None,
            peer: Some("orders-db".into()),
            statement: Some("SELECT a || b\nFROM orders".into()),
            cause: "statement",
            action: "fix_statement",
            share: 0.9,
            confidence: 0.8,
            added_ns: 5_000_000,
            harm: none,
        }
    }

    fn verdict() -> Verdict {
        let window = Window { from: Time(0), to: Time(60_000_000_000) };
        let line = LedgerRow {
            service: "orders".into(),
            operation: "SELECT".into(),
            wait: "remote",
            to: Some("orders-db".into()),
            statement: None,
            added_ns: -1_000_000,
            by_count_ns: 0,
            share: -0.2,
            gain_ns: 0,
            z: 0.0,
            each_ns: [0, 0],
            spans: [0, 0],
        };
        let evidence = Evidence {
            text: "it waits".into(),
            entity: "orders-db".into(),
            metric: String::new(),
            reference: None,
            window: 1.0,
        };
        let degradable = DegradeRow {
            name: "ads".into(),
            failed: 20,
            failed_too: 1,
            time_ns: 2_000_000,
            share: 0.1,
        };
        Verdict {
            summary: "orders-db (SELECT orders): statement".into(),
            action: "fix_statement",
            confident: true,
            abstains: None,
            culprits: vec![culprit()],
            ledger: LedgerRows {
                excess_ns: 5_000_000,
                reference_ns: 20_000_000,
                lines: vec![line],
                others_ns: 0,
                compared: 1.0,
            },
            evidence: vec![evidence],
            refuted: vec![Refuted { cause: "cpu", because: "it is idle".into() }],
            degradable: vec![degradable],
            trust: Trust {
                requests: [100, 200],
                spans: [0, 0],
                read: [0, 0],
                sampled: [1.0, 1.0],
                rootless: 0.0,
                covered: 0.5,
                advice: Vec::new(),
            },
            window,
            reference: window,
            reference_chosen: "before",
            rules_version: 5,
        }
    }

    #[test]
    fn a_card_says_who_why_and_what_to_do() {
        let card = verdict().markdown();
        for part in [
            "# orders-db (SELECT orders): statement\n",
            "- action: **fix statement**\n",
            "- window: 1970-01-01T00:00:00",
            "| orders, orders-db, SELECT a \\|\\| b FROM orders | statement | 90 % | 80 % | +5.0 ms |\n",
            "Mean request +5.0 ms on 20.0 ms.\n",
            "| orders SELECT → orders-db | -1.0 ms | -20 % |\n",
            "## Evidence\n\n- it waits\n",
            "- cpu: it is idle\n",
            "- ads: 2.0 ms of a request (10 %); 20 requests called it in vain, 1 failed\n",
            "- 200 requests against 100; signals of 50 % of the services\n",
        ] {
            assert!(card.contains(part), "{part}\n{card}");
        }
    }

    #[test]
    fn what_is_not_there_has_no_title() {
        let mut quiet = verdict();
        (quiet.culprits, quiet.evidence, quiet.refuted) = (Vec::new(), Vec::new(), Vec::new());
        (quiet.degradable, quiet.ledger.lines) = (Vec::new(), Vec::new());
        quiet.abstains = Some("too few requests");
        let card = quiet.markdown();
        let titles: Vec<&str> = card.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(titles, ["## Ledger", "## Trust"]);
        assert!(card.contains("- abstains: too few requests\n") && !card.contains('|'), "{card}");
    }
}
