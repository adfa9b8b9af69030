//! `headrope config`.

use std::process::ExitCode;

use crate::cli::ConfigCommand;
use crate::config;

pub(crate) fn run(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check(args) => {
            config::load(args)?;
            eprintln!("the configuration is fine");
        }
        ConfigCommand::Print(args) => {
            let (settings, _) = config::load(args)?;
            let mut section = "";
            for (key, value, origin) in settings.iter() {
                let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
                if of != section {
                    section = of;
                    println!("\n[{section}]");
                }
                println!("# {} ({origin})\n{name} = {value:?}", key.help);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
