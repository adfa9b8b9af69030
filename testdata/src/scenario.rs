//! Labelled scenarios: a shop, a reference range, a window, and what a verdict on the window should
//! say. A scenario holds one fault, or two, or none, and one to three harmless changes that coincide.
//!
//! A fault is strengthened until users notice it. What it costs them is measured on the very requests
//! of the window: each is simulated with the fault and without it, from the same random numbers.

pub(crate) mod cost;
mod draw;
mod label;
mod measure;
mod path;
#[cfg(test)]
mod tests;

use headrope_model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::config::{Incident, ShopConfig};
use crate::fault::{Action, Cause, Coincidence, Fault, Place};
use crate::shop::Shop;
use measure::Measured;

pub use label::{
    Cost, Effect, Entity, EntryCost, Excess, FAILURE_NS, FaultLabel, Label, MeanRequest, Part,
};

const NANOS: i64 = 1_000_000_000;
/// Seconds between the start of the shop's processes and the reference range.
const UPTIME_S: i64 = 6 * 3600;
/// A fault that users do not notice is made this much stronger, at most [`ATTEMPTS`] times.
const STRONGER: f64 = 1.5;
const ATTEMPTS: u32 = 5;
/// Of two faults the weaker has at least this share of the harm, if it can be made that strong.
const LEAST_SHARE: f64 = 0.2;

/// How much data a scenario holds, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Size {
    /// User requests per second.
    pub traces_per_second: f64,
    /// Length of the reference range, seconds.
    pub reference_s: u32,
    /// Length of the window, which follows the reference range, seconds.
    pub window_s: u32,
    /// Start of the reference range, Unix nanoseconds.
    pub first_ns: i64,
    /// Seconds between two points of a metric series.
    pub metric_interval_s: u32,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            traces_per_second: 30.0,
            reference_s: 300,
            window_s: 300,
            // 2025-01-06T12:00:00Z.
            first_ns: 1_736_164_800_000_000_000,
            metric_interval_s: 10,
        }
    }
}

/// A labelled scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// The shop that generates it.
    pub shop: ShopConfig,
    /// When all was well; written as first instant and first instant after it.
    #[serde(with = "pair")]
    pub reference: TimeRange,
    /// When users complain, or not.
    #[serde(with = "pair")]
    pub window: TimeRange,
    /// What a verdict should say.
    pub truth: Label,
    /// The harmless changes, also part of the shop's configuration.
    pub distractors: Vec<Coincidence>,
}

/// The scenario of a seed: of any 16 seeds in a row each kind of fault has one, and three are
/// healthy.
#[must_use]
pub fn scenario(seed: u64, size: &Size) -> Scenario {
    let kind = Incident::ALL.get((seed % 16) as usize).copied();
    scenario_of(seed, kind, size)
}

/// A scenario with a fault of this kind, or a healthy one.
#[must_use]
pub fn scenario_of(seed: u64, kind: Option<Incident>, size: &Size) -> Scenario {
    let mut drawn = draw::draw(seed, kind, size);
    for _ in 0..ATTEMPTS {
        let measured = measure::measure(&drawn);
        if drawn.faults.is_empty() || !measured.affected.is_empty() {
            return finish(drawn, measured);
        }
        drawn.strengthen(0, STRONGER);
    }
    let measured = measure::measure(&drawn);
    finish(drawn, measured)
}

/// A scenario with two faults of different kinds at different places, each of which users notice
/// alone. A surge is not among them, as it has no place.
#[must_use]
pub fn scenario_pair(seed: u64, size: &Size) -> Scenario {
    let mut drawn = draw::draw_pair(seed, size);
    for at in 0..drawn.faults.len() {
        for _ in 0..ATTEMPTS {
            if is_noticed(&drawn.alone(at)) {
                break;
            }
            drawn.strengthen(at, STRONGER);
        }
    }
    let mut measured = measure::measure(&drawn);
    for _ in 0..ATTEMPTS {
        let Some(weak) = measured.shares().iter().position(|share| *share < LEAST_SHARE) else {
            break;
        };
        drawn.strengthen(weak, STRONGER);
        let mut milder = drawn.clone();
        milder.strengthen(1 - weak, 1.0 / STRONGER);
        if is_noticed(&milder.alone(1 - weak)) {
            drawn = milder;
        }
        measured = measure::measure(&drawn);
    }
    finish(drawn, measured)
}

