//! Messages: the order event and what its readers do.

use super::super::{BROKER_PLACE, Home, Shape};
use super::{Caller, Ended, Run};
use crate::catalogue::log_lines::Line;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::ops::OpId;
use crate::catalogue::services::Svc;

impl Run<'_> {
    /// Sends the order event; shipping reads it as part of this trace, notification in a trace of
    /// its own that links back.
    pub(super) fn publish(&mut self, home: Home, at: i64, me: Caller) -> Ended {
        let caller = Caller { span: me.span, peer: home.instance };
        let span = self.open(Shape::Publish, home, at, caller);
        let took = self.dice.log_normal(1_600_000.0, 0.5) as i64;
        let end = self.through_pauses(home.instance, at, at + took);
        if let Some(share) = self.pace.full[BROKER_PLACE]
            && self.whims.unit() < share
        {
            self.close(span, end, Some(Mishap::BrokerDisk), true);
            self.fault_line(span, Line::BrokerDiskFull, home, end);
            return Ended { at: end, mishap: Some(Mishap::BrokerDisk) };
        }
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
}
