//! Walks the call graph for one user request.

mod lines;
mod messages;
mod stores;

use super::{Home, Pace, Shape, SpanRecord, TraceRecord, Window};
use crate::catalogue::graph::{Call, Op, Proto, Step, What};
use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::OpId;
use crate::catalogue::services::{Instance, Language, REPLICAS, SKEWED_HOST, Svc};
use crate::config::Incident;
use crate::dice::{Dice, Whims};
use crate::plan::spot::Spot;
use crate::plan::{Leak, PAUSE_PERIOD_NS};
use crate::world::World;

/// A caller learns after this long that nothing listens at the callee's address, nanoseconds.
const REFUSED_NS: i64 = 1_000_000;
/// Least retransmission timeout of TCP in Linux, nanoseconds.
const RETRANSMISSION_NS: i64 = 200_000_000;
/// Part of the calls over a delayed edge that lose a packet.
pub(crate) const LOSSES: f64 = 0.02;

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    at: i64,
    mishap: Option<Mishap>,
}

/// The state of the walk.
pub(super) struct Run<'a> {
    pub(super) world: &'a World,
    pub(super) pace: &'a Pace,
    pub(super) dice: Dice,
    pub(super) whims: Whims,
    pub(super) window: &'a mut Window,
    pub(super) trace: u32,
}

/// The caller of an operation.
#[derive(Clone, Copy)]
struct Caller {
    span: u64,
    peer: Instance,
}

