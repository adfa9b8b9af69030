//! `headrope bench`: load against a node started for the purpose.

use std::process::ExitCode;

use clap::Subcommand;

/// Which load.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {}

pub(crate) fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match *command {}
}
