//! One second of traffic, as compact records: every call of every user request that begins in it.
//!
//! A second depends on the shop's seed and its own number only, so seconds can be made in any
//! order, by any thread, with the same result.

mod run;

use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::{ENTRIES, OpId};
use crate::catalogue::services::{HOSTS, INSTANCES, Instance, REPLICAS};
use crate::catalogue::statements::Stmt;
use crate::dice::Dice;
use crate::plan::Moment;
use crate::traffic;
use crate::world::World;

use run::Run;

/// What a span stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An operation answered to a caller elsewhere, or a part of the process, by its [`OpId`].
    Answer(OpId),
    /// The caller's side of an operation.
    Ask(OpId),
    /// A statement or cache command.
    Query(Stmt),
    /// A call to the payment provider; the attempt, counted from 1.
    Charge(u8),
    /// A message sent to the orders topic.
    Publish,
}

/// A process at a time: instance and how often it was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Home {
    pub(crate) instance: Instance,
    pub(crate) generation: u8,
}

/// A span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanRecord {
    /// Index into [`Window::traces`].
    pub(crate) trace: u32,
    pub(crate) id: u64,
    /// Zero for a root.
    pub(crate) parent: u64,
    pub(crate) shape: Shape,
    pub(crate) home: Home,
    /// The instance on the other side, for client and remote server spans.
    pub(crate) peer: Instance,
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    /// HTTP status, also for gRPC and messaging.
    pub(crate) status: u16,
    pub(crate) mishap: Option<Mishap>,
    /// Whether the mishap arose here.
    pub(crate) origin: bool,
    /// CPU time spent here without its children, nanoseconds.
    pub(crate) cpu_ns: i64,
    /// Randomness for attribute values.
    pub(crate) draws: u64,
    /// Index into [`Window::links`] plus one; zero for none.
    pub(crate) link: u32,
    /// The exporter lost it.
    pub(crate) lost: bool,
}

/// A log record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogRecord {
    pub(crate) line: Line,
    /// Index into [`Window::spans`] at the time of logging; spans keep their place.
    pub(crate) span: u32,
    pub(crate) home: Home,
    pub(crate) time_ns: i64,
    pub(crate) draws: u64,
}

/// What the spans of a trace share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceRecord {
    pub(crate) id: [u8; 16],
    /// Randomness for user, order, product and so on.
    pub(crate) draws: u64,
}

/// Everything that began in some seconds.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) traces: Vec<TraceRecord>,
    pub(crate) spans: Vec<SpanRecord>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) links: Vec<([u8; 16], u64)>,
}

impl Window {
    pub(crate) fn clear(&mut self) {
        self.traces.clear();
        self.spans.clear();
        self.logs.clear();
        self.links.clear();
    }
}

/// How slowly each host and instance works during a second.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) moment: Moment,
    /// Processing time on each host relative to an idle one.
    pub(crate) host: [f64; HOSTS],
}

impl Pace {
    pub(crate) fn at(world: &World, second: i64) -> Self {
        let moment = world.plan.moment(second);
        let mut host = [1.0; HOSTS];
        for (number, slow) in host.iter_mut().enumerate() {
            *slow = slowness(world.expected_load(number, second, moment.busy_host));
        }
        Self { moment, host }
    }

    pub(crate) fn home(&self, instance: Instance) -> Home {
        Home { instance, generation: self.moment.generation[instance.index()] }
    }
}

/// How much longer processing takes on a host whose CPUs are used to this part: flat up to about
/// 60 %, then like a queue, at most eight times.
fn slowness(load: f64) -> f64 {
    let cubed = load * load * load;
    (1.0 + 0.4 * cubed / (1.05 - load.min(1.0))).min(8.0)
}

/// Appends everything that begins in one second to the window.
pub(crate) fn second(world: &World, second: i64, window: &mut Window) {
    let pace = Pace::at(world, second);
    let mut dice = Dice::new(world.config.seed, second as u64);
    let mean = world.config.traces_per_second * traffic::rate(second, world.config.diurnal);
    let arrivals = dice.poisson(mean);
    let mut run = Run { world, pace: &pace, dice, window, trace: 0 };
    for _ in 0..arrivals {
        let at = second * 1_000_000_000 + i64::from(run.dice.below(1_000_000_000));
        let entry = entry(run.dice.below(ENTRIES.iter().map(|e| e.1).sum()));
        run.request(entry, at);
    }
}

fn entry(mut ticket: u32) -> OpId {
    for (op, weight) in ENTRIES {
        if ticket < weight {
            return op;
        }
        ticket -= weight;
    }
    ENTRIES[0].0
}

/// CPU time per request on each instance, nanoseconds, over `requests` requests on idle hosts.
pub(crate) fn calibrate(world: &World, requests: u32) -> [f64; INSTANCES] {
    let moment = world.plan.moment(i64::MIN / 2_000_000_000);
    let pace = Pace { moment, host: [1.0; HOSTS] };
    let mut window = Window::default();
    let dice = Dice::new(0, 0);
    let mut run = Run { world, pace: &pace, dice, window: &mut window, trace: 0 };
    for at in 0..requests {
        let entry = entry(run.dice.below(ENTRIES.iter().map(|e| e.1).sum()));
        run.request(entry, i64::from(at) * 1_000_000);
    }
    let mut cpu = [0.0; INSTANCES];
    for span in &window.spans {
        // Instances of a service share its load evenly.
        let first = span.home.instance.index() / REPLICAS * REPLICAS;
        for share in &mut cpu[first..first + REPLICAS] {
            *share += span.cpu_ns as f64 / REPLICAS as f64 / f64::from(requests);
        }
    }
    cpu
}
