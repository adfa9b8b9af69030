//! `headrope bench ingest`: how much a server stores per second and per CPU second.
//!
//! A child server is loaded by the shop's requests, encoded beforehand. The latency of a request
//! counts from the moment it was to be sent, not from when a connection was free for it, so that a
//! stall is seen by all requests it delays. CPU time is the child's alone, from the first request
//! until it is idle after a flush and a compaction, so that no work is left out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use super::child::Server;
use super::client::{Answer, Client, Protocol};
use super::report::{Latency, Report, Sample};
use super::workload::{Signal, Workload};

/// Options of `headrope bench ingest`.
#[derive(Debug, Clone, clap::Args, serde::Serialize)]
pub(crate) struct IngestArgs {
    /// What to send.
    #[arg(long, value_enum, default_value_t = Signal::Traces)]
    pub(crate) signal: Signal,
    /// Protocol to send it by.
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    pub(crate) protocol: Protocol,
    /// Records to send.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) records: u64,
    /// Most records in a request.
    #[arg(long, default_value_t = 1000)]
    pub(crate) batch: usize,
    /// Different records to generate; beyond, they come again with other ids and times.
    #[arg(long, default_value_t = 500_000)]
    pub(crate) distinct: u64,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: u32,
    /// Records per second to aim at; without it, as fast as answers come.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Seed of the shop.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds without work after which the server counts as idle.
    #[arg(long, default_value_t = 12)]
    pub(crate) idle_seconds: u64,
    /// Data directory to use and to keep; without it, a temporary one.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// File to write the figures to, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When the server cannot be started or reached, when requests fail, or when SQL does not find
/// exactly the acknowledged records.
pub(crate) fn run(args: &IngestArgs) -> anyhow::Result<()> {
    let temporary = std::env::temp_dir().join(format!("headrope-bench-{}", std::process::id()));
    let data_dir = args.data_dir.as_ref().unwrap_or(&temporary);
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;
    let measured = measure(args, data_dir);
    if args.data_dir.is_none() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    let report = measured?;
    println!("{report}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let failure = report.first_failure.as_deref().unwrap_or_default();
    ensure!(report.failed == 0, "{} requests failed: {failure}", report.failed);
    ensure!(
        report.found == report.records,
        "{} records were acknowledged, SQL finds {}",
        report.records,
        report.found
    );
    Ok(())
}

fn measure(args: &IngestArgs, data_dir: &std::path::Path) -> anyhow::Result<Report> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = i64::try_from(now.as_nanos())?;
    eprintln!("generating {} different records", args.distinct.min(args.records));
    let distinct = args.distinct.min(args.records);
    let workload = Workload::generate(args.signal, args.seed, distinct, args.batch, until)?;
    let (records, bytes) = workload.size();
    eprintln!("{} requests, {records} records, {bytes} bytes; starting a server", workload.len());
    let server = Server::start(data_dir)?;
    let already = server.count(args.signal.table())?;
    server.wait_until_idle(Duration::from_secs(1))?;
    let memory_before = server.memory()?;
    let cpu_before = server.cpu_seconds()?;
    let began = Instant::now();
    eprintln!("sending {} records over {} connections", args.records, args.connections);
    let stop = AtomicBool::new(false);
    let (sent, mut curve) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let sampler = scope.spawn(|| sample(&server, began, cpu_before, &stop));
        let sent = send_all(args, &workload, &server);
        stop.store(true, Ordering::Relaxed);
        let curve = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
        Ok((sent?, curve?))
    })?;
    let seconds = sent.seconds;
    let cpu_load_s = server.cpu_seconds()? - cpu_before;
    eprintln!("flushing, then waiting for {} idle seconds", args.idle_seconds);
    ensure!(server.admin("flush")?, "the server knows no flush");
    let compacted = server.admin("compact")?;
    server.wait_until_idle(Duration::from_secs(args.idle_seconds))?;
    let cpu_total_s = server.cpu_seconds()? - cpu_before;
    let memory_after = server.memory()?;
    curve.push(Sample {
        at_s: began.elapsed().as_secs_f64(),
        memory: memory_after,
        cpu_s: cpu_total_s,
    });
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        args: args.clone(),
        records: sent.records,
        requests: sent.latencies.len() as u64,
        raw_bytes: sent.bytes,
        refused: sent.refused,
        failed: sent.failed,
        first_failure: sent.first_failure,
        found: server.count(args.signal.table())? - already,
        seconds,
        latency: Latency::of(sent.latencies),
        cpu_load_s,
        cpu_total_s,
        compacted,
        memory_before,
        memory_after,
        disk_bytes: server.disk()?,
        curve,
    })
}

fn sample(
    server: &Server,
    began: Instant,
    cpu_before: f64,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<Sample>> {
    let mut curve: Vec<Sample> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        curve.push(Sample {
            at_s: began.elapsed().as_secs_f64(),
            memory: server.memory()?,
            cpu_s: server.cpu_seconds()? - cpu_before,
        });
        let next = began + Duration::from_secs(curve.len() as u64);
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(curve)
}

/// What the connections did.
#[derive(Debug, Default)]
struct Sent {
    records: u64,
    bytes: u64,
    latencies: Vec<Duration>,
    refused: u64,
    failed: u64,
    first_failure: Option<String>,
    seconds: f64,
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

fn send_all(args: &IngestArgs, workload: &Workload, server: &Server) -> anyhow::Result<Sent> {
    let address = server.address(args.protocol);
    let clients = (0..args.connections.max(1))
        .map(|_| Client::connect(args.protocol, address, args.signal))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (records, _) = workload.size();
    let per_request = records as f64 / workload.len().max(1) as f64;
    let plan = Plan {
        workload,
        requests: (args.records as f64 / per_request).ceil() as u64,
        every: args.rate.map(|rate| Duration::from_secs_f64(per_request / rate.max(1e-3))),
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
