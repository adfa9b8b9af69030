//! Walks the call graph of a random system for the requests of a second.

use super::plan::{Leak, Plan, Spot, Trouble};
use super::system::{Call, Engine, Protocol, Step};
use crate::config::Incident;
use crate::dice::{Dice, Whims};

/// What a span stands for, in numbers of the system's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Answer(usize),
    Ask(usize),
    Query(usize),
    Outside(usize),
    Publish(usize),
}

/// Why a span failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Own,
    Released,
    Refused,
    NoConnection,
    Unavailable,
    Timeout,
    StoreDown,
    NoSpace,
    Below,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// Index into the traces.
    pub(super) trace: usize,
    pub(super) id: u64,
    /// Zero for a root.
    pub(super) parent: u64,
    pub(super) what: What,
    pub(super) service: usize,
    pub(super) replica: usize,
    pub(super) release: u8,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) failure: Option<Failure>,
    pub(super) cpu_ns: f64,
    /// Waited for a connection before, and for a lock within.
    pub(super) waited_ns: i64,
    pub(super) locked_ns: i64,
}

/// What began in some seconds.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) traces: Vec<[u8; 16]>,
    pub(super) spans: Vec<Record>,
    /// The first span and the entry of each request, in the order of arrival.
    pub(super) roots: Vec<(usize, usize)>,
}

type Ended = (i64, Option<Failure>);

struct Run<'a> {
    plan: &'a Plan,
    second: i64,
    hosts: Vec<f64>,
    services: Vec<f64>,
    dice: Dice,
    whims: Whims,
    out: &'a mut Records,
    trace: usize,
}

/// The requests that begin in a second.
pub(super) fn second(plan: &Plan, second: i64, out: &mut Records) {
    let mut dice = Dice::new(plan.seed, second as u64);
    let weights: Vec<f64> = plan
        .system
        .entries
        .iter()
        .zip(plan.arrivals(second, true))
        .map(|((_, weight), factor)| weight * factor)
        .collect();
    let usual: f64 = plan.system.entries.iter().map(|e| e.1).sum();
    let all: f64 = weights.iter().sum();
    let (hosts, services) = plan.pace(second);
    let count = dice.poisson(plan.rate * all / usual);
    let whims = Whims::default();
    let mut run = Run { plan, second, hosts, services, dice, whims, out, trace: 0 };
    for _ in 0..count {
        let at = second * 1_000_000_000 + i64::from(run.dice.below(1_000_000_000));
        let mut ticket = run.dice.unit() * all;
        let entry = weights.iter().position(|weight| {
            ticket -= weight;
            ticket < 0.0
        });
        let stream = run.dice.word();
        let shared = std::mem::replace(&mut run.dice, Dice::new(plan.seed, stream));
        run.request(entry.unwrap_or(0), at);
        run.dice = shared;
    }
}

