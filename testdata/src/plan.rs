//! The planned faults as a timeline: what holds at a second, and what really happened.

mod lives;
pub(crate) mod spot;
mod truths;

use crate::catalogue::ops::{ENTRIES, OpId};
use crate::catalogue::services::{INSTANCES, Instance, Language, Svc};
use crate::catalogue::statements::{Stmt, Store};
use crate::config::{Incident, ShopConfig, Truth};
use crate::dice::{mix, unit};
use crate::fault::Fault;

pub(crate) use lives::{Leak, Life, Version};
use spot::{Harmless, Shift, Spot, Trouble};

const NANOS: i64 = 1_000_000_000;
/// Longest time in which a volume fills up, seconds.
const FILLS_WITHIN: i64 = 30;

/// The timeline of a shop.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    seed: u64,
    troubles: Vec<Trouble>,
    shifts: Vec<Shift>,
    lives: Vec<Vec<Life>>,
}

/// What holds during one second.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// Faults under way.
    troubles: Vec<Trouble>,
    /// Harmless changes under way.
    shifts: Vec<Shift>,
    /// The life of each instance, counted from zero.
    pub(crate) generation: [u8; INSTANCES],
    carries: [Option<Trouble>; INSTANCES],
    pub(crate) leak: [Option<Leak>; INSTANCES],
    /// Instances that are not there: not scaled out yet, or starting.
    pub(crate) absent: [bool; INSTANCES],
}

impl Moment {
    /// The strength of the fault at the spot, if it is under way.
    pub(crate) fn strength(&self, incident: Incident, spot: Spot) -> Option<f64> {
        let found = self.troubles.iter().find(|t| t.incident == incident && t.spot == spot);
        found.map(|t| t.strength)
    }

    /// Faults of one kind that are under way.
    pub(crate) fn of(&self, incident: Incident) -> impl Iterator<Item = &Trouble> {
        self.troubles.iter().filter(move |t| t.incident == incident)
    }

    /// The strength of the fault that the version of the instance carries.
    pub(crate) fn carries(&self, instance: Instance, incident: Incident) -> Option<f64> {
        self.carries[instance.index()].filter(|t| t.incident == incident).map(|t| t.strength)
    }

    /// Whether a statement of the store reads far more than it should.
    pub(crate) fn scans(&self, store: Store) -> bool {
        self.of(Incident::SlowSql)
            .any(|t| matches!(t.spot, Spot::Statement(s) if s.facts().store == store))
    }

    /// Whether a fault under way was planned by name alone.
    pub(crate) fn usual(&self, incident: Incident) -> bool {
        self.of(incident).any(|t| t.usual)
    }

    /// Harmless changes under way.
    pub(crate) fn shifts(&self) -> impl Iterator<Item = Harmless> {
        self.shifts.iter().map(|s| s.what)
    }

    /// Harmless factor on a statement's time.
    pub(crate) fn drift(&self, stmt: Stmt) -> f64 {
        let factor = |what| match what {
            Harmless::Statement(s, factor) if s == stmt => factor,
            _ => 1.0,
        };
        self.shifts().map(factor).product()
    }

    /// Milliseconds that a seldom asked page takes longer.
    pub(crate) fn slow_page(&self, op: OpId) -> Option<f64> {
        self.shifts().find_map(|what| match what {
            Harmless::SlowEntry(page, ms) if page == op => Some(ms),
            _ => None,
        })
    }

