//! `headrope bench query`: how long a server takes to answer.
//!
//! A child server is loaded, flushed and merged; then every kind of question is asked with seeded
//! parameters over one connection. What the answer must be follows from what was sent, and a time
//! counts only if the answer is right. Reading order: `case` (a question and its answer), `spans` and
//! `logs` (what is known of what was sent), `span_kinds` (the questions), `measure` (asking), `report`.

mod cache;
mod case;
mod logs;
mod marks;
mod measure;
mod pool;
mod report;
mod span_kinds;
mod spans;
mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use self::case::Kind;
use self::measure::{SETTINGS, starts, warm};
use self::report::{Report, rows};
use super::child::Server;
use super::disk;
use super::machine::Machine;
use super::workload::{Name, Recipe, Signal, Workload, WorkloadArgs};

/// When every workload ends: 2025-06-01T00:00:00Z. Fixed, so that a kept directory can be used again
/// and what it holds is known.
const UNTIL_NS: i64 = 1_748_736_000_000_000_000;

/// Options of `headrope bench query`.
#[derive(Debug, Clone, clap::Args, serde::Serialize)]
pub(crate) struct QueryArgs {
    /// What is stored.
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) workload: WorkloadArgs,
    /// Questions of each kind to a warm server.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,
    /// Seconds after which a kind's questions end early, five at the soonest.
    #[arg(long, default_value_t = 60)]
    pub(crate) patience: u64,
    /// Restarts with the page cache kept, and as many with it dropped.
    #[arg(long, default_value_t = 5)]
    pub(crate) starts: u64,
    /// Data directory to use and to keep. If it holds enough of the same workload, nothing is sent.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep the temporary data directory that is used without --data-dir, and print where it is.
    #[arg(long)]
    pub(crate) keep: bool,
    /// What to call the run in its report.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// File to write the figures to, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Runs the benchmark and prints its tables.
///
/// # Errors
/// When the server cannot be started or loaded, or when an answer is wrong.
pub(crate) fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let temporary = std::env::temp_dir().join(format!("headrope-bench-{}", std::process::id()));
    let data_dir = args.data_dir.as_ref().unwrap_or(&temporary);
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create {}", data_dir.display()))?;
    let measured = measure(args, data_dir);
    if args.keep || args.data_dir.is_some() {
        eprintln!("kept {}", data_dir.display());
    } else {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    let report = measured?;
    println!("{report}");
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (wrong, first) = report.wrong();
    ensure!(wrong == 0, "{wrong} answers were wrong: {}", first.unwrap_or_default());
    Ok(())
}

fn measure(args: &QueryArgs, data_dir: &Path) -> anyhow::Result<Report> {
    let machine = Machine::look(data_dir, args.label.as_deref())?;
    let asked = args.workload.recipe(UNTIL_NS)?;
    let stored = store::stored(data_dir, &asked)?;
    let recipe = stored.clone().unwrap_or(asked);
    eprintln!("generating {} different records", recipe.distinct);
    let workload = Workload::generate(&recipe)?;
    let server = Server::start(data_dir, &SETTINGS)?;
    store::fill(&server, data_dir, &recipe, &workload, stored.is_some())?;
    with_kinds(&recipe, &workload, |kinds| {
        let memory_loaded = server.memory()?;
        let seed = args.workload.seed;
        let patience = Duration::from_secs(args.patience);
        let warm = warm(server.asker(), kinds, seed, args.repeat, patience);
        let memory_asked = server.memory()?;
        let (server, mut restarted) = starts(server, data_dir, kinds, seed, args.starts, false)?;
        let (server, mut cold) = starts(server, data_dir, kinds, seed, args.starts, true)?;
        server.stop()?;
        let names = kinds.iter().map(|kind| kind.name.clone()).collect();
        Ok(Report {
            machine,
            args: args.clone(),
            records: workload.records(),
            raw_bytes: workload.bytes(),
            reused: stored.is_some(),
            disk_bytes: disk::parts(data_dir)?,
            memory_loaded,
            memory_asked,
            memory_restarted: restarted.memory,
            rows: rows(names, warm, &mut restarted, &mut cold),
            dropped: cold.dropped,
            restarted: restarted.into(),
            cold: cold.into(),
        })
    })
}

/// Gives the kinds of question a workload has answers to.
fn with_kinds<T>(
    recipe: &Recipe,
    workload: &Workload,
    work: impl FnOnce(&[Kind<'_>]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    match recipe.signal {
        Signal::Traces => {
            let spans = spans::Spans::of(workload)?;
            work(&span_kinds::kinds(&spans))
        }
        Signal::Logs => {
            let logs = logs::Logs::of(workload)?;
            work(&logs::kinds(&logs, recipe.name == Name::Logs))
        }
    }
}
