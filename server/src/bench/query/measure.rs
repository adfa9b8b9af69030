//! How long answers take: warm, first after a restart, and cold.

use std::path::Path;
use std::time::{Duration, Instant};

use headrope_testdata::workload::draw;

use super::super::ask::Asker;
use super::super::child::{Memory, Server};
use super::super::report::Latency;
use super::cache::{self, Dropped};
use super::case::{Case, Kind, absent};

/// Settings of the server under measurement: what is stored is old and must stay.
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("HEADROPE_STORAGE__RETAIN_TRACES", "forever"),
    ("HEADROPE_STORAGE__RETAIN_LOGS", "forever"),
    ("HEADROPE_STORAGE__RETAIN_METRICS", "forever"),
    ("HEADROPE_STORAGE__RETAIN_ROLLUPS", "forever"),
];
/// Questions of a kind that are asked before its times count.
const WARM_UP: u64 = 5;
/// Least questions of a kind, however long they take.
const LEAST: u64 = 5;

/// Times of the questions of one kind in one state of the server.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    took: Vec<Duration>,
    wrong: u64,
    first_wrong: Option<String>,
}

/// [`Times`], summed up.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub(super) struct Figures {
    /// Questions that were answered right; the latency is theirs.
    pub(super) right: u64,
    pub(super) latency: Latency,
    /// Answers that were wrong or none, and what was wrong with the first.
    pub(super) wrong: u64,
    pub(super) first_wrong: Option<String>,
}

impl Times {
    /// Asks; the time counts if the answer is right.
    fn ask(&mut self, asker: &Asker, case: &Case) {
        let checked = asker.ask(&case.question).and_then(|answer| {
            case.check(&answer)?;
            Ok(answer.took)
        });
        match checked {
            Ok(took) => self.took.push(took),
            Err(error) => {
                self.wrong += 1;
                self.first_wrong.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }

    pub(super) fn figures(self) -> Figures {
        Figures {
            right: self.took.len() as u64,
            latency: Latency::of(self.took),
            wrong: self.wrong,
            first_wrong: self.first_wrong,
        }
    }
}

/// Asks `repeat` questions of each kind after some that do not count; a kind ends early after
/// `patience`.
pub(super) fn warm(
    asker: &Asker,
    kinds: &[Kind<'_>],
    seed: u64,
    repeat: u64,
    patience: Duration,
) -> Vec<Times> {
    let one = |kind: &Kind<'_>| {
        eprintln!("warm: {}", kind.name);
        let mut unused = Times::default();
        for number in 0..WARM_UP {
            unused.ask(asker, &kind.case(seed, repeat + number));
        }
        let mut times = Times::default();
        let began = Instant::now();
        for number in 0..repeat {
            if number >= LEAST && began.elapsed() > patience {
                break;
            }
            times.ask(asker, &kind.case(seed, number));
        }
        times
    };
    kinds.iter().map(one).collect()
}

/// What restarts showed.
#[derive(Debug, Clone, Default)]
pub(super) struct Starts {
    /// From the start of the process until it said it was ready.
    pub(super) ready: Vec<Duration>,
    /// From the start of the process to the answer to the first question.
    pub(super) answered: Vec<Duration>,
    /// By kind, one question for each start.
    pub(super) times: Vec<Times>,
    /// What was dropped before each start, if anything.
    pub(super) dropped: Option<Dropped>,
    /// Memory after the last start, before a question.
    pub(super) memory: Option<Memory>,
}

/// Stops and starts the server `count` times and asks one question of each kind after each start.
/// The first kind always comes first; the others take turns, since each finds pages that those before
/// it have read.
///
/// # Errors
/// When the server does not stop or start.
pub(super) fn starts(
    mut server: Server,
    data_dir: &Path,
    kinds: &[Kind<'_>],
    seed: u64,
    count: u64,
    cold: bool,
) -> anyhow::Result<(Server, Starts)> {
    let mut starts = Starts { times: vec![Times::default(); kinds.len()], ..Starts::default() };
    for round in 0..count {
        eprintln!("{} start {} of {count}", if cold { "cold" } else { "warm" }, round + 1);
        server.stop()?;
        if cold {
            starts.dropped = Some(cache::drop_pages(data_dir)?);
        }
        let turn = usize::try_from(round).unwrap_or_default();
        let cases = in_turn(kinds.len(), turn).map(|at| (at, kinds.get(at)));
        // What the answers must be is worked out before the server starts, not while it warms up.
        let number = present(seed, round);
        let cases: Vec<(usize, Case)> =
            cases.filter_map(|(at, kind)| Some((at, kind?.case(seed, number)))).collect();
        server = Server::start(data_dir, &SETTINGS)?;
        starts.ready.push(server.began().elapsed());
        starts.memory = Some(server.memory()?);
        for (place, (at, case)) in cases.iter().enumerate() {
            if let Some(times) = starts.times.get_mut(*at) {
                times.ask(server.asker(), case);
            }
            if place == 0 {
                starts.answered.push(server.began().elapsed());
            }
        }
    }
    Ok((server, starts))
}

/// The number of a question to ask after a start: one whose parameters match something.
fn present(seed: u64, round: u64) -> u64 {
    const FIRST: u64 = 1_000_000;
    const EACH: u64 = 1000;
    let first = FIRST + round * EACH;
    (first..first + EACH).find(|number| !absent(draw(seed, *number))).unwrap_or(first)
}

/// Places of the kinds in the order of a round.
fn in_turn(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let others = count.saturating_sub(1).max(1);
    (0..count).map(move |at| if at == 0 { 0 } else { 1 + (at - 1 + round) % others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_take_turns_after_the_first() {
        let order = |round| in_turn(4, round).collect::<Vec<_>>();
        assert_eq!(order(0), [0, 1, 2, 3]);
        assert_eq!(order(1), [0, 2, 3, 1]);
        assert_eq!(order(5), [0, 3, 1, 2]);
        assert_eq!(in_turn(1, 3).collect::<Vec<_>>(), [0]);
        assert_eq!(in_turn(0, 3).count(), 0);
    }
}
