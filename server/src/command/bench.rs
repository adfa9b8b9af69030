//! `headrope bench`: load against a node started for the purpose.

use std::process::ExitCode;

use clap::Subcommand;

use crate::bench::ingest::{self, IngestArgs};

/// Which load.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Store the shop's spans or log records, and print records per second and CPU second,
    /// acknowledgement latencies, memory and bytes on disk.
    #[command(
        after_help = "Example:\n  headrope bench ingest --records 1000000 --rate 60000 --json ingest.json"
    )]
    Ingest(IngestArgs),
}

pub(crate) fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Ingest(args) => ingest::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