/// Whether users notice.
fn is_noticed(drawn: &Drawn) -> bool {
    !measure::measure(drawn).affected.is_empty()
}

/// A scenario before it is measured.
#[derive(Debug, Clone)]
struct Drawn {
    seed: u64,
    shop: ShopConfig,
    reference: TimeRange,
    window: TimeRange,
    faults: Vec<Fault>,
}

impl Drawn {
    /// Makes a fault stronger, as far as its unit allows, or weaker.
    fn strengthen(&mut self, at: usize, factor: f64) {
        let Some(fault) = self.faults.get_mut(at) else { return };
        let strength = fault.strength.unwrap_or(1.0);
        fault.strength = Some(match fault.incident {
            Incident::Cpu => 1.0 - (1.0 - strength) / factor,
            Incident::DependencyErrors | Incident::DiskFull => (strength * factor).min(1.0),
            Incident::Gc => (strength * factor).min(1.8),
            _ => strength * factor,
        });
        self.shop.faults.clone_from(&self.faults);
    }

    /// The same with one of its faults alone.
    fn alone(&self, at: usize) -> Self {
        let faults: Vec<Fault> = self.faults.get(at).into_iter().cloned().collect();
        let shop = ShopConfig { faults: faults.clone(), ..self.shop.clone() };
        Self { shop, faults, ..self.clone() }
    }
}

fn finish(drawn: Drawn, measured: Measured) -> Scenario {
    let distractors = drawn.shop.coincidences.clone();
    let mut faults: Vec<FaultLabel> =
        (0..drawn.faults.len()).map(|at| label(&drawn, &measured, at)).collect();
    faults.sort_by(|a, b| b.share.total_cmp(&a.share));
    let first = faults.first().cloned();
    let of_first = first.as_ref().and_then(|f| {
        drawn.faults.iter().find(|fault| (fault.incident, &fault.place) == (f.fault, &f.place))
    });
    let truth = Label {
        fault: first.as_ref().map(|f| f.fault),
        place: first.as_ref().map_or(Place::Usual, |f| f.place.clone()),
        strength: first.as_ref().map_or(0.0, |f| f.strength),
        entity: first.as_ref().map_or(Entity::None, |f| f.entity.clone()),
        cause: first.as_ref().map_or(Cause::None, |f| f.cause),
        action: first.as_ref().map_or(Action::None, |f| f.action),
        also: first.map_or_else(Vec::new, |f| f.also),
        planted_share: measured.share(),
        entity_share: of_first.and_then(|fault| measured.at(measured.spot(fault))),
        affected: measured.affected,
        unaffected: measured.unaffected,
        excess: measured.excess,
        faults,
        mean: measured.mean,
    };
    let Drawn { seed, shop, reference, window, .. } = drawn;
    Scenario { seed, shop, reference, window, truth, distractors }
}

/// What is said of one fault.
fn label(drawn: &Drawn, measured: &Measured, at: usize) -> FaultLabel {
    let fault = &drawn.faults[at];
    let (incident, place) = (fault.incident, fault.place.clone());
    let costs = &measured.costs[at];
    FaultLabel {
        fault: incident,
        strength: fault.strength.unwrap_or_default(),
        entity: draw::entity(&drawn.shop, fault, measured.bottleneck()),
        cause: incident.cause(),
        action: incident.action(&place),
        also: incident.also(&place),
        share: measured.shares()[at],
        entity_ns: measured.ledger_at(measured.spot(fault)),
        overall: costs.overall,
        entries: costs.entries.clone(),
        place,
    }
}

impl Scenario {
    /// The shop that generates the scenario.
    #[must_use]
    pub fn shop(&self) -> Shop {
        Shop::with_config(self.shop.clone())
    }

    /// The reference range and the window.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.reference.from(), self.window.to()).unwrap_or(self.window)
    }
}

/// A range as two numbers, Unix nanoseconds.
mod pair {
    use headrope_model::TimeRange;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(range: &TimeRange, to: S) -> Result<S::Ok, S::Error> {
        (range.from(), range.to()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TimeRange, D::Error> {
        let (first, after) = <(i64, i64)>::deserialize(from)?;
        TimeRange::new(first, after)
            .ok_or_else(|| D::Error::custom("a range ends before it begins"))
    }
}
