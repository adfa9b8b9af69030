//! Asks a server by SQL for what the ledger says.

use std::collections::HashMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::ledger::{Kind, Ledger, State};
use crate::common::Server;

/// Numbers asked for in one query; under the row cap of the SQL interface.
const PAGE: u64 = 4000;

/// Compares all totals, and one by one the requests since the last check (or all of them).
/// Settles what became of those without an answer.
pub(crate) fn check(
    server: &Server,
    ledger: &mut Ledger,
    everything: bool,
) -> anyhow::Result<String> {
    let first = if everything { 0 } else { ledger.checked };
    let from = ledger.requests.get(first).map_or(ledger.next, |r| r.numbers.start);
    let mut found = HashMap::new();
    for kind in Kind::ALL {
        found.insert(kind, numbers(server, kind, from, ledger.next)?);
    }
    for request in &mut ledger.requests[first..] {
        let of_kind = found.get_mut(&request.kind).context("every kind was asked for")?;
        let counts: Vec<u64> =
            request.numbers.clone().map(|n| of_kind.remove(&n).unwrap_or(0)).collect();
        let once = counts.iter().all(|count| *count == 1);
        let none = counts.iter().all(|count| *count == 0);
        match request.state {
            State::Stored => ensure!(once, "stored, found {counts:?} times: {request:?}"),
            State::Absent => ensure!(none, "not stored, found {counts:?} times: {request:?}"),
            State::Unknown => {
                ensure!(once || none, "no answer, found {counts:?} times: {request:?}");
                request.state = if once { State::Stored } else { State::Absent };
                *(if once { &mut ledger.resolved.0 } else { &mut ledger.resolved.1 }) += 1;
            }
        }
    }
    for (kind, rest) in &found {
        ensure!(rest.is_empty(), "{kind:?} that were never sent: {rest:?}");
    }
    ledger.checked = ledger.requests.len();
    totals(server, ledger)
}

fn totals(server: &Server, ledger: &Ledger) -> anyhow::Result<String> {
    for kind in Kind::ALL {
        let (table, number, only) = columns(kind);
        let query = format!("SELECT count(*), count(DISTINCT {number}) FROM {table} WHERE {only}");
        let expected = ledger.stored(kind);
        let [rows, distinct] = two(server, &query)?;
        ensure!(
            rows == expected && distinct == expected,
            "{expected} {kind:?} are stored; {rows} rows are found, {distinct} of them distinct"
        );
    }
    let query = "SELECT count(*), coalesce(sum(span_count), 0) FROM traces";
    let [traces, spans] = two(server, query)?;
    ensure!(
        traces == ledger.traces() && spans == ledger.stored(Kind::Spans),
        "{} traces with {} spans are stored; the trace list has {traces} with {spans}",
        ledger.traces(),
        ledger.stored(Kind::Spans),
    );
    Ok(format!(
        "{} spans in {traces} traces, {} logs, {} points",
        ledger.stored(Kind::Spans),
        ledger.stored(Kind::Logs),
        ledger.stored(Kind::Points)
    ))
}

/// Table, column of the record's number, and the condition that leaves decoys out.
const fn columns(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Spans => ("spans", "span_id", "service_name = 'crash'"),
        Kind::Logs => ("logs", "span_id", "service_name = 'crash'"),
        Kind::Points => ("metrics", "value_int", "service_name = 'crash'"),
    }
}

/// How often each number of a range is found.
fn numbers(server: &Server, kind: Kind, from: u64, to: u64) -> anyhow::Result<HashMap<u64, u64>> {
    let (table, column, only) = columns(kind);
    let literal = |n: u64| match kind {
        Kind::Spans | Kind::Logs => format!("'{n:016x}'"),
        Kind::Points => n.to_string(),
    };
    let mut found = HashMap::new();
    let mut start = from;
    while start < to {
        let end = to.min(start + PAGE);
        let query = format!(
            "SELECT {column} FROM {table} WHERE {only} AND {column} >= {} AND {column} < {} LIMIT {}",
            literal(start),
            literal(end),
            PAGE * 2,
        );
        for row in server.sql(&query)? {
            let value = row.first().context("a row without columns")?;
            *found.entry(number(kind, value)?).or_default() += 1;
        }
        start = end;
    }
    Ok(found)
}

fn number(kind: Kind, value: &Value) -> anyhow::Result<u64> {
    match (kind, value) {
        (Kind::Spans | Kind::Logs, Value::String(hex)) => Ok(u64::from_str_radix(hex, 16)?),
        _ => integer(value),
    }
}

fn integer(value: &Value) -> anyhow::Result<u64> {
    match value {
        Value::Number(n) => n.as_u64().with_context(|| format!("{n} is not a count")),
        Value::String(text) => Ok(text.parse()?),
        other => anyhow::bail!("{other} is not a number"),
    }
}

fn two(server: &Server, query: &str) -> anyhow::Result<[u64; 2]> {
    let rows = server.sql(query)?;
    let row = rows.first().with_context(|| format!("no row for {query}"))?;
    match row.as_slice() {
        [a, b] => Ok([integer(a)?, integer(b)?]),
        other => anyhow::bail!("{query}: {other:?}"),
    }
}
