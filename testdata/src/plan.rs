//! The planned incidents as a timeline: what holds at a second, and what really happened.

use crate::catalogue::services::{
    BUSY_HOST, HOST_NAMES, INSTANCES, Instance, Language, REPLICAS, Svc,
};
use crate::config::{Incident, Planned, Truth};
use crate::dice::{mix, unit};

const NANOS: i64 = 1_000_000_000;
/// Version that carries the bad-deploy incident.
pub(crate) const BAD_CART_VERSION: &str = "3.8.0";
/// Version that carries the n-plus-one incident.
pub(crate) const N_PLUS_ONE_VERSION: &str = "2.15.0";

/// A planned incident in whole seconds.
#[derive(Debug, Clone, Copy)]
struct Span {
    incident: Incident,
    from: i64,
    to: i64,
}

/// The timeline of a shop.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    seed: u64,
    spans: Vec<Span>,
}

/// What holds during one second.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) slow_sql: bool,
    pub(crate) busy_host: bool,
    pub(crate) provider_down: bool,
    /// How often each instance has been replaced; odd while it runs an incident's version.
    pub(crate) generation: [u8; INSTANCES],
}

impl Moment {
    /// Whether the instance runs the bad cart version.
    pub(crate) fn bad_cart(&self, instance: Instance) -> bool {
        instance.service().svc == Svc::Cart && self.generation[instance.index()] % 2 == 1
    }

    /// Whether the instance runs the catalog version with one query per product.
    pub(crate) fn n_plus_one(&self, instance: Instance) -> bool {
        instance.service().svc == Svc::Catalog && self.generation[instance.index()] % 2 == 1
    }
}

/// A stop-the-world pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) from_ns: i64,
    pub(crate) to_ns: i64,
    /// Whether it is one of the incident's long pauses.
    pub(crate) full: bool,
}

/// Every JVM has one pause in each period of this many nanoseconds.
pub(crate) const PAUSE_PERIOD_NS: i64 = 5 * NANOS;

impl Plan {
    pub(crate) fn new(seed: u64, planned: &[Planned]) -> Self {
        let mut spans: Vec<Span> = planned
            .iter()
            .map(|p| Span {
                incident: p.incident,
                from: p.from_ns.div_euclid(NANOS),
                to: p.to_ns.div_euclid(NANOS),
            })
            .filter(|s| s.from < s.to)
            .collect();
        spans.sort_by_key(|s| (s.incident, s.from, s.to));
        // Overlapping plans of one kind are one incident.
        spans.dedup_by(|next, kept| {
            let joins = next.incident == kept.incident && next.from <= kept.to;
            if joins {
                kept.to = kept.to.max(next.to);
            }
            joins
        });
        Self { seed, spans }
    }

    fn of(&self, incident: Incident) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |s| s.incident == incident)
    }

    /// Whether the incident is under way at a second.
    pub(crate) fn active(&self, incident: Incident, second: i64) -> bool {
        self.of(incident).any(|s| s.from <= second && second < s.to)
    }

    /// Seconds of the incident before `second`.
    pub(crate) fn elapsed(&self, incident: Incident, second: i64) -> f64 {
        self.of(incident).map(|s| (second.min(s.to) - s.from).max(0) as f64).sum()
    }

    pub(crate) fn moment(&self, second: i64) -> Moment {
        let mut generation = [0; INSTANCES];
        for (incident, svc) in
            [(Incident::BadDeploy, Svc::Cart), (Incident::NPlusOne, Svc::Catalog)]
        {
            for replica in 0..REPLICAS {
                let changes: i64 = self.of(incident).map(|s| changes(s, replica, second)).sum();
                generation[svc.instance(replica).index()] =
                    u8::try_from(changes).unwrap_or(u8::MAX);
            }
        }
        Moment {
            slow_sql: self.active(Incident::SlowSql, second),
            busy_host: self.active(Incident::Cpu, second),
            provider_down: self.active(Incident::DependencyErrors, second),
            generation,
        }
    }

    /// The most often any instance is replaced.
    pub(crate) fn generations(&self) -> u8 {
        let of = |i| u8::try_from(self.of(i).count() * 2).unwrap_or(u8::MAX - 1);
        of(Incident::BadDeploy).max(of(Incident::NPlusOne)).saturating_add(1)
    }

    /// The pause of an instance in the given period (Unix time over [`PAUSE_PERIOD_NS`]); `None`
    /// unless it is a JVM.
    pub(crate) fn pause(&self, instance: Instance, period: i64) -> Option<Pause> {
        if instance.service().language != Language::Java {
            return None;
        }
        let word = mix(mix(self.seed, 0x6c + u64::from(instance.0)), period as u64);
        let start = period * PAUSE_PERIOD_NS;
        let full = instance.service().svc == Svc::Search
            && self.active(Incident::Gc, start.div_euclid(NANOS));
        // Ordinary collections take 6 to 30 ms, the incident's 0.8 to 2.4 s.
        let length = if full { 0.8 + 1.6 * unit(word) } else { 0.006 + 0.024 * unit(word) };
        let length_ns = (length * 1e9) as i64;
        let room = PAUSE_PERIOD_NS - length_ns;
        let from_ns = start + (unit(mix(word, 1)) * room as f64) as i64;
        Some(Pause { from_ns, to_ns: from_ns + length_ns, full })
    }

    /// What really happened.
    pub(crate) fn truths(&self) -> Vec<Truth> {
        let mut truths: Vec<Truth> = self.spans.iter().map(truth).collect();
        truths.sort_by_key(|t| (t.from_ns, t.incident));
        truths
    }
}

