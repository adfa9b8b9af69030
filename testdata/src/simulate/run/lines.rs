//! Log records.

use super::super::{Home, LogRecord, SpanRecord};
use super::{Caller, Run};
use crate::catalogue::graph::{Op, Proto};
use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::services::{Instance, Svc};
use crate::dice::mix;
use crate::plan::spot::Harmless;

impl Run<'_> {
    /// Logs what an operation logs.
    pub(super) fn write_lines(
        &mut self,
        span: usize,
        op: &Op,
        mishap: Option<Mishap>,
        origin: bool,
    ) {
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
        let novel = Harmless::LogPattern(op.service);
        if op.proto != Proto::Internal
            && self.pace.moment.shifts().any(|what| what == novel)
            && self.whims.unit() < 0.3
        {
            self.fault_line(span, Line::FlagEvaluated, home, start_ns);
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

    pub(super) fn line(&mut self, span: usize, line: Line, home: Home, time_ns: i64) {
        // With streams of their own, requests that log more stay comparable with those that log less.
        let own = self.world.config.own_streams;
        let draws = if own { self.whims.word() } else { self.dice.word() };
        self.window.logs.push(LogRecord { line, span: span as u32, home, time_ns, draws });
    }

    /// Logs in the span with this id, which is among the latest.
    pub(super) fn line_of(&mut self, caller: Caller, line: Line, home: Home, time_ns: i64) {
        let found = self.window.spans.iter().rposition(|s| s.id == caller.span);
        if let Some(span) = found {
            self.line(span, line, home, time_ns);
        }
    }

    /// Logs what only a fault or a change makes happen.
    pub(super) fn fault_line(&mut self, span: usize, line: Line, home: Home, time_ns: i64) {
        let draws = self.whims.word();
        self.window.logs.push(LogRecord { line, span: span as u32, home, time_ns, draws });
    }

    /// Logs what belongs to no request: processes killed and processes started.
    pub(in crate::simulate) fn announce(&mut self, second: i64) {
        // A record borrows its texts from a span of the same second.
        let Some(span) = self.window.spans.len().checked_sub(1) else { return };
        if !self.world.config.optional_metrics {
            return;
        }
        for instance in Instance::all() {
            let home = self.pace.home(instance);
            let draws = mix(self.world.config.seed, second as u64 ^ u64::from(instance.0) << 48);
            let begins = self.world.plan.lives(instance).iter().any(|life| life.from == second);
            let events = [
                (Line::OutOfMemory, self.world.plan.killed(instance, second)),
                (Line::Started, begins),
            ];
            for (line, _) in events.into_iter().filter(|event| event.1) {
                let time_ns = second * 1_000_000_000 + (draws % 900_000_000) as i64;
                self.window.logs.push(LogRecord { line, span: span as u32, home, time_ns, draws });
            }
        }
    }
}
