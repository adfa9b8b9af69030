//! Walks the call graph for one user request.

use super::{Home, LogRecord, Pace, Shape, SpanRecord, TraceRecord, Window};
use crate::catalogue::graph::{Call, Op, Proto, Step, What};
use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::OpId;
use crate::catalogue::services::{Instance, Language, REPLICAS, SKEWED_HOST, Svc};
use crate::catalogue::statements::{Stmt, Store};
use crate::dice::Dice;
use crate::plan::PAUSE_PERIOD_NS;
use crate::world::World;

/// Threshold of the database's slow-statement log, nanoseconds.
const SLOW_STATEMENT_NS: i64 = 150_000_000;
/// A required connection answers or the caller gives up after this long, nanoseconds.
const PROVIDER_TIMEOUT_NS: i64 = 2_000_000_000;

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
        self.pace.home(service.instance(replica))
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
        let wall = (ns * self.pace.host[home.instance.host()]) as i64;
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
        let bad = self.pace.moment.bad_cart(home.instance);
        let steps = op.steps.len();
        let total = self.dice.log_normal(op.work_us * 1000.0, op.sigma);
        let share = total / (steps + 1) as f64;
        let fails = self.mishap_of(op, bad);
        let fails_after = self.dice.below(steps as u32 + 1) as usize;
        let mut now = at;
        if bad {
            // The bad version waits for a lock: time passes, the CPU does not notice.
            now += self.dice.log_normal(70e6, 0.5) as i64;
        }
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

    fn mishap_of(&mut self, op: &Op, bad: bool) -> Option<Mishap> {
        if bad && self.dice.chance(300_000) {
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
        // A caller's mistake passes through unchanged; a server's failure becomes ours.
        let mishap = ended.mishap.map(|m| if m.is_callers() { m } else { Mishap::Upstream });
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
        let out = self.network();
        let from = Caller { span: self.window.spans[client].id, peer: home.instance };
        let ended = self.answer(op, there, at + out, from);
        let end = ended.at + self.network();
        self.close(client, end, ended.mishap, false);
        Ended { at: end, mishap: ended.mishap }
    }

    /// A statement; the catalog's bad version follows a list with one query per product.
    fn queries(&mut self, id: OpId, stmt: Stmt, home: Home, at: i64, me: Caller) -> Ended {
        let mut ended = self.query(stmt, home, at, me);
        let lists = matches!(id, OpId::CatalogFeatured | OpId::CatalogBatch);
        if lists && ended.mishap.is_none() && self.pace.moment.n_plus_one(home.instance) {
            let products = if id == OpId::CatalogFeatured { 24 } else { 12 };
            for _ in 0..products {
                ended = self.query(Stmt::ProductById, home, ended.at + 60_000, me);
            }
        }
        ended
    }

    fn query(&mut self, stmt: Stmt, home: Home, at: i64, me: Caller) -> Ended {
        let facts = stmt.facts();
        let caller = Caller { span: me.span, peer: home.instance };
        let span = self.open(Shape::Query(stmt), home, at, caller);
        let mut ns = self.dice.log_normal(facts.median_us * 1000.0, facts.sigma);
        let store_host = self.pace.host[facts.store.facts().host];
        ns *= store_host;
        if self.pace.moment.slow_sql && facts.store == Store::Orders {
            // The lost index makes one statement read the whole table; the others wait a little for
            // the same disks and locks.
            ns *= if stmt == Stmt::OrderHistory { 20.0 + 20.0 * self.dice.unit() } else { 1.15 };
        }
        let end = self.through_pauses(home.instance, at, at + 200_000 + ns as i64);
        self.close(span, end, None, false);
        if facts.store == Store::Orders && end - at > SLOW_STATEMENT_NS {
            self.line(span, Line::SlowStatement, home, end);
        }
        Ended { at: end, mishap: None }
    }

    /// Charges the card: up to two retries with growing delay.
    fn charge(&mut self, home: Home, at: i64, me: Caller) -> Ended {
        let mut now = at;
        for attempt in 1..=3u8 {
            let caller = Caller { span: me.span, peer: home.instance };
            let span = self.open(Shape::Charge(attempt), home, now, caller);
            let failing = if self.pace.moment.provider_down { 800_000 } else { 6_000 };
            let mishap = if !self.dice.chance(failing) {
                None
            } else if self.dice.chance(400_000) {
                Some(Mishap::Timeout)
            } else {
                Some(Mishap::Unavailable)
            };
            let took = match mishap {
                Some(Mishap::Timeout) => PROVIDER_TIMEOUT_NS,
                Some(_) => self.dice.log_normal(35e6, 0.4) as i64,
                None => self.dice.log_normal(110e6, 0.35) as i64,
            };
            now = self.through_pauses(home.instance, now, now + took);
            self.close(span, now, mishap, mishap.is_some());
            if mishap.is_none() || attempt == 3 {
                return Ended { at: now, mishap };
            }
            self.line(span, Line::PaymentRetry, home, now);
            now += 50_000_000 << attempt;
        }
        Ended { at: now, mishap: None }
    }

    /// Sends the order event; shipping reads it as part of this trace, notification in a trace of
    /// its own that links back.
    fn publish(&mut self, home: Home, at: i64, me: Caller) -> Ended {
        let caller = Caller { span: me.span, peer: home.instance };
        let span = self.open(Shape::Publish, home, at, caller);
        let took = self.dice.log_normal(1_600_000.0, 0.5) as i64;
        let end = self.through_pauses(home.instance, at, at + took);
        self.close(span, end, None, false);
        let producer = self.window.spans[span].id;
        let trace = self.trace;
        self.window.links.push((self.window.traces[trace as usize].id, producer));
        let link = self.window.links.len() as u32;

        let shipping = self.pick(Svc::Shipping);
        let lag = self.dice.log_normal(18e6, 0.6) as i64;
        let caller = Caller { span: producer, peer: home.instance };
        self.consume(OpId::ShipmentPlan, shipping, end + lag, caller, link);

        let draws = self.window.traces[trace as usize].draws;
        self.begin_trace();
        // The message carries the order, so the lines speak of the same one.
        self.window.traces[self.trace as usize].draws = draws;
        let notification = self.pick(Svc::Notification);
        let lag = self.dice.log_normal(25e6, 0.6) as i64;
        let caller = Caller { span: 0, peer: home.instance };
        self.consume(OpId::Notify, notification, end + lag, caller, link);
        self.trace = trace;
        Ended { at: end, mishap: None }
    }

    fn consume(&mut self, op: OpId, home: Home, at: i64, caller: Caller, link: u32) {
        let span = self.window.spans.len();
        self.answer(op, home, at, caller);
        self.window.spans[span].link = link;
    }

    /// Logs what an operation logs.
    fn write_lines(&mut self, span: usize, op: &Op, mishap: Option<Mishap>, origin: bool) {
        let SpanRecord { home, start_ns, end_ns, .. } = self.window.spans[span];
        for (line, percent) in op.lines {
            // What a failed operation would have logged at its end does not happen.
            if self.dice.chance(percent * 10_000) && mishap.is_none() {
                let offset = self.dice.unit() * (end_ns - start_ns) as f64;
                self.line(span, *line, home, start_ns + offset as i64);
            }
        }
        if op.service == Svc::EdgeGateway {
            self.line(span, Line::Access, home, end_ns);
        }
        let Some(mishap) = mishap else { return };
        let refused = match mishap {
            Mishap::BadCredentials => Some(Line::LoginRefused),
            Mishap::Declined => Some(Line::PaymentDeclined),
            Mishap::NotFound if op.service == Svc::Catalog => Some(Line::ProductGone),
            _ => None,
        };
        match refused {
            Some(line) if origin => self.line(span, line, home, end_ns),
            None if origin && !mishap.is_callers() => self.line(span, Line::Failed, home, end_ns),
            None if !mishap.is_callers() && op.proto != Proto::Internal => {
                self.line(span, Line::Gave, home, end_ns);
            }
            _ => {}
        }
    }

    fn line(&mut self, span: usize, line: Line, home: Home, time_ns: i64) {
        let draws = self.dice.word();
        self.window.logs.push(LogRecord { line, span: span as u32, home, time_ns, draws });
    }

    /// Logs in the span with this id, which is among the latest.
    fn line_of(&mut self, caller: Caller, line: Line, home: Home, time_ns: i64) {
        let found = self.window.spans.iter().rposition(|s| s.id == caller.span);
        if let Some(span) = found {
            self.line(span, line, home, time_ns);
        }
    }
}
