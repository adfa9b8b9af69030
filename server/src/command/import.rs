//! `headrope import`: OTLP files to a node, through the same socket as anybody.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::cli::{ImportArgs, SignalArg};
use crate::client::{Client, Refused};

/// How often a request is sent again while the node asks for patience.
const TRIES: u32 = 60;

pub(crate) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.endpoint);
    let total: u64 = args.files.iter().filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
    let bar = ProgressBar::new(total).with_style(
        ProgressStyle::with_template(
            "{bytes}/{total_bytes} {wide_bar} {bytes_per_sec} {eta} {msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut outcome = Outcome::default();
    for path in &args.files {
        bar.set_message(path.display().to_string());
        let file = import(&client, path, args.signal, &mut outcome, &bar);
        if let Err(error) = file {
            bar.suspend(|| eprintln!("{}: {error:#}", path.display()));
            outcome.failed_files += 1;
        }
    }
    bar.finish_and_clear();
    eprintln!(
        "{} requests accepted, {} records refused, {} of {} files failed",
        outcome.accepted,
        outcome.refused_records,
        outcome.failed_files,
        args.files.len()
    );
    Ok(match (outcome.failed_files, outcome.refused_records) {
        (0, 0) => ExitCode::SUCCESS,
        (failed, _) if failed == args.files.len() => ExitCode::FAILURE,
        _ => ExitCode::from(3),
    })
}

#[derive(Debug, Default)]
struct Outcome {
    accepted: u64,
    refused_records: u64,
    failed_files: usize,
}

fn import(
    client: &Client,
    path: &Path,
    signal: Option<SignalArg>,
    outcome: &mut Outcome,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).context("cannot read")?;
    let json = bytes.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|b| *b == b'{');
    if !json {
        let signal = signal.context("a protobuf file needs --signal traces, metrics or logs")?;
        let signal = match signal {
            SignalArg::Traces => "traces",
            SignalArg::Metrics => "metrics",
            SignalArg::Logs => "logs",
        };
        send(client, signal, "application/x-protobuf", &bytes, outcome)?;
        bar.inc(u64::try_from(bytes.len()).unwrap_or_default());
        return Ok(());
    }
    // One document, or one per line as the Collector's file exporter writes them.
    let mut documents = serde_json::Deserializer::from_slice(&bytes).into_iter::<IgnoredAny>();
    let mut done = 0;
    while let Some(document) = documents.next() {
        document.context("not JSON")?;
        let at = documents.byte_offset();
        let text = bytes.get(done..at).unwrap_or_default();
        let signal = signal_of(text)?;
        send(client, signal, "application/json", text, outcome)?;
        bar.inc(u64::try_from(at - done).unwrap_or_default());
        done = at;
    }
    Ok(())
}

/// The signal of a JSON request, from its one top-level key.
fn signal_of(text: &[u8]) -> anyhow::Result<&'static str> {
    let document: std::collections::BTreeMap<String, IgnoredAny> =
        serde_json::from_slice(text).context("not a JSON object")?;
    for (key, signal) in
        [("resourceSpans", "traces"), ("resourceMetrics", "metrics"), ("resourceLogs", "logs")]
    {
        if document.contains_key(key) {
            return Ok(signal);
        }
    }
    bail!("no resourceSpans, resourceMetrics or resourceLogs in it; is this OTLP JSON?")
}

fn send(
    client: &Client,
    signal: &str,
    kind: &str,
    body: &[u8],
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        match client.post(&format!("/v1/{signal}"), kind, "application/json", body) {
            Ok(answer) => {
                outcome.accepted += 1;
                outcome.refused_records += refused(&answer);
                return Ok(());
            }
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refusal) if matches!(refusal.status, 429 | 502 | 503 | 504) => {
                    std::thread::sleep(Duration::from_secs(1));
                }
                _ => return Err(error),
            },
        }
    }
    bail!("the node kept asking to retry for {TRIES} seconds")
}

/// Records a partial success says were refused (a protobuf answer is not read).
fn refused(answer: &str) -> u64 {
    let Ok(answer) = serde_json::from_str::<Value>(answer) else { return 0 };
    let partial = &answer["partialSuccess"];
    ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"]
        .iter()
        .filter_map(|key| match &partial[*key] {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        })
        .sum()
}