    /// Arrivals of each entry operation relative to the usual rate, in the order of [`ENTRIES`],
    /// with or without surges.
    pub(crate) fn arrivals(&self, surges: bool) -> [f64; ENTRIES.len()] {
        let mut factors = [1.0; ENTRIES.len()];
        for surge in self.of(Incident::TrafficSurge).filter(|_| surges) {
            for (factor, more) in factors.iter_mut().zip(surge.arrivals()) {
                *factor *= more;
            }
        }
        for what in self.shifts() {
            if let Harmless::Traffic(change) = what {
                factors.iter_mut().for_each(|factor| *factor *= change);
            }
        }
        factors
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
/// Longest pause of a fault, seconds.
const LONGEST_PAUSE: f64 = 4.4;

impl Plan {
    pub(crate) fn new(config: &ShopConfig) -> Self {
        let named = config.incidents.iter().map(Fault::from);
        let mut troubles: Vec<Trouble> = named
            .map(|fault| Trouble::new(&fault))
            .chain(config.faults.iter().map(Trouble::new))
            .filter(|t| t.from < t.to)
            .collect();
        let kind = |t: &Trouble| (t.incident, t.spot, t.strength.to_bits(), t.usual);
        troubles.sort_by_key(|t| (kind(t), t.from, t.to));
        // Overlapping plans of one kind at one place are one incident.
        troubles.dedup_by(|next, kept| {
            let joins = kind(next) == kind(kept) && next.from <= kept.to;
            if joins {
                kept.to = kept.to.max(next.to);
            }
            joins
        });
        let shifts: Vec<Shift> = config.coincidences.iter().filter_map(Shift::new).collect();
        let lives = Instance::all().map(|i| lives::lives(i, &troubles, &shifts)).collect();
        Self { seed: config.seed, troubles, shifts, lives }
    }

    /// Whether anything is planned whose signals are optional metrics.
    pub(crate) fn needs_optional_metrics(&self) -> bool {
        !self.shifts.is_empty()
            || self.troubles.iter().any(|t| !t.usual || t.incident >= Incident::Lock)
    }

    /// Every planned surge.
    pub(crate) fn surges(&self) -> impl Iterator<Item = &Trouble> {
        self.troubles.iter().filter(|t| t.incident == Incident::TrafficSurge)
    }

    /// Seconds of the faults that fit, before `second`.
    pub(crate) fn elapsed(&self, second: i64, fits: impl Fn(&Trouble) -> bool) -> f64 {
        let faults = self.troubles.iter().filter(|t| fits(t));
        faults.map(|t| (second.min(t.to) - t.from).max(0) as f64).sum()
    }

    /// Seconds before `second` in which a statement of the store read far more than it should.
    pub(crate) fn scanned(&self, store: Store, second: i64) -> f64 {
        self.elapsed(second, |t| {
            t.incident == Incident::SlowSql
                && matches!(t.spot, Spot::Statement(s) if s.facts().store == store)
        })
    }

    /// Seconds of usual traffic by which faults and changes have moved the arrivals before `second`,
    /// `share` being the part of the arrivals that each entry operation usually has.
    pub(crate) fn moved(&self, second: i64, share: &[f64; ENTRIES.len()]) -> f64 {
        let mut cuts: Vec<i64> = Vec::new();
        cuts.extend(self.surges().flat_map(|t| [t.from, t.to]));
        let drifts = self.shifts.iter().filter(|s| matches!(s.what, Harmless::Traffic(_)));
        cuts.extend(drifts.flat_map(|s| [s.from, s.to]));
        cuts.retain(|cut| *cut < second);
        cuts.push(second);
        cuts.sort_unstable();
        let part = |from: i64, to: i64| {
            let factors = self.moment(from).arrivals(true);
            let factor: f64 = factors.iter().zip(share).map(|(f, s)| f * s).sum();
            (factor - 1.0) * (to - from) as f64
        };
        cuts.windows(2).map(|cut| part(cut[0], cut[1])).sum()
    }

    pub(crate) fn moment(&self, second: i64) -> Moment {
        let troubles: Vec<Trouble> =
            self.troubles.iter().filter(|t| t.active(second)).copied().collect();
        let shifts = self.shifts.iter().filter(|s| s.active(second)).copied().collect();
        let mut moment = Moment {
            troubles,
            shifts,
            generation: [0; INSTANCES],
            carries: [None; INSTANCES],
            leak: [None; INSTANCES],
            absent: [false; INSTANCES],
        };
        for instance in Instance::all() {
            let at = instance.index();
            let life = self.lives[at].iter().rposition(|life| life.from <= second).unwrap_or(0);
            moment.generation[at] = u8::try_from(life).unwrap_or(u8::MAX);
            moment.carries[at] = self.lives[at][life].carries;
            moment.leak[at] = moment.troubles.iter().find_map(|t| lives::leak(t, instance, second));
            let svc = instance.service().svc;
            let scaled = |s: &Shift| s.what == Harmless::ScaleOut(svc) && second < s.from;
            moment.absent[at] = moment.leak[at] == Some(Leak::Starting)
                || (instance.replica() == 2 && self.shifts.iter().any(scaled));
        }
        moment
    }

    /// The lives of an instance.
    pub(crate) fn lives(&self, instance: Instance) -> &[Life] {
        &self.lives[instance.index()]
    }

    /// Whether the instance is killed for its memory at the second.
    pub(crate) fn killed(&self, instance: Instance, second: i64) -> bool {
        self.troubles.iter().any(|t| lives::killed(t, instance, second))
    }

    /// Used part of the volume of a store, or of the broker, that a fault fills.
    pub(crate) fn filled(&self, spot: Spot, second: i64) -> Option<f64> {
        let full = |t: &&Trouble| t.incident == Incident::DiskFull && t.spot == spot;
        self.troubles.iter().filter(full).find(|t| t.active(second)).map(|t| {
            let within = ((t.to - t.from) / 10).clamp(1, FILLS_WITHIN);
            ((second - t.from) as f64 / within as f64).min(1.0)
        })
    }

    /// Share of the writes of a store, or of the broker, that fail for want of space.
    pub(crate) fn failing_writes(&self, spot: Spot, second: i64) -> Option<f64> {
        let full = self.filled(spot, second).is_some_and(|part| part >= 1.0);
        let strength = |t: &&Trouble| t.incident == Incident::DiskFull && t.spot == spot;
        self.troubles.iter().filter(|_| full).find(strength).map(|t| t.strength)
    }

    /// The pause of an instance in the given period (Unix time over [`PAUSE_PERIOD_NS`]); `None`
    /// unless it is a JVM.
    pub(crate) fn pause(&self, instance: Instance, period: i64) -> Option<Pause> {
        if instance.service().language != Language::Java {
            return None;
        }
        let word = mix(mix(self.seed, 0x6c + u64::from(instance.0)), period as u64);
        let start = period * PAUSE_PERIOD_NS;
        let longest = self.long_pause(instance, start.div_euclid(NANOS));
        // Ordinary collections take 6 to 30 ms, the incident's 0.8 to 2.4 s.
        let length = match longest {
            Some(factor) => (factor * (0.8 + 1.6 * unit(word))).min(LONGEST_PAUSE),
            None => 0.006 + 0.024 * unit(word),
        };
        let length_ns = (length * 1e9) as i64;
        let room = PAUSE_PERIOD_NS - length_ns;
        let from_ns = start + (unit(mix(word, 1)) * room as f64) as i64;
        Some(Pause { from_ns, to_ns: from_ns + length_ns, full: longest.is_some() })
    }

    /// Factor of the long pauses of a JVM at a second, if it has any.
    fn long_pause(&self, instance: Instance, second: i64) -> Option<f64> {
        self.troubles.iter().filter(|t| t.active(second)).find_map(|trouble| {
            match trouble.incident {
                Incident::Gc if trouble.spot.holds(instance) => Some(trouble.strength),
                Incident::MemoryLeak => match lives::leak(trouble, instance, second)? {
                    Leak::Growing(part) => {
                        let stall = stall_ms(trouble.strength, part) / 1000.0;
                        // A pause of L seconds in every 5 costs a call L^2 / 10 on average; 1.6 is the
                        // mean of the factor's range above.
                        (stall > 0.004).then(|| (10.0 * stall).sqrt() / 1.6)
                    }
                    _ => None,
                },
                _ => None,
            }
        })
    }

    /// What really happened.
    pub(crate) fn truths(&self) -> Vec<Truth> {
        let mut truths: Vec<Truth> = self.troubles.iter().map(truths::truth).collect();
        truths.sort_by_key(|t| (t.from_ns, t.incident));
        truths
    }
}

/// What an operation loses to paging or collecting when this part of the free memory is lost,
/// milliseconds: nothing up to the half, `most` at the limit.
pub(crate) fn stall_ms(most: f64, part: f64) -> f64 {
    let beyond = ((part - 0.5) * 2.0).max(0.0);
    most * beyond * beyond
}

impl Svc {
    /// Whether the service's instances stall while their memory runs out; a JVM collects instead.
    pub(crate) fn stalls(self) -> bool {
        self.facts().language != Language::Java
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::catalogue::services::REPLICAS;
    use crate::config::Planned;

    fn of(incidents: Vec<Planned>) -> Plan {
        Plan::new(&ShopConfig { incidents, ..ShopConfig::default() })
    }

    fn plan(incident: Incident, from: i64, to: i64) -> Plan {
        of(vec![Planned { incident, from_ns: from * NANOS, to_ns: to * NANOS }])
    }

    #[test]
    fn a_rollout_reaches_one_replica_after_another_and_is_rolled_back() {
        let plan = plan(Incident::BadDeploy, 1000, 1800);
        let bad = |second| -> Vec<bool> {
            let moment = plan.moment(second);
            (0..REPLICAS)
                .map(|r| moment.carries(Svc::Cart.instance(r), Incident::BadDeploy).is_some())
                .collect()
        };
        assert_eq!(bad(999), [false, false, false]);
        assert_eq!(bad(1000), [true, false, false]);
        assert_eq!(bad(1100), [true, true, false]);
        assert_eq!(bad(1200), [true, true, true]);
        assert_eq!(bad(1800), [false, false, false]);
        assert_eq!(plan.moment(1800).generation[Svc::Cart.instance(0).index()], 2);
        assert_eq!(plan.lives(Svc::Cart.instance(0)).len(), 3);
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
        let plan = of(vec![at(20, 40), at(10, 25), at(60, 70), at(80, 80)]);
        assert_eq!(plan.truths().len(), 2);
        assert!((plan.elapsed(65, |t| t.incident == Incident::Cpu) - 35.0).abs() < 1e-9);
    }

    #[test]
    fn a_leak_fills_the_memory_kills_the_instance_and_starts_again() {
        let plan = plan(Incident::MemoryLeak, 1000, 1400);
        let instance = Svc::Recommendation.instance(0);
        let at = |second| plan.moment(second).leak[instance.index()];
        assert_eq!(at(999), None);
        assert_eq!(at(1000), Some(Leak::Growing(0.0)));
        assert_eq!(at(1130), Some(Leak::Growing(0.5)));
        assert_eq!(at(1260), Some(Leak::Refusing));
        assert_eq!(at(1264), Some(Leak::Starting));
        assert_eq!(at(1268), Some(Leak::Growing(0.0)));
        assert!(plan.killed(instance, 1260) && !plan.killed(instance, 1261));
        assert!(plan.moment(1264).absent[instance.index()]);
        let lives = plan.lives(instance);
        assert_eq!((lives.len(), lives[1].from, lives[1].pod), (2, 1268, 0));
    }

    #[test]
    fn arrivals_moved_by_a_surge_add_up() {
        let plan = plan(Incident::TrafficSurge, 100, 200);
        let even = [0.1; ENTRIES.len()];
        assert!((plan.moved(50, &even)).abs() < 1e-9);
        assert!((plan.moved(150, &even) - 50.0 * 1.6).abs() < 1e-9);
        assert!((plan.moved(300, &even) - 100.0 * 1.6).abs() < 1e-9);
    }
}