impl Run<'_> {
    /// One user request that reaches the gateway at `at`.
    pub(super) fn request(&mut self, entry: OpId, at: i64) {
        let first = self.window.spans.len();
        self.begin_trace();
        let home = self.pick(entry.facts().service);
        self.answer(entry, home, at, Caller { span: 0, peer: home.instance });
        if self.dice.chance(self.world.config.orphans_ppm) {
            self.lose_one(first);
        }
    }

    fn begin_trace(&mut self) {
        let (high, low) = (self.dice.word() | 1, self.dice.word());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        self.trace = self.window.traces.len() as u32;
        self.whims = Whims::new(low);
        let draws = self.dice.word();
        self.window.traces.push(TraceRecord { id, draws });
    }

    /// Marks one span between root and leaf as lost.
    fn lose_one(&mut self, first: usize) {
        let count = self.window.spans.len() - first;
        let pick = first + self.dice.below(count as u32) as usize;
        let has_parent = self.window.spans[pick].parent != 0;
        let id = self.window.spans[pick].id;
        let has_child = self.window.spans[first..].iter().any(|s| s.parent == id);
        if has_parent && has_child {
            self.window.spans[pick].lost = true;
        }
    }

    fn pick(&mut self, service: Svc) -> Home {
        let replica = self.dice.below(REPLICAS as u32) as usize;
        let turns = (replica..replica + REPLICAS).map(|r| service.instance(r % REPLICAS));
        let absent = &self.pace.moment.absent;
        let there = turns.into_iter().find(|instance| !absent[instance.index()]);
        self.pace.home(there.unwrap_or(service.instance(replica)))
    }

    /// Whether the instance was killed and callers do not know yet.
    fn refuses(&self, instance: Instance) -> bool {
        self.pace.moment.leak[instance.index()] == Some(Leak::Refusing)
    }

    fn open(&mut self, shape: Shape, home: Home, at: i64, caller: Caller) -> usize {
        let draws = self.dice.word();
        let id = self.dice.word() | 1;
        self.window.spans.push(SpanRecord {
            trace: self.trace,
            id,
            parent: caller.span,
            shape,
            home,
            peer: caller.peer,
            start_ns: at,
            end_ns: at,
            status: 200,
            mishap: None,
            origin: false,
            cpu_ns: 0,
            draws,
            link: 0,
            lost: false,
        });
        self.window.spans.len() - 1
    }

    fn close(&mut self, span: usize, end: i64, mishap: Option<Mishap>, origin: bool) {
        let record = &mut self.window.spans[span];
        // The host's clock stamps both ends.
        if record.home.instance.host() == SKEWED_HOST {
            record.start_ns += self.world.config.clock_skew_ns;
            record.end_ns = end + self.world.config.clock_skew_ns;
        } else {
            record.end_ns = end;
        }
        record.mishap = mishap;
        record.origin = origin;
        if let Some(mishap) = mishap {
            record.status = mishap.facts().status;
        }
    }

    /// Works for `ns` of idle-host time; returns when that is done.
    fn work(&mut self, span: usize, op: &Op, at: i64, ns: f64) -> i64 {
        let home = self.window.spans[span].home;
        self.window.spans[span].cpu_ns += (ns * f64::from(op.cpu_percent) / 100.0) as i64;
        let wall = (ns * self.pace.of(home.instance)) as i64;
        self.through_pauses(home.instance, at, at + wall)
    }

    /// Extends work over `[from, to)` by the pauses of its JVM.
    fn through_pauses(&self, instance: Instance, from: i64, mut to: i64) -> i64 {
        if instance.service().language != Language::Java {
            return to;
        }
        let mut period = from.div_euclid(PAUSE_PERIOD_NS);
        while period * PAUSE_PERIOD_NS < to {
            if let Some(pause) = self.world.plan.pause(instance, period)
                && pause.from_ns < to
                && pause.to_ns > from
            {
                to += pause.to_ns - pause.from_ns.max(from);
            }
            period += 1;
        }
        to
    }

    /// An operation runs in `home` from `at` on.
    fn answer(&mut self, id: OpId, home: Home, at: i64, caller: Caller) -> Ended {
        let op = id.facts();
        let span = self.open(Shape::Answer(id), home, at, caller);
        let me = Caller { span: self.window.spans[span].id, peer: home.instance };
        let bad = self.pace.moment.carries(home.instance, Incident::BadDeploy);
        let steps = op.steps.len();
        let total = self.dice.log_normal(op.work_us * 1000.0, op.sigma);
        let share = total / (steps + 1) as f64;
        let fails = self.mishap_of(op, bad);
        let fails_after = self.dice.below(steps as u32 + 1) as usize;
        let mut now = at + self.held_up(id, home.instance, bad);
        let mut mishap = None;
        for (number, step) in op.steps.iter().enumerate() {
            now = self.work(span, op, now, share);
            if fails.is_some() && fails_after == number {
                break;
            }
            let ended = self.step(id, step, home, now, me);
            now = ended.at;
            mishap = ended.mishap;
            if mishap.is_some() {
                break;
            }
        }
        now = self.work(span, op, now, share);
        let origin = mishap.is_none() && fails.is_some();
        if origin {
            mishap = fails;
        }
        self.close(span, now, mishap, origin);
        self.write_lines(span, op, mishap, origin);
        Ended { at: now, mishap }
    }

    /// Time that passes before an operation begins to work, without use of the CPU, nanoseconds.
    fn held_up(&mut self, id: OpId, instance: Instance, bad: Option<f64>) -> i64 {
        let mut ns = 0.0;
        if id.facts().proto != Proto::Internal {
            if let Some(factor) = bad {
                // The bad version waits for a lock of its own.
                ns += self.whims.log_normal(70e6 * factor, 0.5);
            }
            let stall = self.pace.stall[instance.index()];
            if stall > 0.0 {
                ns += stall * self.whims.around_one(0.8);
            }
        }
        if let Some(ms) = self.pace.moment.slow_page(id) {
            ns += ms * 1e6 * self.whims.around_one(0.5);
        }
        ns as i64
    }

    fn mishap_of(&mut self, op: &Op, bad: Option<f64>) -> Option<Mishap> {
        let fails = bad.is_some_and(|factor| self.whims.unit() < (0.3 * factor).min(0.9));
        if fails {
            return Some(Mishap::NullValue);
        }
        let (mishap, ppm) = op.mishap?;
        self.dice.chance(ppm).then_some(mishap)
    }

    fn step(&mut self, id: OpId, step: &Step, home: Home, at: i64, me: Caller) -> Ended {
        match step {
            Step::Then(call) => self.call(id, call, home, at, me),
            Step::Together(calls) => {
                let mut all = Ended { at, mishap: None };
                for (number, call) in calls.iter().enumerate() {
                    // The requests leave one after another.
                    let ended = self.call(id, call, home, at + 30_000 * number as i64, me);
                    all.at = all.at.max(ended.at);
                    all.mishap = all.mishap.or(ended.mishap);
                }
                all
            }
        }
    }

    fn call(&mut self, id: OpId, call: &Call, home: Home, at: i64, me: Caller) -> Ended {
        if call.ppm < 1_000_000 && !self.dice.chance(call.ppm) {
            return Ended { at, mishap: None };
        }
        let ended = match call.what {
            What::Ask(op) => self.ask(op, home, at, me),
            What::Forward(op) => {
                let net = self.network();
                let there = self.pick(op.facts().service);
                if self.refuses(there.instance) {
                    return Ended { at: at + REFUSED_NS, mishap: Some(Mishap::Refused) };
                }
                let ended = self.answer(op, there, at + net, me);
                Ended { at: ended.at + net, ..ended }
            }
            What::Local(op) => self.answer(op, home, at, me),
            What::Query(stmt) => self.queries(id, stmt, home, at, me),
            What::Charge => self.charge(home, at, me),
            What::Publish => self.publish(home, at, me),
        };
        if let Some(mishap) = ended.mishap.filter(|_| call.optional) {
            if mishap.is_callers() {
                // An anonymous visitor or a product without an offer: nothing to report.
                return Ended { at: ended.at, mishap: None };
            }
            let page = home.instance.service().svc == Svc::WebFrontend;
            let line = if page { Line::FragmentMissing } else { Line::Fallback };
            self.line_of(me, line, home, ended.at);
            return Ended { at: ended.at, mishap: None };
        }
        // A caller's mistake passes through unchanged, and so does what went wrong here; a server's
        // failure becomes ours.
        let here = matches!(call.what, What::Query(_));
        let mishap = ended.mishap.map(|m| match m {
            _ if m.is_callers() => m,
            Mishap::NoConnection if here => m,
            _ => Mishap::Upstream,
        });
        Ended { at: ended.at, mishap }
    }

    /// One way through the network and both socket queues, nanoseconds.
    fn network(&mut self) -> i64 {
        self.dice.log_normal(140_000.0, 0.35) as i64
    }

    fn ask(&mut self, op: OpId, home: Home, at: i64, me: Caller) -> Ended {
        let there = self.pick(op.facts().service);
        let caller = Caller { span: me.span, peer: there.instance };
        let client = self.open(Shape::Ask(op), home, at, caller);
        if self.refuses(there.instance) {
            let end = at + REFUSED_NS;
            self.close(client, end, Some(Mishap::Refused), true);
            return Ended { at: end, mishap: Some(Mishap::Refused) };
        }
        let (further, back) = self.delay(home.instance, there.instance);
        let out = self.network() + further;
        let from = Caller { span: self.window.spans[client].id, peer: home.instance };
        let ended = self.answer(op, there, at + out, from);
        let end = ended.at + self.network() + back;
        self.close(client, end, ended.mishap, false);
        Ended { at: end, mishap: ended.mishap }
    }

    /// What a faulty network adds to a call, there and back, nanoseconds.
    fn delay(&mut self, caller: Instance, callee: Instance) -> (i64, i64) {
        let edge = Spot::Edge(caller.service().svc, callee.service().svc);
        let Some(ms) = self.pace.moment.strength(Incident::NetworkDelay, edge) else {
            return (0, 0);
        };
        let mut half = || (ms * 0.5e6 * self.whims.around_one(0.3)) as i64;
        let (out, back) = (half(), half());
        let lost = self.whims.unit() < LOSSES;
        (out + if lost { RETRANSMISSION_NS } else { 0 }, back)
    }
}
