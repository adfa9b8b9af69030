//! `headrope bench`: load against a node started for the purpose.

use std::process::ExitCode;

use crate::bench::{ingest, query};
use crate::cli::BenchCommand;

pub(crate) fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Ingest(args) => ingest::run(args)?,
        BenchCommand::Query(args) => query::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
