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
    without_huge_pages();
    match command::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            command::exit_code(&error)
        }
    }
}

/// Memory comes and goes with requests and flushes. The allocator asks for huge pages, of which the kernel
/// zeroes two MiB when one byte is touched: a quarter of the CPU time of ingest (docs/benchmarks.md).
fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::info!(%error, "huge pages stay on: memory and CPU time of ingest are higher");
    }
}
