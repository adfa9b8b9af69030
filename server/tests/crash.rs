//! Nothing acknowledged is lost or duplicated, wherever the process ends.
//!
//! A server takes small requests from several clients, is killed at a random moment or aborts at a
//! named fail point, and starts again on the same directory. Then SQL must find the records of
//! every acknowledged request exactly once, of a refused request never, and of a request without
//! an answer either all or none; and what was found once is found ever after.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `HEADROPE_CRASH_ROUNDS` | crashes under load | 12 |
//! | `HEADROPE_CRASH_SEED` | chooses moments, fail points and sizes | 1 |
//! | `HEADROPE_CRASH_PRELOAD` | spans stored before the first round | 0 |

mod common;
mod crash_loop;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use common::{BINARY, Server, Start};
use crash_loop::check::check;
use crash_loop::ledger::Ledger;
use crash_loop::load::{self, End};

/// Fail points that must exist, one at each step that orders writing, committing and deleting.
const FAIL_POINTS: [&str; 13] = [
    "log.before_write",
    "log.after_write",
    "log.after_sync",
    "flush.before_segments",
    "flush.after_rollup",
    "flush.after_spans",
    "flush.before_commit",
    "flush.after_commit",
    "flush.after_trim",
    "compact.before_commit",
    "compact.after_commit",
    "compact.after_delete",
    "retention.after_commit",
];

/// Rounds after which every fail point must have ended the process.
const ROUNDS_TO_REACH_ALL: usize = 100;

fn number(variable: &str, default: u64) -> anyhow::Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text} is not a number")),
        Err(_) => Ok(default),
    }
}

/// Flushes and compactions several times a second, so that crashes meet them.
fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("HEADROPE_STORAGE__FLUSH_BYTES", "131072".to_owned()),
        ("HEADROPE_STORAGE__FLUSH_AGE", "200ms".to_owned()),
        ("HEADROPE_STORAGE__MAINTENANCE_INTERVAL", "100ms".to_owned()),
    ]
}

fn fail_points() -> anyhow::Result<Vec<String>> {
    let listed = Command::new(BINARY).args(["serve", "--list-failpoints"]).output()?;
    ensure!(listed.status.success(), "serve --list-failpoints: {}", listed.status);
    Ok(String::from_utf8(listed.stdout)?.lines().map(str::to_owned).collect())
}

/// How each round ends: every other one at a fail point, in a random order of all of them.
fn plan(rounds: usize, points: &[String], rng: &mut ChaCha8Rng) -> Vec<End> {
    let mut deck: Vec<&String> = Vec::new();
    (0..rounds)
        .map(|round| {
            if round % 2 == 0 {
                return End::Kill(Duration::from_millis(rng.random_range(20..1500)));
            }
            if deck.is_empty() {
                deck = points.iter().collect();
                deck.shuffle(rng);
            }
            let name = deck.pop().cloned().unwrap_or_default();
            // Retention drops something once a round; everything else happens again and again.
            let most = if name.starts_with("retention") { 1 } else { 3 };
            End::FailPoint { name, hit: rng.random_range(1..=most) }
        })
        .collect()
}

#[test]
fn the_fail_points_are_those_the_loop_relies_on() -> anyhow::Result<()> {
    let listed = fail_points()?;
    for name in FAIL_POINTS {
        ensure!(listed.iter().any(|l| l == name), "no fail point {name} among {listed:?}");
    }
    Ok(())
}

#[test]
fn acknowledged_records_are_found_exactly_once_after_every_crash() -> anyhow::Result<()> {
    let rounds = usize::try_from(number("HEADROPE_CRASH_ROUNDS", 12)?)?;
    let seed = number("HEADROPE_CRASH_SEED", 1)?;
    let preload = number("HEADROPE_CRASH_PRELOAD", 0)?;
    println!("crash loop: {rounds} rounds, seed {seed}, {preload} spans before");
    let directory = tempfile::tempdir()?;
    let data_dir = directory.path().join("data");
    let log = directory.path().join("server.log");
    let outcome = run(&data_dir, &log, rounds, seed, preload);
    if outcome.is_err() {
        let kept = directory.keep();
        println!("seed {seed}; the data directory and the server's log are in {}", kept.display());
    }
    outcome
}

fn run(
    data_dir: &std::path::Path,
    log: &std::path::Path,
    rounds: usize,
    seed: u64,
    preload: u64,
) -> anyhow::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ledger = Ledger::default();
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    let mut ready = Vec::new();
    if preload > 0 {
        let server = start(data_dir, log, &[])?;
        load::preload(&server, &mut ledger, preload)?;
    }
    for (round, end) in plan(rounds, &fail_points()?, &mut rng).into_iter().enumerate() {
        let mut settings = settings();
        settings.extend(end.setting());
        let what = match Server::start(data_dir, log, &settings)? {
            Start::Ready(mut server) => {
                ready.push(server.ready_after);
                load::run(&mut server, &mut ledger, &end, rng.random())?
            }
            Start::Exited(_) => load::Outcome { by_itself: true },
        };
        if let (End::FailPoint { name, .. }, true) = (&end, what.by_itself) {
            *reached.entry(name.clone()).or_default() += 1;
        }
        let mut server = start(data_dir, log, &self::settings())?;
        ready.push(server.ready_after);
        let everything = round % 20 == 19 || round + 1 == rounds;
        let found = check(&server, &mut ledger, everything)
            .with_context(|| format!("seed {seed}, round {round}, {end:?}, {what:?}"))?;
        println!("round {round}: {end:?}, {what:?}; {found}");
        if rng.random_range(0..4) == 0 {
            let status = server.stop()?;
            ensure!(status.success(), "after SIGTERM the server ended with {status}");
        }
    }
    ready.sort();
    let at = |share: f64| ready.get((ready.len() as f64 * share) as usize).or(ready.last());
    println!("{ledger}");
    println!("fail points that ended the process: {reached:?}");
    println!("start to ready: median {:?}, longest {:?}", at(0.5), ready.last());
    if rounds >= ROUNDS_TO_REACH_ALL {
        for name in FAIL_POINTS {
            ensure!(reached.contains_key(name), "the fail point {name} was never reached");
        }
    }
    Ok(())
}

fn start(
    data_dir: &std::path::Path,
    log: &std::path::Path,
    settings: &[(&str, String)],
) -> anyhow::Result<Server> {
    match Server::start(data_dir, log, settings)? {
        Start::Ready(server) => Ok(*server),
        Start::Exited(status) => anyhow::bail!(
            "the server ended with {status} instead of starting: {}",
            std::fs::read_to_string(log).unwrap_or_default()
        ),
    }
}
