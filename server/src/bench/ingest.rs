//! `headrope bench ingest`: how much a server stores per second and per CPU second.
//!
//! A child server is loaded by requests encoded beforehand. The latency of a request counts from the
//! moment it was to be sent, not from when a connection was free for it, so that a stall is seen by
//! all requests it delays. CPU time is the child's alone, from the first request until it is idle
//! after a flush and a compaction, so that no work is left out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};

use super::child::Server;
use super::client::Protocol;
use super::disk;
use super::machine::Machine;
use super::mixed::{self, Mixed};
use super::report::{Latency, Report, Sample};
use super::send::{self, Manner, Sent};
use super::workload::{Recipe, Workload, WorkloadArgs};

/// Options of `headrope bench ingest`.
#[derive(Debug, Clone, clap::Args, serde::Serialize)]
pub(crate) struct IngestArgs {
    /// What to send.
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) workload: WorkloadArgs,
    /// Protocol to send it by.
    #[arg(long, value_enum, default_value_t = Protocol::Grpc)]
    pub(crate) protocol: Protocol,
    /// Connections, each with one request under way.
    #[arg(long, default_value_t = 8)]
    pub(crate) connections: u32,
    /// Records per second to aim at; without it, as fast as answers come.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Questions per second to ask meanwhile: rankings, trace lists and logs in turn.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) query_rate: f64,
    /// Seconds without work after which the server counts as idle.
    #[arg(long, default_value_t = 12)]
    pub(crate) idle_seconds: u64,
    /// Data directory to use and to keep; without it, a temporary one.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// What to call the run in its report.
    #[arg(long)]
    pub(crate) label: Option<String>,
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
    let mixed = report.mixed.as_ref();
    let why = mixed.and_then(|m| m.first_failure.as_deref()).unwrap_or_default();
    ensure!(mixed.is_none_or(|m| m.failed == 0), "questions failed: {why}");
    Ok(())
}

fn measure(args: &IngestArgs, data_dir: &Path) -> anyhow::Result<Report> {
    let machine = Machine::look(data_dir, args.label.as_deref())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let recipe = args.workload.recipe(i64::try_from(now.as_nanos())?)?;
    eprintln!("generating {} different records", recipe.distinct);
    let workload = Workload::generate(&recipe)?;
    let (records, bytes) = workload.size();
    let count = workload.templates().len();
    eprintln!("{count} requests, {records} records, {bytes} bytes; starting a server");
    let table = recipe.signal.table();
    let server = Server::start(data_dir, &[])?;
    let already = server.asker().count(table)?;
    server.wait_until_idle(Duration::from_secs(1))?;
    let memory_before = server.memory()?;
    let before = Before { began: Instant::now(), cpu_s: server.cpu_seconds()? };
    let written_before = server.written();
    eprintln!("sending {} records over {} connections", workload.records(), args.connections);
    let Load { sent, mut curve, mixed } = load(args, &recipe, &workload, &server, &before)?;
    let cpu_load_s = server.cpu_seconds()? - before.cpu_s;
    eprintln!("flushing, then waiting for {} idle seconds", args.idle_seconds);
    ensure!(server.asker().admin("flush")?, "the server knows no flush");
    let compacted = server.asker().admin("compact")?;
    server.wait_until_idle(Duration::from_secs(args.idle_seconds))?;
    curve.push(before.sample(&server)?);
    let cpu_total_s = server.cpu_seconds()? - before.cpu_s;
    let written = server.written().zip(written_before).map(|(now, then)| now - then);
    Ok(Report {
        machine,
        args: args.clone(),
        records: sent.records,
        requests: sent.latencies.len() as u64,
        raw_bytes: sent.bytes,
        refused: sent.refused,
        failed: sent.failed,
        first_failure: sent.first_failure,
        found: server.asker().count(table)? - already,
        seconds: sent.seconds,
        latency: Latency::of(sent.latencies),
        mixed,
        cpu_load_s,
        cpu_total_s,
        compacted,
        memory_before,
        memory_after: server.memory()?,
        disk_bytes: disk::parts(data_dir)?,
        written_bytes: written,
        curve,
    })
}

/// The state of the server when the first request is sent.
struct Before {
    began: Instant,
    cpu_s: f64,
}

impl Before {
    fn sample(&self, server: &Server) -> anyhow::Result<Sample> {
        Ok(Sample {
            at_s: self.began.elapsed().as_secs_f64(),
            memory: server.memory()?,
            cpu_s: server.cpu_seconds()? - self.cpu_s,
        })
    }
}

/// What was seen while requests were sent.
struct Load {
    sent: Sent,
    curve: Vec<Sample>,
    mixed: Option<Mixed>,
}

fn load(
    args: &IngestArgs,
    recipe: &Recipe,
    workload: &Workload,
    server: &Server,
    before: &Before,
) -> anyhow::Result<Load> {
    let manner = Manner { protocol: args.protocol, connections: args.connections, rate: args.rate };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(server, before, &stop));
        let asker = (args.query_rate > 0.0)
            .then(|| scope.spawn(|| mixed::ask(server.asker(), recipe, args.query_rate, &stop)));
        let sent = send::all(manner, workload, server);
        stop.store(true, Ordering::Relaxed);
        let curve = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))??;
        let mixed = asker.map(|a| a.join().map_err(|_| anyhow::anyhow!("the asker panicked")));
        Ok(Load { sent: sent?, curve, mixed: mixed.transpose()? })
    })
}

/// A sample at once and each second after, until `stop`.
fn sample(server: &Server, before: &Before, stop: &AtomicBool) -> anyhow::Result<Vec<Sample>> {
    let mut curve: Vec<Sample> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        curve.push(before.sample(server)?);
        let next = before.began + Duration::from_secs(curve.len() as u64);
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(curve)
}
