//! The subcommands.

mod admin;
pub(crate) mod bench;
mod capacity;
mod config;
mod demo;
mod doctor;
mod import;
mod serve;
mod sql;
mod table;
mod top;
mod trace;
mod verdict;

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command};
use crate::client::Refused;
use crate::config::ConfigErrors;

/// Runs a subcommand.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sql(args) => sql::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Verdict(args) => verdict::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Admin(command) => admin::run(&command),
        Command::Bench(command) => bench::run(&command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "headrope", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The documented exit code of a failure.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigErrors>() {
        return ExitCode::from(2);
    }
    match error.downcast_ref::<Refused>().map(|r| r.status) {
        Some(400) => ExitCode::from(2),
        Some(404) => ExitCode::from(4),
        Some(408 | 504) => ExitCode::from(5),
        _ => ExitCode::FAILURE,
    }
}

/// Runs asynchronous work on a runtime of its own.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
