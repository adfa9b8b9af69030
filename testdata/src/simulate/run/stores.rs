//! Calls that leave the shop's services: statements, cache commands, and the payment provider.

use super::super::{Awaited, Home, Shape, WaitRecord};
use super::{Caller, Ended, Run};
use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::OpId;
use crate::catalogue::statements::{Stmt, Store};
use crate::config::Incident;
use crate::plan::spot::{LISTS, Spot};

/// Threshold of the database's slow-statement log, nanoseconds.
const SLOW_STATEMENT_NS: i64 = 150_000_000;
/// A required connection answers or the caller gives up after this long, nanoseconds.
const PROVIDER_TIMEOUT_NS: i64 = 2_000_000_000;
/// How long a service waits for a connection of its pool, nanoseconds.
const POOL_TIMEOUT_NS: i64 = 2_500_000_000;
/// Part of the borrowings of an exhausted pool that time out.
const POOL_TIMEOUTS: f64 = 0.02;
/// PostgreSQL logs that a statement waits for a lock after this long (`deadlock_timeout`).
const LOCK_LOG_NS: i64 = 1_000_000_000;
/// Part of the statements that meet a locked row.
const BLOCKED: f64 = 0.6;

impl Run<'_> {
    /// A statement; a version with the n-plus-one fault follows a list with one query per row.
    pub(super) fn queries(
        &mut self,
        id: OpId,
        stmt: Stmt,
        home: Home,
        at: i64,
        me: Caller,
    ) -> Ended {
        let mut ended = self.query(stmt, home, at, me);
        let carried = self.pace.moment.carries(home.instance, Incident::NPlusOne);
        if let Some(factor) = carried.filter(|_| ended.mishap.is_none())
            && let Some(list) = LISTS.iter().find(|list| (list.0, list.1) == (id, stmt))
        {
            for _ in 0..(f64::from(list.3) * factor) as u32 {
                ended = self.query(list.2, home, ended.at + 60_000, me);
                if ended.mishap.is_some() {
                    break;
                }
            }
        }
        ended
    }

    fn query(&mut self, stmt: Stmt, home: Home, at: i64, me: Caller) -> Ended {
        let facts = stmt.facts();
        let at = match self.connection(facts.store, home, at, me) {
            Ok(at) => at,
            Err(ended) => return ended,
        };
        let caller = Caller { span: me.span, peer: home.instance };
        let span = self.open(Shape::Query(stmt), home, at, caller);
        let mut ns = self.dice.log_normal(facts.median_us * 1000.0, facts.sigma);
        ns *= self.pace.host[facts.store.facts().host] * self.pace.moment.drift(stmt);
        ns *= self.scanning(stmt);
        let locked = self.locked(stmt);
        let took = (200_000.0 + ns) as i64 + locked;
        let end = self.through_pauses(home.instance, at, at + took);
        let mishap = self.refusal(stmt);
        self.close(span, end, mishap, mishap.is_some());
        if locked > 0 {
            self.waited(Awaited::Lock, home, facts.store, locked);
        }
        if locked > LOCK_LOG_NS {
            self.fault_line(span, Line::LockWait, home, at + LOCK_LOG_NS);
            self.fault_line(span, Line::LockAcquired, home, end);
        }
        let line = match facts.store {
            Store::Orders => Line::SlowStatement,
            Store::Catalog | Store::Cache => Line::SlowQuery,
        };
        if facts.store != Store::Cache && end - at > SLOW_STATEMENT_NS {
            self.fault_line(span, line, home, end);
        }
        match mishap {
            Some(Mishap::NoSpace) => self.fault_line(span, Line::NoSpace, home, end),
            Some(Mishap::ReadOnlyCache) => self.fault_line(span, Line::CacheDiskFull, home, end),
            _ => {}
        }
        Ended { at: end, mishap }
    }

    /// Takes a connection from the pool: when it has one, or how the operation ends without.
    fn connection(&mut self, store: Store, home: Home, at: i64, me: Caller) -> Result<i64, Ended> {
        let svc = home.instance.service().svc;
        let exhausted = self.pace.moment.strength(Incident::PoolExhaustion, Spot::Service(svc));
        let Some(ms) = exhausted.filter(|_| svc.pool() == Some(store)) else { return Ok(at) };
        if self.whims.unit() < POOL_TIMEOUTS {
            let end = at + POOL_TIMEOUT_NS;
            self.waited(Awaited::NoConnection, home, store, POOL_TIMEOUT_NS);
            self.line_of(me, Line::PoolTimeout, home, end);
            return Err(Ended { at: end, mishap: Some(Mishap::NoConnection) });
        }
        let ns = (ms * 1e6 * self.whims.around_one(0.8)) as i64;
        self.waited(Awaited::Connection, home, store, ns);
        Ok(at + ns)
    }

    fn waited(&mut self, what: Awaited, home: Home, store: Store, ns: i64) {
        self.window.waits.push(WaitRecord { what, instance: home.instance, store, ns });
    }

    /// Factor on the time of a statement by scans: the lost index makes one statement read the whole
    /// table; the others wait a little for the same disks.
    fn scanning(&mut self, stmt: Stmt) -> f64 {
        match self.pace.moment.strength(Incident::SlowSql, Spot::Statement(stmt)) {
            Some(factor) => factor * self.whims.around_one(1.0 / 3.0),
            None if self.pace.moment.scans(stmt.facts().store) => 1.15,
            None => 1.0,
        }
    }

    /// How long the statement waits for locked rows, nanoseconds.
    fn locked(&mut self, stmt: Stmt) -> i64 {
        match self.pace.moment.strength(Incident::Lock, Spot::Statement(stmt)) {
            Some(ms) if self.whims.unit() < BLOCKED => {
                (ms * 1e6 * self.whims.around_one(0.9)) as i64
            }
            _ => 0,
        }
    }

    /// How the store refuses the statement, if it does.
    fn refusal(&mut self, stmt: Stmt) -> Option<Mishap> {
        let store = stmt.facts().store;
        let down = self.pace.moment.strength(Incident::DependencyErrors, Spot::Store(store));
        let full = self.pace.full[store.index()].filter(|_| stmt.writes());
        if down.is_some_and(|share| self.whims.unit() < share) {
            return Some(Mishap::StoreDown);
        }
        let refused = full.is_some_and(|share| self.whims.unit() < share);
        let mishap = if store == Store::Cache { Mishap::ReadOnlyCache } else { Mishap::NoSpace };
        refused.then_some(mishap)
    }

    /// Charges the card: up to two retries with growing delay.
    pub(super) fn charge(&mut self, home: Home, at: i64, me: Caller) -> Ended {
        let mut now = at;
        for attempt in 1..=3u8 {
            let caller = Caller { span: me.span, peer: home.instance };
            let span = self.open(Shape::Charge(attempt), home, now, caller);
            let (mishap, took) = self.provider();
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

    /// What the provider answers, and after how many nanoseconds.
    fn provider(&mut self) -> (Option<Mishap>, i64) {
        let down = self.pace.moment.strength(Incident::DependencyErrors, Spot::Provider);
        if down.is_some_and(|share| self.whims.unit() < share) {
            return if self.whims.unit() < 0.4 {
                (Some(Mishap::Timeout), PROVIDER_TIMEOUT_NS)
            } else {
                (Some(Mishap::Unavailable), self.whims.log_normal(35e6, 0.4) as i64)
            };
        }
        if !self.dice.chance(6_000) {
            (None, self.dice.log_normal(110e6, 0.35) as i64)
        } else if self.dice.chance(400_000) {
            (Some(Mishap::Timeout), PROVIDER_TIMEOUT_NS)
        } else {
            (Some(Mishap::Unavailable), self.dice.log_normal(35e6, 0.4) as i64)
        }
    }
}