impl Run<'_> {
    fn request(&mut self, entry: usize, at: i64) {
        let (high, low) = (self.dice.word() | 1, self.dice.word());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        self.trace = self.out.traces.len();
        self.out.traces.push(id);
        self.out.roots.push((self.out.spans.len(), entry));
        self.whims = Whims::new(low);
        let operation = self.plan.system.entries[entry].0;
        let replica = self.pick(self.plan.system.operations[operation].service);
        self.answer(operation, replica, at, 0);
    }

    /// A replica that is there.
    fn pick(&mut self, service: usize) -> usize {
        let count = self.plan.system.services[service].hosts.len();
        let first = self.dice.below(count as u32) as usize;
        let starting = |replica| {
            self.plan.leak(self.second, service, replica).is_some_and(|l| l.0 == Leak::Starting)
        };
        (first..first + count).map(|r| r % count).find(|r| !starting(*r)).unwrap_or(first)
    }

    fn open(&mut self, what: What, home: (usize, usize), at: i64, parent: u64) -> usize {
        let id = self.dice.word() | 1;
        let release = self.plan.release(self.second, home.0, home.1).0;
        self.out.spans.push(Record {
            trace: self.trace,
            id,
            parent,
            what,
            service: home.0,
            replica: home.1,
            release,
            from: at,
            to: at,
            failure: None,
            cpu_ns: 0.0,
            waited_ns: 0,
            locked_ns: 0,
        });
        self.out.spans.len() - 1
    }

    fn close(&mut self, span: usize, to: i64, failure: Option<Failure>) -> Ended {
        self.out.spans[span].to = to;
        self.out.spans[span].failure = failure;
        (to, failure)
    }

    fn work(&mut self, span: usize, at: i64, ns: f64, cpu: f64) -> i64 {
        let (service, replica) = (self.out.spans[span].service, self.out.spans[span].replica);
        self.out.spans[span].cpu_ns += ns * cpu;
        let host = self.plan.system.services[service].hosts[replica];
        let wall = ns * self.hosts[host] * self.services[service];
        self.plan.through_pauses(service, replica, at, at + wall as i64)
    }

    fn carried(&self, service: usize, replica: usize, kind: Incident) -> Option<f64> {
        let carried: Option<Trouble> = self.plan.release(self.second, service, replica).1;
        carried.filter(|t| t.kind == kind).map(|t| t.strength)
    }

    fn answer(&mut self, operation: usize, replica: usize, at: i64, parent: u64) -> Ended {
        let plan = self.plan;
        let op = &plan.system.operations[operation];
        let home = (op.service, replica);
        let span = self.open(What::Answer(operation), home, at, parent);
        let me = self.out.spans[span].id;
        let total = self.dice.log_normal(op.work_us * 1000.0, op.sigma);
        let share = total / (op.steps.len() + 1) as f64;
        let mut failure = (self.dice.unit() < op.fails).then_some(Failure::Own);
        let mut now = at;
        if let Some(factor) = self.carried(op.service, replica, Incident::BadDeploy) {
            now += self.whims.log_normal(60e6 * factor, 0.5) as i64;
            if self.whims.unit() < (0.25 * factor).min(0.9) {
                failure = Some(Failure::Released);
            }
        }
        if let Some((Leak::Growing(part), most)) = plan.leak(self.second, op.service, replica) {
            let beyond = ((part - 0.5) * 2.0).max(0.0);
            now += (most * 1e6 * beyond * beyond * self.whims.around_one(0.8)) as i64;
        }
        for step in &op.steps {
            now = self.work(span, now, share, op.cpu);
            if failure.is_some() {
                break;
            }
            let ended = self.step(step, home, now, me);
            now = ended.0;
            failure = ended.1;
        }
        now = self.work(span, now, share, op.cpu);
        self.close(span, now, failure)
    }

    fn step(&mut self, step: &Step, home: (usize, usize), at: i64, me: u64) -> Ended {
        match step {
            Step::Calls(calls) => {
                let mut all = (at, None);
                for (number, call) in calls.iter().enumerate() {
                    let ended = self.call(call, home, at + 20_000 * number as i64, me);
                    all = (all.0.max(ended.0), all.1.or(ended.1));
                }
                all
            }
            Step::Query(statement) => self.queries(*statement, home, at, me),
            Step::Outside(outside) => self.outside(*outside, home, at, me),
            Step::Publish(queue) => self.publish(*queue, home, at, me),
        }
    }

    fn network(&mut self) -> i64 {
        self.dice.log_normal(160_000.0, 0.35) as i64
    }

    fn call(&mut self, call: &Call, home: (usize, usize), at: i64, me: u64) -> Ended {
        if call.chance < 1.0 && self.dice.unit() >= call.chance {
            return (at, None);
        }
        let service = self.plan.system.operations[call.operation].service;
        let replica = self.pick(service);
        let span = self.open(What::Ask(call.operation), home, at, me);
        let own = |ended: Ended| {
            if call.optional { (ended.0, None) } else { (ended.0, ended.1.map(|_| Failure::Below)) }
        };
        let leak = self.plan.leak(self.second, service, replica);
        if leak.is_some_and(|l| l.0 == Leak::Refusing) {
            return own(self.close(span, at + 1_000_000, Some(Failure::Refused)));
        }
        let edge = Spot::Edge(home.0, service);
        let (mut out, mut back) = (self.network(), self.network());
        if let Some(ms) = self.plan.strength(self.second, Incident::NetworkDelay, edge) {
            out += (ms * 0.5e6 * self.whims.around_one(0.3)) as i64;
            back += (ms * 0.5e6 * self.whims.around_one(0.3)) as i64;
        }
        let id = self.out.spans[span].id;
        let ended = self.answer(call.operation, replica, at + out, id);
        own(self.close(span, ended.0 + back, ended.1.map(|_| Failure::Below)))
    }

    fn queries(&mut self, statement: usize, home: (usize, usize), at: i64, me: u64) -> Ended {
        let mut ended = self.query(statement, home, at, me);
        let select = self.plan.system.statements[statement].verb == "SELECT";
        let carried = self.carried(home.0, home.1, Incident::NPlusOne).filter(|_| select);
        for _ in 0..carried.map_or(0, |factor| (12.0 * factor) as u32) {
            if ended.1.is_some() {
                break;
            }
            ended = self.query(statement, home, ended.0 + 50_000, me);
        }
        ended
    }

    fn query(&mut self, statement: usize, home: (usize, usize), at: i64, me: u64) -> Ended {
        let plan = self.plan;
        let facts = &plan.system.statements[statement];
        let of = |kind, spot| plan.strength(self.second, kind, spot);
        let pooled = plan.system.services[home.0].pool == Some(facts.store);
        let wait = of(Incident::PoolExhaustion, Spot::Service(home.0)).filter(|_| pooled);
        let scan = of(Incident::SlowSql, Spot::Statement(statement));
        let lock = of(Incident::Lock, Spot::Statement(statement));
        let down = of(Incident::DependencyErrors, Spot::Store(facts.store));
        let full = of(Incident::DiskFull, Spot::Store(facts.store))
            .filter(|_| facts.writes && plan.filled(self.second, facts.store) >= 1.0);
        let waited = wait.map_or(0.0, |ms| ms * 1e6 * self.whims.around_one(0.8)) as i64;
        let gives_up = wait.is_some() && self.whims.unit() < 0.02;
        if gives_up {
            return (at + 2_500_000_000, Some(Failure::NoConnection));
        }
        let span = self.open(What::Query(statement), home, at + waited, me);
        let store = &plan.system.stores[facts.store];
        let mut ns = self.dice.log_normal(facts.median_us * 1000.0, 0.4) * self.hosts[store.host];
        if let Some(factor) = scan {
            ns *= factor * self.whims.around_one(0.33);
        }
        let locked = match lock {
            Some(ms) if self.whims.unit() < 0.6 => (ms * 1e6 * self.whims.around_one(0.9)) as i64,
            _ => 0,
        };
        let mut to = at + waited + 180_000 + ns as i64 + locked;
        if down.is_some_and(|share| self.whims.unit() < share) {
            let failure = Some(Failure::StoreDown);
            to = at + waited + if store.engine == Engine::Redis { 2_000_000 } else { 8_000_000 };
            return self.close(span, to, failure);
        }
        self.out.spans[span].waited_ns = waited;
        self.out.spans[span].locked_ns = locked;
        to = plan.through_pauses(home.0, home.1, at + waited, to);
        let refused = full.is_some_and(|share| self.whims.unit() < share);
        self.close(span, to, refused.then_some(Failure::NoSpace))
    }

    fn outside(&mut self, outside: usize, home: (usize, usize), at: i64, me: u64) -> Ended {
        let down =
            self.plan.strength(self.second, Incident::DependencyErrors, Spot::Outside(outside));
        let mut now = at;
        for attempt in 0..2 {
            let span = self.open(What::Outside(outside), home, now, me);
            let took = self.dice.log_normal(70e6, 0.3) as i64;
            let fails = down.is_some_and(|share| self.whims.unit() < share);
            let (to, failure) = match fails {
                true if self.whims.unit() < 0.4 => (now + 1_500_000_000, Some(Failure::Timeout)),
                true => (now + 30_000_000, Some(Failure::Unavailable)),
                false => (now + took, None),
            };
            let to = self.plan.through_pauses(home.0, home.1, now, to);
            let ended = self.close(span, to, failure);
            if failure.is_none() || attempt == 1 {
                return ended;
            }
            now = to + 60_000_000;
        }
        (now, None)
    }

    fn publish(&mut self, queue: usize, home: (usize, usize), at: i64, me: u64) -> Ended {
        let span = self.open(What::Publish(queue), home, at, me);
        let took = self.dice.log_normal(1_500_000.0, 0.4) as i64;
        let ended = self.close(span, at + took, None);
        let reader = self.plan.system.queues[queue].reader;
        let replica = self.pick(self.plan.system.operations[reader].service);
        let lag = self.dice.log_normal(15e6, 0.5) as i64;
        let id = self.out.spans[span].id;
        self.answer(reader, replica, ended.0 + lag, id);
        ended
    }
}

/// Whether the operation reads a queue.
pub(super) fn reads(plan: &Plan, operation: usize) -> bool {
    plan.system.operations[operation].protocol == Protocol::Consumer
}
