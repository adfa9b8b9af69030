//! `headrope verdict`: the card as Markdown.

use std::process::ExitCode;

use crate::cli::VerdictArgs;
use crate::client::{Client, encoded};

pub(crate) fn run(args: &VerdictArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.node.url);
    match args.json {
        true => println!("{}", client.get(&path(args))?),
        false => print!("{}", client.get_text(&format!("{}&format=markdown", path(args)))?),
    }
    Ok(ExitCode::SUCCESS)
}

fn path(args: &VerdictArgs) -> String {
    let now = || (format!("now-{}", args.since), "now".to_owned());
    let (from, to) = args.from.clone().zip(args.to.clone()).unwrap_or_else(now);
    let mut path = format!("/api/v1/verdict?from={}&to={}", encoded(&from), encoded(&to));
    let others = [
        ("reference_from", &args.reference_from),
        ("reference_to", &args.reference_to),
        ("service", &args.service),
        ("operation", &args.operation),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}
