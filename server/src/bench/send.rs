//! Sending a workload: over some connections, at a rate or as fast as answers come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::child::Server;
use super::client::{Answer, Client, Protocol};
use super::workload::Workload;

/// How to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) protocol: Protocol,
    pub(crate) connections: u32,
    /// Records per second; `None`: as fast as answers come.
    pub(crate) rate: Option<f64>,
}

/// What the connections did.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Acknowledged records and their bytes as OTLP.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Of each acknowledgement, from when the request was to be sent.
    pub(crate) latencies: Vec<Duration>,
    /// Answers that asked to send again.
    pub(crate) refused: u64,
    /// Requests that failed for good, and why the first did.
    pub(crate) failed: u64,
    pub(crate) first_failure: Option<String>,
    /// Seconds from the first request to the last answer.
    pub(crate) seconds: f64,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.latencies.extend(other.latencies);
        self.refused += other.refused;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

/// Sends every request of a workload; a refused one is sent again.
///
/// # Errors
/// When a connection cannot be made.
pub(crate) fn all(manner: Manner, workload: &Workload, server: &Server) -> anyhow::Result<Sent> {
    let address = server.address(manner.protocol);
    let clients = (0..manner.connections.max(1))
        .map(|_| Client::connect(manner.protocol, address, workload.signal()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let requests = workload.requests();
    let per_request = workload.records() as f64 / requests.max(1) as f64;
    let plan = Plan {
        workload,
        requests,
        every: manner.rate.map(|rate| Duration::from_secs_f64(per_request / rate.max(1e-3))),
        began: Instant::now(),
        next: AtomicU64::new(0),
    };
    let mut all = Sent::default();
    std::thread::scope(|scope| {
        let connections: Vec<_> =
            clients.into_iter().map(|client| scope.spawn(|| plan.work(client))).collect();
        for connection in connections {
            match connection.join() {
                Ok(sent) => all.add(sent),
                Err(_) => anyhow::bail!("a connection's thread panicked"),
            }
        }
        Ok(())
    })?;
    all.seconds = plan.began.elapsed().as_secs_f64();
    Ok(all)
}

/// Which request is sent when.
struct Plan<'a> {
    workload: &'a Workload,
    requests: u64,
    /// Time from one request to the next; `None`: as soon as a connection is free.
    every: Option<Duration>,
    began: Instant,
    next: AtomicU64,
}

impl Plan<'_> {
    fn work(&self, mut client: Client) -> Sent {
        let mut sent = Sent::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let prepared =
                if number < self.requests { self.workload.request(number) } else { None };
            let Some(prepared) = prepared else { return sent };
            let intended = match self.every {
                Some(every) => self.began + every.mul_f64(number as f64),
                None => Instant::now(),
            };
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            loop {
                match client.send(prepared.body.clone()) {
                    Answer::Acknowledged => {
                        sent.latencies.push(intended.elapsed());
                        sent.records += prepared.records;
                        sent.bytes += prepared.body.len() as u64;
                    }
                    Answer::Refused(after) => {
                        sent.refused += 1;
                        std::thread::sleep(after);
                        continue;
                    }
                    Answer::Failed(why) => {
                        sent.failed += 1;
                        sent.first_failure.get_or_insert(why);
                    }
                }
                break;
            }
        }
    }
}
