//! One second of traffic, as compact records: every call of every user request that begins in it.
//!
//! A second depends on the shop's seed and its own number only, so seconds can be made in any
//! order, by any thread, with the same result.

mod run;

use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::{ENTRIES, OpId};
use crate::catalogue::services::{HOSTS, INSTANCES, Instance, REPLICAS, SERVICES};
use crate::catalogue::statements::{Stmt, Store};
use crate::config::Incident;
use crate::dice::{Dice, Whims};
use crate::plan::spot::{Harmless, Spot};
use crate::plan::{Leak, Moment, stall_ms};
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

/// What a statement waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// A connection of the pool.
    Connection,
    /// A connection of the pool, in vain.
    NoConnection,
    /// Rows that a transaction had locked.
    Lock,
}

/// A wait that is more than ordinary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitRecord {
    pub(crate) what: Awaited,
    pub(crate) instance: Instance,
    pub(crate) store: Store,
    pub(crate) ns: i64,
}

/// Everything that began in some seconds.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub(crate) traces: Vec<TraceRecord>,
    pub(crate) spans: Vec<SpanRecord>,
    pub(crate) logs: Vec<LogRecord>,
    pub(crate) links: Vec<([u8; 16], u64)>,
    pub(crate) waits: Vec<WaitRecord>,
}

/// How much of a window was there at some time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) spans: usize,
    pub(crate) waits: usize,
}

impl Window {
    pub(crate) fn mark(&self) -> Mark {
        Mark { spans: self.spans.len(), waits: self.waits.len() }
    }

    pub(crate) fn clear(&mut self) {
        self.traces.clear();
        self.spans.clear();
        self.logs.clear();
        self.links.clear();
        self.waits.clear();
    }
}

/// How slowly each host and instance works during a second.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) moment: Moment,
    /// Processing time on each host relative to an idle one.
    pub(crate) host: [f64; HOSTS],
    /// Processing time in each service relative to the usual one.
    pub(crate) service: [f64; SERVICES.len()],
    /// Time each operation of an instance loses to memory that runs out, nanoseconds.
    pub(crate) stall: [f64; INSTANCES],
    /// Share of the writes of each store, and of the broker, that fail for want of space.
    pub(crate) full: [Option<f64>; 4],
}

/// Where the broker stands in [`Pace::full`].
pub(crate) const BROKER_PLACE: usize = 3;
/// Part of its workers a service uses at its usual load: a surge fills them and makes it queue.
const WORKERS_USED: f64 = 0.4;

impl Pace {
    /// Every host idle.
    fn idle(moment: Moment) -> Self {
        Self {
            moment,
            host: [1.0; HOSTS],
            service: [1.0; SERVICES.len()],
            stall: [0.0; INSTANCES],
            full: [None; 4],
        }
    }

    pub(crate) fn at(world: &World, second: i64) -> Self {
        let mut pace = Self::idle(world.plan.moment(second));
        let moment = &pace.moment;
        let ratios = world.ratios(&moment.arrivals(!world.calm));
        for (number, slow) in pace.host.iter_mut().enumerate() {
            *slow = slowness(world.expected_load(number, second, moment, &ratios));
        }
        for (slow, ratio) in pace.service.iter_mut().zip(ratios) {
            *slow = slowness(WORKERS_USED * ratio) / slowness(WORKERS_USED);
        }
        for what in moment.shifts() {
            if let Harmless::Drift(svc, factor) = what {
                pace.service[svc.index()] *= factor;
            }
        }
        for leak in moment.of(Incident::MemoryLeak) {
            for instance in Instance::all().filter(|i| leak.spot.holds(*i)) {
                if let Some(Leak::Growing(part)) = moment.leak[instance.index()]
                    && instance.service().svc.stalls()
                {
                    pace.stall[instance.index()] = stall_ms(leak.strength, part) * 1e6;
                }
            }
        }
        for (place, full) in pace.full.iter_mut().enumerate() {
            let spot = match place {
                BROKER_PLACE => Spot::Broker,
                _ => Spot::Store([Store::Orders, Store::Catalog, Store::Cache][place]),
            };
            *full = world.plan.failing_writes(spot, second);
        }
        pace
    }

