//! Filling a data directory, and knowing what it is filled with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::super::child::Server;
use super::super::client::Protocol;
use super::super::send::{self, Manner};
use super::super::workload::{Recipe, Workload};

/// Connections to send over.
const CONNECTIONS: u32 = 8;
/// How long a filled server must have been idle before it counts as settled.
const QUIET: Duration = Duration::from_secs(3);

/// Where the recipe of what is stored is kept.
fn manifest(data_dir: &Path) -> PathBuf {
    data_dir.join("bench-workload.json")
}

/// The recipe of what a data directory is filled with, if it serves for what is asked: the same
/// workload with at least as many records.
///
/// # Errors
/// When it is filled with something else.
pub(super) fn stored(data_dir: &Path, asked: &Recipe) -> anyhow::Result<Option<Recipe>> {
    let path = manifest(data_dir);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let stored: Recipe = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no recipe of a workload", path.display()))?;
    let alike = |r: &Recipe| (r.name, r.signal, r.seed, r.traces_per_second, r.until_ns);
    if alike(&stored) != alike(asked) || stored.records < asked.records {
        bail!(
            "{} holds {} records of another workload or seed, or fewer than are asked for; use \
             another directory",
            data_dir.display(),
            stored.records
        );
    }
    Ok(Some(stored))
}

/// Sends a workload to a server unless it is stored already, writes it into segments, merges them
/// and waits until the server is idle.
///
/// # Errors
/// When the server does not hold exactly the workload afterwards.
pub(super) fn fill(
    server: &Server,
    data_dir: &Path,
    recipe: &Recipe,
    workload: &Workload,
    stored: bool,
) -> anyhow::Result<()> {
    let asker = server.asker();
    let table = recipe.signal.table();
    if !stored {
        let already = asker.count(table)?;
        ensure!(already == 0, "{} holds {already} other records", data_dir.display());
        eprintln!("sending {} records", workload.records());
        let manner = Manner { protocol: Protocol::Grpc, connections: CONNECTIONS, rate: None };
        let sent = send::all(manner, workload, server)?;
        let failure = sent.first_failure.unwrap_or_default();
        ensure!(sent.failed == 0, "{} requests failed: {failure}", sent.failed);
        eprintln!("sent in {:.0} s; flushing and merging", sent.seconds);
        ensure!(asker.admin("flush")?, "the server knows no flush");
        asker.admin("compact?all=true")?;
    }
    server.wait_until_idle(QUIET)?;
    let (found, expected) = (asker.count(table)?, workload.records());
    ensure!(found == expected, "SQL finds {found} records of {expected}");
    let path = manifest(data_dir);
    std::fs::write(&path, serde_json::to_vec_pretty(recipe)?)
        .with_context(|| format!("cannot write {}", path.display()))
}
