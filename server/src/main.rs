//! The `headrope` binary: command line, configuration, wiring.
//!
//! stdout carries data, stderr progress and logs. Exit codes: 0 done, 1 failed, 2 wrong usage,
//! 3 partly done, 4 not found, 5 timed out.
#![forbid(unsafe_code)]

mod app;
mod bench;
mod cli;
mod client;
mod command;
mod config;
mod http;
mod logging;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::start(&cli.log);
    match command::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            command::exit_code(&error)
        }
    }
}
