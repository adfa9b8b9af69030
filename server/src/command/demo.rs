//! `headrope demo`: a node with the seeded shop, sent through the same socket as anybody's data.

mod plan;
mod sender;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use headrope_testdata::Shop;
use tokio_util::sync::CancellationToken;

use crate::app::{Node, until_signal};
use crate::cli::DemoArgs;
use crate::config;
use plan::Plan;

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let (_, mut config) = config::load(&args.config)?;
    let temporary = match &args.config.data_dir {
        Some(dir) => {
            refuse_used(dir)?;
            None
        }
        None => {
            let dir = tempfile::Builder::new().prefix("headrope-demo-").tempdir()?;
            config.storage.data_dir = dir.path().to_owned();
            Some(dir)
        }
    };
    // The shop is made up: what survives a power cut does not matter, and its history should be
    // there in seconds.
    config.storage.retain_traces = None;
    config.storage.retain_logs = None;
    config.storage.retain_metrics = None;
    config.storage.retain_rollups = None;
    let plan = Plan::new(args, headrope_model::time::now_ns());
    let banner = format!("Demo data: a made-up shop, seed {}", args.seed);
    let served = super::block_on(async {
        let node = Node::start(config, Some(banner)).await?;
        let addresses = node.addresses()?;
        announce(&addresses, &plan)?;
        let stop = CancellationToken::new();
        let shop = Arc::new(Shop::with_config(plan.shop.clone()));
        let endpoint = format!("http://{}", addresses.http);
        let traffic = sender::run(shop, plan, endpoint, stop.clone());
        let (served, signalled, sent) =
            tokio::join!(node.run(stop.clone()), until_signal(stop.clone()), traffic);
        signalled?;
        sent?;
        served
    });
    drop(temporary);
    served.map(|()| ExitCode::SUCCESS)
}

/// A demo never writes among somebody's data.
fn refuse_used(dir: &std::path::Path) -> anyhow::Result<()> {
    let used = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    anyhow::ensure!(!used, "{} is not empty; the demo wants a directory of its own", dir.display());
    Ok(())
}

fn announce(addresses: &crate::http::Addresses, plan: &Plan) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", addresses.json())?;
    stdout.flush()?;
    eprintln!("\n  Headrope demo          http://{}", addresses.ui);
    eprintln!(
        "  OTLP                   grpc http://{}   http http://{}",
        addresses.grpc, addresses.http
    );
    eprintln!("  Incidents (UTC)");
    for (name, from, to) in plan.incidents() {
        eprintln!("    {name:<20} {from} to {to}");
    }
    eprintln!("  Stop with Ctrl-C\n");
    Ok(())
}
