//! `headrope admin`: the care of a data directory that no node uses.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{AdminCommand, ConfigArgs};
use crate::config;

pub(crate) fn run(command: &AdminCommand) -> anyhow::Result<ExitCode> {
    match command {
        AdminCommand::Verify(args) => verify(&data_dir(args)?),
        AdminCommand::RebuildCatalog(args) => rebuild(&data_dir(args)?),
        AdminCommand::Backup { to, config } => {
            let dir = data_dir(config)?;
            let backup = super::block_on(async {
                let backup = headrope_storage::backup(&dir, to).await;
                backup
                    .context("a running node takes its backup by POST /api/v1/admin/backup?name=…")
            })?;
            eprintln!("backed up {} files to {}", backup.files.len(), to.display());
            Ok(ExitCode::SUCCESS)
        }
        AdminCommand::Restore { from, config } => {
            let dir = data_dir(config)?;
            let restored =
                super::block_on(async { Ok(headrope_storage::restore(from, &dir).await?) })?;
            eprintln!("restored and verified {} files in {}", restored.files.len(), dir.display());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn data_dir(args: &ConfigArgs) -> anyhow::Result<std::path::PathBuf> {
    let (_, config) = config::load(args)?;
    Ok(config.storage.data_dir)
}

/// Exit code 1 when something is damaged, each fault on a line of stdout.
fn verify(dir: &Path) -> anyhow::Result<ExitCode> {
    let found = super::block_on(async { Ok(headrope_storage::verify(dir).await?) })?;
    for fault in &found.faults {
        println!("{fault}");
    }
    eprintln!(
        "{} segments with {} rows are as they were written, {} entries are in the log only; {} faults",
        found.segments,
        found.rows,
        found.entries,
        found.faults.len()
    );
    if found.unchecked > 0 {
        eprintln!(
            "{} segments were written by an older version and have no checksums; merging gives them some",
            found.unchecked
        );
    }
    Ok(if found.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rebuild(dir: &Path) -> anyhow::Result<ExitCode> {
    let made = super::block_on(async { Ok(headrope_storage::rebuild_catalog(dir).await?) })?;
    for path in &made.left_out {
        eprintln!("left out: {}", path.display());
    }
    if let Some(old) = &made.old {
        eprintln!("the old catalog is {}", old.display());
    }
    eprintln!("listed {} segments, up to log entry {}", made.listed, made.watermark);
    Ok(ExitCode::SUCCESS)
}
