//! `headrope serve`.

use std::io::Write as _;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::app::{Node, until_signal};
use crate::cli::ServeArgs;
use crate::config;

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    if args.list_failpoints {
        for name in headrope_storage::failpoint::NAMES {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (_, config) = config::load(&args.config)?;
    super::block_on(async {
        let stop = CancellationToken::new();
        let node = Node::start(config, None).await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{}", node.addresses()?.json())?;
        stdout.flush()?;
        let (served, signalled) = tokio::join!(node.run(stop.clone()), until_signal(stop.clone()));
        signalled?;
        served.map(|()| ExitCode::SUCCESS)
    })
}