/// How often a replica was replaced before `second`: it gets the new version at its turn of the
/// roll-out (each replica an eighth of the incident after the one before) and the old one at the end.
fn changes(span: &Span, replica: usize, second: i64) -> i64 {
    let deploy = span.from + (span.to - span.from) / 8 * replica as i64;
    i64::from(second >= deploy) + i64::from(second >= span.to)
}

fn truth(span: &Span) -> Truth {
    let mut truth = Truth {
        incident: span.incident,
        service: String::new(),
        host: String::new(),
        statement: String::new(),
        version: String::new(),
        peer: String::new(),
        cause: String::new(),
        symptoms: Vec::new(),
        from_ns: span.from * NANOS,
        to_ns: span.to * NANOS,
    };
    let symptoms: &[&str] = match span.incident {
        Incident::SlowSql => {
            truth.service = "orders".into();
            truth.statement = "SELECT orders order_items".into();
            truth.peer = "orders-db.shop.svc".into();
            truth.cause = "statement".into();
            &["GET /orders"]
        }
        Incident::Cpu => {
            truth.host = HOST_NAMES[BUSY_HOST].into();
            truth.cause = "cpu".into();
            &["GET /", "GET /product/{id}", "GET /search", "POST /checkout", "GET /cart"]
        }
        Incident::Gc => {
            truth.service = "search".into();
            truth.cause = "gc".into();
            &["GET /search"]
        }
        Incident::DependencyErrors => {
            truth.service = "payment".into();
            truth.peer = "api.payments.example".into();
            truth.cause = "external".into();
            &["POST /checkout"]
        }
        Incident::NPlusOne => {
            truth.service = "catalog".into();
            truth.statement = "SELECT product".into();
            truth.version = N_PLUS_ONE_VERSION.into();
            truth.cause = "n_plus_one".into();
            &["GET /"]
        }
        Incident::BadDeploy => {
            truth.service = "cart".into();
            truth.version = BAD_CART_VERSION.into();
            truth.cause = "version".into();
            &["POST /cart/items", "GET /cart", "POST /checkout"]
        }
    };
    truth.symptoms = symptoms.iter().map(|s| (*s).to_owned()).collect();
    truth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(incident: Incident, from: i64, to: i64) -> Plan {
        Plan::new(1, &[Planned { incident, from_ns: from * NANOS, to_ns: to * NANOS }])
    }

    #[test]
    fn a_rollout_reaches_one_replica_after_another_and_is_rolled_back() {
        let plan = plan(Incident::BadDeploy, 1000, 1800);
        let bad = |second| -> Vec<bool> {
            let moment = plan.moment(second);
            (0..REPLICAS).map(|r| moment.bad_cart(Svc::Cart.instance(r))).collect()
        };
        assert_eq!(bad(999), [false, false, false]);
        assert_eq!(bad(1000), [true, false, false]);
        assert_eq!(bad(1100), [true, true, false]);
        assert_eq!(bad(1200), [true, true, true]);
        assert_eq!(bad(1800), [false, false, false]);
        assert_eq!(plan.moment(1800).generation[Svc::Cart.instance(0).index()], 2);
        assert_eq!(plan.generations(), 3);
    }

    #[test]
    fn pauses_lie_inside_their_period_and_grow_in_the_incident() {
        let plan = plan(Incident::Gc, 1000, 1100);
        for period in 180..240 {
            let pause = plan.pause(Svc::Search.instance(1), period).unwrap();
            assert!(pause.from_ns >= period * PAUSE_PERIOD_NS);
            assert!(pause.to_ns <= (period + 1) * PAUSE_PERIOD_NS);
            assert_eq!(pause.full, (200..220).contains(&period));
            assert_eq!(pause.full, pause.to_ns - pause.from_ns > NANOS / 2);
            assert!(plan.pause(Svc::Pricing.instance(0), period).is_none());
        }
    }

    #[test]
    fn overlapping_plans_of_one_kind_are_one_incident() {
        let at = |from, to| Planned {
            incident: Incident::Cpu,
            from_ns: from * NANOS,
            to_ns: to * NANOS,
        };
        let plan = Plan::new(1, &[at(20, 40), at(10, 25), at(60, 70), at(80, 80)]);
        assert_eq!(plan.truths().len(), 2);
        assert!((plan.elapsed(Incident::Cpu, 65) - 35.0).abs() < 1e-9);
    }
}