    pub(crate) fn home(&self, instance: Instance) -> Home {
        Home { instance, generation: self.moment.generation[instance.index()] }
    }

    /// Processing time in the instance relative to an idle host.
    pub(crate) fn of(&self, instance: Instance) -> f64 {
        self.host[instance.host()] * self.service[instance.index() / REPLICAS]
    }
}

/// How much longer processing takes where the CPUs are used to this part: flat up to about 60 %, then
/// like a queue, at most eight times.
fn slowness(load: f64) -> f64 {
    let cubed = load * load * load;
    (1.0 + 0.4 * cubed / (1.05 - load.min(1.0))).min(8.0)
}

/// Tickets of each entry operation: its weight in thousandths.
fn tickets(arrivals: &[f64; ENTRIES.len()]) -> [u32; ENTRIES.len()] {
    let mut tickets = ENTRIES.map(|entry| entry.1);
    for (tickets, factor) in tickets.iter_mut().zip(arrivals) {
        *tickets = (f64::from(*tickets) * 1000.0 * factor.min(1000.0)) as u32;
    }
    tickets
}

fn draw_entry(dice: &mut Dice, tickets: &[u32; ENTRIES.len()]) -> OpId {
    let mut ticket = dice.below(tickets.iter().sum());
    for ((op, _), tickets) in ENTRIES.iter().zip(tickets) {
        if ticket < *tickets {
            return *op;
        }
        ticket -= tickets;
    }
    ENTRIES[0].0
}

/// Appends everything that begins in one second to the window.
pub(crate) fn second(world: &World, second: i64, window: &mut Window) {
    let pace = Pace::at(world, second);
    let mut dice = Dice::new(world.config.seed, second as u64);
    let tickets = tickets(&pace.moment.arrivals(true));
    let usual: u32 = ENTRIES.iter().map(|e| e.1 * 1000).sum();
    let surge = f64::from(tickets.iter().sum::<u32>()) / f64::from(usual);
    let rate = traffic::rate(second, world.config.diurnal) * surge;
    let arrivals = dice.poisson(world.config.traces_per_second * rate);
    let mut run = Run { world, pace: &pace, dice, whims: Whims::default(), window, trace: 0 };
    for _ in 0..arrivals {
        let at = second * 1_000_000_000 + i64::from(run.dice.below(1_000_000_000));
        let entry = draw_entry(&mut run.dice, &tickets);
        if world.config.own_streams {
            let stream = run.dice.word();
            let shared = std::mem::replace(&mut run.dice, Dice::new(world.config.seed, stream));
            run.request(entry, at);
            run.dice = shared;
        } else {
            run.request(entry, at);
        }
    }
    run.announce(second);
}

/// CPU time per request in each service, nanoseconds, by entry operation, over `requests` requests on
/// idle hosts.
pub(crate) fn calibrate(world: &World, requests: u32) -> [[f64; SERVICES.len()]; ENTRIES.len()] {
    let pace = Pace::idle(world.plan.moment(i64::MIN / 2_000_000_000));
    let mut window = Window::default();
    let dice = Dice::new(0, 0);
    let tickets = tickets(&[1.0; ENTRIES.len()]);
    let whims = Whims::default();
    let mut run = Run { world, pace: &pace, dice, whims, window: &mut window, trace: 0 };
    let mut cpu = [[0.0; SERVICES.len()]; ENTRIES.len()];
    for at in 0..requests {
        let entry = draw_entry(&mut run.dice, &tickets);
        let first = run.window.spans.len();
        run.request(entry, i64::from(at) * 1_000_000);
        let number = ENTRIES.iter().position(|e| e.0 == entry).unwrap_or_default();
        for span in &run.window.spans[first..] {
            cpu[number][span.home.instance.index() / REPLICAS] +=
                span.cpu_ns as f64 / f64::from(requests);
        }
    }
    cpu
}
