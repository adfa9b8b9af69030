//! Prints what a verdict on a labelled scenario should say, as JSON, and writes its requests:
//! `cargo run --release -p headrope-testdata --example scenario -- [--healthy|--pairs|--landscape] SEED [DIRECTORY [TRACES_PER_SECOND [SECONDS]]]`.
//!
//! The seed decides which kind of fault there is, or none; with `--healthy` there is none, with `--pairs` there are two,
//! with `--landscape` the system is another one for each seed.
//! With a directory each OTLP request is a protobuf file `NNNNNN-SIGNAL.pb`, numbered in the order in
//! which they are to be sent, and the truth is `truth.json`. `SECONDS` is the length of the reference
//! range and of the window. `FROM..TO` instead of a seed prints one line per scenario.
#![allow(clippy::print_stdout, reason = "standard output is what this program is for")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use headrope_testdata::Slice;
use headrope_testdata::landscape::{Landscape, landscape};
use headrope_testdata::scenario::{Label, Scenario, Size, scenario, scenario_of, scenario_pair};
use prost::Message;

/// Which scenarios are drawn.
#[derive(Clone, Copy)]
enum Draw {
    /// What the seed says.
    Any,
    Healthy,
    Pairs,
    Landscape,
}

/// A scenario of the shop or of another system.
enum Drawn {
    Shop(Box<Scenario>),
    Landscape(Box<Landscape>),
}

impl Draw {
    fn scenario(self, seed: u64, size: &Size) -> Drawn {
        match self {
            Self::Any => Drawn::Shop(Box::new(scenario(seed, size))),
            Self::Healthy => Drawn::Shop(Box::new(scenario_of(seed, None, size))),
            Self::Pairs => Drawn::Shop(Box::new(scenario_pair(seed, size))),
            Self::Landscape => Drawn::Landscape(Box::new(landscape(seed, size))),
        }
    }
}

impl Drawn {
    fn truth(&self) -> (&Label, usize) {
        match self {
            Self::Shop(one) => (&one.truth, one.distractors.len()),
            Self::Landscape(one) => (&one.truth, one.distractors.len()),
        }
    }

    fn json(&self) -> serde_json::Result<String> {
        match self {
            Self::Shop(one) => serde_json::to_string_pretty(one),
            Self::Landscape(one) => serde_json::to_string_pretty(one),
        }
    }

    fn write(&self, directory: &Path) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Shop(one) => write(one.shop().slices(one.range(), 10), directory),
            Self::Landscape(one) => write(one.slices(), directory),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (flags, arguments): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let draw = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Draw::Any,
        ["--healthy"] => Draw::Healthy,
        ["--pairs"] => Draw::Pairs,
        ["--landscape"] => Draw::Landscape,
        _ => return Err("the flags are --healthy, --pairs or --landscape".into()),
    };
    let seed = arguments.first().ok_or("name a seed")?;
    let mut size = Size::default();
    if let Some(text) = arguments.get(2) {
        size.traces_per_second = text.parse()?;
    }
    if let Some(text) = arguments.get(3) {
        size.reference_s = text.parse()?;
        size.window_s = size.reference_s;
    }
    if let Some((from, to)) = seed.split_once("..") {
        return list(draw, from.parse()?..to.parse()?, &size);
    }
    let scenario = draw.scenario(seed.parse()?, &size);
    let json = scenario.json()?;
    println!("{json}");
    if let Some(directory) = arguments.get(1) {
        fs::create_dir_all(directory)?;
        fs::write(Path::new(directory).join("truth.json"), json)?;
        scenario.write(Path::new(directory))?;
    }
    Ok(())
}

/// One line per scenario.
fn list(draw: Draw, seeds: std::ops::Range<u64>, size: &Size) -> Result<(), Box<dyn Error>> {
    for seed in seeds {
        let started = Instant::now();
        let one = draw.scenario(seed, size);
        let (truth, distractors) = one.truth();
        let worst = truth.affected.first().map_or(String::new(), |effect| {
            format!(
                "{} {:.0} -> {:.0} ms, failed {:.1} -> {:.1} %",
                effect.operation,
                effect.reference_ms,
                effect.window_ms,
                100.0 * effect.reference_failed,
                100.0 * effect.window_failed
            )
        });
        let kind = truth.fault.map_or("healthy", |fault| fault.name());
        println!(
            "{seed:>4} {kind:<18} {} x {:.2}: share {:.3}, at the entity {:.3}, {} affected, {worst}; {} distractors; {:.0} ms",
            serde_json::to_string(&truth.place)?,
            truth.strength,
            truth.planted_share,
            truth.entity_share.unwrap_or(f64::NAN),
            truth.affected.len(),
            distractors,
            started.elapsed().as_secs_f64() * 1000.0
        );
        let mean = &truth.mean;
        println!(
            "     mean request {:.1} ms, {:+.1} ms, of which the faults {:.1} ms",
            mean.reference_ns / 1e6,
            mean.excess_ns / 1e6,
            mean.added_ns / 1e6
        );
        for fault in &truth.faults {
            println!(
                "     {} {}: {:.0} % of the harm, {:.1} ms, {:.1} % of requests, {:.0} failed",
                fault.fault.name(),
                serde_json::to_string(&fault.entity)?,
                100.0 * fault.share,
                fault.overall.added_ns / 1e6,
                100.0 * fault.overall.affected,
                fault.overall.failed
            );
        }
    }
    Ok(())
}

/// Writes every request in the order of time.
fn write(slices: impl Iterator<Item = Slice>, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut number = 0u32;
    let mut put = |signal: &str, bytes: Vec<u8>| {
        number += 1;
        fs::write(directory.join(format!("{number:06}-{signal}.pb")), bytes)
    };
    for slice in slices {
        for request in &slice.traces {
            put("traces", request.encode_to_vec())?;
        }
        for request in &slice.logs {
            put("logs", request.encode_to_vec())?;
        }
        for request in &slice.metrics {
            put("metrics", request.encode_to_vec())?;
        }
    }
    Ok(())
}
