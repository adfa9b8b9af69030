//! Checks of the workspace that a linter cannot do.
//!
//! ```text
//! cargo xtask tidy
//! ```
//!
//! prints one line per finding, `file:line: what is wrong`, and exits 1 when there is one that is
//! not a warning.

mod crates;
mod finding;
mod habits;
mod modules;
mod repository;
mod rust;
mod sizes;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};

use finding::Finding;
use tree::Tree;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy(),
        _ => bail!("usage: cargo xtask tidy"),
    }
}

fn tidy() -> anyhow::Result<ExitCode> {
    // At run time: a shared target directory may hold the build of another working copy.
    let own = std::env::var("CARGO_MANIFEST_DIR").context("run it as `cargo xtask tidy`")?;
    let root = Path::new(&own).parent().context("the directory of xtask has no parent")?;
    let tree = Tree::read(root)?;
    let mut findings = check(&tree);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let faults = findings.iter().filter(|f| !f.warning).count();
    eprintln!("{} files, {faults} faults, {} warnings", tree.len(), findings.len() - faults);
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every finding in a tree.
fn check(tree: &Tree) -> Vec<Finding> {
    let sources = rust::parse_all(tree);
    let mut findings = sources.findings.clone();
    findings.extend(crates::check(tree));
    findings.extend(modules::check(&sources));
    findings.extend(sizes::check(&sources));
    findings.extend(habits::check(&sources));
    findings.extend(repository::check(tree));
    findings
}
