//! Sends the shop's history, newest hour first, and then its live stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headrope_model::TimeRange;
use headrope_model::time::{NANOS_PER_HOUR, NANOS_PER_SECOND, now_ns};
use headrope_testdata::{Shop, Slice};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;
use tokio_util::sync::CancellationToken;

use super::plan::Plan;
use crate::client::{Client, Refused};

/// Threads that generate and send history.
const SENDERS: usize = 2;
/// Seconds of history in one slice.
const HISTORY_STEP_S: u32 = 300;
/// Seconds of the live stream in one slice; a multiple of the shop's batch window.
const LIVE_STEP_S: i64 = 10;
/// How long after its end a live slice is sent, so that its spans have ended.
const LIVE_LAG: i64 = 3 * NANOS_PER_SECOND;
/// How often a request is sent again while the node asks for patience.
const TRIES: u32 = 120;

/// Sends until `stop`.
pub(super) async fn run(
    shop: Arc<Shop>,
    plan: Plan,
    endpoint: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let history = {
        let (shop, stop, endpoint) = (Arc::clone(&shop), stop.clone(), endpoint.clone());
        let range = plan.history;
        tokio::task::spawn_blocking(move || send_history(&shop, range, &endpoint, &stop))
    };
    let live = send_live(shop, plan.history.to(), endpoint, stop.clone());
    let (history, live) = tokio::join!(history, live);
    history??;
    live
}

fn send_history(
    shop: &Shop,
    range: TimeRange,
    endpoint: &str,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut hours = Vec::new();
    let mut to = range.to();
    while to > range.from() {
        let from = (to - NANOS_PER_HOUR).max(range.from());
        hours.extend(TimeRange::new(from, to));
        to = from;
    }
    let bar = ProgressBar::new(u64::try_from(hours.len()).unwrap_or_default()).with_style(
        ProgressStyle::with_template("  history {bar:30} {pos}/{len} hours {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        let client = Client::new(endpoint);
        while let Some(hour) = hours.get(next.fetch_add(1, Ordering::Relaxed)) {
            for slice in shop.slices(*hour, HISTORY_STEP_S) {
                if stop.is_cancelled() {
                    return Ok(());
                }
                send(&client, &slice, stop)?;
            }
            bar.inc(1);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SENDERS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a history sender panicked")))
        })
    })?;
    bar.finish_and_clear();
    if !stop.is_cancelled() {
        eprintln!("  history is complete");
    }
    Ok(())
}

async fn send_live(
    shop: Arc<Shop>,
    from: i64,
    endpoint: String,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let client = Client::new(&endpoint);
    let mut from = from;
    loop {
        let to = from + LIVE_STEP_S * NANOS_PER_SECOND;
        let wait = u64::try_from(to + LIVE_LAG - now_ns()).unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_nanos(wait)) => {}
        }
        let Some(range) = TimeRange::new(from, to) else { return Ok(()) };
        let (shop, client, stop) = (Arc::clone(&shop), client.clone(), stop.clone());
        let sent = tokio::task::spawn_blocking(move || send(&client, &shop.slice(range), &stop));
        sent.await??;
        from = to;
    }
}

fn send(client: &Client, slice: &Slice, stop: &CancellationToken) -> anyhow::Result<()> {
    let traces = slice.traces.iter().map(|r| ("traces", r.encode_to_vec()));
    let logs = slice.logs.iter().map(|r| ("logs", r.encode_to_vec()));
    let metrics = slice.metrics.iter().map(|r| ("metrics", r.encode_to_vec()));
    for (signal, body) in traces.chain(logs).chain(metrics) {
        send_one(client, signal, &body, stop)?;
    }
    Ok(())
}

fn send_one(
    client: &Client,
    signal: &str,
    body: &[u8],
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let kind = "application/x-protobuf";
    for _ in 0..TRIES {
        match client.post(&format!("/v1/{signal}"), kind, kind, body) {
            Ok(_) => return Ok(()),
            // A node that is stopping refuses the last requests; the demo stops with it.
            Err(_) if stop.is_cancelled() => return Ok(()),
            Err(error) => match error.downcast_ref::<Refused>() {
                Some(refused) if matches!(refused.status, 429 | 502 | 503 | 504) => {
                    std::thread::sleep(Duration::from_secs(1));
                }
                _ => return Err(error),
            },
        }
    }
    anyhow::bail!("the node kept asking to retry for {TRIES} seconds")
}
